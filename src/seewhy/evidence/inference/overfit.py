"""Train against valid: does a factor help more on images that were trained on than the control factors do?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seewhy.errors import DataError, OptionError
from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.bootstrap import trial_table
from seewhy.evidence.inference.units import count_units, draw_weights

Booleans = NDArray[np.bool_]
_LEAST_ABOVE_CHANCE = 0.05


@dataclass(frozen=True)
class EditTrials:
    """The trials (T,) of one factor on one split, judged by the recipient's label.

    Margins are those of the label against the best other class, right says whether the decision is the label; before
    is the unedited image, repeated for each of its trials. A missing trial has a NaN margin after, or no row.
    `clusters` (M,) are those of the images, drawn as a whole; None: each is one of its own.
    """

    recipient: Integers
    donor: Integers
    margin_before: Floats
    margin_after: Floats
    right_before: Booleans
    right_after: Booleans
    clusters: Integers | None = None

    @property
    def n_units(self) -> int:
        """How many recipients, or clusters of them, there are."""
        return count_units(self.recipient if self.clusters is None else self.clusters[self.recipient])


@dataclass(frozen=True)
class OverfitExcess:
    """How much more the factor's exchange costs on train than on valid, beyond the same of the control factors.

    `margin` is on the scale of the label margin, `accuracy` is the share of the above-chance accuracy that is lost.
    `overfit` is claimed only where both intervals lie above 0. `plain_margin` is the difference between the splits
    without the controls, `benefit_train` and `benefit_valid` the factor's mean benefit on each; they carry no claim.
    """

    margin: Estimate
    accuracy: Estimate
    overfit: bool
    plain_margin: Estimate
    benefit_train: Estimate
    benefit_valid: Estimate


@dataclass(frozen=True)
class _Losses:
    """Per bootstrap sample, the observed one first: the margin lost and the share of above-chance accuracy lost."""

    margin: Floats
    accuracy: Floats


def overfit_excess(
    train: EditTrials,
    valid: EditTrials,
    control_train: Sequence[EditTrials],
    control_valid: Sequence[EditTrials],
    *,
    chance: float,
    draws: int = 1000,
    rng: np.random.Generator,
    level: float = 0.95,
) -> OverfitExcess:
    """Whether the network is overfit to a factor, from its trials and those of matched control factors on both splits.

    A difference of accuracy benefits between the splits is no evidence: the same edit changes fewer decisions where
    margins are larger, as they are on images that were trained on. So the benefit is measured in margin and, beside
    it, as the share of above-chance accuracy that is lost, each less the mean of the controls; both must exceed 0.
    Intervals are percentiles of the two-way bootstrap (Owen 2007): within a split the factor and its controls share
    the drawn recipients and donors. `chance` is the accuracy of guessing.

    Raises:
        OptionError: no control, or not the same number on both splits.
        DataError: a set without a finite trial.
    """
    if not control_train or len(control_train) != len(control_valid):
        raise OptionError(
            f"There are {len(control_train)} control factors on train and {len(control_valid)} on valid; "
            "give the same controls on both, and at least one.",
            slug="overfit-controls",
        )
    seen, controls_seen = _split_losses(train, control_train, chance, draws, rng)
    unseen, controls_unseen = _split_losses(valid, control_valid, chance, draws, rng)
    n = min(train.n_units, valid.n_units)
    plain = seen.margin - unseen.margin
    margin = _interval(plain - (controls_seen.margin - controls_unseen.margin), n, level)
    lost = (seen.accuracy - unseen.accuracy) - (controls_seen.accuracy - controls_unseen.accuracy)
    accuracy = _interval(lost, n, level)
    return OverfitExcess(
        margin=margin,
        accuracy=accuracy,
        overfit=margin.low > 0 and accuracy.low > 0,
        plain_margin=_interval(plain, n, level),
        benefit_train=_interval(seen.margin, train.n_units, level),
        benefit_valid=_interval(unseen.margin, valid.n_units, level),
    )


def _split_losses(
    trials: EditTrials, controls: Sequence[EditTrials], chance: float, draws: int, rng: np.random.Generator
) -> tuple[_Losses, _Losses]:
    """The losses of the factor, and the mean losses of its controls, on the same samples of one split."""
    everything = [trials, *controls]
    shape = tuple(
        max(int(numbers.max(initial=-1)) for numbers in column) + 1
        for column in ([edit.recipient for edit in everything], [edit.donor for edit in everything])
    )
    present = [np.zeros(size, dtype=bool) for size in shape]
    for edit in everything:
        present[0][edit.recipient], present[1][edit.donor] = True, True
    weights = [_observed_first(here, trials.clusters, draws, rng) for here in present]
    losses = [_losses(edit, (shape[0], shape[1]), weights[0], weights[1], chance) for edit in everything]
    margins, accuracies = ([getattr(loss, name) for loss in losses[1:]] for name in ("margin", "accuracy"))
    return losses[0], _Losses(np.mean(margins, axis=0), np.mean(accuracies, axis=0))


def _observed_first(present: Booleans, clusters: Integers | None, draws: int, rng: np.random.Generator) -> Floats:
    weights = np.zeros((draws + 1, len(present)))
    weights[0] = present
    places = np.flatnonzero(present)
    _, units = np.unique(places if clusters is None else clusters[places], return_inverse=True)
    drawn = draw_weights(np.zeros(int(units.max(initial=-1)) + 1, dtype=np.int64), draws, rng)
    weights[1:, present] = drawn[:, units]
    return weights


def _losses(trials: EditTrials, shape: tuple[int, int], chosen: Floats, given: Floats, chance: float) -> _Losses:
    kept = np.isfinite(trials.margin_after) & np.isfinite(trials.margin_before)
    if not kept.any():
        raise DataError("A factor has no finite trial on one of the splits, so nothing can be compared.", slug="trials")
    rows, columns = trials.recipient[kept], trials.donor[kept]
    each = 1 / np.bincount(rows, minlength=shape[0])[rows]  # every recipient counts the same

    def mean(values: Floats) -> Floats:
        table = trial_table(rows, columns, each * values, shape)
        return np.asarray(((chosen @ table) * given).sum(axis=1))

    total = mean(np.ones(int(kept.sum())))
    total = np.where(total > 0, total, np.nan)
    lost = mean((trials.margin_before - trials.margin_after)[kept]) / total
    before, after = (
        mean(right[kept].astype(np.float64)) / total for right in (trials.right_before, trials.right_after)
    )
    above = before - chance
    if above[0] < _LEAST_ABOVE_CHANCE:  # nothing is lost where nothing was gained
        return _Losses(lost, np.zeros(len(lost)))
    return _Losses(lost, (before - after) / np.maximum(above, _LEAST_ABOVE_CHANCE))


def _interval(samples: Floats, n: int, level: float) -> Estimate:
    """The observed value, first of the samples, with the others' percentiles; endless where it is not finite."""
    if not math.isfinite(samples[0]):
        return Estimate(math.nan, -math.inf, math.inf, n)
    low, high = np.nanquantile(samples[1:], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(samples[0]), float(low), float(high), n)
