"""Which trials an audit makes: from factors and a budget to jobs, the factor that goes with the classes most first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import OptionError
from seewhy.evidence.factors.controls import ROOM, area_bins, control_masks, free_pixels
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.edit import EXCHANGE, MARKED, PATCHED, ControlRegion, Pair, TrialKey
from seewhy.evidence.trials.everywhere import ClassGaps
from seewhy.evidence.trials.request import Effort
from seewhy.evidence.trials.sample import DISJOINT, Ints, Sample, Samples, mean_mask, overlap_of
from seewhy.evidence.trials.trial import NO_DONOR, Job

FOR_LATER = (
    0.5  # of a budget, for the trials that follow from the first ones: always enough to try all outside of a core
)
N_BINS = 4  # of areas, that share their control regions


@dataclass(frozen=True)
class Frame:
    """What all jobs are made of: the samples as they are dealt, the control regions (H, W), and the effort.

    `everywhere` are the properties that an AuditDesign has under this name.
    """

    samples: Samples
    controls: Mapping[ControlRegion, Tensor]
    effort: Effort
    seed: int
    everywhere: Mapping[str, ClassGaps] = field(default_factory=dict)


@dataclass(frozen=True)
class Tested:
    """What is tested: factors and marks.

    `spared` are names of factors that a small budget leaves out last, those of the first set after all others; `found`
    are places that a search found, whose pairs come first.
    """

    factors: Sequence[Factor]
    marks: Sequence[Mark]
    spared: Sequence[frozenset[str]] = ()
    found: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Schedule:
    """All jobs in order, what was left out for want of budget, and what each control region covers.

    `n_unpaid` counts the trials that should have followed from those of others, and were left out.
    """

    jobs: tuple[Job, ...]
    effort: Effort
    left_out: tuple[str, ...] = ()
    controls: Mapping[ControlRegion, Tensor] = field(default_factory=dict)
    n_unpaid: int = 0

    @property
    def n_trials(self) -> int:
        """Edited images in all."""
        return sum(job.n_trials for job in self.jobs)


def make_schedule(samples: Samples, tested: Tested, effort: Effort, budget: int | None, seed: int) -> Schedule:
    """The jobs for what is tested, at most `budget` trials of them: first with less effort, then with fewer factors.

    Raises OptionError where the budget does not pay for a single factor.
    """
    controls = _controls(samples, tested.factors, effort.controls, seed) if len(samples.audited.recipients) else {}
    frame = Frame(samples, controls, effort, seed)
    schedule = _schedule(_dealt(frame, effort), tested)
    if budget is None or schedule.n_trials <= (first := budget - int(FOR_LATER * budget)):
        return schedule
    for less in effort.smaller():
        dealt = _dealt(frame, less)
        schedule = _schedule(dealt, tested)
        if schedule.n_trials <= first:
            return schedule
    kept = list(tested.factors)
    while len(kept) > 1 and schedule.n_trials > first:
        kept.remove(_least_needed(kept, tested.spared))
        schedule = _schedule(dealt, replace(tested, factors=kept))
    if schedule.n_trials > first:
        what = f"{kept[0].name} alone takes" if kept else "the marks alone take"
        needed = math.ceil(schedule.n_trials / (1 - FOR_LATER))
        raise OptionError(
            f"The budget comes to {budget:,}, but {what} up to {needed:,} trials, and a part of them says "
            f"nothing.\n  --budget {needed}",
            slug="budget",
        )
    return replace(schedule, left_out=tuple(factor.name for factor in tested.factors if factor not in kept))


def _least_needed(factors: Sequence[Factor], spared: Sequence[frozenset[str]]) -> Factor:
    """The factor that goes with the classes least, of those that are not spared as long as there are any."""
    for count in range(len(spared), -1, -1):
        others = [factor for factor in factors if not any(factor.name in names for names in spared[:count])]
        if others:
            return others[-1]
    raise ValueError("no factor is left")


def followed(schedule: Schedule, later: Sequence[Job], budget: int | None) -> Schedule:
    """The schedule with the jobs that follow from the trials of the first ones, as far as the budget reaches."""
    jobs, left = list(schedule.jobs), float("inf") if budget is None else budget - schedule.n_trials
    unpaid = 0
    for job in later:
        if job.n_trials <= left:
            jobs += [job] if job.n_trials else []
            left -= job.n_trials
        else:
            unpaid += job.n_trials
    return replace(schedule, jobs=tuple(jobs), n_unpaid=unpaid)


def frame_of(samples: Samples, schedule: Schedule, seed: int, everywhere: Mapping[str, ClassGaps]) -> Frame:
    """What the jobs of a schedule were made of."""
    return _dealt(Frame(samples, schedule.controls, schedule.effort, seed, everywhere), schedule.effort)


def without_donors(sample: Sample, regions: Sequence[str]) -> Ints:
    """(recipient, -1) places of the recipients that have all of the regions, for edits that need no donor."""
    recipients = np.unique(sample.pairs(regions, uses=1)[:, 0])
    return np.stack([recipients, np.full_like(recipients, NO_DONOR)], axis=1)


def _dealt(frame: Frame, effort: Effort) -> Frame:
    """The frame with the recipients, donors and control regions of this effort."""
    dealt = {
        split: with_partners(sample, effort.recipients, effort.uses, frame.seed)
        for split, sample in frame.samples.items()
    }
    controls = {region: mask for region, mask in frame.controls.items() if (region.number or 0) < effort.controls}
    return replace(frame, samples=replace(frame.samples, by_split=dealt), controls=controls, effort=effort)


def _schedule(frame: Frame, tested: Tested) -> Schedule:
    jobs = [job for factor in tested.factors for job in _of_factor(frame, factor)]
    jobs += [job for mark in tested.marks for job in _of_mark(frame, mark)]
    jobs += _of_pairs(frame, tested.factors, tested.found)
    return Schedule(tuple(job for job in jobs if job.n_trials), frame.effort, controls=frame.controls)


def _of_factor(frame: Frame, factor: Factor) -> list[Job]:
    """The exchange on every split."""
    regions = [factor.region] if factor.region else []
    return [
        Job(TrialKey(factor.name, EXCHANGE, split), sample.pairs(regions), (factor,))
        for split, sample in frame.samples.items()
    ]


def _of_mark(frame: Frame, mark: Mark) -> list[Job]:
    audited = frame.samples.audited
    everyone = audited.spread(2 * frame.effort.recipients)
    pairs = np.stack([everyone, np.full_like(everyone, NO_DONOR)], axis=1)
    return [Job(TrialKey(mark.name, edit, audited.split), pairs, mark=mark) for edit in (MARKED, PATCHED)]


def _of_pairs(frame: Frame, factors: Sequence[Factor], found: frozenset[str]) -> list[Job]:
    """The pairs that share no pixels, the core left out: of found places, then of what goes with the classes most."""
    audited = frame.samples.audited
    some = [factor for factor in factors if factor.region not in frame.samples.core or factor.region is None]
    places = sorted(
        combinations(range(len(some)), 2),
        key=lambda pair: (not {some[place].name for place in pair} <= found, sum(pair)),
    )
    pairs = [(some[first], some[second]) for first, second in places]
    return [
        Job(
            TrialKey(Pair(first.name, second.name), EXCHANGE, audited.split),
            audited.pairs([each.region for each in (first, second) if each.region]),
            (first, second),
        )
        for first, second in [pair for pair in pairs if _are_disjoint(audited, *pair)][: frame.effort.pairs]
    ]


def _are_disjoint(sample: Sample, factor: Factor, other: Factor) -> bool:
    """Whether a pair can be put in together: two regions that hardly overlap, or a region and a property."""
    if factor.region is None or other.region is None:
        return factor.region is not other.region
    return overlap_of(sample, factor.region, other.region) <= DISJOINT


def _controls(samples: Samples, factors: Sequence[Factor], count: int, seed: int) -> dict[ControlRegion, Tensor]:
    """Regions of the factors' areas, away from the core: `count` (H, W) in each of up to N_BINS bins."""
    audited = samples.audited
    means = {
        factor.region: mean_mask(audited, factor.region)
        for factor in factors
        if factor.region and factor.region in audited.masks
    }
    areas = [float(mean.mean()) for region, mean in means.items() if region not in samples.core]
    if not areas or not count:
        return {}
    core = torch.zeros(audited.pixels.shape[2:])
    for region in samples.core:
        core = torch.maximum(core, means.get(region, core))
    free = float(free_pixels(core).float().mean())
    controls: dict[ControlRegion, Tensor] = {}
    for area in area_bins(areas, N_BINS).areas:
        if ROOM * area <= free:
            thousandths = round(1000 * float(f"{area:.3f}"))
            masks = control_masks(area, core, count, seed)
            controls |= {ControlRegion(thousandths, number): mask for number, mask in enumerate(masks)}
    return controls
