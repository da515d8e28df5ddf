"""Which trials an audit makes: from factors and a budget to jobs, the most suspect factor first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from seewhy.evidence.factors.controls import ROOM, area_bins, control_masks, free_pixels
from seewhy.evidence.factors.edits import REMOVALS
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.request import Effort
from seewhy.evidence.trials.sample import DISJOINT, Ints, Sample, Samples, mean_mask, overlap_of
from seewhy.evidence.trials.trial import CONTROL, DONORS, INSERTED, NEUTRAL_MARK, NO_DONOR, OUTSIDE, Job

MARGINS = (2, 4, 8)  # pixels by which a region is drawn back from what it borders on
CONTROLS_ON_TRAIN = 12  # of the control regions, for the comparison with train
N_BINS = 4  # of areas, that share their control regions


@dataclass(frozen=True)
class Schedule:
    """All jobs in order, what was left out for want of budget, and what each control region covers."""

    jobs: tuple[Job, ...]
    effort: Effort
    left_out: tuple[str, ...] = ()
    controls: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n_trials(self) -> int:
        """Edited images in all."""
        return sum(job.n_trials for job in self.jobs)


def make_schedule(
    samples: Samples,
    factors: Sequence[Factor],
    marks: Sequence[Mark],
    effort: Effort,
    budget: int | None,
    seed: int,
) -> Schedule:
    """The jobs for these factors, at most `budget` trials of them: first with less effort, then with fewer factors."""
    controls = _controls(samples, factors, effort.controls, seed) if len(samples.audited.recipients) else {}
    found = _schedule(_dealt(samples, effort, seed), factors, marks, effort, controls, seed)
    if budget is None or found.n_trials <= budget:
        return found
    for less in effort.smaller():
        dealt = _dealt(samples, less, seed)
        found = _schedule(dealt, factors, marks, less, controls, seed)
        if found.n_trials <= budget:
            return found
    kept = list(factors)
    while kept and found.n_trials > budget:
        kept.pop()
        found = _schedule(dealt, kept, marks, found.effort, controls, seed)
    return replace(found, left_out=tuple(one.name for one in factors[len(kept) :]))


def _dealt(samples: Samples, effort: Effort, seed: int) -> Samples:
    """The samples with the recipients and donors of this effort."""
    dealt = {split: with_partners(sample, effort.recipients, effort.uses, seed) for split, sample in samples.items()}
    return replace(samples, by_split=dealt)


def _schedule(
    samples: Samples,
    factors: Sequence[Factor],
    marks: Sequence[Mark],
    effort: Effort,
    controls: Mapping[str, Tensor],
    seed: int,
) -> Schedule:
    controls = {name: mask for name, mask in controls.items() if int(name.partition("#")[2]) < effort.controls}
    jobs = [job for factor in factors for job in _of_factor(samples, factor, effort, seed)]
    jobs += [job for mark in marks for job in _of_mark(samples, mark, effort)]
    jobs += _of_controls(samples, controls, effort, seed)
    jobs += _of_pairs(samples, factors, effort.pairs)
    return Schedule(tuple(job for job in jobs if job.n_trials), effort, controls=controls)


def _of_factor(samples: Samples, factor: Factor, effort: Effort, seed: int) -> list[Job]:
    regions = [factor.region] if factor.region else []
    jobs = [Job(factor.name, DONORS, split, sample.pairs(regions), (factor,)) for split, sample in samples.items()]
    audited = samples.audited
    if samples.core and factor.name not in samples.core and _acts_on_core(audited, factor, samples.core[0]):
        pairs = audited.pairs([*regions, *samples.core])
        jobs.append(Job(factor.name, OUTSIDE, audited.split, pairs, (factor,), core=samples.core[0]))
    if not effort.removals:
        return jobs
    alone = _without_donors(audited, regions)
    jobs += [Job(factor.name, removal, audited.split, alone, (factor,), seed=seed) for removal in factor.removals]
    if factor.region and len(audited.masks[factor.region]) > 1:
        pairs = audited.pairs(regions)
        jobs += [Job(factor.name, f"shrunk-{pixels}", audited.split, pairs, (factor,)) for pixels in MARGINS]
    return jobs


def _of_mark(samples: Samples, mark: Mark, effort: Effort) -> list[Job]:
    audited = samples.audited
    everyone = audited.spread(2 * effort.recipients)
    pairs = np.stack([everyone, np.full_like(everyone, NO_DONOR)], axis=1)
    return [Job(mark.name, edit, audited.split, pairs, mark=mark) for edit in (INSERTED, NEUTRAL_MARK)]


def _of_controls(samples: Samples, controls: Mapping[str, Tensor], effort: Effort, seed: int) -> list[Job]:
    """Transplants of the control regions, each donor once, and the edit removals on one of them for each image."""
    jobs = [
        Job(name, CONTROL, split, sample.pairs(uses=1), control=mask[None])
        for split, sample in samples.items()
        for name, mask in controls.items()
        if sample is samples.audited or int(name.partition("#")[2]) < CONTROLS_ON_TRAIN
    ]
    alone = _without_donors(samples.audited, ())
    for area in dict.fromkeys(name.partition(" #")[0] for name in controls) if effort.removals else ():
        stack = torch.stack([mask for name, mask in controls.items() if name.startswith(f"{area} #")])
        jobs += [
            Job(area, f"{CONTROL} {one}", samples.audited.split, alone, control=stack, seed=seed) for one in REMOVALS
        ]
    return jobs


def _of_pairs(samples: Samples, factors: Sequence[Factor], most: int) -> list[Job]:
    """The most suspect pairs of factors that do not share pixels, the core left out."""
    audited = samples.audited
    some = [one for one in factors if one.region not in samples.core or one.region is None]
    places = sorted(combinations(range(len(some)), 2), key=sum)
    pairs = [(some[one], some[other]) for one, other in places]
    return [
        Job(
            f"{one.name} + {other.name}",
            DONORS,
            audited.split,
            audited.pairs([each.region for each in (one, other) if each.region]),
            (one, other),
        )
        for one, other in [pair for pair in pairs if _are_disjoint(audited, *pair)][:most]
    ]


def _acts_on_core(sample: Sample, factor: Factor, core: str) -> bool:
    """Whether the factor's pixels are partly those of the core, so that what it does may be the core's doing."""
    return factor.region is None or overlap_of(sample, factor.region, core) > DISJOINT


def _without_donors(sample: Sample, regions: Sequence[str]) -> Ints:
    pairs = sample.pairs(regions, uses=1)
    own = np.unique(pairs[:, 0])
    return np.stack([own, np.full_like(own, NO_DONOR)], axis=1)


def _are_disjoint(sample: Sample, one: Factor, other: Factor) -> bool:
    """Whether a pair can be put in together: two regions that hardly overlap, or a region and a property."""
    if one.region is None or other.region is None:
        return one.region is not other.region
    return overlap_of(sample, one.region, other.region) <= DISJOINT


def _controls(samples: Samples, factors: Sequence[Factor], count: int, seed: int) -> dict[str, Tensor]:
    """Regions of the factors' areas, away from the core: (H, W) by name, `count` in each of up to N_BINS bins."""
    audited = samples.audited
    means = {
        one.region: mean_mask(audited, one.region) for one in factors if one.region and one.region in audited.masks
    }
    areas = [float(mean.mean()) for region, mean in means.items() if region not in samples.core]
    if not areas or not count:
        return {}
    size = audited.pixels.shape[2:]
    core = torch.zeros(size)
    for region in samples.core:
        core = torch.maximum(core, means.get(region, core))
    free = float(free_pixels(core).float().mean())
    found: dict[str, Tensor] = {}
    for area in area_bins(areas, N_BINS).areas:
        if ROOM * area <= free:
            masks = control_masks(area, core, count, seed)
            found |= {f"area {area:.3f} #{number:02d}": mask for number, mask in enumerate(masks)}
    return found
