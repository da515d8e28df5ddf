"""The one sentence that stands above an audit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from seewhy.evidence.findings.claims import CLAIMS, Claim, Meaning
from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.findings.finding import Finding
from seewhy.report.findings import FindingText
from seewhy.report.numbers import effect_of, line_of

RIM: Claim = "at the core's rim"


def headline_of(papers: Sequence[FindingText], floor: float) -> str:
    """The gravest claim of an audit in a sentence; what cannot be said is said to be so."""
    wrong = [paper for paper in papers if "classifier" in paper.finding.claims]
    if wrong:
        return wrong[0].finding.text
    for meaning, claim, with_it in _told_above(papers):
        if with_it:
            count = meaning.first if len(with_it) == 1 else f"{len(with_it)} {meaning.several}; first"
            said = _SAID.get(claim or "", _effect)(with_it[0]) if claim else _first_sentence(with_it[0].text)
            return f"{count}: {said}"
    tested = [paper for paper in papers if "probability" in paper.finding.numbers]
    if not tested:
        return "Nothing could be tested"
    turning = [paper.finding for paper in tested if paper.finding.numbers.get("turns_decisions")]
    if turning:
        return f"{_flipping(turning[0])}, though its probabilities, which lie close together, hardly move"
    open_ones = sum(paper.finding.level == "CANNOT SAY" for paper in tested)
    points = f"{100 * floor:.0f} points"
    if open_ones:
        return f"No dependence is shown; for {open_ones} of {len(tested)} factors {points} or more cannot be excluded"
    if len(tested) == 1:
        return f"{_effect(tested[0].finding)}: on average less than {points}"
    return f"None of {len(tested)} tested factors shifts its answers towards a class by {points} or more"


def plain_headline_of(papers: Sequence[FindingText]) -> str:
    """The gravest claim of an audit for those who have never heard of it; "" where nothing is claimed."""
    for meaning, _, with_it in _told_above(papers):
        if with_it:
            several = f" ({len(with_it)} {meaning.several} in all)" if len(with_it) > 1 and meaning.several else ""
            factor = " or the ".join((with_it[0].factor, *with_it[0].alternatives))
            article = "" if factor.startswith("everything ") else "the "
            words = meaning.headline.replace("{factor}", article + factor, 1)
            return f"{words[0].upper()}{words[1:]}{several}"
    return ""


def _told_above(papers: Sequence[FindingText]) -> Iterator[tuple[Meaning, Claim | None, list[Finding]]]:
    """The claims that stand above an audit, the gravest first, with the findings that make them.

    Before what is intended comes what is about all that lies outside of the core (None), what depends on something
    there, though it is called no shortcut, and what does more than that at the core's rim: not all is as it should be.
    """
    findings = [paper.finding for paper in papers]
    for claim, meaning in CLAIMS.items():
        if claim == "intended":
            yield OUTSIDE, None, [finding for finding in findings if _makes(finding, None)]
            yield CLAIMS["depends"], "depends", [finding for finding in findings if _is_beside_the_core(finding)]
            intended = max((_size(finding) for finding in findings if _makes(finding, claim)), default=0.0)
            at_rim = [finding for finding in findings if _makes(finding, RIM) and _size(finding) > intended]
            yield CLAIMS[RIM], RIM, at_rim
        if meaning.headline:
            yield meaning, claim, [finding for finding in findings if _makes(finding, claim)]


def _size(finding: Finding) -> float:
    """How large the effect on the probability is."""
    return abs(float(finding.numbers["probability"]["value"]))


def _is_beside_the_core(finding: Finding) -> bool:
    """Whether a core was named, and the answers depend on what is shown to act outside of it."""
    return (
        _makes(finding, "depends") and finding.numbers.get("core") is False and "through the core" not in finding.claims
    )


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _makes(finding: Finding, claim: Claim | None) -> bool:
    """Whether a finding makes a claim; that on all outside of the core has no effect of its own, but a benefit.

    So have shortcuts without a name, and the core's place.
    """
    if claim is None:
        return "depends" in finding.claims and "benefit" in finding.numbers
    has_numbers = "probability" in finding.numbers or (claim == "shortcut" and "benefit" in finding.numbers)
    return claim in finding.claims and has_numbers


def _effect(finding: Finding) -> str:
    number, watched = effect_of(finding), watched_of(finding.numbers.get("contrast"))
    if number is None:
        return _first_sentence(finding.text) if "benefit" in finding.numbers else finding.factor
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


OUTSIDE = Meaning(
    "caution",
    headline="It tells the classes apart even by what lies outside of what should matter",
    first="Something outside of the core is used",
)
_SAID: Mapping[str, Callable[[Finding], str]] = {"overfit": _excess, "fragile": _flipping}  # all others by their effect
