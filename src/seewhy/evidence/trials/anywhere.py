"""Whether what acts outside of the core, or in it, lies in small squares, elsewhere in each picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.factors.edits import moved, transplanted
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.proposing import Proposing, SpentError, strength
from seewhy.evidence.trials.sample import CHUNK, Sample, gathered
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.squares import (
    SIDES,
    Corners,
    Squares,
    boxes_of,
    free_at,
    has_room,
    squares_in,
    trials_of_squares,
)

SHOWN = 3.0  # standard errors, of all outside of the core, or of the core, and of what squares do
LEAST_PART = 0.25  # of what all outside of the core does, that squares have to do
LEAST_INSIDE, SMALL_PART = 0.1, 0.5  # of what all of the core does, on at most so much of it
DENSE = 2.0  # times what their share of the core would do, that squares in it have to do
SUFFICES = 0.9  # of what larger squares do: then the smaller ones stand for them
BEYOND = (1 / 16, 0.0)  # of the shorter side, how far from the core squares lie: the farthest that leaves enough
MOST_ASKED = 2  # classes for which pictures are asked to argue
ONE_PLACE = 0.5  # of a class's squares that share half with one place: that is a place like any other
ENOUGH = 0.5  # of all outside of the core, that must lie so far from it; of the images of a class, that have a square


def found_anywhere(search: Proposing, core: str, contrasts: Sequence[Contrast]) -> Squares | None:
    """The smallest squares, elsewhere in each picture, that do a fair part of all outside of the core; None where none.

    They lie as far from the core as leaves most of what is outside of it, and room in most pictures. Raises SpentError
    where that would be more trials than may be made.
    """
    shorter = min(search.sample.pixels.shape[2:])
    sides = _sides(shorter, 1.0)
    growths = [round(shorter * share) for share in BEYOND]
    grow_px = next((pixels for pixels in growths if _leaves_enough(search, core, max(sides), pixels)), None)
    if grow_px is None:
        return None
    return _smallest(search, Asked(core, sides, grow_px), contrasts, dict.fromkeys(sides, LEAST_PART))


def found_inside(search: Proposing, core: str, contrasts: Sequence[Contrast]) -> Squares | None:
    """The smallest squares in the core that do far more than their share of what it does; None where none do.

    Raises SpentError where that would be more trials than may be made.
    """
    search.turn_inside(core)
    sample = search.sample
    sides = _sides(min(sample.pixels.shape[2:]), SMALL_PART * float(search.free.mean()))
    if not sides or not _have_room(has_room(sample, core, min(sides), 0, inside=True), sample):
        return None
    pixels = float(search.free.mean()) * sample.pixels.shape[2] * sample.pixels.shape[3]
    least = {side: max(LEAST_INSIDE, DENSE * side * side / pixels) for side in sides}
    return _smallest(search, Asked(core, sides, inside=True), contrasts, least)


@dataclass(frozen=True)
class Asked:
    """Which squares are asked about: by side in pixels the share of the shorter side, and where they may lie."""

    core: str
    sides: Mapping[int, float]
    grow_px: int = 0
    inside: bool = False


def _sides(shorter: int, most: float) -> dict[int, float]:
    """The sides of squares in pixels, that take at most such a share of the picture."""
    return {max(2, round(shorter * share)): share for share in SIDES if share * share <= most}


def _smallest(
    search: Proposing, asked: Asked, contrasts: Sequence[Contrast], least: Mapping[int, float]
) -> Squares | None:
    """The smallest squares that suffice for what the best do; `least` are by side the shares of what all does."""
    whole = {contrast: search.measured(Box(), contrast) for contrast in contrasts}
    best, most = None, 0.0
    try:
        for contrast, label in _labels(whole, search.sample):
            for found, effect in _by_size(search, asked, contrast, label):
                part = effect.value / whole[contrast].value
                if strength(effect) >= SHOWN and part >= max(least[found.side], most / SUFFICES):
                    best, most = found, part
    except SpentError:
        if best is None:
            raise
    return best


def with_all_corners(
    found: Squares, samples: Sequence[Sample], core: str, scorer_of: Callable[[Sample], Scorer]
) -> Squares:
    """The squares with the corners in all images of the samples; those that are known stay."""
    corners = dict(found.corners)
    for sample in samples:
        rows = np.flatnonzero([image.id not in corners for image in sample.images])
        if len(rows):
            part = sample.part(rows)
            at = squares_in(scorer_of(part), core, found.label, [found.side], found.grow_px, inside=found.inside)
            corners |= _by_id(part, at[found.side])
    return replace(found, corners=corners)


def _labels(whole: Mapping[Contrast, ClassDifference], sample: Sample) -> list[tuple[Contrast, int]]:
    """The classes for which pictures are asked to argue: of two both, else those that are moved for certain."""
    shown = sorted((each for each in whole if strength(whole[each]) >= SHOWN), key=lambda each: -strength(whole[each]))
    present = [int(label) for label in np.unique(sample.labels)]
    if len(whole) == 1:
        return [(contrast, label) for contrast in shown for label in present]
    return [(contrast, contrast.column) for contrast in shown[:MOST_ASKED]]


def _by_size(
    search: Proposing, asked: Asked, contrast: Contrast, label: int
) -> Iterator[tuple[Squares, ClassDifference]]:
    """The squares of each size, the smallest first, with what they do; outside of the core those of no single place."""
    sample = search.sample
    search.spend(trials_of_squares(len(sample), len(asked.sides)))
    found = squares_in(search.scorer, asked.core, label, list(asked.sides), asked.grow_px, inside=asked.inside)
    for side, corners in found.items():
        if asked.inside or not _is_one_place(corners[sample.labels == label], side):
            name = sample.images[int(np.argmax(sample.labels == label))].label or ""
            by_id, share = _by_id(sample, corners), asked.sides[side]
            squares = Squares(side, asked.grow_px, label, name, share, by_id, asked.inside)
            yield squares, _effect(search, asked.core, squares, contrast)


def _effect(search: Proposing, core: str, found: Squares, contrast: Contrast) -> ClassDifference:
    """What the donors' squares in place of the recipients' do to the contrast's margin, in logits."""
    sample, size = search.sample, (int(search.sample.pixels.shape[2]), int(search.sample.pixels.shape[3]))
    corners = torch.from_numpy(found.corners_in(sample)).to(sample.pixels.device)

    def edited(recipients: Tensor, donors: Tensor) -> Tensor:
        at = corners[recipients]
        free = free_at(sample, core, recipients, found.grow_px, inside=found.inside)
        given = moved(gathered(search.content, donors), at - corners[donors])
        return transplanted(sample.canvases(recipients), given, boxes_of(at, found.side, size) * free)

    has = (corners >= 0).all(dim=1).cpu().numpy()
    return search.exchanged(search.pairs[has[search.pairs].all(axis=1)], edited, contrast)


def _leaves_enough(search: Proposing, core: str, side: int, grow_px: int) -> bool:
    """Whether most of what lies outside of the core lies so far from it, with room for a square in most images."""
    sample, outside = search.sample, float(search.free.mean())
    left = [
        len(places) * float(free_at(sample, core, places, grow_px, inside=False).mean())
        for places in torch.arange(len(sample)).split(CHUNK)
    ]
    has = has_room(sample, core, side, grow_px, inside=False)
    return sum(left) / len(sample) >= ENOUGH * outside and _have_room(has, sample)


def _have_room(has: NDArray[np.bool_], sample: Sample) -> bool:
    """Whether most images of each class have room."""
    return all(float(np.mean(has[sample.labels == label])) >= ENOUGH for label in np.unique(sample.labels))


def _is_one_place(corners: Corners, side: int) -> bool:
    """Whether most squares share half of their pixels with one of them."""
    known = corners[(corners >= 0).all(axis=1)]
    both = np.clip(side - np.abs(known[:, None] - known[None]), 0, None).prod(axis=2)
    return len(known) < 2 or float(np.mean(both >= side * side / 2, axis=1).max()) > ONE_PLACE


def _by_id(sample: Sample, corners: Corners) -> dict[str, tuple[int, int] | None]:
    """By image id the corner; None where there is no square."""
    return {
        image.id: (int(top), int(left)) if min(top, left) >= 0 else None
        for image, (top, left) in zip(sample.images, corners, strict=True)
    }
