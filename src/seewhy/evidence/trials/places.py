"""What a search for places found: as an audit goes on with it, and as its folder keeps it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seewhy.errors import listed
from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.factors.regions import Region, zone_region
from seewhy.evidence.trials.sample import Sample, with_masks

FOUND = "found by a search"
_FINE = (48, 48)  # of which halves, thirds and sixteenths are whole pixels


@dataclass(frozen=True)
class Places:
    """The boxes that a search proposes, by name, what it tried, and that in words; `proposers` are ids of images.

    The images that proposed a place cannot test it: they do not have it. Those `at_rim` lie near the core, where they
    were looked for since most of what acts outside of it acts there.
    """

    note: str
    boxes: Mapping[str, Box] = field(default_factory=dict)
    n_places: int = 0
    n_trials: int = 0
    proposers: frozenset[str] = frozenset()
    at_rim: frozenset[str] = frozenset()

    @property
    def regions(self) -> list[Region]:
        """The places as regions, each without the pixels of those before it that it shares a part with.

        A later one was searched for without these.
        """
        return [_region(name, box, self._before(name)) for name, box in self.boxes.items()]

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

    def masked(self, samples: Mapping[str, Sample]) -> dict[str, Sample]:
        """The samples with the masks of the places, which no image that proposed them has."""
        masked = {}
        for split, sample in samples.items():
            height, width = (int(side) for side in sample.pixels.shape[2:])
            masks = {
                name: (_mask(box, self._before(name), (height, width)) * 255).byte() for name, box in self.boxes.items()
            }
            tests = np.array([image.id not in self.proposers for image in sample.images], dtype=bool)
            has = {} if tests.all() else {name: tests for name in masks}
            masked[split] = with_masks(sample, {**sample.masks, **masks}, {**sample.found, **has})
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
        )


def names_of(places: Sequence[Box], taken: Collection[str]) -> list[str]:
    """A name for each place, none twice and none that is taken: "patch top-right", "frame", "surround"."""
    names: list[str] = []
    for box in places:
        first = "surround" if box == Box() else "frame" if box.ring else f"patch {box.place}"
        name, number = first, 2
        while name in taken or name in names:
            name, number = f"{first} {number}", number + 1
        names.append(name)
    return names


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
