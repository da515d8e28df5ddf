"""Where the maps lie, on train and on valid: their shares in regions. Hypotheses only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from seewhy.estimates import Estimate, Floats, mean_of
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.sample import Ints, Sample
from seewhy.explanation.shard import Maps, explain_shard
from seewhy.records import MapKey, MapStat

_CHUNK = 64  # images whose maps are measured at once
_TINY = 1e-12


@dataclass(frozen=True)
class MapRecords:
    """What the maps of one split say, one row for each image (N), whose places in the sample are `places`.

    `shares` hold by region the share of the map's positive part that lies in it (NaN for an empty map), `areas` the
    share of the canvas that the region covers. `maps` are the raw maps themselves (N, h, w), and `stats` their numbers,
    as `explain` gives them.
    """

    places: NDArray[np.int64]
    shares: Mapping[str, Floats]
    areas: Mapping[str, Floats]
    maps: Mapping[MapKey, Maps] = field(default_factory=dict, repr=False)
    stats: tuple[MapStat, ...] = field(default=(), repr=False)

    def at(self, rows: Ints) -> MapRecords:
        """The records of some rows, without their maps."""
        shares, areas = ({name: values[rows] for name, values in held.items()} for held in (self.shares, self.areas))
        return MapRecords(self.places[rows], shares, areas)


@dataclass(frozen=True)
class MapShares:
    """By split and region the mean share of the maps' positive part inside it, and that over the region's area."""

    shares: Mapping[str, Mapping[str, Estimate]]
    lifts: Mapping[str, Mapping[str, Estimate]]


def map_records(design: AuditDesign, sample: Sample) -> MapRecords:
    """The records of every image's maps; what they say is of the first layer, method and target of the plan."""
    plan = design.plan
    own_plan = replace(plan, table=replace(plan.table, images=sample.images))
    results = [explain_shard(own_plan, shard, overlays=False) for shard in own_plan.shards()]
    maps = {key: np.concatenate([result.maps[key] for result in results]) for key in own_plan.keys}
    stats = tuple(stat for result in results for stat in result.stats)
    first, everyone = maps[own_plan.keys[0]], np.arange(len(sample))
    starts = range(0, len(sample), _CHUNK)
    parts = [_measured(sample, first[start : start + _CHUNK], everyone[start : start + _CHUNK]) for start in starts]
    return MapRecords(
        everyone,
        {region: np.concatenate([part.shares[region] for part in parts]) for region in sample.masks},
        {region: np.concatenate([part.areas[region] for part in parts]) for region in sample.masks},
        maps,
        stats,
    )


def _measured(sample: Sample, maps: Maps, places: Ints) -> MapRecords:
    """The records of the maps (n, h, w) of the images at `places`."""
    positive = np.nan_to_num(maps.astype(np.float64)).clip(min=0)
    total = positive.sum(axis=(1, 2))
    shape = positive / np.where(total > 0, total, np.nan)[:, None, None]
    shares, areas = {}, {}
    for region in sample.masks:
        inside = _on_grid(sample, region, places, maps.shape[1:])
        has = sample.found.get(region, np.ones(len(sample), dtype=bool))[places]
        shares[region] = np.where(has, (shape * inside).sum(axis=(1, 2)), np.nan)
        areas[region] = np.where(has, inside.mean(axis=(1, 2)), np.nan)
    return MapRecords(places, shares, areas)


def shares_of_recipients(design: AuditDesign, records: Mapping[str, MapRecords]) -> MapShares:
    """The mean shares of the maps of those images that are edited."""
    edited = {split: of_split.at(design.samples[split].recipients) for split, of_split in records.items()}
    kept = {split: of_split if len(of_split.places) else None for split, of_split in edited.items()}
    return MapShares(
        {
            split: {} if of_split is None else {name: _mean(shares) for name, shares in of_split.shares.items()}
            for split, of_split in kept.items()
        },
        {
            split: {}
            if of_split is None
            else {name: _mean(_lift(shares, of_split.areas[name])) for name, shares in of_split.shares.items()}
            for split, of_split in kept.items()
        },
    )


def map_share_rows(records: Mapping[str, MapRecords], samples: Mapping[str, Sample]) -> dict[str, list[object]]:
    """The columns of map_shares.parquet."""
    rows: dict[str, list[object]] = {name: [] for name in ("id", "split", "region", "area", "share", "lift")}
    for split, of_split in records.items():
        ids = [samples[split].images[place].id for place in of_split.places]
        for region, shares in of_split.shares.items():
            areas = of_split.areas[region]
            rows["id"] += ids
            rows["split"] += [split] * len(ids)
            rows["region"] += [region] * len(ids)
            rows["area"] += _or_none(areas)
            rows["share"] += _or_none(shares)
            rows["lift"] += _or_none(_lift(shares, areas))
    return rows


def _lift(shares: Floats, areas: Floats) -> Floats:
    return np.where(areas > 0, shares / np.maximum(areas, _TINY), np.nan)


def _on_grid(sample: Sample, region: str, places: Ints, grid: Sequence[int]) -> Floats:
    """The share of each cell that the region covers (n, h, w)."""
    masks = sample.masks_at(region, torch.from_numpy(places))
    cells = functional.adaptive_avg_pool2d(masks[:, None], (grid[0], grid[1]))[:, 0].double().numpy()
    return np.broadcast_to(cells, (len(places), *cells.shape[1:]))


def _mean(values: Floats) -> Estimate:
    kept = values[np.isfinite(values)]
    return mean_of(kept) if len(kept) else Estimate(float("nan"), float("-inf"), float("inf"), 0)


def _or_none(values: Floats) -> list[object]:
    return [float(value) if np.isfinite(value) else None for value in values]
