"""Are the classes in another order than the network's outputs? Orders that fit the images better, and how clearly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from seewhy.errors import listed
from seewhy.estimates import Estimate, Integers
from seewhy.evidence.inference.units import count_units, share_of
from seewhy.evidence.thresholds import CHECK_THRESHOLDS

_FOLDS_LEAST = 5  # units of a class in each half before any order at all is looked for
_LEAST = 20  # units before the orders are tried that people make by mistake
_CLEAR = 2.0  # times as often right in the other order, at the least
_TYPED = 20  # names that are typed in a line
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class ClassOrder:
    """Another order of the classes, as indices: output j means class `order[j]`.

    `accuracy` is that of all images read so, `is_clear` says whether the images leave no doubt: those of the classes
    that it moves are right at least twice as often. `first_label` is the number that labels seem to be counted from,
    where that is the mistake; `was_found` says that the order was looked for among all, on other images than those that
    it is judged by.
    """

    order: tuple[int, ...]
    accuracy: Estimate
    is_clear: bool
    first_label: int | None = None
    was_found: bool = False


@dataclass(frozen=True)
class _Tried:
    order: Integers
    hits: NDArray[np.bool_]  # of each image, read so
    first_label: int | None = None
    was_found: bool = False


def other_order(
    truth: Integers,
    decided: Integers,
    classes: Sequence[str],
    others: tuple[Integers, Integers] | None = None,
    units: Integers | None = None,
) -> ClassOrder | None:
    """The order that fits labels (N,) and predictions (N,) better than the given one and works; None where none does.

    Tried are the usual mistakes (names sorted as text or by their numbers, labels counted from 1), and the best of all
    orders, found on one half of the images and judged on the other, and the other way round. `others` are labels and
    predictions of other images, like those of training: an order that does not hold there, too, is none of the classes.
    `units` (N,) are the images' clusters, which count once and are never divided: by themselves where there are none.
    """
    if len(np.unique(truth)) < 2:  # images of one class say nothing of an order
        return None
    units = np.arange(len(truth)) if units is None else units
    given = decided == truth
    share = float(np.bincount(truth).max() / len(truth))
    least = max(share_of(given, units).high, share + CHECK_THRESHOLDS["little"] * (1 - share))
    tried = list(_usual_mistakes(truth, decided, classes)) if count_units(units) >= _LEAST else []
    tried += _best_of_all(truth, decided, len(classes), units)
    fitting = [each for each in tried if share_of(each.hits, units).low > least and _holds(each.order, others)]
    if not fitting:
        return None
    best = max(fitting, key=lambda each: int(each.hits.sum()))
    if best.was_found:  # a usual mistake that fits as well, as far as can be told, is the likelier one
        alike = (each for each in fitting if share_of(each.hits, units).high >= share_of(best.hits, units).low)
        best = max(alike, key=lambda each: (not each.was_found, int(each.hits.sum())))
    moved = best.order[truth] != truth
    so, before = (share_of(hits[moved], units[moved]) for hits in (best.hits, given))
    return ClassOrder(
        order=tuple(best.order.tolist()),
        accuracy=share_of(best.hits, units),
        is_clear=so.low >= _CLEAR * before.high,
        first_label=best.first_label,
        was_found=best.was_found,
    )


def line_to_type(names: Sequence[str], first_label: int | None = None) -> str:
    """The option that puts the classes into this order."""
    if len(names) <= _TYPED and not any("," in name for name in names):
        line = f"--classes {quote(','.join(names))}"
    else:
        line = f"--classes FILE  (a name in each line, in this order: {listed(names, 6)})"
    if first_label is None:
        return line
    return f"--first-label {first_label}  where labels are numbers, else  {line}"


def _holds(order: Integers, others: tuple[Integers, Integers] | None) -> bool:
    """Whether an order fits other images of the classes that it moves better than the given one, too."""
    if others is None:
        return True
    truth, decided = others
    moved = order[truth] != truth
    if not moved.any():
        return True
    return bool((order[decided] == truth)[moved].sum() > (decided == truth)[moved].sum())


def _usual_mistakes(truth: Integers, decided: Integers, classes: Sequence[str]) -> Iterator[_Tried]:
    """Orders that follow from the names alone, and labels that are counted from another number than is thought."""
    count = len(classes)
    places = np.arange(count)
    for first, shift, free in ((1, 1, 0), (0, -1, count - 1)):  # no image can have the number that is no class
        if count > 2 and not (truth == free).any():
            order = (places + shift) % count
            yield _Tried(order, order[decided] == truth, first_label=first)
    for key in _SORTED_BY:
        order = np.array(sorted(range(count), key=lambda index: key(classes[index])), dtype=np.int64)
        if (order != places).any():
            yield _Tried(order, order[decided] == truth)


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """A name's letters, and its numbers as numbers: class2 comes before class10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]


_SORTED_BY: tuple[Callable[[str], Any], ...] = (str, _by_numbers)


def _best_of_all(truth: Integers, decided: Integers, n_classes: int, units: Integers) -> Iterator[_Tried]:
    """The best assignment of predictions to labels, each half of the images judged by that of the other half."""
    half = half_of(truth, units)
    members = np.unique(np.stack([half, truth, units]), axis=1)  # each unit once for each class that it holds
    if np.bincount(members[0], minlength=2).min() < _FOLDS_LEAST * len(np.unique(truth)):
        return
    hits = np.zeros(len(truth), dtype=bool)
    for one in (half, ~half):
        order = _best_order(truth[one], decided[one], n_classes)
        hits[~one] = order[decided[~one]] == truth[~one]
    yield _Tried(_best_order(truth, decided, n_classes), hits, was_found=True)


def half_of(kinds: Integers, units: Integers) -> NDArray[np.bool_]:
    """Which images (N,) are one half: whole units, every other one of those that hold images of the same kinds (N,)."""
    of_unit, held = np.unique(np.stack([units, kinds]), axis=1)
    names, starts = np.unique(of_unit, return_index=True)
    kinds_of = [tuple(part.tolist()) for part in np.split(held, starts[1:])]
    is_in = np.zeros(len(names), dtype=bool)
    is_in[sorted(range(len(names)), key=kinds_of.__getitem__)[::2]] = True
    return is_in[np.searchsorted(names, units)]


def _best_order(truth: Integers, decided: Integers, n_classes: int) -> Integers:
    """For each prediction the label that it should be read as, each label once (the Hungarian method)."""
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (decided, truth), 1.0)
    counts += np.eye(n_classes) * 1e-6  # where nothing speaks for another label, the own one
    return np.asarray(linear_sum_assignment(counts, maximize=True)[1])
