"""What a search for places found: as an audit goes on with it, and as its folder keeps it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.factors.regions import Region, zone_region
from seewhy.evidence.trials.sample import Sample, with_masks

FOUND = "found by a search"


@dataclass(frozen=True)
class Places:
    """The boxes that a search proposes, by name, what it tried, and that in words; `proposers` are ids of images.

    The images that proposed a place cannot test it: they do not have it.
    """

    note: str
    boxes: Mapping[str, Box] = field(default_factory=dict)
    n_places: int = 0
    n_trials: int = 0
    proposers: frozenset[str] = frozenset()

    @property
    def regions(self) -> list[Region]:
        """The places as regions."""
        return [_region(box, name) for name, box in self.boxes.items()]

    def masked(self, samples: Mapping[str, Sample]) -> dict[str, Sample]:
        """The samples with the masks of the places, which no image that proposed them has."""
        masked = {}
        for split, sample in samples.items():
            height, width = (int(side) for side in sample.pixels.shape[2:])
            masks = {name: (box.mask(height, width) * 255).byte() for name, box in self.boxes.items()}
            tests = np.array([image.id not in self.proposers for image in sample.images], dtype=bool)
            has = {} if tests.all() else {name: tests for name in masks}
            masked[split] = with_masks(sample, {**sample.masks, **masks}, {**sample.found, **has})
        return masked

    def as_stored(self) -> dict[str, Any]:
        """As places.json has it."""
        return {
            "note": self.note,
            "places": [{"name": name, **vars(box), "words": box.words} for name, box in self.boxes.items()],
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


def _region(box: Box, name: str) -> Region:
    def zone(size: tuple[int, int]) -> NDArray[np.uint8]:
        return np.asarray((box.mask(*size)[0] * 255).byte().numpy())

    return replace(zone_region(name, zone), source=f"{FOUND}: {box.words}")
