"""The one sentence that stands above an audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.findings.finding import Finding
from seewhy.report.findings import FindingText, effect_of, line_of


def headline_of(papers: Sequence[FindingText], floor: float) -> str:
    """The gravest claim of an audit in a sentence; what cannot be said is said to be so."""
    wrong = [paper for paper in papers if "classifier" in paper.finding.claims]
    if wrong:
        return wrong[0].finding.text
    for claim, one_of, many, said in CLAIMS:
        with_it = [paper for paper in papers if _makes(paper.finding, claim)]
        if with_it:
            count = one_of if len(with_it) == 1 else f"{len(with_it)} {many}; first"
            return f"{count}: {said(with_it[0].finding)}"
    tested = [paper for paper in papers if "probability" in paper.finding.numbers]
    if not tested:
        return "Nothing could be tested"
    open_ones = sum(paper.finding.level == "CANNOT SAY" for paper in tested)
    points = f"{100 * floor:.0f} points"
    if open_ones:
        return f"No dependence is shown; for {open_ones} of {len(tested)} factors {points} or more cannot be excluded"
    if len(tested) == 1:
        return f"{_effect(tested[0].finding)}: on average less than {points}"
    return f"None of {len(tested)} tested factors shifts its answers towards a class by {points} or more"


def plain_headline_of(papers: Sequence[FindingText]) -> str:
    """The gravest claim of an audit for those who have never heard of it; "" where nothing is claimed."""
    for claim, _, many, _ in CLAIMS:
        with_it = [paper.finding for paper in papers if _makes(paper.finding, claim)]
        if with_it:
            several = f" ({len(with_it)} {many} in all)" if len(with_it) > 1 and many else ""
            factor = " or the ".join((with_it[0].factor, *with_it[0].alternatives))
            words = PLAIN[claim].replace("{factor}", f"the {factor}", 1)
            return f"{words[0].upper()}{words[1:]}{several}"
    return ""


def _makes(finding: Finding, claim: str) -> bool:
    """Whether a finding makes a claim; that on all outside of the core has no effect of its own, but a benefit."""
    if claim == OUTSIDE:
        return "depends" in finding.claims and "benefit" in finding.numbers
    return claim in finding.claims and "probability" in finding.numbers


def _effect(finding: Finding) -> str:
    number, watched = effect_of(finding), watched_of(finding.numbers.get("contrast"))
    if number is None:
        return finding.factor
    way = "lowers" if number.value.startswith("-") else "raises"
    return f"{finding.factor} {way} {watched} by {number.value.lstrip('+-')} [{number.interval}] ({number.count})"


def _excess(finding: Finding) -> str:
    """What is overfit: how much more a factor helps on train than on valid, beyond other regions."""
    line = line_of(finding, "overfit")
    return (
        f"{finding.factor} helps more on train than on valid: {line.value} [{line.interval}] ({line.count})"
        if line
        else ""
    )


def _flipping(finding: Finding) -> str:
    line = line_of(finding, "flips")
    return f"{finding.factor} flips {line.value} of the decisions [{line.interval}] ({line.count})" if line else ""


OUTSIDE = "outside the core"
PLAIN = {
    "overfit": "It has learnt {factor} of its training images, which helps it less on new ones",
    "shortcut": "A shortcut: its answers depend on {factor}, which is not what should matter",
    "against the label": "{factor} leads its answers away from the right class",
    OUTSIDE: "It tells the classes apart even by what lies outside of what should matter",
    "intended": "Its answers depend on {factor}, as they should",
    "depends": "Its answers depend on {factor}",
    "core not used": "Its answers hardly depend on {factor}, which should matter",
    "fragile": "Its answers change with {factor}, whichever class that is taken from",
}
CLAIMS: tuple[tuple[str, str, str, Callable[[Finding], str]], ...] = (  # the gravest first: claim, one, several, words
    ("overfit", "Overfit", "factors overfit", _excess),
    ("shortcut", "A shortcut", "shortcuts", _effect),
    ("against the label", "Against the label", "factors act against the label", _effect),
    (OUTSIDE, "Something outside of the core is used", "", lambda finding: finding.text.rstrip(".")),
    ("intended", "It depends on what was named as its core", "parts of the core are used", _effect),
    ("depends", "A dependence", "dependences", _effect),
    ("core not used", "What was named as core is not used", "parts of the core are not used", _effect),
    ("fragile", "Fragile", "factors make it fragile", _flipping),
)
