"""Places that nobody named: proposed by exchanges on one half of the images, so that the other half can test them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.evidence.factors.boxes import RINGS, Box
from seewhy.evidence.factors.edits import filled, grown, transplanted
from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.factors.regions import Region, zone_region
from seewhy.evidence.inference.differences import (
    ClassDifference,
    class_difference,
    one_versus_rest,
    own_class_difference,
)
from seewhy.evidence.inference.two_way import cluster_effects, two_way
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample, gathered, with_masks
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Scores
from seewhy.records import Progress

FOUND = "found by a search"
RECIPIENTS, USES = 120, 2  # images that are edited for each place, donors of each group that each meets
LEAST_EACH = 20  # units of each class in the half that proposes
SUFFICES = 0.8  # of an effect: a smaller place that has so much of it stands for it
SHOWN = 3.0  # standard errors, for a place to be looked into
LEAST_PART = 0.25  # of all that lies outside of the core, for another place to be looked for
LEAST_SHARE = 0.4  # of an effect, for one of several places: what is spread over more than two is no place
LARGE = 0.5  # of all that is free: what takes so much is no place, but all of it
DENSE = 1.5  # times the effect that its area would have
MOST_PLACES = 3
USUAL, MOST_TRIED = 64, 160  # places that are tried in all, about and at the most
BEYOND = 1 / 8  # of the shorter side around the core, where a place cannot be told from the rest of the object
LEAST_BEYOND = 0.5  # of the effect, in proportion to the area, that must lie beyond that for a search to be of use
_NEAR = "none, since what acts outside of the core lies within an eighth of the side from it, mostly"


@dataclass(frozen=True)
class Searched:
    """What a search proposes: the samples with the new regions, the regions, and in words what was done."""

    samples: dict[str, Sample]
    regions: list[Region]
    note: str


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

    def measured(self, box: Box, contrast: Contrast) -> ClassDifference:
        """The same, tried anew."""
        height, width = (int(side) for side in self.sample.pixels.shape[2:])
        mask = box.mask(height, width)

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
    samples: dict[str, Sample],
    core: str | None,
    contrasts: Sequence[Contrast],
    scorer_of: Callable[[Sample], Scorer],
    seed: int,
    progress: Progress,
) -> Searched:
    """Regions that suffice for what everything outside of the core does, at most three, for the other half to test.

    Each is a box, the frame, or all that is outside. From the whole down: a half stands for its parent where it has
    four fifths of the parent's effect, then edges are trimmed as long as that holds. What is left without the first
    place is searched for a second. Near the core nothing is looked for: there it may be the rest of the object. The
    images that proposed have no such region, so they cannot test it.
    """
    audited = next(iter(samples.values()))
    proposes = half_of(audited, seed)
    counts = np.bincount(_first_of_each(audited, proposes))
    if len(counts) < 2 or counts[counts > 0].min() < LEAST_EACH or (counts > 0).sum() < 2:
        least = 2 * LEAST_EACH
        return Searched(samples, [], f"No place was searched for: that takes {least} images of each class at least.")
    search = _begun(audited, proposes, core, scorer_of, seed, progress)
    is_rim = core is not None and _lies_at_the_rim(search, contrasts)
    places = [] if is_rim else [box for box in _places(search, contrasts) if core is not None or box != Box()]
    progress(USUAL, USUAL)
    names = _names(places)
    height, width = (int(side) for side in audited.pixels.shape[2:])
    masked = {}
    for split, sample in samples.items():
        masks = {name: (box.mask(height, width) * 255).byte() for name, box in zip(names, places, strict=True)}
        has = {name: ~proposes for name in masks} if sample is audited else {}
        masked[split] = with_masks(sample, {**sample.masks, **masks}, {**sample.found, **has})
    told = ", ".join(f"{name} ({box.words})" for name, box in zip(names, places, strict=True))
    found = f"{told}; what is said of them is tested on the others" if places else _NEAR if is_rim else "none"
    note = (
        f"Searched for places on {int(proposes.sum())} of {len(audited)} images ({search.n_places} places, "
        f"{search.n_trials:,} trials): {found}."
    )
    return Searched(masked, [_region(box, name) for name, box in zip(names, places, strict=True)], note)


def _lies_at_the_rim(search: _Search, contrasts: Sequence[Contrast]) -> bool:
    """Whether what acts outside of the core is mostly near it; if not, the search goes on beyond that."""
    whole = {contrast: search.measured(Box(), contrast) for contrast in contrasts}
    contrast = max(whole, key=lambda each: _strength(whole[each]))
    free, pixels = search.free, round(BEYOND * min(search.sample.pixels.shape[2:]))
    search.free = 1 - grown(1 - free, pixels)
    left = float(search.free.mean()) / max(float(free.mean()), 1e-9)
    beyond = search.measured(Box(), contrast).value / (whole[contrast].value or 1.0)
    return _strength(whole[contrast]) >= SHOWN and beyond < LEAST_BEYOND * left


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


def _first_of_each(sample: Sample, chosen: NDArray[np.bool_]) -> Ints:
    """The class index of one image of each cluster among the chosen."""
    rows = np.flatnonzero(chosen)
    _, first = np.unique(sample.clusters[rows], return_index=True)
    return np.asarray(sample.labels[rows[first]])


def _begun(
    audited: Sample,
    proposes: NDArray[np.bool_],
    core: str | None,
    scorer_of: Callable[[Sample], Scorer],
    seed: int,
    progress: Progress,
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
    return _Search(scorer, sample, content, before, free, sample.pairs([core] if core else []), progress)


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
    for _ in range(MOST_PLACES):
        search.tried.clear()
        whole = {contrast: search.measured(Box(), contrast) for contrast in contrasts}
        contrast = max(whole, key=lambda each: _strength(whole[each]))
        effect = search.tried[Box()] = whole[contrast]
        first = first or abs(effect.value)
        if search.n_places > MOST_TRIED or _strength(effect) < SHOWN or abs(effect.value) < LEAST_PART * first:
            return
        box = _smallest(search, contrast)
        yield box
        height, width = (int(side) for side in search.sample.pixels.shape[2:])
        search.free = search.free * (1 - box.mask(height, width)).to(search.free)
        if box == Box():
            return


def _smallest(search: _Search, contrast: Contrast) -> Box:
    """The smallest box or frame that suffices for the effect of the whole, or for that of one of several places."""

    def share(box: Box, of: Box) -> float:
        return search.effect(box, contrast).value / search.effect(of, contrast).value

    def shrunk(box: Box, of: Box) -> Box:
        for cut in (Box.halves, Box.trimmed, Box.trimmed_by_one):
            while fitting := [part for part in cut(box) if share(part, of) >= SUFFICES]:
                box = max(fitting, key=lambda part: share(part, of))
        return box

    def denser(box: Box) -> list[Box]:
        """Quarters with more of the effect than their area outside of the core would have: places of their own."""
        least = {part: DENSE * search.area(part) / search.area(box) for part in box.quarters()}
        dense = [part for part, asked in least.items() if asked <= 1 and share(part, box) >= asked]
        return [part for part in dense if share(part, Box()) >= LEAST_SHARE]

    of = Box()
    box = shrunk(of, of)
    ring = next((frame for width in RINGS if share(frame := Box(ring=width), of) >= SUFFICES), None)
    if ring is not None and search.area(ring) < SUFFICES * search.area(of) and ring.area < box.area and not denser(box):
        return ring
    while dense := denser(box):
        of = max(dense, key=lambda part: share(part, box))
        box = shrunk(of, of)
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


def _region(box: Box, name: str) -> Region:
    def zone(size: tuple[int, int]) -> NDArray[np.uint8]:
        return np.asarray((box.mask(*size)[0] * 255).byte().numpy())

    return replace(zone_region(name, zone), source=f"{FOUND}: {box.words}")


def _names(places: Sequence[Box]) -> list[str]:
    """A name for each place, none twice: "patch top-right", "frame", "surround"."""
    names: list[str] = []
    for box in places:
        name = "surround" if box == Box() else "frame" if box.ring else f"patch {box.place}"
        count = sum(other == name or other.startswith(f"{name} ") for other in names)
        names.append(f"{name} {count + 1}" if count else name)
    return names
