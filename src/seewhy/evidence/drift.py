"""Where the maps lie, on train and on valid: shares in regions, and whether the two splits differ. Hypotheses only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from seewhy.evidence.overfit import energy_distance_test
from seewhy.evidence.prepare import Setting
from seewhy.evidence.sample import Sample
from seewhy.evidence.statistics import Estimate, Floats, mean_of
from seewhy.evidence.trials import Scores
from seewhy.run.work import explain_shard

_PERMUTATIONS = 999
_TINY = 1e-12


@dataclass(frozen=True)
class MapRecords:
    """What the maps of one split say, one row for each recipient (N).

    `shares` hold by region the share of the map's positive part that lies in it (NaN for an empty map), `areas` the
    share of the canvas that the region covers, `spread` the map's entropy from 0 (one cell) to 1 (all cells alike),
    `centre` (N, 2) its centre of mass (x, y) from 0 to 1.
    """

    places: NDArray[np.int64]
    shares: Mapping[str, Floats]
    areas: Mapping[str, Floats]
    spread: Floats
    centre: Floats


@dataclass(frozen=True)
class Drift:
    """Train beside valid: the energy distance of their map records with its p-value, and shares by region and split."""

    distance: float
    p_value: float
    shares: Mapping[str, Mapping[str, Estimate]]
    lifts: Mapping[str, Mapping[str, Estimate]]


def map_records(setting: Setting, sample: Sample) -> MapRecords:
    """The records of the recipients' maps, of the first layer, method and target of the plan."""
    plan = setting.plan
    chosen = sample.recipients
    if not len(chosen):
        nothing = np.zeros(0)
        return MapRecords(chosen, {}, {}, nothing, np.zeros((0, 2)))
    images = tuple(sample.images[place] for place in chosen)
    own = replace(plan, table=replace(plan.table, images=images))
    parts = [explain_shard(own, shard, overlays=False).maps[own.keys[0]] for shard in own.shards()]
    maps = np.nan_to_num(np.concatenate(parts).astype(np.float64)).clip(min=0)  # (N, h, w)
    total = maps.sum(axis=(1, 2))
    shape = maps / np.where(total > 0, total, np.nan)[:, None, None]
    shares, areas = {}, {}
    for region in sample.masks:
        inside = np.stack([_on_grid(sample, region, int(place), maps.shape[1:]) for place in chosen])
        has = sample.found.get(region, np.ones(len(sample), dtype=bool))[chosen]
        shares[region] = np.where(has, (shape * inside).sum(axis=(1, 2)), np.nan)
        areas[region] = np.where(has, inside.mean(axis=(1, 2)), np.nan)
    return MapRecords(chosen, shares, areas, _entropy(shape), _centre(shape))


def drift_of(setting: Setting, records: Mapping[str, MapRecords], before: Mapping[str, Scores], seed: int) -> Drift:
    """Whether the maps of train and valid differ, labels and right decisions held alike (permutation test)."""
    shares = {split: {name: _mean(one) for name, one in own.shares.items()} for split, own in records.items()}
    lifts = {
        split: {name: _mean(_lift(share, own.areas[name])) for name, share in own.shares.items()}
        for split, own in records.items()
    }
    if len(records) < 2 or not all(len(own.places) for own in records.values()):
        return Drift(float("nan"), 1.0, shares, lifts)
    tables, strata = [], []
    for split in ("train", setting.ground.audited.split):
        own, sample = records[split], setting.ground.samples[split]
        table = np.column_stack([*own.shares.values(), own.spread, own.centre])
        kept = np.isfinite(table).all(axis=1)
        places = own.places[kept]
        right = before[split].predictions[places] == sample.labels[places]
        tables.append(table[kept])
        strata.append(sample.labels[places] * 2 + right)
    rng = np.random.default_rng(seed)
    distance, p_value = energy_distance_test(
        tables[0], tables[1], (strata[0], strata[1]), n_permutations=_PERMUTATIONS, rng=rng
    )
    return Drift(distance, p_value, shares, lifts)


def map_share_rows(records: Mapping[str, MapRecords], samples: Mapping[str, Sample]) -> dict[str, list[object]]:
    """The columns of map_shares.parquet."""
    rows: dict[str, list[object]] = {name: [] for name in ("id", "split", "region", "area", "share", "lift")}
    for split, own in records.items():
        ids = [samples[split].images[place].id for place in own.places]
        for region, shares in own.shares.items():
            areas = own.areas[region]
            rows["id"] += ids
            rows["split"] += [split] * len(ids)
            rows["region"] += [region] * len(ids)
            rows["area"] += _or_none(areas)
            rows["share"] += _or_none(shares)
            rows["lift"] += _or_none(_lift(shares, areas))
    return rows


def _lift(shares: Floats, areas: Floats) -> Floats:
    return np.where(areas > 0, shares / np.maximum(areas, _TINY), np.nan)


def _on_grid(sample: Sample, region: str, place: int, grid: Sequence[int]) -> Floats:
    mask = sample.masks_at(region, torch.tensor([place]))
    return np.asarray(functional.adaptive_avg_pool2d(mask[None], (grid[0], grid[1]))[0, 0].double().numpy())


def _entropy(shape: Floats) -> Floats:
    cells = shape.reshape(len(shape), -1)
    logs = np.log(np.where(cells > 0, cells, 1.0))
    return np.asarray(-(cells * logs).sum(axis=1) / np.log(max(cells.shape[1], 2)))


def _centre(shape: Floats) -> Floats:
    height, width = shape.shape[1:]
    x = (shape.sum(axis=1) * ((np.arange(width) + 0.5) / width)).sum(axis=1)
    y = (shape.sum(axis=2) * ((np.arange(height) + 0.5) / height)).sum(axis=1)
    return np.stack([x, y], axis=1)


def _mean(values: Floats) -> Estimate:
    kept = values[np.isfinite(values)]
    return mean_of(kept) if len(kept) else Estimate(float("nan"), float("-inf"), float("inf"), 0)


def _or_none(values: Floats) -> list[object]:
    return [float(one) if np.isfinite(one) else None for one in values]
