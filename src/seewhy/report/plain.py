"""A finding in plain sentences: what was done, what came out, and what it means. Numbers and tests stand elsewhere."""

from __future__ import annotations

from seewhy.evidence.findings.claims import CLAIMS
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import OWN_CLASS
from seewhy.render.mark import SHUFFLED

WEAK = " This is shown weakly: not everything that was checked holds."
OUTSIDE = "So the answers depend on it, though it is no part of what was named as what should matter."


def plain_of(finding: Finding) -> str:
    """The finding for those who have never heard of it; "" where there is no tested effect to speak of."""
    effect = finding.numbers.get("probability")
    if not effect:
        return ""
    claim, meaning = next(((claim, of.sentence) for claim, of in CLAIMS.items() if claim in finding.claims), ("", ""))
    if claim == "depends" and finding.numbers.get("core") is False:
        meaning = OUTSIDE
    weak = WEAK if finding.level == "WEAK" else ""
    return f"{_done(finding)} {_came(finding, float(effect['value']))} {meaning}".rstrip() + weak


def _done(finding: Finding) -> str:
    factor, contrast = finding.factor, finding.numbers.get("contrast")
    if finding.numbers.get("kind") == "insert":
        against = finding.numbers.get("against", SHUFFLED)
        beside = "the same pixels in disorder" if against == SHUFFLED else against
        return f"The mark {factor} was laid over images, and beside that {beside}."
    whose = "its own class" if contrast == OWN_CLASS else f"the class {contrast}"
    return f"Each image was given the {factor} of other images: of {whose} and, for comparison, of other classes."


def _came(finding: Finding, value: float) -> str:
    """How far the answers move, with whole points; what stays below the floor is called so."""
    numbers, contrast = finding.numbers, finding.numbers.get("contrast")
    is_own, is_mark = contrast in (None, OWN_CLASS), numbers.get("kind") == "insert"
    watched = "the right class" if is_own else f"the class {contrast}"
    given = "With the mark" if is_mark else f"Where that comes from {'its own class' if is_own else watched},"
    moved = watched if is_own or is_mark else "that class"
    flips = (numbers.get("flips") or {}).get("value")
    changed = "" if flips is None else f", and {100 * flips:.0f} of 100 answers change"
    if finding.level == "NONE LARGER THAN":
        return f"On average that moves the probability of {watched} by next to nothing{changed}."
    if finding.level == "CANNOT SAY" and "at the core's rim" not in finding.claims:
        floor = f"{100 * AUDIT_THRESHOLDS['floor']:.0f} percentage points"
        effect = finding.numbers["probability"]
        if effect["low"] > 0 or effect["high"] < 0:
            way = f"{given} the probability of {moved} {'rises' if value > 0 else 'falls'} on average"
            if min(abs(effect["low"]), abs(effect["high"])) > AUDIT_THRESHOLDS["floor"]:
                return f"{way}, but among all that was tested this is not shown."
            return f"{way}; whether by {floor} or more cannot be said from these trials."
        return f"Whether that moves the probability of {watched} by {floor} or more cannot be said from these trials."
    way = "rises" if value > 0 else "falls"
    size = f"{abs(100 * value):.0f}" if abs(value) >= 0.015 else f"{abs(100 * value):.1f}"
    return f"{given} the probability of {moved} {way} by {size} percentage points on average{changed}."
