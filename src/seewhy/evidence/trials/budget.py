"""What an audit costs, and what is left of it within a budget."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from seewhy.errors import OptionError, counted, listed
from seewhy.evidence.thresholds import LEAST_IMAGES
from seewhy.evidence.trials.dealing import donors_of, uses_of
from seewhy.evidence.trials.design import AuditDesign, scheduled
from seewhy.evidence.trials.resolution import of_searches, shows
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.searching import is_reached, least_budget, most_found, usual_trials
from seewhy.run.machine import usual_workers

_SECONDS = {  # of each word for a unit
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
ASKED_MORE = 6  # exchanges that each factor is put to that is shown to matter, about
_PROBED = 3  # batches whose time tells how many trials fit into a budget of minutes


def scorers_of(design: AuditDesign) -> dict[str, Scorer]:
    """The classifier as a function of edited images, by split."""
    plan = design.plan
    return {
        split: Scorer(plan.classifier.model, sample, design.plan.batch_size, plan.memory_format)
        for split, sample in design.samples.items()
    }


def trials_of(design: AuditDesign, budget: int | str | None, workers: int) -> int | None:
    """A budget as a number of trials: as it is, or as many as the time allows at the speed of a few batches."""
    seconds = seconds_of(budget)
    if isinstance(budget, int) or (budget is not None and seconds is None):
        count = count_of(budget) or int(budget)
        if count < 1:
            raise OptionError(f"--budget is {budget}, but must be at least 1 trial, or a time like 5m.", slug="budget")
        return count
    if seconds is None:
        return None
    return max(1, int(seconds * speed_of(design) * workers))


def speed_of(design: AuditDesign) -> float:
    """Trials a second in one process, measured on a few batches of a job of each kind."""
    if not design.schedule.jobs:
        return 1.0  # nothing is to be done, at any speed
    scorers, count, seconds = scorers_of(design), 0, 0.0
    scorers[design.audited.split].logits()  # what runs first is slower
    kinds = {(job.edit, job.factors[0].kind if job.factors else ""): job for job in reversed(design.schedule.jobs)}
    for job in kinds.values():
        some = replace(job, pairs=job.pairs[: _PROBED * design.plan.batch_size])
        start = time.perf_counter()
        scorers[job.split].run(some)
        share = sum(one.n_trials for one in design.schedule.jobs if one.edit == job.edit) / len(some.pairs)
        seconds += (time.perf_counter() - start) * share
        count += round(len(some.pairs) * share)
    return count / max(seconds, 1e-9)


def planned(design: AuditDesign, budget: int | str | None, workers: int | None = 1) -> dict[str, Any]:
    """What would run, what it costs, and the smallest effect that this much data can show, as plain values."""
    workers = workers or usual_workers(design.plan.classifier.device, len(design.schedule.jobs))
    trials = trials_of(design, budget, workers)
    search = _search(design, trials)
    spent = search["trials"] if search and search["reached"] else 0
    design = replace(scheduled(design, None if trials is None else trials - spent), budget=trials)
    sample, schedule = design.audited, design.schedule
    speed = speed_of(design)
    seconds = schedule.n_trials / (speed * workers) + spent / speed
    per_factor = {
        factor.name: sum(job.n_trials for job in schedule.jobs if job.factors == (factor,)) for factor in design.factors
    }
    per_mark = {mark.name: sum(job.n_trials for job in schedule.jobs if job.mark is mark) for mark in design.marks}
    exchange = max((job.n_trials for job in schedule.jobs if job.split == sample.split), default=0)
    return {
        "trials": schedule.n_trials,
        "more": ASKED_MORE * exchange,
        "time": f"about {_time(seconds)}",
        "search": search and {**search, "time": f"about {_time(search['trials'] / speed)}"},
        "recipients": min(schedule.effort.recipients, len(sample)),
        "smallest": smallest_of(design),
        "factors": [
            {
                "factor": factor.name,
                "kind": factor.kind,
                "trials": per_factor[factor.name],
                "association": design.associations[factor.name],
            }
            for factor in design.factors
        ],
        "marks": per_mark,
        "pairs": schedule.n_trials - sum(per_factor.values()) - sum(per_mark.values()),
        "left_out": list(schedule.left_out),
        "ruled_out": {name: why.reason for name, why in design.ruled_out.items()},
    }


def _search(design: AuditDesign, budget: int | None) -> dict[str, Any] | None:
    """What a search for places takes, and whether a budget reaches it; None where none is to be made."""
    count = usual_trials(design)
    if not count:
        return None
    return {"trials": count, "reached": is_reached(design, budget), "budget": least_budget(design)}


def smallest_of(design: AuditDesign) -> str:
    """What so many images can show, or why nothing can be said."""
    sample, effort = design.audited, design.schedule.effort
    counts = sample.unit_counts[sample.unit_counts > 0]
    if len(counts) < 2:
        alone = ", ".join(design.classes[label] for label in np.unique(sample.labels))
        todo = "Name the folder that holds all classes (--limit takes the first images alone, --sample some of each)."
        return f"All images of {sample.split} are of {alone or 'no class'}, so nothing can be exchanged. {todo}"
    is_by_class = sample.n_groups == len(counts)
    if is_by_class and counts.min() < LEAST_IMAGES:
        few = [
            design.classes[place]
            for place in np.flatnonzero(sample.unit_counts)
            if sample.unit_counts[place] < LEAST_IMAGES
        ]
        had = counted(int(counts.min()), "cluster" if sample.unit == "cluster" else "distinct image")
        has = f"{few[0]} has" if len(few) == 1 else f"{listed(few, 4)} have as few as"
        of = "it" if len(few) == 1 else "them"
        return f"{has} {had} on {sample.split}; below {LEAST_IMAGES} nothing can be said of {of}."
    most = donors_of(effort.recipients, uses_of(sample.n_groups, effort.uses))
    n_units = min(int(counts.sum()), len(np.unique(sample.clusters)))  # a cluster may be of several classes
    fewest = int(min(counts.min(), most)) if is_by_class else n_units
    places = _places_counted(design)
    found = 0 if design.places is None else len(design.places.names)
    n_tests = (len(design.factors) + places) * len(design.contrasts)
    shown = partial(shows, n_classes=sample.n_groups, n_tests=n_tests, unit=sample.unit, is_by_class=is_by_class)
    of_places = fewest // 2  # the other half proposes them
    if not places + found or not n_tests:
        return shown(fewest)
    of_marks = f" {of_searches(fewest, has_core=bool(design.core_regions))}" if is_by_class else ""
    if len(design.factors) == found:
        return f"{shown(of_places)} Half of the images propose places, these test them.{of_marks.rstrip()}"
    by_half = _lower(shown(of_places))
    return f"{shown(fewest)} Places that are searched for are tested by half of these: {by_half}{of_marks.rstrip()}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _places_counted(design: AuditDesign) -> int:
    """The places that are counted as tests beside the factors: those that a search may find, or might have found."""
    if design.places is None:
        return most_found(design) if usual_trials(design) else 0
    return most_found(design) - len(design.places.names) if design.places.n_places else 0


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def seconds_of(budget: int | str | None) -> float | None:
    """The seconds of a budget like 5m, 90s or 1.5h; None where it is a number of trials or nothing.

    Raises OptionError for what is neither.
    """
    if budget is None or (isinstance(budget, int) and not isinstance(budget, bool)) or count_of(budget):
        return None
    match = re.fullmatch(r"([\d.]+)\s*([a-z]+)", budget.strip().lower()) if isinstance(budget, str) else None
    try:
        seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    except (KeyError, ValueError):
        seconds = 0.0
    if seconds <= 0:
        raise OptionError(
            f"--budget is {budget!r}, but must look like 50000 (trials), 5m (minutes), 90s or 1h.", slug="budget"
        )
    return seconds


def as_budget(budget: int | str | timedelta | None) -> int | str | None:
    """A budget as folders hold it: a number of trials, or a time; a timedelta becomes its seconds, "90s"."""
    if isinstance(budget, timedelta):
        return f"{budget.total_seconds():g}s"
    count = count_of(str(budget)) if isinstance(budget, (int, str)) and not isinstance(budget, bool) else 0
    return str(count) if count else budget


def count_of(budget: Any) -> int:
    """The number of trials that a text like 50000, 50,000 or 50_000 says; 0 for any other."""
    if not isinstance(budget, str) or not re.fullmatch(r"\d+|\d{1,3}([,_]\d{3})+", budget.strip()):
        return 0
    return int(re.sub("[,_]", "", budget))
