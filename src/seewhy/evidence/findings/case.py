"""Everything that is known of one factor, and what follows from thresholds alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seewhy.evidence.findings.effects import Effect
from seewhy.evidence.findings.mark_answers import MarkAnswers
from seewhy.evidence.inference.differences import ClassDifference, equivalent
from seewhy.evidence.inference.overfit import OverfitExcess
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.edit import Pair
from seewhy.evidence.trials.resolution import images_needed

OUTSIDE, RIM, TRAIN, CORE_PROPERTY = "outside", "rim", "train", "core property"  # the safeguards that claims turn on


@dataclass(frozen=True)
class SafeguardOutcome:
    """What became of one safeguard of a dependence: passed, failed, or (None) not to be had, in words."""

    name: str
    passed: bool | None
    words: str


@dataclass(frozen=True)
class Case:
    """All that is known of one factor for one contrast; `selected` is the interval after the choice of findings.

    `is_core` is None where no core was named, or none that can be used (`core_named`); a part of the core is core, too,
    without being named (`is_named`); `core_is_region`: a region is core, so that it has a rim. `is_everywhere`: a
    property that goes with the classes in the core as around it, so that what it does outside of the core is asked by
    changing all of each picture. `shape_may_matter`: what tells the label with the core's pixels exchanged may be the
    core's outline, size or place, and is no shortcut that is shown. `pair` are the two factors that were exchanged
    together, `means` a mark's mean probabilities of the images as they are, with its neutral patch, and with it,
    `answers` the same of its answers, and `against` says what it is compared with. `measured` holds what each safeguard
    measured, by its name, `outcomes` what became of them, and `stored` their numbers as findings.json has them.
    """

    factor: str
    words: str
    kind: str
    effect: Effect
    p_holm: float
    selected: ClassDifference
    on_train: Effect | None = None
    is_core: bool | None = None
    core_named: bool = False
    core_is_region: bool = True
    is_named: bool = True
    is_everywhere: bool = False
    shape_may_matter: bool = False
    pair: Pair | None = None
    means: tuple[float, float, float] | None = None
    answers: MarkAnswers | None = None
    against: str = ""
    warnings: tuple[str, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    outcomes: tuple[SafeguardOutcome, ...] = ()
    stored: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """δ of the probability."""
        return self.effect.probability.value

    @property
    def size(self) -> float:
        """|δ| to a millionth to order factors by, so that rounding hardly ever decides which of equal ones is first."""
        return round(abs(self.value), 6)

    @property
    def fewest(self) -> int:
        """The units of the class that has the fewest; of the own class in the many, half of all."""
        return self.effect.fewest

    @property
    def needed(self) -> float:
        """About how many images of each class settle whether the effect reaches the floor."""
        return images_needed(self.effect.probability, self.fewest)

    @property
    def outside(self) -> ClassDifference | None:
        """The effect outside of the core, of a factor that has to do with it."""
        effect: ClassDifference | None = self.measured.get(OUTSIDE)
        return effect

    @property
    def overfit(self) -> OverfitExcess | None:
        """How much more the factor helps on train than on valid, beyond other regions; None where it is not known."""
        excess: OverfitExcess | None = self.measured.get(TRAIN)
        return excess

    @property
    def is_overfit(self) -> bool:
        """Whether the network is shown to be overfit to the factor."""
        return self.overfit is not None and self.overfit.overfit


def depends(case: Case) -> bool:
    """Whether a dependence is shown: beyond chance after Holm, not below the floor, the interval without 0.

    What is tested is the margin, so that it has to move the same way.
    """
    beyond = case.p_holm < AUDIT_THRESHOLDS["level"] and abs(case.value) >= AUDIT_THRESHOLDS["floor"]
    return beyond and excludes_zero(case.effect.probability) and not disagrees(case)


def disagrees(case: Case) -> bool:
    """Whether the probability moves one way and the margin the other."""
    return case.value * case.effect.margin.value < 0


def excludes_zero(difference: ClassDifference) -> bool:
    """Whether the interval lies on one side of 0."""
    return difference.low > 0 or difference.high < 0


def is_none(case: Case) -> bool:
    """Whether a dependence as large as the floor is excluded, by the interval of 95 %."""
    return equivalent(case.effect.probability, AUDIT_THRESHOLDS["floor"], level=0.95)


def moves_decisions(case: Case) -> bool:
    """Whether another class's content is shown to flip decisions more often than the own class's does, by the floor.

    Where all probabilities lie close together, decisions can flip though no probability moves by the floor.
    """
    flips, own_flips = case.effect.flips, case.effect.flips_own
    return flips.low - (own_flips.high if own_flips is not None else 0.0) > AUDIT_THRESHOLDS["floor"]


def acts_outside(case: Case) -> bool:
    """Whether the effect is shown for what lies outside of the core: always so for a region that is none of it."""
    if case.outside is None:
        return not is_of_a_core_property(case)
    least = max(AUDIT_THRESHOLDS["floor"], AUDIT_THRESHOLDS["outside"] * abs(case.value))
    aligned = case.outside.value * case.value > 0 and abs(case.outside.value) >= least
    is_shown = aligned and case.outside.p_value < AUDIT_THRESHOLDS["level"]
    return is_shown and not is_of_a_core_property(case)


def acts_through_the_core(case: Case) -> bool:
    """Whether the effect is shown to be gone outside of the core, but for less than a fair part of it."""
    if case.outside is None or is_of_a_core_property(case):
        return is_of_a_core_property(case)
    sign, outside = np.sign(case.value), case.outside
    least = max(AUDIT_THRESHOLDS["floor"], AUDIT_THRESHOLDS["outside"] * abs(case.value))
    return not acts_outside(case) and bool(max(sign * outside.low, sign * outside.high) < least)


def is_of_a_core_property(case: Case) -> bool:
    """Whether the effect is shown to die where a property that was named as core is put back."""
    left = case.measured.get(CORE_PROPERTY) or {}
    return any(held is not None and held.verdict == "explained" for held in left.values())


def is_at_rim(case: Case) -> bool:
    """Whether the effect is shown to die where the core is drawn larger: the core may leave out what matters."""
    rim = case.measured.get(RIM)
    return case.is_core is False and rim is not None and bool(rim.dies)


def too_few(case: Case) -> bool:
    """Whether a class has too few images for donors to say anything."""
    return case.fewest < AUDIT_THRESHOLDS["least_images"]


def is_fragile(case: Case) -> bool:
    """Whether donors of one class differ so much that decisions flip."""
    flips = case.effect.flips.value >= AUDIT_THRESHOLDS["fragile_flips"]
    return flips and case.effect.sensitivity.low > AUDIT_THRESHOLDS["fragile"]


def turns_either_way(case: Case) -> bool:
    """Whether content of the own class and of others flips many decisions alike, so that no mean shows it.

    Twice as many as make a factor fragile where an effect on the mean is excluded.
    """
    flips, own_flips, least = case.effect.flips, case.effect.flips_own, 2 * AUDIT_THRESHOLDS["fragile_flips"]
    return own_flips is not None and flips.low >= least and own_flips.low >= least and flips.low <= own_flips.high


def numbers_of(case: Case) -> dict[str, Any]:
    """Everything behind a finding as plain values."""
    effect = case.effect
    return {
        "words": case.words,
        "kind": case.kind,
        "contrast": effect.contrast.name,
        "split": effect.split,
        "probability": vars(effect.probability),
        "margin": vars(effect.margin),
        "selected_interval": [case.selected.low, case.selected.high],
        "p_holm": case.p_holm,
        "flips": vars(effect.flips),
        "flips_own": None if effect.flips_own is None else vars(effect.flips_own),
        "sensitivity": vars(effect.sensitivity),
        "recipients": effect.n_recipients,
        "donors": effect.n_donors,
        "unit": effect.unit,
        "trials": effect.n_trials,
        "fewest": case.fewest,
        "images_needed": case.needed,
        "train": None if case.on_train is None else vars(case.on_train.probability),
        "core": case.is_core,
        "turns_decisions": is_none(case) and moves_decisions(case),
        "gates": [vars(outcome) for outcome in case.outcomes],
        **case.stored,
        **({} if case.answers is None else {"answers": case.answers.stored(), "against": case.against}),
        "warnings": list(case.warnings),
    }
