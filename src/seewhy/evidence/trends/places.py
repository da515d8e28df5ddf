"""How much of the maps lies in which zone of the picture, and which zone says best where maps lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy import special
from torch.nn import functional

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.factors.regions import RegionCanvas
from seewhy.evidence.factors.zones import HALVES, ZONES
from seewhy.evidence.trends.mapped import MappedImages
from seewhy.evidence.trends.regions import GRID, REGIONS
from seewhy.geometry import Geometry, geometry_of
from seewhy.records import Outcome
from seewhy.store.arrays import read_chunks

EVERY = "all"
WORDS = {  # of a zone, for a sentence
    "border": "along the border",
    "centre": "in the centre",
    **{name: f"in the {name.replace('-', ' ')} corner" for name in ("top-left", "top-right")},
    **{name: f"in the {name.replace('-', ' ')} corner" for name in ("bottom-left", "bottom-right")},
    "left": "in the left half",
    "right": "in the right half",
    "top": "in the upper half",
    "bottom": "in the lower half",
}
LEAST_LIFT = 1.5  # of a share over its area, below which a map is called spread out
_SIDE = 96  # pixels at least, of a canvas that only a function knows


@dataclass(frozen=True, eq=False)
class ZonedMaps:
    """How much of N maps lies in each of Z zones, which are those of an audit's regions.

    `shares` (N, Z) are of the map, `areas` (N, Z) of the part of the canvas that shows the photograph: all of it but a
    letterbox's padding. `whole` says in a word what the areas are shares of.
    """

    names: tuple[str, ...]
    shares: Floats
    areas: Floats
    whole: str = "area"


@dataclass(frozen=True)
class ZoneShare:
    """The mean share of the maps of some images that lies in a zone, with the zone's share of the pictures, `area`.

    `label`, `split` and `answer` ("right", "wrong") say of which images; "all" where it is of every one of them.
    """

    zone: str
    label: str
    split: str
    answer: str
    area: float
    share: Estimate


@dataclass(frozen=True)
class TrendPlace:
    """Where maps lie: a zone and what `--regions` calls it, the mean share in it and its area, of the `whole`."""

    zone: str
    region: str
    share: float
    area: float
    whole: str = "area"

    @property
    def words(self) -> str:
        """For a sentence, with the numbers."""
        if not self.zone:
            return "spread over the picture"
        name = WORDS.get(self.zone) or "in " + _cell_words(self.zone)
        return f"{name} ({100 * self.share:.0f} % of the map on {100 * self.area:.0f} % of the {self.whole})"


def zoned(images: MappedImages) -> ZonedMaps:
    """How much of the images' maps lies in which zone; on the maps' own grid, as an audit has it."""
    shares = np.zeros((len(images), len(REGIONS)))
    areas = np.zeros_like(shares)
    for start, raw in read_chunks(images.folder, images.key) if len(images) else ():
        kept = np.nan_to_num(raw.astype(np.float64)).clip(min=0).reshape(len(raw), -1)
        grid = raw.shape[1], raw.shape[2]
        first, last = np.searchsorted(images.rows, (start, start + len(raw))).tolist()
        for place in range(first, last):
            cells, areas[place] = _zones_on(_geometry(images, images.outcomes[place], grid), grid)
            one = kept[images.rows[place] - start]
            shares[place] = cells @ one / one.sum()
    whole = "area" if images.preprocess else "network's input"
    return ZonedMaps(tuple(region.name for region in REGIONS), shares, areas, whole)


@lru_cache(maxsize=16)  # most photographs of a folder share a geometry, and many zones on a large grid are large
def _zones_on(geometry: Geometry, grid: tuple[int, int]) -> tuple[Floats, Floats]:
    """The share of each cell that each zone covers (Z, cells), and the zones' shares of what shows the photograph."""
    view = RegionCanvas(geometry)
    masks = (torch.from_numpy(view.levels(region)).double() / 255 for region in REGIONS)
    parts = [
        (functional.adaptive_avg_pool2d(mask[None], grid).flatten(), mask[view.visible()].mean()) for mask in masks
    ]
    return np.stack([cells.numpy() for cells, _ in parts]), np.array([float(area) for _, area in parts])


def _geometry(images: MappedImages, outcome: Outcome, grid: tuple[int, int]) -> Geometry:
    """How an audit lays zones on an image's canvas: on all of it, and in a letterbox where the photograph lies."""
    preprocess = images.preprocess
    if preprocess is None or (preprocess.size is None and outcome.height is None):
        # all that is known of the canvas is the maps' shape
        more = -(-_SIDE // min(grid))
        canvas = (more * grid[0], more * grid[1])
    else:
        geometry = geometry_of((outcome.height or 1, outcome.width or 1), preprocess)
        if preprocess.fit == "letterbox":
            return geometry
        canvas = geometry.canvas
    return Geometry(canvas, canvas, (1.0, 1.0), (0.0, 0.0))


def zone_shares(outcomes: Sequence[Outcome], maps: ZonedMaps) -> list[ZoneShare]:
    """The shares in border, corners, centre and halves by class, split and right or wrong."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row, outcome in enumerate(outcomes):
        label = _apart(outcome.image.label or outcome.prediction, "class")
        split = _apart(outcome.image.split, "split")
        answer = {True: "right", False: "wrong", None: EVERY}[outcome.correct]
        for key in {(c, s, a) for c in (label, EVERY) for s in (split, EVERY) for a in (answer, EVERY)}:
            groups.setdefault(key, []).append(row)
    return [
        ZoneShare(zone, *key, float(areas[groups[key]].mean()), mean_share(inside[groups[key]]))
        for zone, inside, areas in zip(maps.names, maps.shares.T, maps.areas.T, strict=True)
        if zone in ZONES or zone in HALVES
        for key in sorted(groups)
    ]


def mean_share(shares: Floats) -> Estimate:
    """The mean of shares (N,) in [0, 1] with Student's interval, cut off at 0 and 1; without one (NaN) of one share."""
    n, mean = len(shares), float(shares.mean())
    if n < 2:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(special.stdtrit(n - 1, 0.975)) * float(shares.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), n)


def place_of(maps: ZonedMaps, rows: Integers) -> TrendPlace:
    """The zone that says most of where the maps of some images lie; none of those that are spread out.

    It is the one whose mean share stands out most from its area, among those with a share of 1.5 times the area or
    more.
    """
    best, most = TrendPlace("", "", 1.0, 1.0), 0.0
    for zone, share, area in zip(
        maps.names, maps.shares[rows].mean(axis=0), maps.areas[rows].mean(axis=0), strict=True
    ):
        stands_out = (share - area) / np.sqrt(area * (1 - area)) if 0 < area < 1 else 0.0
        if share >= LEAST_LIFT * area and stands_out > most:
            region = GRID if zone.startswith("cell-") else zone
            best, most = TrendPlace(zone, region, float(share), float(area), maps.whole), stands_out
    return best


def _apart(name: str | None, kind: str) -> str:
    """A name for the table of shares, where "all" is of every one; None is of every one alone."""
    return EVERY if name is None else f"{name} ({kind})" if name == EVERY else name


def _cell_words(zone: str) -> str:
    row, column = map(int, zone.split("-")[1:])
    return f"row {row + 1}, column {column + 1} of a 4 x 4 grid"
