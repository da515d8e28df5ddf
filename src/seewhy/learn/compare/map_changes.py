"""How far the maps of the same images moved between two runs, and out of which regions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from seewhy.estimates import Estimate, Floats
from seewhy.evidence.inference.differences import ClassDifference, difference_of, mean_with_interval
from seewhy.evidence.inference.ranks import holm, spearman
from seewhy.records import MapKey
from seewhy.store.tables import Column

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class RegionShift:
    """The share of the maps that lies in a region, in both runs, and the second less the first, image by image."""

    region: str
    first: float
    second: float
    difference: ClassDifference
    p_holm: float
    n: int


@dataclass(frozen=True)
class MapChanges:
    """The maps of both runs on the same images: `keys` say which, `moved` how far each (N,), 0 to 1, NaN for none.

    `distance` is the mean of `moved`, `agreement` the mean rank correlation of raw maps; `mean_first` and `mean_second`
    (h, w) are the mean maps in multiples of an even spread, on one grid. `empty` counts images left out, since a map is
    empty in one of the runs.
    """

    keys: tuple[MapKey, MapKey]
    moved: Floats = field(repr=False)
    distance: Estimate
    agreement: Estimate
    mean_first: Maps = field(repr=False)
    mean_second: Maps = field(repr=False)
    empty: int
    regions: tuple[RegionShift, ...] = ()


def same_or_first(first: Sequence[MapKey], second: Sequence[MapKey]) -> tuple[MapKey, MapKey] | None:
    """The maps to compare: the first kind that both runs have, else the first of each; None where one has none."""
    if not first or not second:
        return None
    shared = next((key for key in first if key in second), None)
    return (shared, shared) if shared is not None else (first[0], second[0])


def map_changes(
    keys: tuple[MapKey, MapKey], first: Maps, second: Maps, regions: Sequence[RegionShift] = ()
) -> MapChanges | None:
    """The changes of maps (N, h, w), row by row of the same images; None where no image has a map in both runs.

    How far a map moved is half the sum over cells of what its positive part, spread to 1, gained or lost: 0 where both
    are one, 1 where they share no cell (the total variation distance). Grids that differ are brought to the coarser.
    """
    size = (min(first.shape[1], second.shape[1]), min(first.shape[2], second.shape[2]))
    raw = [_on(maps, size) for maps in (first, second)]
    shares = [_spread(_on(maps.clip(min=0), size)) for maps in (first, second)]
    kept = np.isfinite(shares[0]).all(axis=1) & np.isfinite(shares[1]).all(axis=1)
    if not kept.any():
        return None
    moved = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
    agreement = spearman(raw[0][kept], raw[1][kept])
    cells = size[0] * size[1]
    means = [(cells * share[kept].mean(axis=0)).reshape(size).astype(np.float32) for share in shares]
    return MapChanges(
        keys=keys,
        moved=np.where(kept, moved, np.nan),
        distance=_within(mean_with_interval(moved[kept]), 0.0),
        agreement=_within(mean_with_interval(agreement[np.isfinite(agreement)]), -1.0),
        mean_first=means[0],
        mean_second=means[1],
        empty=int((~kept).sum()),
        regions=tuple(regions),
    )


def region_shifts(
    first: Mapping[str, Column],
    second: Mapping[str, Column],
    names: Mapping[str, str],
    left_out: Collection[str] = (),
) -> list[RegionShift]:
    """The regions of both map_shares.parquet, with what each share did; `names` are the second's ids by the first's."""
    before, after = _shares(first), _shares(second)
    found = []
    for region in dict.fromkeys(region for region, _ in before if region not in left_out):
        both = [
            (share, after[region, names[name]])
            for (of, name), share in before.items()
            if of == region and name in names and (region, names[name]) in after
        ]
        values = np.array([pair for pair in both if np.isfinite(pair).all()])
        if len(values) > 1:
            found.append((region, values))
    differences = [_paired(values[:, 1] - values[:, 0]) for _, values in found]
    adjusted = holm([difference.p_value for difference in differences])
    return [
        RegionShift(region, float(values[:, 0].mean()), float(values[:, 1].mean()), difference, p_value, len(values))
        for (region, values), difference, p_value in zip(found, differences, adjusted, strict=True)
    ]


def _within(estimate: Estimate, least: float) -> Estimate:
    """The estimate with an interval from `least` to 1 at most, as its values are."""
    return replace(estimate, low=max(estimate.low, least), high=min(estimate.high, 1.0))


def _paired(values: Floats) -> ClassDifference:
    """The mean of paired differences with Student's interval and test."""
    n = len(values)
    error = float(values.std(ddof=1)) / n**0.5
    return difference_of(float(values.mean()), error, n - 1.0, {0: n})


def _shares(columns: Mapping[str, Column]) -> dict[tuple[str, str], float]:
    if not columns:
        return {}
    rows = zip(columns["region"], columns["id"], np.asarray(columns["share"], dtype=np.float64), strict=True)
    return {(str(region), str(name)): float(share) for region, name, share in rows}


def _on(maps: Maps, size: tuple[int, int]) -> Floats:
    """Maps (N, h, w) averaged to a grid that is no finer, flat: (N, cells)."""
    pooled = functional.adaptive_avg_pool2d(torch.from_numpy(maps.astype(np.float64))[:, None], size)
    return np.asarray(pooled.flatten(1).numpy())


def _spread(shares: Floats) -> Floats:
    """Each row over its sum; NaN where nothing is positive."""
    total = shares.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(shares, total, out=np.full_like(shares, np.nan), where=total > 0))
