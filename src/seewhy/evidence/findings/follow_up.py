"""What the first trials lead to: more is asked of factors that they show to matter, and of how these hang together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, acts_outside, depends, too_few
from seewhy.evidence.findings.causes import held_edit
from seewhy.evidence.findings.safeguards.safeguard import Safeguard
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import TrialKey
from seewhy.evidence.trials.schedule import Frame, followed, frame_of
from seewhy.evidence.trials.trial import Job

MOST_SUSPECTS = 8  # factors of which it is asked whether one explains another: 56 ordered pairs
USES = 2  # donors of each group that a recipient meets there


def with_follow_up(design: AuditDesign, singles: Sequence[Case], safeguards: Sequence[Safeguard]) -> AuditDesign:
    """The design with the trials that follow from the cases of single factors; the budget holds for them, too."""
    frame = frame_of(design.samples, design.schedule, design.seed)
    factors = {factor.name: factor for factor in design.factors}
    names = [case.factor for case in suspects(singles)]
    jobs = [job for name in names for each in safeguards for job in each.later_jobs(frame, factors[name])]
    some = [factors[name] for name in names[:MOST_SUSPECTS]]
    jobs += [_held_job(frame, factor, other) for factor, other in permutations(some, 2)]
    return replace(design, schedule=followed(design.schedule, jobs, design.budget))


def suspects(singles: Sequence[Case]) -> list[Case]:
    """The factors outside of the core that are shown to matter, each by its most telling contrast.

    Those that act outside of the core come first, then the largest.
    """
    shown = [case for case in singles if depends(case) and not case.is_core and not too_few(case)]
    best: dict[str, Case] = {}
    for case in sorted(shown, key=lambda case: -abs(case.value)):
        best.setdefault(case.factor, case)
    return sorted(best.values(), key=lambda case: (not acts_outside(case), -abs(case.value)))


def _held_job(frame: Frame, factor: Factor, held: Factor) -> Job:
    audited = frame.samples.audited
    pairs = audited.pairs([region for region in (factor.region, held.region) if region], uses=USES)
    return Job(TrialKey(factor.name, held_edit(held.name), audited.split), pairs, (factor,), held=held)
