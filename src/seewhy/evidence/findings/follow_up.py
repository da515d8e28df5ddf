"""What the first trials lead to: more is asked of factors that they show to matter, and of how these hang together.

An audit has three stages: every factor is exchanged; what is shown to matter is exchanged outside of the core; then its
safeguards are tried, and it is asked which of what acts outside explains the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

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

MOST_SUSPECTS = 8  # factors of which it is asked whether one explains another: 56 ordered pairs
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
    """The design with all other trials that follow from the cases of single factors; the budget holds for them, too."""
    frame, singles = _frame(design), first.singles
    factors = {factor.name: factor for factor in design.factors}
    cases = suspects(singles)
    shown = [factors[case.factor] for case in cases]
    evidence = Evidence(design, trials, singles)
    jobs = place_jobs(design, first.rest, first.n_tests)
    jobs += [job for each in safeguards for factor in shown for job in each.later_jobs(frame, factor)]
    jobs += [job for each in safeguards for job in each.shared_jobs(frame, evidence, shown)]
    some = [factors[case.factor] for case in cases if not case.is_core and acts_outside(case)][:MOST_SUSPECTS]
    jobs += [held_job(frame, factor, other) for factor, other in permutations(some, 2)]
    if design.places is not None:
        jobs += name_jobs(frame, design.places.boxes, [factors[case.factor] for case in cases if not case.is_core])
    distinct = {job.key: job for job in jobs if job.key not in trials}  # two safeguards may ask for the same
    return replace(design, schedule=followed(design.schedule, list(distinct.values()), design.budget_left))


def suspects(singles: Sequence[Case]) -> list[Case]:
    """The factors that are shown to matter, each by its most telling contrast.

    Those outside of the core that act there come first, then the others, then the core itself; the largest first.
    """
    shown = [case for case in singles if depends(case) and not too_few(case)]
    best: dict[str, Case] = {}
    for case in sorted(shown, key=lambda case: -abs(case.value)):
        best.setdefault(case.factor, case)
    return sorted(best.values(), key=lambda case: (bool(case.is_core), not acts_outside(case), -abs(case.value)))
