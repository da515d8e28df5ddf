"""The proof of a repair: what is left of the effect, against control arms on the same trials, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.inference.differences import ClassDifference, difference_of
from seewhy.evidence.inference.units import share_change
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import Contrast
from seewhy.learn.measure import Measure
from seewhy.learn.paired import cluster_count, sign_flip_p
from seewhy.learn.repair.arm import BEFORE, REPAIRED
from seewhy.learn.repair.groups import Cell
from seewhy.learn.repair.readings import CellAccuracy, ExchangeReading, Reading, readings_of

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


def all_cells(proofs: Sequence[EffectProof]) -> list[Cell]:
    """The images of train by class and by what each of several factors says; [] where that of one is not known."""
    return [cell for proof in proofs for cell in proof.cells] if all(proof.cells for proof in proofs) else []


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


@dataclass(frozen=True)
class OtherFactor:
    """Another factor of the audit: its effect before and after, and how far its size rose, trial by trial.

    Sizes are taken of the means, so an effect that turned counts by what it is then. `is_core`: it is what should
    decide, and may rise. `is_repaired`: it is the repaired factor, and its effect on another class than the repaired.
    `is_of_several`: effects on several classes were asked about. `holds_it`: the repaired region is a part of it.
    `is_same_cause`: it is a region outside of the core that the finding told as the same cause. `is_inside`: it is a
    property that rose in the core alone. `is_told_with_core`: the audit did not separate it from the core.
    `is_shortcut`: the audit told it as another shortcut, that was not asked for.
    """

    factor: str
    contrast: str
    before: float
    after: float
    rise: ClassDifference
    is_core: bool = False
    is_repaired: bool = False
    is_of_several: bool = False
    holds_it: bool = False
    is_same_cause: bool = False
    is_inside: bool = False
    is_told_with_core: bool = False
    is_shortcut: bool = False

    @property
    def may_rise(self) -> bool:
        """Whether it is what should decide, or was told with that and rises there alone."""
        return self.is_core or (self.is_inside and self.is_told_with_core)

    @property
    def may_have_risen(self) -> bool:
        """Whether it rose by more than 2 points, shown or not."""
        return self.said in ("rose", "may have risen")

    @property
    def name(self) -> str:
        """The factor, with the class where it is the repaired one, or where there are several."""
        is_named = self.is_repaired or self.is_of_several
        return f"{self.factor} on {watched_of(self.contrast)}" if is_named else self.factor

    @property
    def said(self) -> str:
        """Whether it rose: "rose", by more than 2 points, and shown to; "may have risen"; "no"; or "cannot say".

        Shown is that it rose at all, by an interval of 95 % for each by itself: the more factors, the more often one
        is said to have risen that has not.
        """
        floor = AUDIT_THRESHOLDS["floor"]
        if self.rise.value > floor:
            return "rose" if self.rise.low > 0 else "may have risen"
        return "no" if self.rise.high <= floor else "cannot say"


def others_of(measure: Measure, network: nn.Module) -> list[OtherFactor]:
    """Every factor and mark of a measure, before and after, on the same trials."""
    before, after = readings_of(measure), readings_of(measure, network)
    design, others = measure.design, []
    for name in measure.names:
        is_core = name in (*design.core, *design.core_regions)
        for contrast in design.contrasts:
            other = other_of(name, contrast, before[name], after[name])
            others.append(replace(other, is_core=is_core, is_of_several=len(design.contrasts) > 1))
    return others


def other_of(name: str, contrast: Contrast, before: Reading, after: Reading) -> OtherFactor:
    """What a repair did to an effect that it was not made for."""
    was, is_now = (remaining([reading], contrast) for reading in (before, after))
    return OtherFactor(name, contrast.name, was, is_now, rise_of(before, after, contrast))


def rise_of(before: Reading, after: Reading, contrast: Contrast) -> ClassDifference:
    """How far the size of an effect rose, trial by trial."""
    was, is_now = (math.copysign(1.0, remaining([reading], contrast)) for reading in (before, after))
    return before.difference(is_now * after.moves(contrast) - was * before.moves(contrast), contrast)
