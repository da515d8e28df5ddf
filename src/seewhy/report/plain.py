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
    if contrast == OWN_CLASS:
        return f"Images were given the {factor} of other images, of their own class and of others."
    return f"Images were given the {factor} of other images, of the class {contrast} and of others."


def _came(finding: Finding, value: float) -> str:
    """How far the answers move, with whole points; what stays below the floor is called so."""
    numbers, contrast = finding.numbers, finding.numbers.get("contrast")
    is_own = contrast in (None, OWN_CLASS)
    watched = "the right class" if is_own else f"the class {contrast}"
    given = "With the mark" if numbers.get("kind") == "insert" else f"With that of {watched}" if not is_own else ""
    given = given or "With that of their own class"
    flips = (numbers.get("flips") or {}).get("value")
    changed = "" if flips is None else f", and {100 * flips:.0f} of 100 answers change"
    if finding.level == "NONE LARGER THAN":
        return f"On average that moves the probability of {watched} by next to nothing{changed}."
    if finding.level == "CANNOT SAY" and "at the core's rim" not in finding.claims:
        floor = f"{100 * AUDIT_THRESHOLDS['floor']:.0f} percentage points"
        effect = finding.numbers["probability"]
        if effect["low"] > 0 or effect["high"] < 0:
            moved = f"{given} the probability of {watched} {'rises' if value > 0 else 'falls'} on average"
            return f"{moved}; whether by {floor} or more cannot be said from these trials."
        return f"Whether that moves the probability of {watched} by {floor} or more cannot be said from these trials."
    way = "rises" if value > 0 else "falls"
    size = f"{abs(100 * value):.0f}" if abs(value) >= 0.015 else f"{abs(100 * value):.1f}"
    return f"{given} the probability of {watched} {way} by {size} percentage points on average{changed}."
