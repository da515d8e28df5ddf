"""Everything that is known of one factor, and what follows from thresholds alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from seewhy.estimates import Estimate
from seewhy.evidence.findings.effects import Control, Effect
from seewhy.evidence.inference.differences import ClassDifference, equivalent
from seewhy.evidence.inference.overfit import OverfitExcess
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.sample import OWN_CLASS, Sample
from seewhy.evidence.trials.trial import Scores, Trials, contrasts_of


@dataclass(frozen=True)
class _Bench:
    """What cases are made of: the design, the scores before by split, and all trials."""

    design: AuditDesign
    before: Mapping[str, Scores]
    trials: Sequence[Trials]

    @property
    def audited(self) -> Sample:
        return self.design.audited

    @property
    def contrasts(self) -> list[tuple[int, str]]:
        present = {self.design.classes[index] for index in np.unique(self.audited.labels)}
        return [
            one
            for one in enumerate(contrasts_of(self.design.classes))
            if one[1] in present or one[1] == OWN_CLASS or len(self.design.classes) == 2
        ]


Level = Literal["STRONG", "MODERATE", "WEAK", "NONE LARGER THAN", "CANNOT SAY"]


Claim = Literal[
    "depends",
    "shortcut",
    "intended",
    "through the core",
    "against the label",
    "overfit",
    "jointly",
    "fragile",
    "core not used",
    "classifier",
]


EDGE = 4  # pixels within which a leak at the region's edge dies


@dataclass(frozen=True)
class Case:
    """All that is known of one factor for one contrast; `selected` is the interval after the choice of findings.

    `is_core` is None where no core was named, or none that can be used (`core_named`); a part of the core is core, too,
    without being named (`is_named`). `removals` are the falls of the label's margin when the content is taken away,
    `edge` the effects with the region drawn back by so many pixels and `left` the share of its area then, `outside` the
    effect outside of the core of a factor that has to do with it, `means` a mark's mean probabilities of the images as
    they are, with its neutral patch, and with it.
    """

    factor: str
    words: str
    kind: str
    effect: Effect
    p_holm: float
    selected: ClassDifference
    on_train: Effect | None = None
    control: Control | None = None
    removals: Mapping[str, Estimate] = field(default_factory=dict)
    edge: Mapping[int, ClassDifference] = field(default_factory=dict)
    left: Mapping[int, float] = field(default_factory=dict)
    overfit: OverfitExcess | None = None
    is_core: bool | None = None
    core_named: bool = False
    is_named: bool = True
    outside: ClassDifference | None = None
    joint: bool = False
    means: tuple[float, float, float] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """δ of the probability."""
        return self.effect.probability.value

    @property
    def fewest(self) -> int:
        """The units of the class that has the fewest; of the own class in the many, half of all."""
        counts = self.effect.probability.n.values()
        return sum(counts) // 2 if self.effect.contrast == OWN_CLASS else min(counts, default=0)


def depends(case: Case) -> bool:
    """Whether a dependence is shown: beyond chance after Holm, not below the floor, the interval without 0."""
    beyond = case.p_holm < AUDIT_THRESHOLDS["level"] and abs(case.value) >= AUDIT_THRESHOLDS["floor"]
    return beyond and _excludes_zero(case.effect.probability)


def _excludes_zero(one: ClassDifference) -> bool:
    return one.low > 0 or one.high < 0


def is_none(case: Case) -> bool:
    """Whether a dependence as large as the floor is excluded, by the interval of 95 %."""
    return equivalent(case.effect.probability, AUDIT_THRESHOLDS["floor"], level=0.95)


def acts_outside(case: Case) -> bool:
    """Whether the effect is shown for what lies outside of the core: always so for a region that is none of it."""
    if case.outside is None:
        return True
    least = max(AUDIT_THRESHOLDS["floor"], AUDIT_THRESHOLDS["outside"] * abs(case.value))
    aligned = case.outside.value * case.value > 0 and abs(case.outside.value) >= least
    return aligned and case.outside.p_value < AUDIT_THRESHOLDS["level"]


def too_few(case: Case) -> bool:
    """Whether a class has too few images for donors to say anything."""
    return case.fewest < AUDIT_THRESHOLDS["least_images"]


def is_fragile(case: Case) -> bool:
    """Whether donors of one class differ so much that decisions flip."""
    flips = case.effect.flips.value >= AUDIT_THRESHOLDS["fragile_flips"]
    return flips and case.effect.sensitivity.low > AUDIT_THRESHOLDS["fragile"]
