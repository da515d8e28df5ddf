"""What so many images can show, before any trial by typical spreads, afterwards by what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from seewhy.errors import counted
from seewhy.evidence.inference.differences import ClassDifference, smallest_effect
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS

# How much donors of a class differ (standard deviation) beside the effect of a factor, both as shares, noise included:
# the medians of the 140 factors of 7 networks on drawn faces, 150 recipients each (docs/planted.md).
EFFECTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)
SPREADS = (0.05, 0.09, 0.11, 0.16, 0.22, 0.25)
# Marks of LARGE or more that searches found, of so many: by the images of each class, at one place and moving; of
# networks on drawn pictures (docs/unaided.md).
SEARCHES = {40: ((0, 8), (0, 5)), 75: ((6, 8), (4, 5)), 150: ((6, 8), (4, 5)), 300: ((6, 8), (4, 5))}
LARGE = 0.2
POWER = 0.9  # of the cases in which an effect is to be shown, or its absence
MANY = 300  # images of each class, for comparison
AMONG_MANY = 4.1  # standard errors: 5 % among a thousand tests, two-sided
MOST_NEEDED = 20_000  # images that a sentence asks for
_MORE = "or where there are more, raise --recipients or --budget."


def shown_effect(n_per_class: int, n_classes: int, n_tests: int) -> float:
    """About the smallest effect (a share) that so many donors of each class show in 9 of 10 cases; infinite if none.

    One class against the mean of the others, by Holm's first step among so many tests; larger effects spread more.
    """
    if n_per_class < 2:
        return math.inf
    level = AUDIT_THRESHOLDS["level"] / max(n_tests, 1)
    times = smallest_effect(n_per_class, alpha=level, power=POWER)  # the spread, of two classes
    times *= math.sqrt((1 + 1 / max(n_classes - 1, 1)) / 2)
    effects = np.arange(AUDIT_THRESHOLDS["floor"], 1.0, 0.001)
    is_shown = effects >= times * np.interp(effects, EFFECTS, SPREADS)
    return float(effects[is_shown.argmax()]) if is_shown.any() else math.inf


def shows(n_units: int, n_classes: int, n_tests: int, unit: str = "image", *, is_by_class: bool = True) -> str:
    """What so many images, or clusters, of the smallest class can show, beside what many could, in a sentence.

    Where only the own class is asked about (`is_by_class` False), of all classes together, half of which stand for one.
    """
    if not n_tests:
        return "Nothing is exchanged between images."
    n_per_class = n_units if is_by_class else n_units // 2
    had = f"{counted(n_units, unit)} of {'a class' if is_by_class else 'all classes'}"
    said = f"With {had} and {counted(n_tests, 'test')}, {_words(n_per_class, n_classes, n_tests)}"
    if n_per_class < MANY:
        many = f"{MANY} of each" if is_by_class else f"{2 * MANY}"
        said += f"; {many} show {_points(MANY, n_classes, n_tests)}"
    return f"{said} (typical of networks on drawn faces)."


def of_searches(n_per_class: int, *, has_core: bool) -> str:
    """What searches with about as many images of each class found of large marks, in a sentence; "" with fewer."""
    known = [count for count in SEARCHES if count <= n_per_class]
    if not known:
        return ""
    at_one_place, moving = (f"{found} of {asked}" for found, asked in SEARCHES[max(known)])
    and_moving = f", and {moving} that move from picture to picture" if has_core else ""
    return (
        f"Searches with {max(known)} images of a class found {at_one_place} marks of {100 * LARGE:.0f} points or more "
        f"at one place{and_moving} (networks on drawn pictures)."
    )


def _words(n_per_class: int, n_classes: int, n_tests: int) -> str:
    if not math.isfinite(shown_effect(n_per_class, n_classes, n_tests)):
        return "hardly any effect is shown"
    return f"an effect of {_points(n_per_class, n_classes, n_tests)} or more is shown in 9 of 10 cases"


def _points(n_per_class: int, n_classes: int, n_tests: int) -> str:
    return f"about {round(100 * shown_effect(n_per_class, n_classes, n_tests))} points"


def images_needed(difference: ClassDifference, fewest: int | None = None) -> float:
    """About how many images of each class settle whether an effect reaches the floor; infinite where that is unknown.

    With so many, 9 of 10 effects of nothing are excluded, by the interval of 95 %: the error shrinks with the root of
    the donors. Where the interval holds no 0, as many as show an effect of this size among a thousand tests. `fewest`
    are those of the smallest class now.
    """
    now = min(difference.n.values(), default=0) if fewest is None else fewest
    if not math.isfinite(difference.error) or now < 2:
        return math.inf
    size = abs(difference.value)
    if size > stats.norm.isf(0.025) * difference.error > 0:
        return float(max(now, math.ceil(now * (AMONG_MANY * difference.error / size) ** 2)))
    wanted = AUDIT_THRESHOLDS["floor"] / (stats.norm.isf(0.025) + stats.norm.isf((1 - POWER) / 2))
    return float(max(now, math.ceil(now * (difference.error / wanted) ** 2)))


def needed_words(needed: float) -> str:
    """A number of images with two digits: "540", or ">20,000"."""
    if needed > MOST_NEEDED:
        return f">{MOST_NEEDED:,}"
    digits = max(0, math.floor(math.log10(max(needed, 1))) - 1)
    return f"{int(np.ceil(needed / 10**digits) * 10**digits):,}"


def in_short(numbers: Mapping[str, Any], times: int = 1) -> str:
    """The images that a finding with these numbers needs, " ~540"; "" where that is unknown, or no more than now.

    They are stored of one class; `times` as many are told.
    """
    needed, used = numbers.get("images_needed"), numbers.get("fewest") or 0
    return f" ~{needed_words(times * needed)}" if needed and used < needed < math.inf else ""


def more_words(units: str) -> str:
    """How to get more of what is counted, images or clusters, as a sentence."""
    return f"Add images{' of other clusters' if units.startswith('cluster') else ''}, {_MORE}"


def advice(needed: float, used: int, units: str = "images of each class", *, is_near_the_floor: bool = True) -> str:
    """What to do about an effect that is neither shown nor excluded; of `units` so many are needed, and were used."""
    if not math.isfinite(needed) or (needed <= used and not is_near_the_floor):
        return f"More {units}, or a larger --budget, would tell."
    if needed <= used and is_near_the_floor:
        floor = f"{100 * AUDIT_THRESHOLDS['floor']:.0f} points"
        return f"It lies near {floor}: only far more than {used:,} {units} would tell."
    return f"About {needed_words(needed)} {units} would tell; {used:,} were used. {more_words(units)}"
