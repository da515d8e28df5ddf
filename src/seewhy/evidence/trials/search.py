"""Places that nobody named: proposed by exchanges on one half of the images, so that the other half can test them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from seewhy.evidence.factors.boxes import RINGS, Box
from seewhy.evidence.factors.edits import grown
from seewhy.evidence.trials.anywhere import found_anywhere, found_inside
from seewhy.evidence.trials.contrast import MOST_CLASSES, Contrast
from seewhy.evidence.trials.dealing import uses_of
from seewhy.evidence.trials.hiding import hiding_pair, shrunk
from seewhy.evidence.trials.places import ANYWHERE, Places, name_of, names_of
from seewhy.evidence.trials.proposers import half_of, is_enough, too_few
from seewhy.evidence.trials.proposing import RECIPIENTS, USES, USUAL, Proposing, SpentError, begun, strength
from seewhy.evidence.trials.sample import CHUNK, Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.squares import Squares, boxes_of, free_at
from seewhy.records import Progress

SUFFICES = 0.8  # of an effect: a smaller place that has so much of it stands for it
SHOWN = 3.0  # standard errors, for a place to be looked into
LEAST_PART = 0.25  # of all that lies outside of the core, for another place to be looked for
LEAST_SHARE = 0.4  # of an effect, for one of several places: what is spread over more than two is no place
LARGE = 0.5  # of all that is free: what takes so much is no place, but all of it
DENSE = 1.5  # times the effect that its area would have
MOST_PLACES = 3
MOST_TRIED = 160  # places, after which no further one is begun
BEYOND = 1 / 8  # of the shorter side around the core, where a place cannot be told from the rest of the object
LEAST_BEYOND = 0.5  # of the effect, in proportion to the area, that must lie beyond that for a search to be of use
ONE_SIDED = 0.5  # of the core, and of all that lies so near to it: what holds more is no place there, but all around
LEAST_SEEN = 0.05  # of the picture, that must lie beyond that for an effect there to say anything
_NEAR = "what acts outside of the core lies within an eighth of the side from it, mostly"


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
    unless most acts there, or nothing else is left: then places that do not hold most of the core are. Last come small
    squares, elsewhere in each picture, outside of the core and in it. The images that proposed have no such region, so
    they cannot test it. At most `most` trials are made; `taken` are names that others have.
    """
    if not is_enough(audited, seed):
        return Places(too_few(audited, seed))
    proposes = half_of(audited, seed)
    search = begun(audited, proposes, core, scorer_of, seed, progress, most)
    outside = search.free
    places: list[Box] = []
    is_rim, ended, squares = False, "", dict[str, Squares]()
    try:
        is_rim = core is not None and _lies_at_the_rim(search, contrasts)
        for box in _places(search, contrasts):
            is_place = _is_one_sided(box, outside) if is_rim else core is not None or box != Box()
            places += [box] if is_place else []
        ended = (
            "" if core is not None else " What moves from picture to picture is looked for where a region is the core."
        )
        if core is not None:
            search.free = outside
            ended = _with_squares(squares, search, core, contrasts, is_rim=is_rim)
    except SpentError:
        ended = " That is all that the budget leaves for it."
    progress(USUAL, USUAL)
    names = names_of(places, {*audited.masks, *taken})
    moving = {name_of(first, {*audited.masks, *taken, *names}): found for first, found in squares.items()}
    words = {name: box.words for name, box in zip(names, places, strict=True)}
    words |= {name: found.words for name, found in moving.items()}
    told = ", ".join(f"{name} ({where})" for name, where in words.items())
    found = f"{told}; what is said of them is tested on the others" if words else "none"
    found += f"; {_NEAR}" if is_rim else ""
    note = (
        f"Searched for places on {int(proposes.sum())} of {len(audited)} images ({search.n_places} places, "
        f"{search.n_trials:,} trials): {found}.{ended}"
    )
    ids = frozenset(audited.images[row].id for row in np.flatnonzero(proposes))
    at_rim = {name for name, box in zip(names, places, strict=True) if is_rim and _is_near(box, outside)}
    at_rim |= {name for name, found in moving.items() if core and not found.inside and _lie_near(found, search, core)}
    boxes = dict(zip(names, places, strict=True))
    return Places(note, boxes, search.n_places, search.n_trials, ids, frozenset(at_rim), moving)


def trials_of_place(audited: Sample) -> int:
    """How many trials a place takes, about."""
    return min(RECIPIENTS, len(audited) // 2) * uses_of(audited.n_groups, USES) * audited.n_groups


def _with_squares(
    found: dict[str, Squares], search: Proposing, core: str, contrasts: Sequence[Contrast], *, is_rim: bool
) -> str:
    """Add what lies elsewhere in each picture, outside of the core and in it; why it was not looked for, else "".

    Outside nothing is looked for where most of what acts there lies near the core, since the rest of an object lies
    elsewhere in each picture as well. Raises SpentError.
    """
    if any(contrast.is_own_class for contrast in contrasts):
        return f" What moves from picture to picture is looked for of at most {MOST_CLASSES} classes."
    try:
        if not is_rim and (outside := found_anywhere(search, core, contrasts)) is not None:
            found[ANYWHERE] = outside
        if (inside := found_inside(search, core, contrasts)) is not None:
            found[f"patch in the {core}"] = inside
    except SpentError:
        raise
    except Exception as error:  # noqa: BLE001 -- the network's own code may raise anything
        why = next(iter(str(error).splitlines()), type(error).__name__)
        return f" What lies elsewhere in each picture was not looked for: {why}."
    return ""


def _lies_at_the_rim(search: Proposing, contrasts: Sequence[Contrast]) -> bool:
    """Whether what acts outside of the core is mostly near it; if not, the search goes on beyond that."""
    whole = {contrast: search.measured(Box(), contrast) for contrast in contrasts}
    contrast = max(whole, key=lambda each: strength(whole[each]))
    free = search.free
    search.free = _beyond(free)
    left = float(search.free.mean()) / max(float(free.mean()), 1e-9)
    beyond = search.measured(Box(), contrast).value / (whole[contrast].value or 1.0)
    is_little = float(search.free.mean()) < LEAST_SEEN
    is_rim = strength(whole[contrast]) >= SHOWN and (is_little or beyond < LEAST_BEYOND * left)
    search.free = free if is_rim else search.free
    return is_rim


def _beyond(free: Tensor) -> Tensor:
    """What is left of all that is outside of the core away from it."""
    return 1 - grown(1 - free, round(BEYOND * min(free.shape[1:])))


def _is_one_sided(box: Box, outside: Tensor) -> bool:
    """Whether a box holds no more than half of the core, nor of what lies near to it; `outside` (1 or M, H, W)."""
    return all(_share_in(box, part) <= ONE_SIDED for part in (1 - outside, outside - _beyond(outside)))


def _is_near(box: Box, outside: Tensor) -> bool:
    """Whether half of a box outside of the core, or more, lies near to it."""
    height, width = (int(side) for side in outside.shape[1:])
    held = outside * box.mask(height, width).to(outside)
    return float((held * _beyond(outside)).mean()) <= 0.5 * float(held.mean())


def _lie_near(found: Squares, search: Proposing, core: str) -> bool:
    """Whether half of what the squares hold outside of the core, or more, lies near to it."""
    sample = search.sample
    corners, size = torch.from_numpy(found.corners_in(sample)), tuple(int(side) for side in sample.pixels.shape[2:])
    held = beyond = 0.0
    for places in torch.arange(len(sample)).split(CHUNK):
        boxes = boxes_of(corners[places], found.side, (size[0], size[1]))
        for pixels in (found.grow_px, round(BEYOND * min(size))):
            area = float((boxes * free_at(sample, core, places, pixels, inside=False).cpu()).sum())
            held, beyond = (held + area, beyond) if pixels == found.grow_px else (held, beyond + area)
    return found.grow_px < round(BEYOND * min(size)) and beyond <= 0.5 * held


def _share_in(box: Box, part: Tensor) -> float:
    """How much of a part (1 or M, H, W) of the pictures lies in a box."""
    height, width = (int(side) for side in part.shape[1:])
    return float((part * box.mask(height, width).to(part)).mean()) / max(float(part.mean()), 1e-9)


def _places(search: Proposing, contrasts: Sequence[Contrast]) -> Iterator[Box]:
    """The places, the one that does most first."""
    first = None
    for turn in range(MOST_PLACES):
        search.tried.clear()
        whole = {contrast: search.measured(Box(), contrast) for contrast in contrasts}
        contrast = max(whole, key=lambda each: strength(whole[each]))
        effect = search.tried[Box()] = whole[contrast]
        first = first or abs(effect.value)
        if search.n_places > MOST_TRIED or strength(effect) < SHOWN or abs(effect.value) < LEAST_PART * first:
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


def _smallest(search: Proposing, contrast: Contrast) -> Box:
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
