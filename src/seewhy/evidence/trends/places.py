"""How much of the maps lies in which zone of the picture, and which zone says best where a map lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch.nn import functional

from seewhy.estimates import Estimate, Floats, mean_of
from seewhy.evidence.factors.zones import HALVES, ZONES, zones_of
from seewhy.records import Outcome

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
GRID = "grid:4x4"
LEAST_LIFT = 1.5  # of a share over its area, below which a map is called spread out
_SIDE = 96  # pixels of the canvas on which zones are drawn


@dataclass(frozen=True)
class ZoneShare:
    """The mean share of the maps of some images that lies in a zone, with the zone's share of the picture, `area`.

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
    """Where a mean map lies: a zone and what `--regions` calls it, with the share in it and its area."""

    zone: str
    region: str
    share: float
    area: float

    @property
    def words(self) -> str:
        """For a sentence, with the numbers."""
        if not self.zone:
            return "spread over the picture"
        name = WORDS.get(self.zone) or "in " + _cell_words(self.zone)
        return f"{name} ({100 * self.share:.0f} % of the map on {100 * self.area:.0f} % of the area)"


@cache
def cells_of(grid: tuple[int, int]) -> Mapping[str, Floats]:
    """The share of each cell (h, w) of a grid that each zone covers."""
    zones = {**ZONES, **HALVES, **zones_of(GRID)}
    masks = torch.from_numpy(np.stack([zone((_SIDE, _SIDE)) for zone in zones.values()])).double() / 255
    return dict(zip(zones, functional.adaptive_avg_pool2d(masks[:, None], grid)[:, 0].numpy(), strict=True))


def zone_shares(outcomes: Sequence[Outcome], maps: Floats) -> list[ZoneShare]:
    """The shares in border, corners, centre and halves by class, split and right or wrong; of maps (N, h, w)."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row, outcome in enumerate(outcomes):
        label = outcome.image.label or outcome.prediction or EVERY
        answer = {True: "right", False: "wrong", None: EVERY}[outcome.correct]
        split = outcome.image.split or EVERY
        for key in {(c, s, a) for c in (label, EVERY) for s in (split, EVERY) for a in (answer, EVERY)}:
            groups.setdefault(key, []).append(row)
    shares = []
    for zone in (*ZONES, *HALVES):
        cells = cells_of((maps.shape[1], maps.shape[2]))[zone]
        inside = (maps * cells).sum(axis=(1, 2))
        shares += [
            ZoneShare(zone, *key, float(cells.mean()), _within_bounds(mean_of(inside[groups[key]])))
            for key in sorted(groups)
        ]
    return shares


def place_of(mean: Floats) -> TrendPlace:
    """The zone of a mean map (h, w), which sums to 1, that says most of where it lies; none of one that is spread out.

    It is the one whose share stands out most from its area, among those with a share of 1.5 times the area or more.
    """
    best, most = TrendPlace("", "", 1.0, 1.0), 0.0
    for zone, cells in cells_of((mean.shape[0], mean.shape[1])).items():
        share, area = float((mean * cells).sum()), float(cells.mean())
        stands_out = (share - area) / np.sqrt(area * (1 - area))
        if share >= LEAST_LIFT * area and stands_out > most:
            region = GRID if zone.startswith("cell-") else zone
            best, most = TrendPlace(zone, region, share, area), stands_out
    return best


def _within_bounds(share: Estimate) -> Estimate:
    return Estimate(share.value, max(0.0, share.low), min(1.0, share.high), share.n)


def _cell_words(zone: str) -> str:
    row, column = map(int, zone.split("-")[1:])
    return f"row {row + 1}, column {column + 1} of a 4 x 4 grid"
