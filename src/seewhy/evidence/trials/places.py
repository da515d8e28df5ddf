"""What a search for places found: as an audit goes on with it, and as its folder keeps it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.data.masks import Levels
from seewhy.data.pictures.decode import UnreadableError
from seewhy.errors import listed
from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.factors.regions import Region, RegionCanvas, zone_region
from seewhy.evidence.trials.sample import CHUNK, Sample, with_masks
from seewhy.evidence.trials.squares import Squares, boxes_of, free_at

FOUND = "found by a search"
ANYWHERE = "moving patch"  # which lies elsewhere in each picture
_FINE = (48, 48)  # of which halves, thirds and sixteenths are whole pixels


@dataclass(frozen=True)
class Places:
    """The boxes that a search proposes, by name, what it tried, and that in words; `proposers` are ids of images.

    The images that proposed a place cannot test it: they do not have it. Those `at_rim` lie near the core, where they
    were looked for since most of what acts outside of it acts there. `anywhere` are squares that lie elsewhere in each
    picture, outside of the core or in it, by their name.
    """

    note: str
    boxes: Mapping[str, Box] = field(default_factory=dict)
    n_places: int = 0
    n_trials: int = 0
    proposers: frozenset[str] = frozenset()
    at_rim: frozenset[str] = frozenset()
    anywhere: Mapping[str, Squares] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that was found."""
        return (*self.boxes, *self.anywhere)

    @property
    def inside(self) -> frozenset[str]:
        """The names of those that lie in the core."""
        return frozenset(name for name, squares in self.anywhere.items() if squares.inside)

    @property
    def regions(self) -> list[Region]:
        """The places as regions, each without the pixels of those before it that it shares a part with.

        A later one was searched for without these. What lies elsewhere in each picture keeps its pixels.
        """
        fixed = [_region(name, box, self._before(name)) for name, box in self.boxes.items()]
        return fixed + [_anywhere(name, each) for name, each in self.anywhere.items()]

    def _before(self, name: str) -> dict[str, Box]:
        """The places that were found before one, as far as they lie partly in it and it in them."""
        box, earlier = self.boxes[name], dict[str, Box]()
        for other, place in self.boxes.items():
            if other == name:
                break
            both = float((box.mask(*_FINE) * place.mask(*_FINE)).sum())
            if 0 < both < min(float(box.mask(*_FINE).sum()), float(place.mask(*_FINE).sum())):
                earlier[other] = place
        return earlier

    def masked(self, samples: Mapping[str, Sample], core: str = "") -> dict[str, Sample]:
        """The samples with the masks of the places, which no image that proposed them has.

        What lies elsewhere in each picture lies outside of the region `core`, or in it.
        """
        masked = {}
        for split, sample in samples.items():
            height, width = (int(side) for side in sample.pixels.shape[2:])
            masks = {
                name: (_mask(box, self._before(name), (height, width)) * 255).byte() for name, box in self.boxes.items()
            }
            tests = np.array([image.id not in self.proposers for image in sample.images], dtype=bool)
            has = {} if tests.all() else {name: tests for name in masks}
            corners = {}
            for name, each in self.anywhere.items():
                corners[name] = torch.from_numpy(each.corners_in(sample))
                masks[name] = _masks_of(each, corners[name], sample, core)
                has[name] = tests & (masks[name] > 0).flatten(1).any(dim=1).numpy()
            with_places = with_masks(sample, {**sample.masks, **masks}, {**sample.found, **has})
            masked[split] = replace(with_places, corners={**sample.corners, **corners})
        return masked

    def as_stored(self) -> dict[str, Any]:
        """As places.json has it."""
        return {
            "note": self.note,
            "places": [
                {"name": name, **vars(box), "words": box.words, "at_rim": name in self.at_rim}
                for name, box in self.boxes.items()
            ],
            "tried": self.n_places,
            "trials": self.n_trials,
            "proposed_by": sorted(self.proposers),
            "anywhere": [{"place": name, **vars(each), "words": each.words} for name, each in self.anywhere.items()],
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Places:
        """Of what places.json has."""
        sides = ("top", "bottom", "left", "right", "ring")
        return cls(
            note=stored["note"],
            boxes={place["name"]: Box(**{side: place[side] for side in sides}) for place in stored["places"]},
            n_places=stored["tried"],
            n_trials=stored["trials"],
            proposers=frozenset(stored["proposed_by"]),
            at_rim=frozenset(place["name"] for place in stored["places"] if place.get("at_rim")),
            anywhere={each["place"]: _squares(each) for each in stored.get("anywhere", [])},
        )


def names_of(places: Sequence[Box], taken: Collection[str]) -> list[str]:
    """A name for each place, none twice and none that is taken: "patch top-right", "frame", "surround"."""
    names: list[str] = []
    for box in places:
        first = "surround" if box == Box() else "frame" if box.ring else f"patch {box.place}"
        names.append(name_of(first, {*taken, *names}))
    return names


def name_of(first: str, taken: Collection[str]) -> str:
    """The name, with a number where it is taken."""
    name, number = first, 2
    while name in taken:
        name, number = f"{first} {number}", number + 1
    return name


def _mask(box: Box, earlier: Mapping[str, Box], size: tuple[int, int]) -> Tensor:
    """The pixels (1, H, W) of a place that are none of earlier ones, 1 or 0."""
    mask = box.mask(*size)
    for place in earlier.values():
        mask = mask * (1 - place.mask(*size))
    return mask


def _region(name: str, box: Box, earlier: Mapping[str, Box]) -> Region:
    def zone(size: tuple[int, int]) -> NDArray[np.uint8]:
        return np.asarray((_mask(box, earlier, size)[0] * 255).byte().numpy())

    without = f", without {listed(earlier)}" if earlier else ""
    return replace(zone_region(name, zone), source=f"{FOUND}: {box.words}{without}")


def _anywhere(name: str, of: Squares) -> Region:
    """The region of squares that lie elsewhere in each picture, whose masks follow from the core's."""

    def draw(canvas: RegionCanvas) -> Levels:
        raise UnreadableError(f"{name} was looked for in the images of an audit alone")

    return Region(name, f"{FOUND}: {of.words}", fixed=False, draw=draw)


def _masks_of(squares: Squares, corners: Tensor, sample: Sample, core: str) -> Tensor:
    """The squares (M, H, W) where they may lie, as levels from 0 to 255."""
    size = (int(sample.pixels.shape[2]), int(sample.pixels.shape[3]))
    masks = torch.zeros(len(sample), *size, dtype=torch.uint8)
    for places in torch.arange(len(sample)).split(CHUNK):
        free = free_at(sample, core, places, squares.grow_px, inside=squares.inside).cpu()
        masks[places] = (boxes_of(corners[places], squares.side, size) * free * 255).round().byte()
    return masks


def _squares(stored: Mapping[str, Any]) -> Squares:
    corners = {name: None if corner is None else (corner[0], corner[1]) for name, corner in stored["corners"].items()}
    names = ("side", "grow_px", "label", "name", "share", "inside")
    return Squares(corners=corners, **{name: stored[name] for name in names})
