"""A finding in plain sentences: what was done, what came out, and what it means. Numbers and tests stand elsewhere."""

from __future__ import annotations

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.trials.contrast import OWN_CLASS
from seewhy.render.mark import SHUFFLED

MEANINGS = {  # of a claim, the gravest first
    "overfit": "That helps it far more on the images that it was trained on than on new ones: it is overfit to them.",
    "shortcut": (
        "It goes with the label here, and was not named as what should matter: a shortcut, which fails where the two "
        "part. Accuracy on images like these cannot show it."
    ),
    "against the label": "It leads the answers away from the right class.",
    "intended": "It was named as what should matter, so that is as it should be.",
    "at the core's rim": (
        "That is gone where what was named as what should matter is drawn a little larger: it may leave out part of "
        "what matters, so whether this is a shortcut cannot be said."
    ),
    "through the core": "It acts through what was named as what should matter.",
    "jointly": "Together they do more than each by itself: one can stand in for the other.",
    "fragile": "Whichever class it is taken from, single answers change with it: they are fragile.",
    "core not used": "It was named as what should matter, and hardly does.",
    "depends": "So the answers depend on it; whether they should is for you to say.",
}
WEAK = " This is shown weakly: not everything that was checked holds."


def plain_of(finding: Finding) -> str:
    """The finding for those who have never heard of it; "" where there is no tested effect to speak of."""
    effect = finding.numbers.get("probability")
    if not effect:
        return ""
    meaning = next((words for claim, words in MEANINGS.items() if claim in finding.claims), "")
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
        return f"Whether that moves the probability of {watched} cannot be said from these trials."
    way = "rises" if value > 0 else "falls"
    size = f"{abs(100 * value):.0f}" if abs(value) >= 0.015 else f"{abs(100 * value):.1f}"
    return f"{given} the probability of {watched} {way} by {size} percentage points on average{changed}."
