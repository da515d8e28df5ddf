"""Why a repair has failed: what it has to show, and what must not have happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seewhy.errors import listed
from seewhy.estimates import Estimate, p_words
from seewhy.evidence.findings.figures import interval, points
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.learn.repair.arm import BEFORE, REPAIRED, Arm
from seewhy.learn.repair.groups import LEAST_CELL, Cell
from seewhy.learn.repair.others import OtherFactor
from seewhy.learn.repair.proof import Cost, EffectProof

MOST_LOST = 0.03  # of accuracy: a repair that costs more has failed
LARGER = 2.0  # times a part's effect, from which on a region that holds it has to lose half of its own
MOVED = 0.5  # of what a region lost, that a larger one has to lose as well; of what was told as the same cause, too


def was_its_own_help(before: Estimate, after: Estimate, cells: Sequence[Cell]) -> bool:
    """Whether accuracy that was lost on images as they are is what the factor had given there.

    It is where accuracy with the factor changed (`before`, `after`) is shown to rise, and where the images show what
    else decides: each class has enough of them in which the factor says another thing.
    """
    return after.low > before.high and bool(cells) and min(cell.count for cell in cells) >= LEAST_CELL


def has_moved(other: OtherFactor, fall: float) -> bool:
    """Whether a region does not lose what a part of it has lost: at least half of that, and it is shown to fall.

    Where its own effect is so unsure that no fall could be shown, it may keep half of that at most.
    """
    is_shown = other.rise.high < 0 or abs(other.after) <= MOVED * abs(other.before)
    has_fallen = is_shown and -other.rise.value >= MOVED * fall
    return abs(other.before) >= MOVED * fall and not has_fallen


def dwarfs(other: OtherFactor, before: float) -> bool:
    """Whether a region does far more than a part of it did, and keeps more than half of that.

    Not where the audit told it as another shortcut, which was not asked for.
    """
    is_larger = abs(other.before) >= LARGER * abs(before) and not other.is_shortcut
    return is_larger and abs(other.after) > MOVED * abs(other.before)


def is_left(other: OtherFactor, fall: float) -> bool:
    """Whether a region that was told as the same cause keeps more than half of its effect."""
    return abs(other.before) >= MOVED * fall and abs(other.after) > MOVED * abs(other.before)


def reasons_of(
    proof: EffectProof,
    cost: Cost,
    arms: Mapping[str, Arm],
    others: Sequence[OtherFactor],
    chance: float,
    cells: Sequence[Cell] = (),
) -> list[str]:
    """Why a repair has failed; [] where it is proved.

    Its effect has to be shown to fall (`effect_reasons`); it must not be shown to cost more than 3 points (unless these
    were the factor's own help) or to let another factor rise; and something must be left that tells the classes apart.
    `cells` are the images of train by class and by what the factor says.
    """
    after = arms[REPAIRED]
    reasons = []
    is_costly = cost.difference.value < -MOST_LOST and cost.p_value < AUDIT_THRESHOLDS["level"]
    if is_costly and not was_its_own_help(arms[BEFORE].exchanged, after.exchanged, cells):
        reasons.append(f"It costs {points(-cost.difference.value)} points of accuracy {interval(cost.difference)}.")
    rose = [
        f"{other.name} (in the core alone)" if other.is_inside else other.name
        for other in others
        if other.said == "rose" and not other.may_rise
    ]
    if rose:
        reasons.append(f"What else rose instead: {listed(dict.fromkeys(rose), 8)}.")
    if after.exchanged.low <= chance:
        reasons.append(
            f"Nothing else is shown to be learned: with what is repaired changed it is right in {after.exchanged} "
            f"(every class alike), where guessing gives {chance:.2f}. Other images are needed, not another training."
        )
    return [*effect_reasons(proof, arms, others), *reasons]


def effect_reasons(proof: EffectProof, arms: Mapping[str, Arm], others: Sequence[OtherFactor]) -> list[str]:
    """Why an effect is not shown to be taken out; [] where it is.

    It has to beat every control at 5 % (so all together are a test at 5 %: Berger 1982, Technometrics 24) and to leave
    less than before; a larger region that it is a part of must lose half of what it lost, and where it does far more,
    half of its own effect; and so must a region that was told as the same cause.
    """
    reduction, given = proof.reduction, proof.given
    reasons = [
        f"It is not shown to leave less than its control ({arms[name].words}): {points(margin.value)} points "
        f"{interval(margin)} ({p_words(margin.p_value)})."
        for name, margin in proof.margins.items()
        if not (margin.low > 0 and margin.p_value < AUDIT_THRESHOLDS["level"])
    ]
    if not reduction.low > 0:
        reasons.append(f"The effect is not shown to be smaller: by {points(reduction.value)} {interval(reduction)}.")
    elif not given.high < 0:
        reasons.append(
            "The network that is given, of the first seed, is not shown to have less of it by itself: by "
            f"{points(-given.value)} points [{points(-given.high)}, {points(-given.low)}]."
        )
    return reasons + (_what_stays(others, -given.value, proof.means[BEFORE]) if given.high < 0 else [])


def _what_stays(others: Sequence[OtherFactor], fall: float, before: float) -> list[str]:
    """The regions that should have lost what the repaired factor lost, and have not."""
    told = []
    for other in others:
        still = f"does {points(abs(other.after))} points still, {points(abs(other.before))} before"
        if other.holds_it and (has_moved(other, fall) or dwarfs(other, before)):
            told.append(
                f"It is not shown to be gone: {other.factor}, of which it is a part, {still} ({_moved(other.rise)}, "
                f"where it is less by {points(fall)} itself)."
            )
        elif other.is_same_cause and is_left(other, fall):
            told.append(f"Most of it is left: {other.factor}, which was told as the same cause, {still}.")
    return told


def _moved(rise: ClassDifference) -> str:
    """By how much an effect is more than before, or less, with its interval."""
    if rise.value > 0:
        return f"more by {points(rise.value)} {interval(rise)}"
    return f"less by {points(-rise.value)} [{points(-rise.high)}, {points(-rise.low)}]"
