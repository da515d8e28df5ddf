"""`audit`: which parts and properties of the images do the decisions depend on, by how much, and is that overfit?"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import torch
from torch import nn

from seewhy.cam.scores.targets import probabilities
from seewhy.data.networks.classifier import Classifier
from seewhy.data.tables.clusters import ClusterBy
from seewhy.errors import OptionError, SeewhyError, listed
from seewhy.estimates import Integers
from seewhy.evidence.checks.behaviour import Behaviour, behaviour_of
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.findings.beforehand import as_told, tell_beforehand
from seewhy.evidence.findings.cases import Cases, cases_of
from seewhy.evidence.findings.columns import columns_of
from seewhy.evidence.findings.conclusions import Results, conclusions
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.findings.safeguards.safeguard import Evidence
from seewhy.evidence.findings.safeguards.train import has_controls, may_be_overfit
from seewhy.evidence.findings.steps import steps
from seewhy.evidence.properties.catalogue import Property
from seewhy.evidence.results.by_class import facts_by_class
from seewhy.evidence.results.folder import AuditFolder
from seewhy.evidence.results.map_shares import MapRecords, map_records, shares_of_recipients
from seewhy.evidence.results.pictures import with_pictures
from seewhy.evidence.results.result import Audit, Baseline, facts_of
from seewhy.evidence.trials.budget import as_budget, scorers_of, seconds_of, smallest_of, trials_of
from seewhy.evidence.trials.design import AuditDesign, design_audit, scheduled
from seewhy.evidence.trials.edit import TrialKey
from seewhy.evidence.trials.order import in_order, once_there
from seewhy.evidence.trials.request import request
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.searching import is_pending, searched_for, searched_places, usual_trials, with_places
from seewhy.evidence.trials.trial import UNDECIDED, Scores, Trials, scores_of, trials_of_job
from seewhy.records import Progress, checked_folder
from seewhy.run.machine import usual_workers
from seewhy.run.progress import chosen_progresses
from seewhy.run.workers import run_shards
from seewhy.store import claims

P = ParamSpec("P")
PLACES_S = 120  # of waiting for others that keep what they found, too
Spread = Callable[[AuditDesign, Sequence[int]], Iterator[int]]  # jobs done elsewhere; each index once its part is there


def _renamed(**words: str) -> Callable[[Callable[P, Audit]], Callable[P, Audit]]:
    """The function with old keywords that still work in this release, and say which word is meant."""

    def with_old_words(function: Callable[P, Audit]) -> Callable[P, Audit]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> Audit:
            for old in words.keys() & kwargs.keys():
                if words[old] in kwargs:
                    raise OptionError(f"{old}= is the old name of {words[old]}=; give only the latter.")
                text = f"{old}= is called {words[old]}= now, and the old name will go.\n  Write:  {words[old]}=..."
                warnings.warn(text, DeprecationWarning, stacklevel=2)
                kwargs[words[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return called

    return with_old_words


@_renamed(data="images", factors="properties", inserts="marks")
def audit(
    classifier: Classifier | nn.Module,
    images: Any,
    *,
    label: str | int | None = None,
    regions: str | Sequence[str | Region] = ("zones", SEARCH),
    core: str | Sequence[str] = (),
    properties: str | Sequence[str | Property | Factor] = ("all",),
    marks: str | Sequence[str] = (),
    recipients: int = 300,
    donors: int = 300,
    budget: int | str | timedelta | None = None,
    layers: str | Sequence[str] = "auto",
    method: str = "auto",
    cluster_by: ClusterBy = None,
    columns: str | Sequence[str] = ("all",),
    limit: int | None = None,
    sample: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    as_given: bool = False,
    out: str | Path | None = None,
    progress: bool | Progress = True,
) -> Audit:
    """Findings: what the decisions depend on, tested by exchanging it between images of the same and of other classes.

    The model is left exactly as found.

    Args:
        classifier: a Classifier or an nn.Module
        images: what names images, with labels; findings are about valid, compared with train
        label: of a network of several labels the one that is audited, against its absence
        regions: words by commas or in a list: "zones", "border", "centre", "corners", "halves", "grid:4x4",
            "search" (places that nobody named), "face", "background", "hair=masks/hair", "dog=coco.json#dog",
            "sky=file.py:function", "rest=not:hair"
        core: the regions or properties that should decide: anything else can be a shortcut
        properties: names, "all", "none", "file.py:name", or a Property
        marks: marks to lay over images: "watermark=text:SAMPLE@centre", "logo=logo.png@top-left", "wm=wm.png@full"
        recipients: images of each split that are edited for each factor
        donors: images of each class that give content
        budget: at most so many trials, or so much time ("5m"); None: all
        layers, method: of the maps that stand beside the findings; they decide no finding
        cluster_by: the unit that images share, like a patient: a column, "name:PATTERN" of file names, or values
        columns: of the table, which are compared with labels and answers, as associations: names, "all", "none"
        limit, sample, batch_size, seed: as in explain
        as_given: go on where the classes are clearly in another order than the network's
        out: a run folder that survives being killed; None: in memory
        progress: True: a bar; False: none; or a function of (done, total), in trials

    Returns:
        an Audit.

    Raises:
        DataError (no labels, masks that fit no image), OptionError (no such region or property,
        classes in another order), StoreError.

    Example:
        >>> audit = seewhy.audit(classifier, "faces", regions="centre,border", core="centre", properties=["tint"])
        >>> for finding in audit.findings:
        ...     print(finding.level, finding.factor, finding.claims)
        >>> print(audit["tint"].text)  # also where another finding holds it
        >>> folder = audit.save("runs/audit")
    """
    asked = request(regions, core, properties, marks, recipients, donors, columns, as_given=as_given)
    design = design_audit(
        classifier, images, asked, label=label, cluster_by=cluster_by, layers=layers,
        method=method, limit=limit, sample=sample, batch_size=batch_size, seed=seed,
    )  # fmt: skip
    words = ("Searching", "Auditing") if usual_trials(design) else ("Auditing",)
    with chosen_progresses(progress, *words) as updates:
        folder = None if out is None else checked_folder(out)
        return run_audit(
            design, budget=as_budget(budget), folder=folder, progress=updates[-1], searching=_first(updates)
        )


def _first(updates: Sequence[Progress]) -> Progress:
    """The first of two bars, that of the search; where there is one alone, nothing is searched for."""
    return updates[0] if len(updates) > 1 else lambda done, total: None


def run_audit(
    design: AuditDesign,
    *,
    budget: int | str | None = None,
    folder: Path | None = None,
    workers: int | None = 1,
    spread: Spread | None = None,
    progress: Progress = lambda done, total: None,
    weighing: Progress = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
    searching: Progress = lambda done, total: None,
) -> Audit:
    """The audit of a design, in memory or in a run folder where finished jobs of an earlier try are kept.

    `workers` None takes as many as the machine suggests; `spread` does the jobs of a folder elsewhere than in workers
    of this machine. `searching` counts places tried, `progress` trials, `weighing` what is made of them. `warn` is told
    beforehand where little can be said of such a classifier.
    """
    workers = workers or usual_workers(design.plan.classifier.device, len(design.schedule.jobs))
    if folder is None:
        design = scheduled(design, trials_of(design, budget, 1))
        before = before_of(design)
        tell_beforehand(design, behaviour_before(design, before), warn)
        design = searched_for(design, design.budget, searching)

        def made(design: AuditDesign, indices: Sequence[int]) -> Iterator[Trials]:
            return run_jobs(design, indices, 1, before)

        return _audited(design, budget, before, made, progress, weighing)
    kept = AuditFolder(folder, design, budget)
    with kept.run.held():
        claims.check_free(folder, (kept.run.stored() or {}).get("shards", 0))
        design = scheduled(kept.as_begun(), kept.begun() or trials_of(design, budget, workers))
        before = before_of(design)
        if kept.of(design).stored() is None:  # before the folder is begun, so that the line to type can name the same
            tell_beforehand(design, behaviour_before(design, before), warn)
        kept.of(design).begin()
        design = with_kept_places(kept, design, searching)

        def made_or_read(design: AuditDesign, indices: Sequence[int]) -> Iterator[Trials]:
            there = kept.of(design)
            missing = there.missing(indices)
            if spread is not None:
                return once_there(indices, there.read, missing, spread(design, missing))
            return in_order(indices, there.read, there.kept(run_jobs(design, missing, workers, before), missing))

        result = _audited(design, budget, before, made_or_read, progress, weighing)
        kept.of(result.design).finish(result)
        result.folder = folder
    return result


def audit_in_folder(
    design: AuditDesign,
    folder: Path,
    *,
    budget: int | str | None,
    workers: int | None,
    spread: Spread | None = None,
    progress: Progress,
    weighing: Progress,
    warn: Callable[[str], None] = lambda text: None,
    searching: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """The audit's summary, from a run folder where it is finished, else made and written to it."""
    seconds_of(budget)  # refused before a folder is made
    kept = AuditFolder(folder, design, budget)
    with kept.run.held():
        begun = kept.begun()
        stored = None if begun is None and budget is not None else kept.of(scheduled(kept.as_begun(), begun)).stored()
        if stored is not None:
            return stored
        return run_audit(
            design, budget=budget, folder=folder, workers=workers, spread=spread, progress=progress, weighing=weighing,
            warn=warn, searching=searching,
        ).summary()  # fmt: skip


def with_kept_places(
    kept: AuditFolder, design: AuditDesign, searching: Progress = lambda done, total: None
) -> AuditDesign:
    """The design after the search for places, or with what an earlier try found, which the folder keeps."""
    if not is_pending(design):
        return design
    places = kept.places()
    if places is None:
        found = searched_places(design, design.budget, searching)
        with kept.run.held(PLACES_S):
            places = kept.places() or kept.keep_places(found)  # another process may have been faster
    return scheduled(with_places(design, places), design.budget)


def run_jobs(
    design: AuditDesign, indices: Sequence[int], workers: int, before: Mapping[str, Baseline]
) -> Iterator[Trials]:
    """The trials of some jobs, in order."""
    scorers = scorers_of(design)
    jobs = design.schedule.jobs

    def run(index: int) -> Scores:
        return scorers[jobs[index].split].run(jobs[index])

    for index, after in zip(indices, run_shards(run, list(indices), workers), strict=True):
        split = jobs[index].split
        yield trials_of_job(jobs[index], design.samples[split], before[split].scores, after)


def before_of(design: AuditDesign) -> dict[str, Baseline]:
    """What the classifier says of the images as they are, by split."""
    return {split: _baseline(scorer) for split, scorer in scorers_of(design).items()}


def _audited(
    design: AuditDesign,
    budget: int | str | None,
    before: Mapping[str, Baseline],
    make: Callable[[AuditDesign, Sequence[int]], Iterator[Trials]],
    progress: Progress,
    weighing: Progress,
) -> Audit:
    """The trials collected under the progress bar, then those that follow from them, and what follows from all."""
    trials: dict[TrialKey, Trials] = {}

    def collect(design: AuditDesign) -> None:
        for job_trials in make(design, range(len(trials), len(design.schedule.jobs))):
            trials[job_trials.key] = job_trials
            progress(sum(map(len, trials.values())), design.schedule.n_trials)

    for step in steps(design, trials, weighing):
        design, first = step
        collect(design)
    cases = cases_of(design, trials, first, SAFEGUARDS, weighing)
    behaviour = as_told(design, behaviour_before(design, before))
    scores = {split: baseline.scores for split, baseline in before.items()}
    findings = with_pictures(design, conclusions(Results(design, trials, cases, behaviour, scores)))
    maps, notes = _maps(design)
    facts = facts_of(design, behaviour, shares_of_recipients(design, maps), trials, findings)
    facts["columns"] = columns_of(design, before[design.audited.split].scores, findings)
    facts |= facts_by_class(design, trials, cases, scores[design.audited.split])
    facts["notes"] += [
        smallest_of(design),
        *notes,
        *design.schedule.effort.given_up(design.request.effort),
        *_not_compared(design, trials, cases),
        *_left_out(design),
    ]
    return Audit(
        findings=findings,
        facts=facts,
        design=design,
        cases=cases,
        before=before,
        trials=trials,
        map_records=maps,
        writer=functools.partial(_saved, budget),
    )


def _not_compared(design: AuditDesign, trials: Mapping[TrialKey, Trials], cases: Cases) -> list[str]:
    """Which factors may be overfit, and could not be compared with other regions on train."""
    evidence = Evidence(design, trials, cases.singles)
    unknown = dict.fromkeys(case.factor for case in cases.singles if case.overfit is None)
    names = [name for name in unknown if may_be_overfit(evidence, name)]
    able = [name for name in names if has_controls(evidence, evidence.factors[name])]
    alone = [name for name in names if name not in able]
    left = "the budget does not reach that" if design.schedule.n_unpaid else "too few images are in one split alone"
    why = {"no other region leaves them alone": alone, left: able}
    return [f"Not compared with train, since {words}: {listed(those, 12)}." for words, those in why.items() if those]


def _left_out(design: AuditDesign) -> list[str]:
    """What the budget did not reach of the trials that followed from others."""
    count = design.schedule.n_unpaid
    if not count:
        return []
    return [
        f"The budget does not reach {count:,} trials that would ask more of what was shown: a --budget that is larger "
        "by these, or none, does."
    ]


def _maps(design: AuditDesign) -> tuple[dict[str, MapRecords], list[str]]:
    """The records of the maps by split; an audit goes on without maps where none can be made, and says why."""
    try:
        return {split: map_records(design, sample) for split, sample in design.samples.items()}, []
    except SeewhyError as error:
        return {}, [f"No maps: {str(error).splitlines()[0]}"]


def _saved(budget: int | str | None, folder: Path, audit: Audit) -> Path:
    return AuditFolder(folder, audit.design, budget).save(audit)


def _baseline(scorer: Scorer) -> Baseline:
    logits = scorer.logits()
    return Baseline(scores_of(logits, scorer.labels), logits.double().cpu().numpy())


def behaviour_before(design: AuditDesign, before: Mapping[str, Baseline]) -> Behaviour:
    """How the classifier does on the audited images as they are."""
    sample = design.audited
    logits = before[sample.split].logits
    rows = np.flatnonzero(np.isfinite(logits).all(axis=1))
    labels = [sample.images[row].label for row in rows]
    of_classes = probabilities(torch.from_numpy(logits[rows])).numpy()
    clusters = [str(cluster) for cluster in sample.clusters[rows]]
    others = next((_answers(design, before, split) for split in before if split != sample.split), None)
    return behaviour_of(logits[rows], of_classes, labels, design.classes, clusters=clusters, others=others)


def _answers(design: AuditDesign, before: Mapping[str, Baseline], split: str) -> tuple[Integers, Integers]:
    """The class indices and the predictions of a split's images that are answered."""
    predictions = before[split].scores.predictions
    answered = predictions != UNDECIDED
    return design.samples[split].labels[answered], predictions[answered]
