"""Places that nobody named: proposed by exchanges on one half of the images, so that the other half can test them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.evidence.factors.boxes import RINGS, Box
from seewhy.evidence.factors.edits import filled, grown, transplanted
from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.inference.differences import (
    ClassDifference,
    class_difference,
    one_versus_rest,
    own_class_difference,
)
from seewhy.evidence.inference.two_way import cluster_effects, two_way
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.dealing import uses_of, with_partners
from seewhy.evidence.trials.hiding import hiding_pair, shrunk
from seewhy.evidence.trials.places import Places, names_of
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample, gathered
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Scores
from seewhy.records import Progress

RECIPIENTS, USES = 120, 2  # images that are edited for each place, donors of each group that each meets
LEAST_EACH = 20  # units of each class in the half that proposes
SUFFICES = 0.8  # of an effect: a smaller place that has so much of it stands for it
SHOWN = 3.0  # standard errors, for a place to be looked into
LEAST_PART = 0.25  # of all that lies outside of the core, for another place to be looked for
LEAST_SHARE = 0.4  # of an effect, for one of several places: what is spread over more than two is no place
LARGE = 0.5  # of all that is free: what takes so much is no place, but all of it
DENSE = 1.5  # times the effect that its area would have
MOST_PLACES = 3
USUAL, MOST_TRIED = 64, 160  # places that are tried in all, about, and after which no further one is begun
BEYOND = 1 / 8  # of the shorter side around the core, where a place cannot be told from the rest of the object
LEAST_BEYOND = 0.5  # of the effect, in proportion to the area, that must lie beyond that for a search to be of use
ONE_SIDED = 0.5  # of all that lies so near to the core: what takes more is no place there, but what is all around
_NEAR = "what acts outside of the core lies within an eighth of the side from it, mostly"


class _SpentError(Exception):
    """All trials are made that the search may make."""


@dataclass
class _Search:
    """The half of the images that proposes, and what was tried on it.

    `content` (M, 3, H, W) is what an image gives, its core painted over; `free` (1 or M, H, W) is 1 outside of the core
    and of the places that were found.
    """

    scorer: Scorer
    sample: Sample
    content: Tensor
    before: Scores
    free: Tensor
    pairs: Ints
    progress: Progress
    most: float
    tried: dict[Box, ClassDifference] = field(default_factory=dict)
    n_places: int = 0
    n_trials: int = 0

    def area(self, box: Box) -> float:
        """How much of the picture is free in a box, 0 to 1."""
        height, width = (int(side) for side in self.sample.pixels.shape[2:])
        return max(float((box.mask(height, width).to(self.free) * self.free).mean()), 1e-9)

    def effect(self, box: Box, contrast: Contrast) -> ClassDifference:
        """What the donors' content in a box does to the contrast's margin, in logits."""
        if box not in self.tried:
            self.tried[box] = self.measured(box, contrast)
        return self.tried[box]

    def kept(self, within: Box, contrast: Contrast) -> Callable[[Box, Box | None], float]:
        """The share of the effect of a box that goes where a part of it, but for a part of that, is left as it was."""
        height, width = (int(side) for side in self.sample.pixels.shape[2:])
        whole, around = self.effect(within, contrast).value, within.mask(height, width)

        @cache
        def share(box: Box, but: Box | None) -> float:
            left = box.mask(height, width) * (1 if but is None else 1 - but.mask(height, width))
            return 1 - self._measured(around * (1 - left), contrast).value / whole

        return share

    def measured(self, box: Box, contrast: Contrast) -> ClassDifference:
        """The same, tried anew."""
        height, width = (int(side) for side in self.sample.pixels.shape[2:])
        return self._measured(box.mask(height, width), contrast)

    def _measured(self, mask: Tensor, contrast: Contrast) -> ClassDifference:
        """Of a mask (1, H, W). Raises _SpentError where that would be more trials than may be made."""
        if self.n_trials + len(self.pairs) > self.most:
            raise _SpentError

        def edited(recipients: Tensor, donors: Tensor) -> Tensor:
            free = self.free if len(self.free) == 1 else self.free[recipients]
            given = gathered(self.content, donors)
            return transplanted(self.sample.canvases(recipients), given, (mask * free).to(given))

        after = self.scorer.scored(self.pairs, edited)
        self.n_places += 1
        self.n_trials += len(after)
        self.progress(min(self.n_places, USUAL - 1), USUAL)
        before = self.before.at(self.pairs[:, 0])
        change = after.margins[:, contrast.column].astype(np.float64) - before.margins[:, contrast.column]
        return _difference(self.sample, self.pairs, change, contrast)


def searched(
    audited: Sample,
    core: str | None,
    contrasts: Sequence[Contrast],
    scorer_of: Callable[[Sample], Scorer],
    seed: int,
    progress: Progress,
    *,
    most: float = float("inf"),
    taken: Collection[str] = (),
) -> Places:
    """Regions that suffice for what everything outside of the core does, at most three, for the other half to test.

    Each is a box, the frame, or all that is outside. From the whole down: a half stands for its parent where it has
    four fifths of the parent's effect, then edges are trimmed as long as that holds. What is left without the first
    place is searched for a second. Near the core nothing is looked for, where it may be the rest of the object,
    unless most acts there: then a place on one side of the core may say which. The images that proposed have no such
    region, so they cannot test it. At most `most` trials are made; `taken` are names that others have.
    """
    if not is_enough(audited, seed):
        return Places(_too_few(audited, seed))
    proposes = half_of(audited, seed)
    search = _begun(audited, proposes, core, scorer_of, seed, progress, most)
    near = search.free - _beyond(search.free)
    places: list[Box] = []
    is_rim, ended = False, ""
    try:
        is_rim = core is not None and _lies_at_the_rim(search, contrasts)
        for box in _places(search, contrasts):
            is_place = _is_one_sided(box, near) if is_rim else core is not None or box != Box()
            places += [box] if is_place else []
    except _SpentError:
        ended = " That is all that the budget leaves for it."
    progress(USUAL, USUAL)
    names = names_of(places, {*audited.masks, *taken})
    told = ", ".join(f"{name} ({box.words})" for name, box in zip(names, places, strict=True))
    found = f"{told}; what is said of them is tested on the others" if places else "none"
    found += f"; {_NEAR}" if is_rim else ""
    note = (
        f"Searched for places on {int(proposes.sum())} of {len(audited)} images ({search.n_places} places, "
        f"{search.n_trials:,} trials): {found}.{ended}"
    )
    ids = frozenset(audited.images[row].id for row in np.flatnonzero(proposes))
    return Places(note, dict(zip(names, places, strict=True)), search.n_places, search.n_trials, ids, is_rim)


def is_enough(audited: Sample, seed: int) -> bool:
    """Whether half of the images are enough to propose places: 20 clusters, or distinct images, of each class."""
    counts = _units_that_propose(audited, seed)
    return len(counts) > 1 and int(counts.min()) >= LEAST_EACH


def _units_that_propose(audited: Sample, seed: int) -> Ints:
    """How many clusters of each class that there is are in the half that proposes; one may be of several classes."""
    units = np.stack([audited.labels, audited.clusters], axis=1)[half_of(audited, seed)]
    counts = np.bincount(np.unique(units, axis=0)[:, 0], minlength=len(audited.counts))
    return np.asarray(counts[audited.counts > 0])


def _too_few(audited: Sample, seed: int) -> str:
    counts, units = _units_that_propose(audited, seed), "clusters" if audited.unit == "cluster" else "distinct images"
    if len(counts) < 2:
        return "No place was searched for: that takes images of two classes at least."
    return (
        f"No place was searched for: half of the images propose places, and that takes {LEAST_EACH} {units} of each "
        f"class among them; of one there are {int(counts.min())}."
    )


def trials_of_place(audited: Sample) -> int:
    """How many trials a place takes, about."""
    return min(RECIPIENTS, len(audited) // 2) * uses_of(audited.n_groups, USES) * audited.n_groups


def _lies_at_the_rim(search: _Search, contrasts: Sequence[Contrast]) -> bool:
    """Whether what acts outside of the core is mostly near it; if not, the search goes on beyond that."""
    whole = {contrast: search.measured(Box(), contrast) for contrast in contrasts}
    contrast = max(whole, key=lambda each: _strength(whole[each]))
    free = search.free
    search.free = _beyond(free)
    left = float(search.free.mean()) / max(float(free.mean()), 1e-9)
    beyond = search.measured(Box(), contrast).value / (whole[contrast].value or 1.0)
    is_rim = _strength(whole[contrast]) >= SHOWN and beyond < LEAST_BEYOND * left
    search.free = free if is_rim else search.free
    return is_rim


def _beyond(free: Tensor) -> Tensor:
    """What is left of all that is outside of the core away from it."""
    return 1 - grown(1 - free, round(BEYOND * min(free.shape[1:])))


def _is_one_sided(box: Box, near: Tensor) -> bool:
    """Whether a box holds no more than half of what lies near to the core."""
    height, width = (int(side) for side in near.shape[1:])
    return float((near * box.mask(height, width).to(near)).mean()) <= ONE_SIDED * float(near.mean())


def half_of(sample: Sample, seed: int) -> NDArray[np.bool_]:
    """Half of the images (M,), of every class alike; all of a cluster are in it, or none."""
    rng = np.random.default_rng((seed, len(SEARCH), *SEARCH.encode()))
    chosen = np.zeros(len(sample), dtype=bool)
    decided: dict[int, bool] = {}
    for index in np.unique(sample.labels):
        clusters = np.unique(sample.clusters[sample.labels == index])
        turn = 0
        for cluster in rng.permutation(clusters):
            if cluster not in decided:
                decided[cluster] = turn % 2 == 0
                turn += 1
        rows = np.flatnonzero(sample.labels == index)
        chosen[rows] = [decided[cluster] for cluster in sample.clusters[rows]]
    return chosen


def _begun(
    audited: Sample,
    proposes: NDArray[np.bool_],
    core: str | None,
    scorer_of: Callable[[Sample], Scorer],
    seed: int,
    progress: Progress,
    most: float,
) -> _Search:
    sample = with_partners(_part(audited, np.flatnonzero(proposes)), RECIPIENTS, USES, seed)
    scorer = scorer_of(sample)
    sample = scorer.sample
    everywhere = torch.ones(1, *sample.pixels.shape[2:], device=sample.pixels.device)
    free, content = everywhere, sample.pixels
    if core is not None:
        masks = [sample.masks_at(core, places) for places in torch.arange(len(sample)).split(CHUNK)]
        free = 1 - (masks[0] if len(masks[0]) == 1 else torch.cat(masks))
        content = torch.cat(
            [
                filled(sample.canvases(places), free if len(free) == 1 else free[places])
                for places in torch.arange(len(sample)).split(CHUNK)
            ]
        )
    before = scorer.scores()
    return _Search(
        scorer=scorer,
        sample=sample,
        content=content,
        before=before,
        free=free,
        pairs=sample.pairs([core] if core else []),
        progress=progress,
        most=most,
    )


def _part(sample: Sample, rows: Ints) -> Sample:
    """Some images of a sample."""
    places = torch.from_numpy(rows)
    return replace(
        sample,
        images=tuple(sample.images[row] for row in rows),
        labels=sample.labels[rows],
        pixels=sample.pixels[places],
        clusters=np.unique(sample.clusters[rows], return_inverse=True)[1],
        masks={name: mask if len(mask) == 1 else mask[places] for name, mask in sample.masks.items()},
        found={name: has[rows] for name, has in sample.found.items()},
    )


def _places(search: _Search, contrasts: Sequence[Contrast]) -> Iterator[Box]:
    """The places, the one that does most first."""
    first = None
    for turn in range(MOST_PLACES):
        search.tried.clear()
        whole = {contrast: search.measured(Box(), contrast) for contrast in contrasts}
        contrast = max(whole, key=lambda each: _strength(whole[each]))
        effect = search.tried[Box()] = whole[contrast]
        first = first or abs(effect.value)
        if search.n_places > MOST_TRIED or _strength(effect) < SHOWN or abs(effect.value) < LEAST_PART * first:
            return
        box = _smallest(search, contrast)
        yield box
        if not turn and not box.ring and (pair := hiding_pair(search.kept(box, contrast), box, SUFFICES)):
            yield from pair
            return
        if box == Box():
            return
        height, width = (int(side) for side in search.sample.pixels.shape[2:])
        search.free = search.free * (1 - box.mask(height, width)).to(search.free)


def _smallest(search: _Search, contrast: Contrast) -> Box:
    """The smallest box or frame that suffices for the effect of the whole, or for that of one of several places."""

    def share(box: Box, of: Box) -> float:
        return search.effect(box, contrast).value / search.effect(of, contrast).value

    def smaller(box: Box, of: Box) -> Box:
        return shrunk(box, lambda part: share(part, of), SUFFICES)

    def denser(box: Box) -> list[Box]:
        """Quarters with more of the effect than their area outside of the core would have: places of their own."""
        least = {part: DENSE * search.area(part) / search.area(box) for part in box.quarters()}
        dense = [part for part, asked in least.items() if asked <= 1 and share(part, box) >= asked]
        return [part for part in dense if share(part, Box()) >= LEAST_SHARE]

    of = Box()
    box = smaller(of, of)
    ring = next((frame for width in RINGS if share(frame := Box(ring=width), of) >= SUFFICES), None)
    if ring is not None and search.area(ring) < SUFFICES * search.area(of) and ring.area < box.area and not denser(box):
        return ring
    while dense := denser(box):
        of = max(dense, key=lambda part: share(part, box))
        box = smaller(of, of)
    return box if search.area(box) < LARGE * search.area(Box()) else Box()


def _strength(effect: ClassDifference) -> float:
    """How many standard errors an effect is from 0."""
    return abs(effect.value) / max(effect.error, 1e-12) if np.isfinite(effect.value) else 0.0


def _difference(sample: Sample, pairs: Ints, change: NDArray[np.float64], contrast: Contrast) -> ClassDifference:
    rows, columns, labels = pairs[:, 0], pairs[:, 1], sample.labels
    if contrast.is_own_class:
        return own_class_difference(rows, columns, change, labels, labels, clusters=sample.clusters)
    fit = two_way(rows, columns, change, len(labels), len(labels))
    effects, classes = cluster_effects(fit.donors, labels, sample.clusters)
    present = [int(label) for label in np.unique(labels)]
    return class_difference(effects, classes, one_versus_rest(contrast.column, present))
