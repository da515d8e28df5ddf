"""The words of a finding: one sentence for each thing that is known, with its effect, interval and count."""

from __future__ import annotations

import math
from collections.abc import Sequence

from seewhy.errors import counted
from seewhy.estimates import p_words
from seewhy.evidence.findings.case import (
    RIM,
    Case,
    SafeguardOutcome,
    acts_outside,
    depends,
    disagrees,
    excludes_zero,
    is_at_rim,
    is_fragile,
    is_none,
    is_of_a_core_property,
    numbers_of,
    too_few,
)
from seewhy.evidence.findings.claims import Claim
from seewhy.evidence.findings.figures import interval, points, signed_points, watched_of
from seewhy.evidence.findings.finding import Finding, Level
from seewhy.evidence.findings.levels import claims_of, level_of
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES
from seewhy.evidence.trials.contrast import OTHERS
from seewhy.evidence.trials.resolution import advice
from seewhy.render.mark import SHUFFLED

LARGER_CORE = "Name a core that holds all that matters, a larger zone or masks:  --core NAME=FOLDER"
SOUGHT = (
    "Look at it in the pictures: for a part of the object name a core that holds it, for anything else masks of its "
    "own:  --core NAME=FOLDER  or  --regions NAME=FOLDER"
)


def finding_of(case: Case) -> Finding:
    """The finding of one factor."""
    level = level_of(case)
    claims = claims_of(case, level)
    evidence = tuple(map(_line, case.outcomes)) if "depends" in claims else ()
    return Finding(
        factor=case.factor,
        level=level,
        claims=claims,
        text=_text(case, level, claims),
        todo=_todo(case, level),
        evidence=(*evidence, *case.warnings),
        numbers=numbers_of(case),
    )


def _flips(case: Case) -> str:
    flips, own_flips = case.effect.flips, case.effect.flips_own
    if own_flips is None:
        return f"{flips.value:.0%} of the decisions flip"
    return f"{flips.value:.0%} of the decisions flip with another class's, {own_flips.value:.0%} with their own class's"


def _line(outcome: SafeguardOutcome) -> str:
    sign = "?" if outcome.passed is None else "+" if outcome.passed else "-"
    return f"{sign} {outcome.words[0].upper()}{outcome.words[1:]}."


def exchange(case: Case) -> str:
    """What was exchanged, and whose probability is watched, as the beginning of a sentence."""
    contrast = case.effect.contrast
    thing, watched = _thing(case), watched_of(contrast.name)
    if case.kind == "insert":
        return f"With the {thing} in place of {case.against}, {watched}"
    if contrast.is_own_class:
        return f"With the {thing} of images of its own class in place of others, {watched}"
    instead = "others" if contrast.against == OTHERS else f"{contrast.against} ones"
    return f"With the {thing} of {contrast.name} images in place of {instead}, {watched}"


def _thing(case: Case) -> str:
    return f"{case.pair.first} and the {case.pair.second}" if case.pair else case.factor


def _counts(case: Case) -> str:
    effect = case.effect
    units = "clusters of donors" if effect.unit == "cluster" else "donors"
    donors = "" if case.kind == "insert" else f"{effect.n_donors} {units}, "
    return f"{effect.n_recipients} images, {donors}{effect.split}; {p_words(case.p_holm, digits=2)} after Holm"


def _text(case: Case, level: Level, claims: Sequence[Claim]) -> str:
    effect = case.effect
    if too_few(case):
        unit = "cluster" if effect.unit == "cluster" else "distinct image"
        if case.kind != "insert" and effect.contrast.is_own_class:
            had = f"{counted(effect.n_donors, unit)} of all classes can be used on {effect.split}"
            return f"{had}; {2 * LEAST_IMAGES} are needed."
        of_class = "" if case.kind == "insert" else " of a class"
        had = f"{counted(case.fewest, unit)}{of_class} can be used on {effect.split}"
        return f"{had}; {LEAST_IMAGES} are needed."
    if "at the core's rim" in claims:
        moved = f"{exchange(case)} moves by {points(case.value)} points {interval(case.selected)}"
        return f"{moved} ({_counts(case)}).{_rim_words(case)}"
    if level in ("NONE LARGER THAN", "CANNOT SAY"):
        text = f"{_moves(case)}{_open_words(case, level, claims)}"
        return f"{text}.{_fragile_words(case, claims)}{_answer_words(case)}{_overfit_words(case)}"
    way = "rises" if case.value > 0 else "falls"
    margin = effect.margin
    text = (
        f"{exchange(case)} {way} by {points(abs(case.value))} points {interval(case.selected)} "
        f"(margin {margin.value:+.2f} [{margin.low:+.2f}, {margin.high:+.2f}]; {_counts(case)}); "
        f"{_flips(case)}."
    )
    return f"{text}{_claim_words(case, claims)}{_overfit_words(case)}"


def _moves(case: Case) -> str:
    effect = case.effect.probability
    return f"{exchange(case)} moves by {points(effect.value)} points {interval(effect)} ({_counts(case)})"


def _open_words(case: Case, level: Level, claims: Sequence[Claim]) -> str:
    """Why nothing more is said of an effect that is open or excluded."""
    floor, is_beyond_chance = points(AUDIT_THRESHOLDS["floor"]), case.p_holm < AUDIT_THRESHOLDS["level"]
    if level == "NONE LARGER THAN":
        return _core_words(case, claims)
    if is_none(case):
        return f": too little for points of probability, but {_flips(case)}"
    if is_beyond_chance and disagrees(case):
        margin = case.effect.margin
        other_way = f"{margin.value:+.2f} [{margin.low:+.2f}, {margin.high:+.2f}] logits"
        return f": but the margin, which is tested, moves the other way, {other_way}, so neither is claimed"
    if is_beyond_chance:
        return f": that is shown, but not whether it reaches {floor} points"
    if _looks_large(case):
        return ": it looks large, but among all tests it is not shown: what is tested is the margin, in logits"
    return f": {floor} points or more are neither shown nor excluded"


def _core_words(case: Case, claims: Sequence[Claim]) -> str:
    """That what should matter does not, or may matter by its shape alone."""
    if "core not used" in claims:
        return ": what should matter hardly does"
    if case.is_core and case.is_named and case.shape_may_matter:
        return ": its pixels hardly matter, but its outline, size or place may, which an exchange leaves as they are"
    return ""


def _fragile_words(case: Case, claims: Sequence[Claim]) -> str:
    if "fragile" not in claims:
        return ""
    if not is_fragile(case):
        return (
            " But content of either kind turns many decisions, whichever class it is taken from: single answers depend "
            f"on it, and no mean shows it ({_flips(case)})."
        )
    size = case.effect.sensitivity
    return (
        f" But its content moves the margin by {size.value:.1f} logits [{size.low:.1f}, {size.high:.1f}] from donor to "
        "donor (standard deviation), whatever their class: fragile, no shortcut."
    )


def _rim_words(case: Case) -> str:
    rim = case.measured[RIM]
    left = rim.effects[rim.largest]
    where = f" Most of it lies within {rim.smallest} pixels of the core." if rim.is_all_rim else ""
    why = "since the core as named may leave out part of what matters"
    if rim.was_sought:
        why = "since a part of the object that the core leaves out would be found there as well as a mark"
    return (
        f"{where} With the core drawn {rim.largest} pixels larger {signed_points(left.value)} {interval(left)} are "
        f"left: whether it is a shortcut cannot be said, {why}."
    )


def _looks_large(case: Case) -> bool:
    """Whether the interval of the probability alone lies beyond the floor."""
    effect = case.effect.probability
    return excludes_zero(effect) and min(abs(effect.low), abs(effect.high)) > AUDIT_THRESHOLDS["floor"]


def _claim_words(case: Case, claims: Sequence[Claim]) -> str:
    on_train = math.nan if case.on_train is None else case.on_train.probability.value
    train = f" (on train {signed_points(on_train)})" if math.isfinite(on_train) else ""
    if case.means is not None:
        plain, patch, mark = case.means
        means = f"{plain:.3f} as the images are, {patch:.3f} with {_against(case)}, {mark:.3f} with the mark"
        return f" On average it is {means}.{_answer_words(case)}"
    if "jointly" in claims:
        return " Together they do more than one by one adds up to: each can stand in for the other."
    if case.is_core is False and not acts_outside(case):
        return f" {_outside_words(case, claims)}{train}."
    if "shortcut" in claims:
        shared = case.on_train is not None and case.on_train.probability.low > 0
        tail = f", shared by train{train}, so accuracy on valid cannot show it" if shared else train
        return f" It is no part of the core{_alone(case)} and goes with the label: a shortcut{tail}."
    if "intended" in claims:
        return f" It is part of the core: intended evidence{train}."
    if "against the label" in claims:
        return f" It goes against the label{train}."
    if case.is_core is None and case.core_named:
        return f" Whether it is a shortcut cannot be said: the core that was named cannot be used{train}."
    if case.is_core is None:
        return f" Whether it is a shortcut depends on what should matter: name that with --core{train}."
    why = "but not everything that was checked holds, so no shortcut is claimed"
    return f" It is no part of the core{_alone(case)}, {why}{train}."


def _outside_words(case: Case, claims: Sequence[Claim]) -> str:
    """That an effect acts through the core, or is not shown to act outside of it."""
    if is_of_a_core_property(case) or case.outside is None:
        return "With the property of the core put back as it was it dies: it acts through that"
    if not math.isfinite(case.outside.error):
        return "What lies outside of the core is too little to ask what it does there"
    left = f"{signed_points(case.outside.value)} {interval(case.outside)}"
    what = "it acts through the core" if "through the core" in claims else "whether it acts there cannot be said"
    return f"{_asked_outside(case, 'Outside of the core')} it is {left}: {what}"


def _alone(case: Case) -> str:
    """What it does outside of the core, in brackets."""
    if case.outside is None or not math.isfinite(case.outside.error):
        return ""
    asked = _asked_outside(case, "outside of it")
    return f" ({signed_points(case.outside.value)} {interval(case.outside)} {asked})"


def _asked_outside(case: Case, words: str) -> str:
    """How it was asked what a factor does outside of the core: in these words, unless all of the picture changed."""
    where = "all of a picture is changed by as much as the classes differ around the core"
    return (f"Where {where}" if words[0].isupper() else f"where {where}") if case.is_everywhere else words


def _against(case: Case) -> str:
    """What a mark is compared with, said for the second time."""
    return "the patch" if case.against == SHUFFLED else case.against


def _answer_words(case: Case) -> str:
    """What a mark does to the answers themselves."""
    return "" if case.answers is None else f" {case.answers.words(_against(case))}"


def _overfit_words(case: Case) -> str:
    excess = case.overfit
    if excess is None or not excess.overfit:
        return ""
    margin, accuracy = excess.margin, excess.accuracy
    return (
        " OVERFIT: its own content is worth more on train than on valid, beyond that of control regions: "
        f"{margin.value:+.2f} logits [{margin.low:+.2f}, {margin.high:+.2f}] and {accuracy.value:+.0%} of the accuracy "
        f"above chance [{accuracy.low:+.0%}, {accuracy.high:+.0%}]."
    )


def _more(case: Case) -> str:
    """How many images would settle what is neither shown nor excluded."""
    units, is_near = f"{case.effect.unit}s", not _looks_large(case)
    if case.kind == "insert":
        return advice(case.needed, case.fewest, units, is_near_the_floor=is_near)
    if case.effect.contrast.is_own_class:  # of which half of all stand for a class
        used = case.effect.n_donors
        return advice(2 * case.needed, used, f"{units} of all classes", is_near_the_floor=is_near)
    return advice(case.needed, case.fewest, f"{units} of each class", is_near_the_floor=is_near)


def _todo(case: Case, level: Level) -> str:
    if too_few(case):
        more = "Add images of other clusters" if case.effect.unit == "cluster" else "Add images"
        if case.kind == "insert":
            return f"{more}: {LEAST_IMAGES} at least."
        return f"{more}, or a larger --donors: {LEAST_IMAGES} of each class at least, 300 to see small effects."
    if level == "CANNOT SAY" and depends(case) and is_at_rim(case):
        return SOUGHT if case.measured[RIM].was_sought else LARGER_CORE
    if level == "CANNOT SAY" and is_none(case) and case.kind == "insert":
        return "More images would tell which way its answers turn."
    if level == "CANNOT SAY" and is_none(case):
        return "The network's probabilities hardly vary: calibrate it, then audit again."
    if level == "CANNOT SAY" and disagrees(case):
        return "Look at its images: probability and margin part where a few are answered far more surely than others."
    if level == "CANNOT SAY":
        return _more(case)
    if level == "NONE LARGER THAN":
        return ""
    if case.kind == "insert":
        return f"Images that carry the {case.factor} by themselves would tell whether that matters in practice."
    contrast = case.effect.contrast
    given, taken = ("one class", "others") if contrast.is_own_class else (contrast.against, contrast.name)
    against = f"unedited images of {given} that have the {_thing(case)} of {taken} by nature"
    return f"What would speak against it: {against}, and are judged right as often as the rest."
