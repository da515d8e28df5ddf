"""What else a repair changed: every other factor of the audit, before and after, and how it stands to the repaired."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from seewhy.errors import listed
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.findings.figures import points, watched_of
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import TrialKey, outside_edit
from seewhy.evidence.trials.masked import is_part
from seewhy.evidence.trials.sample import Ints
from seewhy.evidence.trials.trial import Job
from seewhy.learn.measure import Measure
from seewhy.learn.repair.asked import Asked, Target
from seewhy.learn.repair.proof import remaining, rise_of
from seewhy.learn.repair.readings import Reading, readings_of

MOST_NAMED = 3  # shortcuts that were not asked for


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


@dataclass(frozen=True)
class Others:
    """What else there is beside what is repaired: `asked` says what that is.

    `prover` measures every factor on the images that prove, `uses` donors of each class for each image; `judged` are
    the names in it of what is repaired.
    """

    asked: Asked
    prover: Measure
    judged: tuple[str, ...]
    uses: int

    @property
    def design(self) -> AuditDesign:
        """The design of the prover."""
        return self.prover.design

    def of(self, network: nn.Module, before: Mapping[str, Reading], after: Mapping[str, Reading]) -> list[OtherFactor]:
        """Every other effect in a repaired network; `before` and `after` are what both networks say of the repaired."""
        others = others_of(self.prover.without(*self.judged), network)
        rose = dict.fromkeys(other.factor for other in others if other.said == "rose")
        outside = {name: self._outside(name, network) for name in rose}
        told = [self.beside_core(other, outside.get(other.factor)) for other in others]
        return [*told, *self._on_other_classes(before, after)]

    def _on_other_classes(self, before: Mapping[str, Reading], after: Mapping[str, Reading]) -> list[OtherFactor]:
        """The effects of what is repaired on other classes than those that it is repaired for."""
        return [
            replace(other_of(name, contrast, before[name], after[name]), is_repaired=True)
            for name, repaired_for in zip(self.asked.factors, self.asked.contrasts, strict=True)
            for contrast in self.design.contrasts
            if contrast.name != repaired_for
        ]

    @property
    def most_passes(self) -> int:
        """How many images go through a network at most to ask where what rose did so."""
        able = [factor.name for factor in self.design.factors if self._asked_outside(factor.name) is not None]
        each = len(self.design.audited) + len(self._outside_pairs)
        return 2 * each * len(set(able) - {*self.asked.factors})

    def beside_core(self, other: OtherFactor, outside: tuple[Reading, Reading] | None) -> OtherFactor:
        """An effect, with whether it rose in the core alone, and whether the audit told it with the core.

        `outside` is what both networks say of the same property outside of the core. That a network reads more in what
        should decide is what a repair is for; of a property that the audit did not tell with it, it may be a part of
        the shortcut that lies there.
        """
        if other.said != "rose" or outside is None:
            return other
        contrast = next(one for one in self.design.contrasts if one.name == other.contrast)
        is_inside = not other_of(other.factor, contrast, *outside).may_have_risen
        return replace(other, is_inside=is_inside, is_told_with_core=other.factor in self.asked.of_core)

    def _outside(self, name: str, network: nn.Module) -> tuple[Reading, Reading] | None:
        """What the network before and another say of a property outside of the core; None where it cannot be asked."""
        job = self._asked_outside(name)
        if job is None:
            return None
        before, after = (readings_of(self.prover.only().also(job), each)[name] for each in (None, network))
        return before, after

    def _asked_outside(self, name: str) -> Job | None:
        """The exchange of a property outside of the core; None of what is no property, and where there is no core."""
        sample, core = self.design.audited, self._core
        factor = next((one for one in self.design.factors if one.name == name and one.region is None), None)
        if factor is None or not core or not len(self._outside_pairs):
            return None
        return Job(TrialKey(name, outside_edit(factor, core, ()), sample.split), self._outside_pairs, (factor,))

    @property
    def _core(self) -> list[str]:
        return [name for name in self.design.core_regions if name in self.design.audited.masks]

    @property
    def _outside_pairs(self) -> Ints:
        return self.design.audited.pairs(self._core, uses=self.uses)

    def related(self, other: OtherFactor, target: Target) -> OtherFactor:
        """Another effect, with whether it is of a region that should lose what a target loses of the same class."""
        around = next((one.region for one in self.design.factors if one.name == other.factor), None)
        if around is None or other.is_core or other.contrast != target.contrast:
            return other
        factor = factor_of(self.design, target.factor)
        region = None if isinstance(factor, Mark) else factor.region
        holds_it = region is not None and is_part(self.design.audited, region, around)
        is_same_cause, is_shortcut = (other.factor in of for of in (target.same_cause, self.asked.not_asked))
        return replace(other, holds_it=holds_it, is_same_cause=is_same_cause, is_shortcut=is_shortcut)

    def not_asked(self, others: Sequence[OtherFactor]) -> tuple[str, ...]:
        """What the audit told as a shortcut and was not asked for, before and after, and what to type to ask for it."""
        if isinstance(factor_of(self.design, self.asked.factor), Mark):
            return ()
        beside = {
            one.factor: one
            for one in sorted(others, key=lambda one: abs(one.after))
            if one.factor in self.asked.not_asked and abs(one.after) >= AUDIT_THRESHOLDS["floor"]
        }
        largest = list(reversed(beside.values()))[:MOST_NAMED]
        told = [
            f"{one.factor} on {watched_of(one.contrast)} {points(one.before)} → {points(one.after)}" for one in largest
        ]
        names = shlex.quote(",".join((*self.asked.factors, *(one.factor for one in largest))))
        words = (
            f"Not asked for, though the audit told it as a shortcut: {listed(told)} points. To repair them together:"
        )
        return (f"{words}  --finding {names}  and another --out",) if told else ()


def joined(related: Sequence[OtherFactor]) -> OtherFactor:
    """An effect as it stands to each target, in one."""
    holds_it, is_same_cause = (any(getattr(one, name) for one in related) for name in ("holds_it", "is_same_cause"))
    is_shortcut = any(one.is_shortcut for one in related)
    return replace(related[0], holds_it=holds_it, is_same_cause=is_same_cause, is_shortcut=is_shortcut)


def factor_of(design: AuditDesign, name: str) -> Factor | Mark:
    """A design's factor or mark by its name."""
    factor = next((factor for factor in design.factors if factor.name == name), None)
    return factor if factor is not None else next(mark for mark in design.marks if mark.name == name)
