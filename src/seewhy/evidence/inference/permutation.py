"""Does a column go with an outcome? Permutation within strata and clusters, and differences of rates with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.ranks import ranks
from seewhy.evidence.inference.units import count_units

Unit = Literal["image", "cluster", "image within its cluster"]
Permutations = Callable[[int, np.random.Generator], Integers]
_AT_ONCE = 250  # permutations
_SLACK = 1e-9  # of a statistic, below which two are equal


@dataclass(frozen=True)
class PermutationTest:
    """The p-value of a column with an outcome, what was permuted, and Cramér's V of both (NaN within strata)."""

    p_value: float
    unit: Unit
    cramers_v: float


def permutation_test(
    column: Floats,
    outcome: Integers,
    strata: Integers,
    clusters: Integers,
    *,
    draws: int,
    rng: np.random.Generator,
) -> PermutationTest:
    """Whether a column (N, G) goes with the class of an outcome (N,), in each stratum (N,) compared within it alone.

    The column is one indicator for each of its groups, or the ranks of numbers (N, 1). The statistic is Pearson's
    chi-squared (of ranks Kruskal and Wallis's), summed over strata; its distribution is that of the column permuted. A
    column that is the same within every cluster (N,) is permuted between clusters that have the same strata. Each
    cluster then counts once, by the shares of its images that are of each class, so that it is not its number of images
    that is compared. Any other column is permuted within clusters, those of one image being permuted among each other.
    But where less than half of the images could change anything there, since their clusters have one class each, the
    means of the clusters are permuted between them.
    The p-value counts the observed one (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9), so it is exact for any
    number of `draws`.
    """
    v = _cramers_v(column, outcome, strata)
    is_mean = not is_nested(column, clusters) and _is_between(column, outcome, strata, clusters)
    if is_mean:
        column = _cluster_means(column, clusters)
    units, permuted, unit = _permutations(column, strata, clusters)
    _, first = np.unique(units, return_index=True)
    table, rows = _table(outcome, strata, units), column[first]
    if unit == "cluster" and column.shape[1] == 1 and not is_mean:  # whose ranks would tell how many images it has
        rows = np.asarray(ranks(rows[:, 0])[:, None])
    statistics = _robust_statistics if unit == "cluster" else _statistics
    observed = float(statistics(table, rows[None])[0])
    above = 0
    for start in range(0, draws, _AT_ONCE):
        drawn = statistics(table, rows[permuted(min(_AT_ONCE, draws - start), rng)])
        above += int((drawn >= observed - _SLACK * max(observed, 1.0)).sum())
    return PermutationTest((1 + above) / (1 + draws), unit, v)


def _is_between(column: Floats, outcome: Integers, strata: Integers, clusters: Integers) -> bool:
    """Whether an order within clusters changes nothing for half of the images: both must vary there, in one stratum."""
    _, of_image, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    telling = sizes[of_image] == 1
    for place in np.flatnonzero(sizes > 1):
        for stratum in np.unique(strata[of_image == place]):
            rows = np.flatnonzero((of_image == place) & (strata == stratum))
            telling[rows] = np.ptp(outcome[rows]) > 0 and bool((np.ptp(column[rows], axis=0) > 0).any())
    return 2 * int(telling.sum()) < len(telling)


def _cluster_means(column: Floats, clusters: Integers) -> Floats:
    """The column (N, G) with the mean of its cluster for each image."""
    _, of_image, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), column.shape[1]))
    np.add.at(sums, of_image, column)
    return np.asarray((sums / sizes[:, None])[of_image])


def is_nested(column: NDArray[Any], clusters: Integers) -> bool:
    """Whether a column (N, ...) is the same within every cluster (N,)."""
    _, first, of_image = np.unique(clusters, return_index=True, return_inverse=True)
    return bool((column == column[first][of_image]).all())


def shared_by_clusters(values: NDArray[Any], clusters: Integers, most: int) -> NDArray[np.bool_]:
    """Whether a value of a nested column (N,) is among the `most` frequent that several clusters (N,) have.

    By clusters and not by images, so that there are the same groups whichever clusters have which values. All where
    but one value is not among them.
    """
    names, codes = np.unique(values, return_inverse=True)
    counts = np.bincount(np.unique(np.stack([codes, clusters], axis=1), axis=0)[:, 0])
    order = np.argsort(-counts, kind="stable")[:most]
    frequent = order[counts[order] > 1]
    return np.isin(codes, frequent) if len(frequent) < len(names) - 1 else np.ones(len(values), dtype=bool)


@dataclass(frozen=True)
class _Table:
    """The shares (C, R) of R images or clusters in each cell, a class in a stratum; which strata (S, R) each has."""

    shares: Floats
    strata: Floats
    of_cell: Integers  # (C,)


def _table(outcome: Integers, strata: Integers, units: Integers) -> _Table:
    keys, cells = np.unique(np.stack([strata, outcome], axis=1), axis=0, return_inverse=True)
    names, of_cell = np.unique(keys[:, 0], return_inverse=True)
    counts = np.zeros((len(keys), int(units.max()) + 1))
    np.add.at(counts, (cells.reshape(-1), units), 1)
    held = np.stack([counts[of_cell.reshape(-1) == place].sum(axis=0) for place in range(len(names))])
    shares = counts / np.maximum(held, 1)[of_cell.reshape(-1)]
    return _Table(shares, (held > 0).astype(np.float64), of_cell.reshape(-1))


def _statistics(table: _Table, values: Floats) -> Floats:
    """Of columns (B, R, G) that have the same rows in another order."""
    sizes, of_strata = table.shares.sum(axis=1), table.strata.sum(axis=1)
    means = (table.shares @ values) / sizes[:, None]
    within = (table.strata @ values) / of_strata[:, None]
    deviations = (means - within[:, table.of_cell]) ** 2
    return np.asarray((sizes[:, None] * deviations * _weights(values[0])).sum(axis=(1, 2)))


def _robust_statistics(table: _Table, values: Floats) -> Floats:
    """The same over its expectation, where rows vary as they do: of clusters with few images shares vary more.

    So that the test keeps its level where the column goes with how many images a cluster has (DiCiccio & Romano 2017,
    JASA 112); a row's variance is estimated by its own squared deviation (White 1980, Econometrica 48).
    """
    held, sizes = table.strata[table.of_cell], table.shares.sum(axis=1)
    spread = (held * (table.shares - (sizes / held.sum(axis=1))[:, None])) ** 2  # (C, R)
    within = ((table.strata @ values[0]) / table.strata.sum(axis=1)[:, None])[table.of_cell]  # (C, G)
    around = spread @ values**2 - 2 * within * (spread @ values) + within**2 * spread.sum(axis=1)[:, None]
    expected = (around / sizes[:, None] * _weights(values[0])).sum(axis=(1, 2))
    return np.asarray(_statistics(table, values) / np.maximum(expected, 1e-12))


def _weights(column: Floats) -> Floats:
    """What makes the statistic Pearson's of indicators, Kruskal and Wallis's of ranks."""
    if column.shape[1] > 1:
        return np.asarray(1 / column.mean(axis=0))
    return np.asarray(1 / np.maximum(column.var(axis=0, ddof=1), 1e-300))


def _cramers_v(column: Floats, outcome: Integers, strata: Integers) -> float:
    """Of all images; NaN of ranks, within strata, and where there is nothing to compare."""
    table = _table(outcome, strata, np.arange(len(outcome)))
    least = min(column.shape[1], len(table.shares)) - 1
    if len(table.strata) > 1 or least < 1:
        return math.nan
    return math.sqrt(float(_statistics(table, column[None])[0]) / (len(column) * least))


def _permutations(column: Floats, strata: Integers, clusters: Integers) -> tuple[Integers, Permutations, Unit]:
    """The units (N,) that are permuted, what draws orders (B, R) of their rows, and what they are."""
    _, of_image, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    images = np.arange(len(clusters))
    if len(sizes) == len(clusters):
        return images, _within(strata), "image"
    if is_nested(column, clusters):
        held = np.zeros((len(sizes), int(strata.max()) + 1), dtype=np.int64)
        held[of_image, strata] = 1
        return of_image, _within(np.unique(held, axis=0, return_inverse=True)[1]), "cluster"
    alone = np.where(sizes[of_image] == 1, 0, 1 + of_image)
    groups = np.unique(np.stack([strata, alone], 1), axis=0, return_inverse=True)[1]
    return images, _within(groups), "image within its cluster"


def _within(groups: Integers) -> Permutations:
    """Orders in which only the members of one group (N,) change places."""
    groups = groups.reshape(-1)
    base = np.argsort(groups, kind="stable")

    def drawn(count: int, rng: np.random.Generator) -> Integers:
        order = np.empty((count, len(groups)), dtype=np.int64)
        order[:, base] = np.argsort(groups + rng.random((count, len(groups))), axis=1)
        return order

    return drawn


def rate_difference(
    group: NDArray[np.bool_],
    hits: NDArray[np.bool_],
    strata: Integers,
    clusters: Integers,
    *,
    level: float = 0.95,
) -> Estimate:
    """By how much hits (N,) are more frequent in a group (N,) than outside of it, compared within strata (N,).

    Strata count by how well they compare, n1 n0 / n (Mantel and Haenszel's weights; the same as a regression on the
    group and the strata). The variance is clustered (Liang & Zeger 1986), and not below that of independent images with
    one hit and one miss added to both (Agresti & Caffo 2000), so that a rate of 0 or 1 is not taken for certain; with
    clusters the interval is Student's. NaN where no stratum has both. `n` counts the images of strata that have both.
    """
    value, total, independent, count = 0.0, 0.0, 0.0, 0
    pull = np.zeros(len(hits))
    for stratum in np.unique(strata):
        inside, outside = (strata == stratum) & group, (strata == stratum) & ~group
        n1, n0 = int(inside.sum()), int(outside.sum())
        if not n1 or not n0:
            continue
        weight = n1 * n0 / (n1 + n0)
        rates = float(hits[inside].mean()), float(hits[outside].mean())
        pull[inside] = weight * (hits[inside] - rates[0]) / n1
        pull[outside] = -weight * (hits[outside] - rates[1]) / n0
        added = [(hits[part].sum() + 1) / (n + 2) for part, n in ((inside, n1), (outside, n0))]
        independent += weight**2 * sum(p * (1 - p) / (n + 2) for p, n in zip(added, (n1, n0), strict=True))
        value, total, count = value + weight * (rates[0] - rates[1]), total + weight, count + n1 + n0
    n_units = count_units(clusters)
    if not total or n_units < 2:
        return Estimate(math.nan, -math.inf, math.inf, count)
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], pull)
    variance = max(n_units / (n_units - 1) * float((sums**2).sum()), independent) / total**2
    tail = (1 + level) / 2
    reach = float(special.stdtrit(n_units - 1, tail) if n_units < len(hits) else special.ndtri(tail))
    half, value = reach * math.sqrt(variance), value / total
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), count)
