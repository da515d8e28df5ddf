"""How a multi-label network tells each of its labels from its absence: ranking, decisions at one half, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from seewhy.data.tables.labels import label_set
from seewhy.estimates import Estimate, Floats, Integers, mean_of, wilson
from seewhy.evidence.checks.class_order import half_of
from seewhy.evidence.inference.ranks import label_auc, mean_label_auc, paired_difference
from seewhy.evidence.inference.units import count_units, unit_influences
from seewhy.evidence.thresholds import CHECK_THRESHOLDS

_LEAST = 5  # units with a label in each half before another output is looked for
_MOST = 30  # labels whose order is looked for
_CLEAR = 0.1  # of AUC, that labels gain by another order which leaves no doubt

Truth = NDArray[np.bool_]  # (N, K): which labels each image has


@dataclass(frozen=True)
class LabelScore:
    """One label among `n` images, of which `count` have it and `decided` are said to.

    `auc` is None where all or none have it. `f1` is that of the decisions at one half, None where neither an image nor
    a decision has the label. `bias` is the mean probability minus the share of images that have it.
    """

    name: str
    n: int
    count: int
    decided: int
    auc: Estimate | None
    f1: float | None
    bias: Estimate


def truth_of(labels: Sequence[str | None], classes: Sequence[str]) -> Truth:
    """Which of `classes` each image's label holds (N, K)."""
    sets = [label_set(label or "", classes) for label in labels]
    return np.array([[name in held for name in classes] for held in sets], dtype=bool).reshape(-1, len(classes))


def label_scores(logits: Floats, truth: Truth, classes: Sequence[str], units: Integers) -> tuple[LabelScore, ...]:
    """The score of each label from logits (N, K); `units` (N,) are the images' clusters."""
    return tuple(_score(name, logits[:, k], truth[:, k], units) for k, name in enumerate(classes))


@dataclass(frozen=True)
class LabelOrder:
    """Another order of the labels: output j means label `order[j]`.

    `gain` is what all labels gain in mean AUC by it, `is_clear` says whether those that it moves gain .1 at the least.
    """

    order: tuple[int, ...]
    gain: Estimate
    is_clear: bool


def label_order(logits: Floats, truth: Truth, units: Integers) -> LabelOrder | None:
    """The order of the labels that the outputs (N, K) fit better than the given one, and by how much.

    The order is the best assignment of outputs to labels on one half of the images, judged on the other, and the other
    way round; None unless the interval of the gain lies above 0 and the labels that are moved are told usefully by it,
    and better by an amount that counts. Labels that few units have stay where they are. `units` (N,) are the images'
    clusters, which count once and are never divided.
    """
    kinds = np.unique(truth[:, ::-1], axis=0, return_inverse=True)[1].reshape(-1)
    halves = half_of(kinds, units)  # alike images alternate
    fewer = np.minimum(*(_units_with(truth & half[:, None], units) for half in (halves, ~halves)))
    known = np.flatnonzero((fewer >= _LEAST) & (_units_with(~truth, units) >= 2 * _LEAST))
    if not 2 <= len(known) <= _MOST:
        return None
    logits, truth, count = logits[:, known], truth[:, known], logits.shape[1]
    best = _best_order(logits, truth)
    moved = best != np.arange(len(known))
    folds = [(half, _best_order(logits[half], truth[half])) for half in (halves, ~halves)]
    gain, _ = _gain(logits, truth, folds, np.ones(len(known), dtype=bool), units)
    if gain.low <= 0 or not moved.any():
        return None
    of_moved, area = _gain(logits, truth, folds, moved, units)
    if of_moved.value < CHECK_THRESHOLDS["undecided_auc"] or area < CHECK_THRESHOLDS["useful_auc"]:
        return None
    found = np.arange(count)
    found[known[best]] = known  # which label each output means
    return LabelOrder(tuple(found.tolist()), gain, of_moved.low >= _CLEAR)


def _units_with(has: Truth, units: Integers) -> Integers:
    """How many units hold an image with each label (K,)."""
    return np.array([count_units(units[column]) for column in has.T], dtype=np.int64)


def _gain(
    logits: Floats,
    truth: Truth,
    folds: Sequence[tuple[NDArray[np.bool_], NDArray[np.int64]]],
    which: NDArray[np.bool_],
    units: Integers,
) -> tuple[Estimate, float]:
    """What some labels (K,) gain in mean AUC by the order of the other half of the images, and their mean AUC by it."""
    gains, areas, influences = np.empty(2), np.empty(2), np.empty(len(truth))
    for at, (half, order) in enumerate(folds):
        there = truth[~half][:, which]
        other, given = (mean_label_auc(logits[~half][:, columns][:, which], there) for columns in (order, slice(None)))
        gains[at], areas[at], influences[~half] = other[0] - given[0], other[0], other[1] - given[1]
    return paired_difference(float(gains.mean()), unit_influences(influences, units))[0], float(areas.mean())


def _best_order(logits: Floats, truth: Truth) -> NDArray[np.int64]:
    """For each label the output that tells it best, each output once (the Hungarian method)."""
    labels = range(truth.shape[1])
    areas = np.array([[label_auc(logits[:, k], truth[:, label])[0] for k in labels] for label in labels])
    areas = np.nan_to_num(areas, nan=0.5) + np.eye(len(areas)) * 1e-6  # where nothing speaks for another, its own
    return np.asarray(linear_sum_assignment(areas, maximize=True)[1])


def _score(name: str, logits: Floats, has: Truth, units: Integers) -> LabelScore:
    decided = logits >= 0
    of_both = int(decided.sum() + has.sum())
    over = 1 / (1 + np.exp(-np.clip(logits, -500, 500))) - has
    return LabelScore(
        name=name,
        n=len(has),
        count=int(has.sum()),
        decided=int(decided.sum()),
        auc=_area(logits, has, units),
        f1=2 * float((decided & has).sum()) / of_both if of_both else None,
        bias=mean_of(over.mean() + unit_influences(over - over.mean(), units)),
    )


def _area(logits: Floats, has: Truth, units: Integers) -> Estimate | None:
    fewer = min(count_units(units[has]), count_units(units[~has]))
    if not fewer:
        return None
    value, influence = label_auc(logits, has)
    estimate = paired_difference(value, unit_influences(influence, units))[0]
    if estimate.high > estimate.low:
        return Estimate(value, max(0.0, estimate.low), min(1.0, estimate.high), len(has))
    share = wilson(round(value * fewer), fewer)  # without any overlap the units' number is all that bounds it
    return Estimate(value, share.low, share.high, len(has))
