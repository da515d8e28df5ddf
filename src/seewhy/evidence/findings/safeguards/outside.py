"""Does a factor that has to do with the core act outside of it as well?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import OUTSIDE, Case
from seewhy.evidence.findings.effects import class_effect
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.trials.edit import EXCHANGE, Edit, TrialKey
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
        core, factor = evidence.design.core_regions, evidence.factors[case.factor]
        edit = outside_edit(factor, core, evidence.design.everywhere) if core else EXCHANGE
        exchanges = evidence.of(case.factor, edit) if core else None
        if exchanges is None:
            return None
        return class_effect(exchanges, exchanges.probability_changes(case.effect.contrast), case.effect.contrast)[0]

    def stored(self, measured: ClassDifference | None) -> dict[str, Any]:
        """The effect that is left."""
        return {"outside": None if measured is None else vars(measured)}


def outside_edit(factor: Factor, core: Sequence[str], everywhere: frozenset[str], grow_px: int = 0) -> Edit:
    """The exchange outside of the core drawn larger by so many pixels."""
    whole = factor.region is None and factor.name in everywhere
    return Edit("exchange", outside=core[0], grow_px=grow_px, whole=whole)


def _acts_on(sample: Sample, factor: Factor, core: str) -> bool:
    """Whether the factor's pixels are partly those of the core, so that what it does may be the core's doing."""
    return factor.region is None or overlap_of(sample, factor.region, core) > DISJOINT
