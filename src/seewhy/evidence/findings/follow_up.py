"""What the first trials lead to: more is asked of factors that they show to matter, and of how these hang together.

An audit has three stages: every factor is exchanged; what is shown to matter is exchanged outside of the core; then its
safeguards are tried, and it is asked which of what acts outside explains the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, acts_outside, depends, too_few
from seewhy.evidence.findings.cases import AllTrials, Cases
from seewhy.evidence.findings.causes import held_job
from seewhy.evidence.findings.named import name_jobs
from seewhy.evidence.findings.safeguards.outside import OutsideCore
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.findings.unnamed import place_jobs
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.everywhere import class_gaps
from seewhy.evidence.trials.schedule import Frame, followed, frame_of
from seewhy.evidence.trials.trial import Job

MOST_SUSPECTS = 8  # factors of which it is asked whether one explains another: 56 ordered pairs
LEADING = 3  # those of them that all further ones are held against
STAGES = ("exchanges", "outside of the core", "what is asked of those that matter")  # in whose order trials are kept


def outside_the_core(design: AuditDesign, singles: Sequence[Case]) -> AuditDesign:
    """The design with the exchange outside of the core of each factor that is shown to matter."""
    factors = {factor.name: factor for factor in design.factors}
    shown = [factors[case.factor] for case in suspects(singles) if not case.is_core]
    if not design.core_regions:
        return design
    core = design.core_regions[0]
    properties = [factor for factor in shown if factor.region is None]
    gaps = {factor.name: class_gaps(design.samples, factor, core) for factor in properties}
    design = replace(design, everywhere={name: known for name, known in gaps.items() if known is not None})
    jobs = [job for factor in shown for job in OutsideCore().later_jobs(_frame(design), factor)]
    return replace(design, schedule=followed(design.schedule, jobs, design.budget_left))


def _frame(design: AuditDesign) -> Frame:
    return frame_of(design.samples, design.schedule, design.seed, design.everywhere)


def with_follow_up(
    design: AuditDesign, trials: AllTrials, first: Cases, safeguards: Sequence[Safeguard]
) -> AuditDesign:
    """The design with all other trials that follow from the cases of single factors; the budget holds for them, too.

    What matters most comes first, its safeguards with its pairs: a small budget leaves out the smaller ones.
    """
    frame, singles = _frame(design), first.singles
    factors = {factor.name: factor for factor in design.factors}
    cases = suspects(singles)
    shown = [factors[case.factor] for case in cases]
    evidence = Evidence(design, trials, singles)
    jobs = place_jobs(design, first.rest, first.n_tests)
    outside = [factors[case.factor] for case in cases if not case.is_core and acts_outside(case)]
    for factor in shown:
        jobs += [job for each in safeguards for job in each.later_jobs(frame, factor)]
        jobs += _pair_jobs(frame, factor, outside)
    jobs += [job for each in safeguards for job in each.shared_jobs(frame, evidence, shown)]
    if design.places is not None:
        jobs += name_jobs(frame, design.places.names, [factors[case.factor] for case in cases if not case.is_core])
    distinct = {job.key: job for job in jobs if job.key not in trials}  # two safeguards may ask for the same
    return replace(design, schedule=followed(design.schedule, list(distinct.values()), design.budget_left))


def _pair_jobs(frame: Frame, factor: Factor, outside: Sequence[Factor]) -> list[Job]:
    """The exchanges of a factor with each larger one held, and the other way round; of a late one with a few held."""
    if factor not in outside:
        return []
    place = outside.index(factor)
    if place >= MOST_SUSPECTS:
        return [held_job(frame, factor, other) for other in outside[:LEADING]]
    return [held_job(frame, *pair) for other in outside[:place] for pair in ((factor, other), (other, factor))]


def suspects(singles: Sequence[Case]) -> list[Case]:
    """The factors that are shown to matter, each by its most telling contrast.

    Those outside of the core that act there come first, then the others, then the core itself; the largest first.
    """
    shown = [case for case in singles if depends(case) and not too_few(case)]
    best: dict[str, Case] = {}
    for case in sorted(shown, key=lambda case: -case.size):
        best.setdefault(case.factor, case)
    return sorted(best.values(), key=lambda case: (bool(case.is_core), not acts_outside(case), -case.size))
