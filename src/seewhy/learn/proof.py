"""The proof of a repair: what is left of the effect, against control arms on the same trials, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from seewhy.estimates import Estimate, Floats, Integers, wilson
from seewhy.evidence.findings.effects import class_effect
from seewhy.evidence.inference.differences import ClassDifference, difference_of, flip_rate
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.trial import Trials
from seewhy.learn.decisions import mcnemar, paired_shares
from seewhy.learn.effect_changes import difference_in
from seewhy.learn.groups import Groups
from seewhy.learn.measure import Measure

LEAST_JUDGED = 10  # images of a class and group, for its accuracy to count as the worst


@dataclass(frozen=True)
class Reading:
    """What one network says on the images that prove: its exchanges of the factor, and its answers.

    `right` (M,) are its right answers to the images as they are.
    """

    trials: Trials = field(repr=False)
    right: Integers = field(repr=False)

    def moves(self, contrast: Contrast) -> Floats:
        """How far each exchange moved the contrast's probability (T,)."""
        return self.trials.probability_changes(contrast)

    def effect(self, contrast: Contrast) -> ClassDifference:
        """The factor's effect with its interval."""
        return difference_in(self.trials, self.moves(contrast), contrast)

    @property
    def accuracy(self) -> Estimate:
        """The share of right answers to the images as they are."""
        return wilson(int(self.right.sum()), len(self.right))

    @property
    def exchanged(self) -> Estimate:
        """The share of right answers where the factor is another image's, of any class alike."""
        trials = self.trials
        right = (trials.after.predictions == trials.recipient_labels).astype(np.float64)
        return flip_rate(trials.clusters[trials.recipients], trials.clusters[trials.donors], right)


def read(measure: Measure, factor: str, network: nn.Module | None = None) -> Reading:
    """What a network says on the measure's images; None: the one that the measure was made for."""
    scores, trials = measure.scored(network)
    return Reading(trials[factor], (scores.predictions == measure.design.audited.labels).astype(np.int64))


@dataclass(frozen=True)
class Worst:
    """The class and group with the lowest accuracy, and that accuracy."""

    label: str
    group: str
    accuracy: Estimate


def worst_of(right: Integers, labels: Integers, groups: Groups, classes: Sequence[str]) -> Worst | None:
    """The worst cell of class and group that has LEAST_JUDGED images or more; None where none has."""
    cells = []
    for index, label in enumerate(classes):
        for group, name in enumerate(groups.names):
            members = (labels == index) & (groups.of == group)
            if members.sum() >= LEAST_JUDGED:
                cells.append(Worst(label, name, wilson(int(right[members].sum()), int(members.sum()))))
    return min(cells, key=lambda cell: cell.accuracy.value, default=None)


def remaining(readings: Sequence[Reading], contrast: Contrast) -> float:
    """The effect that is left, the mean over the seeds."""
    mean = np.mean([reading.moves(contrast) for reading in readings], axis=0)
    return class_effect(readings[0].trials, mean, contrast)[0].value


def margin_over(repaired: Sequence[Reading], control: Sequence[Reading], contrast: Contrast) -> ClassDifference:
    """How much more of the effect, in size, the control has left than the repaired networks: same seeds, same trials.

    Its variance is that of the trials, with donors as units and the seeds' mean taken in each trial, plus that of the
    seeds, each with its own pair of networks; the degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2).
    Sizes are taken of the means over the seeds, so an effect that a repair turns round counts by what it is then.
    """
    mine, other = (math.copysign(1.0, remaining(readings, contrast)) for readings in (repaired, control))
    changes = [
        other * there.moves(contrast) - mine * here.moves(contrast)
        for here, there in zip(repaired, control, strict=True)
    ]
    trials = repaired[0].trials
    by_trial = difference_in(trials, np.mean(changes, axis=0), contrast)
    values = np.array([class_effect(trials, change, contrast)[0].value for change in changes])
    n = len(values)
    of_seeds = float(values.var(ddof=1)) / n if n > 1 else math.inf
    variance = by_trial.error**2 + of_seeds
    spread = by_trial.error**4 / max(by_trial.df, 1.0) + (of_seeds**2 / (n - 1) if n > 1 else math.inf)
    df = variance**2 / spread if math.isfinite(variance) and spread > 0 else 1.0
    return difference_of(by_trial.value, math.sqrt(variance), df, by_trial.n)


@dataclass(frozen=True)
class Cost:
    """The accuracy after less that before, on the same images, each its own pair, with its p-value."""

    difference: Estimate
    p_value: float


def cost_of(before: Integers, after: Integers) -> Cost:
    """What a repair costs in accuracy, from the right answers (M,) before and after."""
    gained, lost = int((after > before).sum()), int((after < before).sum())
    return Cost(paired_shares(gained, lost, len(before)), mcnemar(gained, lost))


@dataclass(frozen=True)
class OtherFactor:
    """Another factor of the audit: its effect before and after, and how far its size rose, trial by trial.

    Where the effect turned, the rise is counted from the other side of 0, which is more than the sizes' difference.
    `is_core`: it is what should decide, and may rise.
    """

    factor: str
    contrast: str
    before: float
    after: float
    rise: ClassDifference
    is_core: bool = False

    @property
    def said(self) -> str:
        """ "rose": by more than 2 points, shown; "may have risen": by more than 2 points; "no"; or "cannot say"."""
        floor = AUDIT_THRESHOLDS["floor"]
        if self.rise.value > floor:
            return "rose" if self.rise.low > 0 else "may have risen"
        return "no" if self.rise.high <= floor else "cannot say"


def others_of(measure: Measure, network: nn.Module, leaving_out: str) -> list[OtherFactor]:
    """Every other factor that was audited, before and after, on the same trials."""
    before, after = measure.trials(), measure.trials(network)
    found = []
    for name in measure.names:
        if name == leaving_out:
            continue
        for contrast in measure.design.contrasts:
            moves = [trials[name].probability_changes(contrast) for trials in (before, after)]
            values = [class_effect(before[name], move, contrast)[0].value for move in moves]
            sign = 1.0 if values[1] >= 0 else -1.0
            rise = difference_in(before[name], sign * (moves[1] - moves[0]), contrast)
            is_core = name in (*measure.design.core, *measure.design.core_regions)
            found.append(OtherFactor(name, contrast.name, values[0], values[1], rise, is_core))
    return found
