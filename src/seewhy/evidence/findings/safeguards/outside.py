"""Does a factor that has to do with the core act outside of it as well?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import OUTSIDE, Case
from seewhy.evidence.findings.effects import class_effect, robust_effect
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.differences import ClassDifference, difference_of
from seewhy.evidence.trials.edit import TrialKey, outside_edit
from seewhy.evidence.trials.sample import DISJOINT, Sample, overlap_of
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job


class OutsideCore(Safeguard):
    """What is called a shortcut acts outside of the core, too: a claim turns on it, and no level does."""

    name = OUTSIDE

    def later_jobs(self, frame: Frame, factor: Factor) -> list[Job]:
        """The exchange outside of the core, of a factor whose pixels are partly those of the core."""
        audited, core = frame.samples.audited, frame.samples.core
        if not core or factor.name in core or not _acts_on(audited, factor, core[0]):
            return []
        pairs = audited.pairs([*([factor.region] if factor.region else []), *core])
        edit = outside_edit(factor, core, frame.everywhere)
        return [Job(TrialKey(factor.name, edit, audited.split), pairs, (factor,))]

    def measure(self, evidence: Evidence, case: Case) -> ClassDifference | None:
        """The effect on the probability outside of the core; a property's donors have the core painted over.

        The recipients keep their core, unless the property goes with the classes in the core as it does around it.
        """
        if not (core := evidence.design.core_regions):
            return None
        effect, factor = effect_outside(evidence, case), evidence.factors[case.factor]
        if (
            effect is None
            and evidence.of(case.factor, outside_edit(factor, core, evidence.design.everywhere)) is not None
        ):
            return difference_of(0.0, math.inf, 1.0, case.effect.probability.n)  # nothing was told
        return effect

    def stored(self, measured: ClassDifference | None) -> dict[str, Any]:
        """The effect that is left."""
        return {"outside": None if measured is None or not math.isfinite(measured.error) else vars(measured)}


def effect_outside(evidence: Evidence, case: Case, grow_px: int = 0) -> ClassDifference | None:
    """What a factor does to the probability outside of the core drawn larger; None where no pair tells it.

    Where all of the picture was changed by as much as the classes differ, the error knows how unsure that is.
    """
    factor, everywhere = evidence.factors[case.factor], evidence.design.everywhere
    exchanges = evidence.of(case.factor, outside_edit(factor, evidence.design.core_regions, everywhere, grow_px))
    if exchanges is None:
        return None
    contrast = case.effect.contrast
    change = exchanges.probability_changes(contrast)
    if not np.isfinite(change).any():
        return None
    if case.factor not in everywhere:
        effect = class_effect(exchanges, change, contrast)[0]
        return effect if math.isfinite(effect.error) and math.isfinite(effect.value) else None
    effect, gaps = robust_effect(exchanges, change, contrast), everywhere[case.factor]
    error = math.hypot(effect.error, gaps.error_of(contrast) * effect.value)
    return difference_of(effect.value, error, min(effect.df, gaps.df), effect.n)


def _acts_on(sample: Sample, factor: Factor, core: str) -> bool:
    """Whether the factor's pixels are partly those of the core, so that what it does may be the core's doing."""
    return factor.region is None or overlap_of(sample, factor.region, core) > DISJOINT
