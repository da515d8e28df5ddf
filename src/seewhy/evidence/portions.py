"""An audit that several processes do in one folder: each takes its portion of every step's jobs, one merges.

What a step asks follows from the trials of the steps before it, so that a process goes on to the next step once all
parts of this one are there, whoever wrote them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seewhy.evidence.audit import audit_in_folder, before_of, behaviour_before, run_jobs, with_kept_places
from seewhy.evidence.findings.beforehand import tell_beforehand
from seewhy.evidence.findings.follow_up import STAGES
from seewhy.evidence.findings.steps import steps
from seewhy.evidence.results.folder import AuditFolder
from seewhy.evidence.trials.budget import scorers_of, trials_of
from seewhy.evidence.trials.design import AuditDesign, scheduled
from seewhy.evidence.trials.edit import TrialKey
from seewhy.evidence.trials.trial import Trials, trials_of_job
from seewhy.explanation.portions import WAIT_S, check_versions, not_whole, note_shards
from seewhy.records import Progress
from seewhy.run.machine import usual_workers, versions
from seewhy.run.portion import Portion
from seewhy.store import claims, manifest


@dataclass(frozen=True)
class StepDone:
    """What one process has done of an audit: its jobs of a step, by number and name, and how many others have left.

    `step` is the last one that is begun; `left` 0 says that every step is done.
    """

    portion: Portion
    step: int
    name: str
    jobs: int
    trials: int
    left: int
    of: int
    steps: int = len(STAGES)


def audit_portion(
    design: AuditDesign,
    folder: Path,
    portion: Portion,
    *,
    budget: int | str | None,
    typed: str,
    workers: int | None = 1,
    progress: Progress = lambda done, total: None,
    weighing: Progress = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
) -> StepDone:
    """Do every n-th job of each step whose steps before are all there, beside other processes that do the others.

    What is finished is kept. `typed` is the command line that makes the run, which `merge` goes by. Raises StoreError
    where the folder holds another run, was begun by other versions, or somebody else is at this portion.
    """
    kept = AuditFolder(folder, design, budget)
    if kept.run.stored() is None:  # before the folder is begun
        tell_beforehand(design, behaviour_before(design, before_of(design)), warn)
    workers = workers or usual_workers(design.plan.classifier.device, len(design.schedule.jobs))
    with contextlib.ExitStack() as claim:
        with kept.run.held(WAIT_S):
            kept, complete = _joined(kept, portion, typed, workers)
            if complete:
                return StepDone(portion=portion, step=len(STAGES), name=STAGES[-1], jobs=0, trials=0, left=0, of=0)
            claim.enter_context(claims.claimed(folder, portion.number, portion.count))
        with kept.run.written():
            kept = kept.of(with_kept_places(kept, kept.design))
            return _work_through(kept, portion, workers, progress, weighing)


def merge_audit(
    design: AuditDesign,
    folder: Path,
    *,
    budget: int | str | None,
    workers: int | None,
    progress: Progress = lambda done, total: None,
    weighing: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """The summary of an audit whose first step is there: what is missing of later steps is done here, then it is ended.

    Raises WorkError with what is missing of the first step, and StoreError where others are at work or the folder holds
    another run.
    """
    kept = AuditFolder(folder, design, budget)
    with kept.run.held():
        stored = manifest.read_manifest(folder)
        check_versions(folder, stored)
        begun = kept.of(scheduled(kept.as_begun(), kept.begun()))
        begun.run.holding(begun.identity)  # refused before anything is done where it is another run's
        if stored["status"] != "complete":
            begun = begun.of(with_kept_places(begun, begun.design))
            every = range(len(begun.design.schedule.jobs))
            if missing := begun.missing(every):
                raise not_whole(folder, missing, len(every), stored.get("shards", 1))
        return audit_in_folder(design, folder, budget=budget, workers=workers, progress=progress, weighing=weighing)


def jobs_of(design: AuditDesign, folder: Path, budget: int | str | None) -> Callable[[int], Path]:
    """What does a job of the begun audit in `folder` by its index, and says where its part is.

    All jobs of the steps before it must be there. What is there, whole, is not made again.
    """
    kept = AuditFolder(folder, design, budget)
    kept = kept.of(scheduled(kept.as_begun(), kept.begun()))
    kept.run.holding(kept.identity)
    kept = kept.of(with_kept_places(kept, kept.design))
    before, scorers = before_of(kept.design), scorers_of(kept.design)
    trials: dict[TrialKey, Trials] = {}
    taken = steps(kept.design, trials)
    there = kept.of(next(taken)[0])

    def do(index: int) -> Path:
        nonlocal there
        while index >= len(there.design.schedule.jobs):
            _read(there, trials)
            there = kept.of(next(taken)[0])
        if there.missing([index]):
            job = there.design.schedule.jobs[index]
            after = scorers[job.split].run(job)
            made = trials_of_job(job, there.design.samples[job.split], before[job.split].scores, after)
            for _ in there.kept(iter([made]), [index]):
                pass
        return there.part(index)

    return do


def _joined(kept: AuditFolder, portion: Portion, typed: str, workers: int) -> tuple[AuditFolder, bool]:
    """The folder with the audit that this process joins, or begins, and whether it is finished."""
    stored = kept.run.stored()
    if stored is not None:
        check_versions(kept.folder, stored)
    settled = kept.begun() if stored is not None else trials_of(kept.design, kept.budget, workers * portion.count)
    joined = kept.of(scheduled(kept.as_begun(), settled))
    if joined.run.open(joined.identity) is not None:
        return joined, True
    if stored is None:
        manifest.note(kept.folder, environment=versions(), shards=portion.count, typed=typed)
    else:
        note_shards(kept.folder, stored, portion, typed)
    return joined, False


def _work_through(
    kept: AuditFolder, portion: Portion, workers: int, progress: Progress, weighing: Progress
) -> StepDone:
    """Step by step this portion's jobs, until a step of which others have jobs left."""
    before = before_of(kept.design)
    trials: dict[TrialKey, Trials] = {}
    done = StepDone(portion=portion, step=0, name="", jobs=0, trials=0, left=0, of=0)
    for number, (design, _) in enumerate(steps(kept.design, trials, weighing), 1):
        there, jobs = kept.of(design), design.schedule.jobs
        step = range(len(trials), len(jobs))
        mine = portion.of(step)
        missing, total = there.missing(mine), sum(jobs[index].n_trials for index in mine)
        count = total - sum(jobs[index].n_trials for index in missing)
        progress(count, total)
        for made in there.kept(run_jobs(design, missing, workers, before), missing):
            progress(count := count + len(made), total)
        left = len(there.missing(step))
        done = StepDone(
            portion=portion, step=number, name=STAGES[number - 1], jobs=len(mine), trials=total, left=left, of=len(step)
        )
        if left:
            break
        _read(there, trials)
    return done


def _read(there: AuditFolder, trials: dict[TrialKey, Trials]) -> None:
    """Take in the trials of the jobs that are not among `trials`; their parts are all there."""
    for index in range(len(trials), len(there.design.schedule.jobs)):
        made = there.read(index)
        if made is None:
            raise RuntimeError(f"job {index} of {there.folder} is not there, though all of its step were")
        trials[made.key] = made
