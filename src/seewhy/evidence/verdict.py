"""From evidence to words: which level and which claims a factor earns, by a table of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from seewhy.errors import listed
from seewhy.evidence.analysis import Control, Effect
from seewhy.evidence.inference import Contrast, equivalent
from seewhy.evidence.overfit import OverfitExcess
from seewhy.evidence.sample import LEAST_IMAGES, OWN_CLASS
from seewhy.evidence.statistics import Estimate

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
LEVELS: tuple[Level, ...] = ("STRONG", "MODERATE", "WEAK", "CANNOT SAY", "NONE LARGER THAN")  # as they are told
BANNED = ("the model looks at", "because", "overfitting")
EDGE = 4  # pixels within which a leak at the region's edge dies
THRESHOLDS: dict[str, float] = {
    "level": 0.05,  # of the family of all tests, by Holm
    "floor": 0.02,  # of probability: what is smaller is not reported
    "strong": 2.0,  # floors that a strong finding's interval stays above
    "least_images": LEAST_IMAGES,  # of each class
    "few_donors": 60,  # of each class: with fewer a finding is weak
    "edge": 0.5,  # of the effect, in proportion to the area, that must be left 4 pixels away from the region's edge
    "outside": 0.25,  # of the effect that must be left outside of the core
    "fragile": 1.0,  # logits by which donors of one class move the margin (standard deviation), where
    "fragile_flips": 0.1,  # of the decisions flip
}


@dataclass(frozen=True)
class Case:
    """All that is known of one factor for one contrast; `selected` is the interval after the choice of findings.

    `is_core` is None where no core was named, or none that can be used (`core_named`); a part of the core is core, too,
    without being named (`is_named`). `families` are the falls of the label's margin when the content is taken away,
    `edge` the effects with the region drawn back by so many pixels and `left` the share of its area then, `outside` the
    effect outside of the core of a factor that has to do with it, `means` a mark's mean probabilities of the images as
    they are, with its neutral patch, and with it.
    """

    factor: str
    words: str
    kind: str
    effect: Effect
    p_holm: float
    selected: Contrast
    on_train: Effect | None = None
    control: Control | None = None
    families: Mapping[str, Estimate] = field(default_factory=dict)
    edge: Mapping[int, Contrast] = field(default_factory=dict)
    left: Mapping[int, float] = field(default_factory=dict)
    overfit: OverfitExcess | None = None
    is_core: bool | None = None
    core_named: bool = False
    is_named: bool = True
    outside: Contrast | None = None
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


@dataclass(frozen=True)
class Gate:
    """One safeguard of a dependence: passed, failed, or (None) not to be had, with its words and numbers."""

    name: str
    passed: bool | None
    words: str


@dataclass(frozen=True)
class Verdict:
    """A finding: a factor with its level, its claims, words, numbers and examples.

    `evidence` are its safeguards in words, "+" for those that hold, "-" for those that do not, "?" for those that
    settle nothing. `members` are factors that these data cannot separate from it. `examples` and `counter_examples` are
    trials chosen by rule.
    """

    factor: str
    level: Level
    claims: tuple[Claim, ...]
    text: str
    todo: str = ""
    evidence: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    members: tuple[str, ...] = ()
    examples: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    counter_examples: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


def points(value: float) -> str:
    """A share as percentage points."""
    return f"{100 * value:.1f}"


def signed_points(value: float) -> str:
    """A difference of shares as percentage points, with its sign."""
    return f"{100 * value:+.1f} points"


def interval(one: Contrast | Estimate) -> str:
    """The interval in percentage points, of which there are 100 either way."""
    low, high = (min(1.0, max(-1.0, end)) for end in (one.low, one.high))
    return f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def depends(case: Case) -> bool:
    """Whether a dependence is shown: beyond chance after Holm, not below the floor, the interval without 0."""
    beyond = case.p_holm < THRESHOLDS["level"] and abs(case.value) >= THRESHOLDS["floor"]
    return beyond and _excludes_zero(case.effect.probability)


def _excludes_zero(one: Contrast) -> bool:
    return one.low > 0 or one.high < 0


def is_none(case: Case) -> bool:
    """Whether a dependence as large as the floor is excluded, by the interval of 95 %."""
    return equivalent(case.effect.probability, THRESHOLDS["floor"], level=0.95)


def acts_outside(case: Case) -> bool:
    """Whether the effect is shown for what lies outside of the core: always so for a region that is none of it."""
    if case.outside is None:
        return True
    least = max(THRESHOLDS["floor"], THRESHOLDS["outside"] * abs(case.value))
    aligned = case.outside.value * case.value > 0 and abs(case.outside.value) >= least
    return aligned and case.outside.p_value < THRESHOLDS["level"]


def is_strong(case: Case) -> bool:
    """Whether the interval after selection stays above twice the floor, and another kind of edit agrees."""
    least = min(abs(case.selected.low), abs(case.selected.high))
    agreed = [gate.passed for gate in gates(case) if gate.name == "edits"]
    return least >= THRESHOLDS["strong"] * THRESHOLDS["floor"] and None not in agreed


def all_pass(case: Case) -> bool:
    """Whether no safeguard failed."""
    return all(gate.passed is not False for gate in gates(case))


def too_few(case: Case) -> bool:
    """Whether a class has too few images for donors to say anything."""
    return case.fewest < THRESHOLDS["least_images"]


RULES: tuple[tuple[Level, tuple[Callable[[Case], bool], ...]], ...] = (  # the first whose conditions all hold
    ("CANNOT SAY", (too_few,)),
    ("STRONG", (depends, all_pass, is_strong)),
    ("MODERATE", (depends, all_pass)),
    ("WEAK", (depends,)),
    ("NONE LARGER THAN", (is_none,)),
    ("CANNOT SAY", ()),
)


def level_of(case: Case) -> Level:
    """The level of a case: the first rule whose conditions all hold."""
    return next(level for level, conditions in RULES if all(holds(case) for holds in conditions))


def claims_of(case: Case, level: Level) -> tuple[Claim, ...]:
    """What is claimed: dependence, shortcut and overfit are three things, and one does not follow from another."""
    found = _of_a_dependence(case, level) if level in ("STRONG", "MODERATE", "WEAK") else []
    if case.overfit is not None and case.overfit.overfit:
        found.append("overfit")
    if level == "NONE LARGER THAN":
        found += ["fragile"] if is_fragile(case) else []
        found += ["core not used"] if case.is_core and case.is_named else []
    return tuple(found)


def _of_a_dependence(case: Case, level: Level) -> list[Claim]:
    found: list[Claim] = ["depends", "jointly"] if case.joint else ["depends"]
    if case.kind == "insert":
        return found
    if case.value < 0:
        found.append("against the label")
    elif case.is_core:
        found.append("intended")
    elif case.is_core is False and not acts_outside(case):
        found.append("through the core")
    elif case.is_core is False and level != "WEAK":
        found.append("shortcut")
    return found


def is_fragile(case: Case) -> bool:
    """Whether donors of one class differ so much that decisions flip."""
    flips = case.effect.flips.value >= THRESHOLDS["fragile_flips"]
    return flips and case.effect.sensitivity.low > THRESHOLDS["fragile"]


def gates(case: Case) -> list[Gate]:
    """The safeguards of a dependence, in the order in which they are told."""
    found = []
    if not _excludes_zero(case.selected):
        found.append(Gate("selection", False, "among all that stood out, its interval holds 0"))
    if case.control is not None:
        what = (
            f"{len(case.control.values)} regions of its area elsewhere"
            if case.control.kind == "regions"
            else f"the donors' classes permuted {len(case.control.values)} times"
        )
        beyond = abs(case.value) > case.control.limit
        words = f"the same with {what}: at most {points(case.control.limit)} points in 95 % of them"
        found.append(Gate("control", beyond, words))
    if case.families:
        found.append(_agreement(case))
    if case.edge:
        found.append(_edge(case))
    what = "distinct images" if case.kind == "insert" else "distinct donors of the smallest class"
    found.append(Gate("donors", case.fewest >= THRESHOLDS["few_donors"], f"{case.fewest} {what}"))
    return found


def _agreement(case: Case) -> Gate:
    """Whether taking the content away hurts the label where its donors help it, by at least one other kind of edit."""
    sign = np.sign(case.value)
    agree = [name for name, one in case.families.items() if sign * one.value > 0 and (one.low > 0 or one.high < 0)]
    against = [name for name, one in case.families.items() if sign * one.value < 0 and (one.low > 0 or one.high < 0)]
    if not agree and not against:
        return Gate("edits", None, f"edits that take it away do not settle it ({listed(case.families)})")
    way = "lowers" if (sign > 0) == bool(agree) else "raises"
    said = f"taking it away ({listed(agree or against)}) {way} the margin of the right class"
    more = f"; {listed(against)} does not" if agree and against else ""
    return Gate("edits", bool(agree), said + more)


def _edge(case: Case) -> Gate:
    """Whether the effect persists when the region is drawn back: a leak at the mask's edge dies within 4 pixels."""
    pixels = EDGE if EDGE in case.edge else max(case.edge)
    left = case.edge[pixels]
    sign = float(np.sign(case.value)) or 1.0
    upper = max(sign * left.low, sign * left.high)
    persists = upper >= THRESHOLDS["edge"] * abs(case.value) * case.left.get(pixels, 1.0)
    words = f"drawn back by {pixels} pixels it is {signed_points(left.value)} {interval(left)}"
    if pixels < EDGE:
        words += f"; {EDGE} pixels would leave less than half of it"
    return Gate("edge", persists if pixels >= EDGE or not persists else None, words)


def numbers_of(case: Case) -> dict[str, Any]:
    """Everything behind a finding as plain values."""
    effect = case.effect
    return {
        "words": case.words,
        "kind": case.kind,
        "contrast": effect.contrast,
        "split": effect.split,
        "probability": vars(effect.probability),
        "margin": vars(effect.margin),
        "selected_interval": [case.selected.low, case.selected.high],
        "p_holm": case.p_holm,
        "flips": vars(effect.flips),
        "sensitivity": vars(effect.sensitivity),
        "recipients": effect.n_recipients,
        "donors": effect.n_donors,
        "trials": effect.n_trials,
        "train": None if case.on_train is None else vars(case.on_train.probability),
        "control": None if case.control is None else vars(case.control),
        "families": {name: vars(one) for name, one in case.families.items()},
        "edge": {str(pixels): vars(one) for pixels, one in case.edge.items()},
        "overfit": None if case.overfit is None else _overfit_numbers(case.overfit),
        "core": case.is_core,
        "outside": None if case.outside is None else vars(case.outside),
        "gates": [vars(gate) for gate in gates(case)],
        "warnings": list(case.warnings),
    }


def _overfit_numbers(found: OverfitExcess) -> dict[str, Any]:
    return {name: vars(one) if isinstance(one, Estimate) else one for name, one in vars(found).items()}
