"""The proof of a repair: what is left of the effect, against control arms on the same trials, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.differences import ClassDifference, difference_of
from seewhy.evidence.inference.units import share_change
from seewhy.evidence.trials.contrast import Contrast
from seewhy.learn.paired import cluster_count, sign_flip_p
from seewhy.learn.repair.arm import BEFORE, REPAIRED
from seewhy.learn.repair.groups import Cell
from seewhy.learn.repair.readings import CellAccuracy, ExchangeReading, Reading

LEAST_JUDGED = 10  # images of a class and group, for its accuracy to count as the worst


def worst_of(cells: Sequence[CellAccuracy]) -> CellAccuracy | None:
    """The class and group with the lowest accuracy, of those with LEAST_JUDGED images or more; None where none has."""
    judged = [cell for cell in cells if cell.accuracy.n >= LEAST_JUDGED]
    return min(judged, key=lambda cell: cell.accuracy.value, default=None)


def remaining(readings: Sequence[Reading], contrast: Contrast) -> float:
    """The effect that is left, the mean over the seeds."""
    mean = np.mean([reading.moves(contrast) for reading in readings], axis=0)
    return readings[0].mean(mean, contrast)


def effect_over_seeds(readings: Sequence[Reading], contrast: Contrast) -> ClassDifference:
    """The effect that is left, with an interval that knows the trials and the seeds."""
    return _over_seeds(readings[0], [reading.moves(contrast) for reading in readings], contrast)


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
    return _over_seeds(repaired[0], changes, contrast)


def _over_seeds(like: Reading, changes: Sequence[Floats], contrast: Contrast) -> ClassDifference:
    """The difference that the seeds' changes (T,) of the same trials amount to on the mean."""
    by_trial = like.difference(np.mean(changes, axis=0), contrast)
    values = np.array([like.mean(change, contrast) for change in changes])
    n = len(values)
    of_seeds = float(values.var(ddof=1)) / n if n > 1 else math.inf
    variance = by_trial.error**2 + of_seeds
    spread = by_trial.error**4 / max(by_trial.df, 1.0) + (of_seeds**2 / (n - 1) if n > 1 else math.inf)
    df = variance**2 / spread if math.isfinite(variance) and spread > 0 else 1.0
    return difference_of(by_trial.value, math.sqrt(variance), df, by_trial.n)


@dataclass(frozen=True)
class EffectProof:
    """How far the effect of one factor fell: what is left of it by arm, and how much more in every other arm.

    `means` are the means over the seeds, of so many edited `images` and `donors`. `margins` are how much more of the
    effect each control has left than the repaired networks, `reduction` the same of the network before, and `given` how
    far it rose in the network that is given. `cells` are the images of train by class and by what it says.
    """

    factor: str
    contrast: str
    means: Mapping[str, float]
    images: int
    donors: int
    margins: Mapping[str, ClassDifference]
    reduction: ClassDifference
    given: ClassDifference
    cells: tuple[Cell, ...] = ()

    @property
    def closest(self) -> str:
        """The control with the most to say against it: that of the smallest lower end of its margin."""
        return closest_of(self.margins)


def closest_of(margins: Mapping[str, ClassDifference]) -> str:
    """The control with the most to say against a repair: that of the smallest lower end of its margin."""
    return min(margins, key=lambda name: margins[name].low, default="")


def together(cells: Sequence[Sequence[Cell]]) -> list[Cell]:
    """The images of train by class and by what each of several factors says; [] where that of one is not known."""
    return [cell for of_factor in cells for cell in of_factor] if all(cells) else []


def effect_proof(
    name: str, contrast: Contrast, readings: Mapping[str, Sequence[Reading]], cells: Sequence[Cell] = ()
) -> EffectProof:
    """What the arms' networks, by seed, prove of one factor; these are "before", "repaired" and the controls."""
    before, repaired = (readings[arm] for arm in (BEFORE, REPAIRED))
    reduction = margin_over(repaired, before, contrast)
    return EffectProof(
        factor=name,
        contrast=contrast.name,
        means={arm: remaining(of_arm, contrast) for arm, of_arm in readings.items()},
        images=before[0].n_images,
        donors=sum(reduction.n.values()) if isinstance(before[0], ExchangeReading) else 0,
        margins={
            arm: margin_over(repaired, of_arm, contrast)
            for arm, of_arm in readings.items()
            if arm not in (BEFORE, REPAIRED)
        },
        reduction=reduction,
        given=rise_of(before[0], repaired[0], contrast),
        cells=tuple(cells),
    )


@dataclass(frozen=True)
class Cost:
    """The accuracy after less that before, on the same images, each its own pair, with its p-value.

    `n_clusters` are the units where several images are one, None where each counts by itself.
    """

    difference: Estimate
    p_value: float
    n_clusters: int | None = None


def cost_of(before: Integers, after: Integers, clusters: Integers) -> Cost:
    """What a repair costs in accuracy, from the right answers (M,) before and after; clusters (M,) are the units."""
    change = share_change(before > 0, after > 0, clusters)
    return Cost(change, sign_flip_p(after - before, clusters), cluster_count(clusters))


def rise_of(before: Reading, after: Reading, contrast: Contrast) -> ClassDifference:
    """How far the size of an effect rose, trial by trial."""
    was, is_now = (math.copysign(1.0, remaining([reading], contrast)) for reading in (before, after))
    return before.difference(is_now * after.moves(contrast) - was * before.moves(contrast), contrast)
