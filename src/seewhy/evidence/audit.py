"""`audit`: which parts and properties of the images do the decisions depend on, by how much, and is that overfit?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seewhy.cam.scores.targets import probabilities
from seewhy.data.classifier import Classifier
from seewhy.errors import SeewhyError, listed
from seewhy.evidence.checks.behaviour import Behaviour, behaviour_of
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.findings.cases import Weighed, weigh
from seewhy.evidence.findings.conclusions import conclude
from seewhy.evidence.properties.catalogue import Property
from seewhy.evidence.results.folder import Ledger
from seewhy.evidence.results.map_shares import MapRecords, drift_of, map_records
from seewhy.evidence.results.pictures import with_pictures
from seewhy.evidence.results.result import Audit, Baseline, facts_of
from seewhy.evidence.trials.budget import scorers_of, seconds_of, trials_of
from seewhy.evidence.trials.design import Setting, prepare, scheduled
from seewhy.evidence.trials.request import asked_for
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Trials, scores_of
from seewhy.records import Progress
from seewhy.run.machine import usual_workers
from seewhy.run.progress import chosen_progress
from seewhy.run.workers import run_shards


def audit(
    classifier: Classifier | nn.Module,
    data: Any,
    *,
    regions: str | Sequence[str | Region] = ("zones",),
    core: str | Sequence[str] = (),
    factors: str | Sequence[str | Property | Factor] = ("all",),
    inserts: str | Sequence[str] = (),
    recipients: int = 300,
    donors: int = 300,
    budget: int | str | None = None,
    layers: str | Sequence[str] = "auto",
    method: str = "auto",
    batch_size: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Progress = True,
) -> Audit:
    """Findings: what the decisions depend on, tested by exchanging it between images of the same and of other classes.

    `data` is a folder with train/ and valid/ (or what `explain` takes, with labels). `regions` and `core` (what should
    matter) are words like "zones", "face", "hair=masks/hair" (see `find_regions`), `factors` properties by name, "all",
    "none", or your own `Property`; `inserts` are marks like "watermark=text:SAMPLE". `recipients` images are edited
    for each factor, with content of `donors` images of each class; `budget` limits the trials, or the time ("5m"). With
    `out` the audit is written to (and resumed from) a folder. The model is left exactly as found. Raises the
    SeewhyError that says what to change.
    """
    asked = asked_for(regions, core, factors, inserts, recipients, donors)
    with chosen_progress(progress, "Auditing") as update:
        setting = prepare(classifier, data, asked, layers=layers, method=method, batch_size=batch_size, seed=seed)
        return run_audit(setting, budget=budget, folder=None if out is None else Path(out), progress=update)


def run_audit(
    setting: Setting,
    *,
    budget: int | str | None = None,
    folder: Path | None = None,
    workers: int | None = 1,
    progress: Progress = lambda done, total: None,
    weighing: Progress = lambda done, total: None,
) -> Audit:
    """The audit of a setting, in memory or in a run folder where finished jobs of an earlier try are kept.

    `workers` None takes as many as the machine suggests; `progress` counts trials, `weighing` what is made of them.
    """
    workers = workers or usual_workers(setting.plan.classifier.device, len(setting.schedule.jobs))
    if folder is None:
        setting = scheduled(setting, trials_of(setting, budget, 1))
        return _audited(
            setting, _before(setting), run_jobs(setting, range(len(setting.schedule.jobs)), 1), progress, weighing
        )
    ledger = Ledger(folder, setting, budget)
    with ledger.held():
        setting = scheduled(setting, ledger.begun() or trials_of(setting, budget, workers))
        ledger = ledger.of(setting)
        done = ledger.begin()
        missing = [index for index in range(len(setting.schedule.jobs)) if index not in done]
        before = _before(setting)
        scores = {split: one.scores for split, one in before.items()}
        found = ledger.kept(run_jobs(setting, missing, workers), missing, scores)
        result = _audited(setting, before, found, progress, weighing, ledger.read)
        ledger.finish(result)
    return result


def audit_in_folder(
    setting: Setting,
    folder: Path,
    *,
    budget: int | str | None,
    workers: int | None,
    progress: Progress,
    weighing: Progress,
) -> dict[str, Any]:
    """The audit's summary, from a run folder where it is finished, else made and written to it."""
    seconds_of(budget)  # refused before a folder is made
    with Ledger(folder, setting, budget).held():
        ledger = Ledger(folder, setting, budget)
        begun = ledger.begun()
        stored = None if begun is None and budget is not None else ledger.of(scheduled(setting, begun)).stored()
    if stored is not None:
        return stored
    return run_audit(
        setting, budget=budget, folder=folder, workers=workers, progress=progress, weighing=weighing
    ).summary()


def run_jobs(setting: Setting, indices: Sequence[int], workers: int) -> Iterator[Trials]:
    """The trials of some jobs, in order."""
    scorers = scorers_of(setting)
    jobs = setting.schedule.jobs

    def run(index: int) -> Trials:
        return scorers[jobs[index].split].run(jobs[index])

    yield from run_shards(run, list(indices), workers)


def _before(setting: Setting) -> dict[str, Baseline]:
    return {split: _baseline(scorer) for split, scorer in scorers_of(setting).items()}


def _audited(
    setting: Setting,
    before: Mapping[str, Baseline],
    found: Iterator[Trials],
    progress: Progress,
    weighing: Progress,
    before_hand: Callable[[int], Trials | None] = lambda index: None,
) -> Audit:
    """The trials collected under the progress bar, then weighed."""
    total = setting.schedule.n_trials
    trials: list[Trials] = []
    for one in _in_order(range(len(setting.schedule.jobs)), before_hand, found):
        trials.append(one)
        progress(sum(map(len, trials)), total)
    scores = {split: one.scores for split, one in before.items()}
    weighed = weigh(setting, scores, trials, weighing)
    behaviour = _behaviour(setting, before)
    findings = conclude(setting, weighed, behaviour, scores, trials)
    findings = with_pictures(setting, findings)
    maps, notes = _maps(setting)
    drift = drift_of(setting, maps, scores, setting.seed)
    facts = facts_of(setting, behaviour, drift, trials, findings)
    facts["notes"] += [*notes, *_not_compared(weighed, before)]
    return Audit(findings, facts, setting, weighed, before, tuple(trials), maps, _saved)


def _not_compared(weighed: Weighed, before: Mapping[str, Baseline]) -> list[str]:
    """Which factors could not be compared with train, where there is one."""
    names = list(dict.fromkeys(case.factor for case in weighed.cases if case.overfit is None))
    if len(before) < 2 or not names:
        return []
    return [f"Not compared with train, since no other region leaves them alone: {listed(names, 12)}."]


def _maps(setting: Setting) -> tuple[dict[str, MapRecords], list[str]]:
    """The records of the maps by split; an audit goes on without maps where none can be made, and says why."""
    try:
        return {split: map_records(setting, sample) for split, sample in setting.ground.samples.items()}, []
    except SeewhyError as error:
        return {}, [f"No maps: {str(error).splitlines()[0]}"]


def _in_order(
    indices: Sequence[int], before_hand: Callable[[int], Trials | None], found: Iterator[Trials]
) -> Iterator[Trials]:
    """Each job's trials, from an earlier try or made now; what makes them is run to its end, and can clean up."""
    for index in indices:
        own = before_hand(index)
        yield next(found) if own is None else own
    if next(found, None) is not None:
        raise RuntimeError("more trials were made than jobs asked for")


def _saved(folder: Path, audit: Audit) -> Path:
    return Ledger(folder, audit.setting).save(audit)


def _baseline(scorer: Scorer) -> Baseline:
    logits = scorer.logits()
    return Baseline(scores_of(logits, scorer.labels), logits.double().cpu().numpy())


def _behaviour(setting: Setting, before: Mapping[str, Baseline]) -> Behaviour:
    sample = setting.ground.audited
    logits = before[sample.split].logits
    rows = np.flatnonzero(np.isfinite(logits).all(axis=1))
    labels = [sample.images[row].label for row in rows]
    shares = probabilities(torch.from_numpy(logits[rows])).numpy()
    return behaviour_of(logits[rows], shares, labels, setting.classes)
