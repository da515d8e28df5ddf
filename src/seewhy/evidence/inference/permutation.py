"""Does a column go with an outcome? Permutation within strata and clusters, and differences of rates with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from seewhy.estimates import Estimate, Floats, Integers
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
    column that is the same within every cluster (N,) is permuted between clusters that have the same strata, any other
    within clusters, those of one image being permuted among each other. The p-value counts the observed one (Phipson &
    Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9), so it is exact for any number of `draws`.
    """
    permuted, unit = _permutations(column, strata, clusters)
    cells, sizes, of_stratum = _cells(outcome, strata)
    weights = _weights(column)

    def statistics(order: Integers) -> Floats:
        values = column[order]  # (B, N, G)
        means = (cells @ values) / sizes[:, None]
        within = (of_stratum.indicators @ values) / of_stratum.sizes[:, None]
        return np.asarray((sizes[:, None] * (means - within[:, of_stratum.of_cell]) ** 2 * weights).sum(axis=(1, 2)))

    observed = float(statistics(np.arange(len(column))[None])[0])
    above = 0
    for start in range(0, draws, _AT_ONCE):
        drawn = statistics(permuted(min(_AT_ONCE, draws - start), rng))
        above += int((drawn >= observed - _SLACK * max(observed, 1.0)).sum())
    is_whole = len(of_stratum.sizes) == 1
    least = min(column.shape[1], len(sizes)) - 1
    v = math.sqrt(observed / (len(column) * least)) if is_whole and least > 0 and column.shape[1] > 1 else math.nan
    return PermutationTest((1 + above) / (1 + draws), unit, v)


@dataclass(frozen=True)
class _Strata:
    indicators: Floats  # (S, N)
    sizes: Floats  # (S,)
    of_cell: Integers  # (C,)


def _cells(outcome: Integers, strata: Integers) -> tuple[Floats, Floats, _Strata]:
    """The indicators (C, N) of each class of the outcome in each stratum, their sizes (C,), and the strata."""
    keys, places = np.unique(np.stack([strata, outcome], axis=1), axis=0, return_inverse=True)
    cells = (places.reshape(-1) == np.arange(len(keys))[:, None]).astype(np.float64)
    names, of_cell = np.unique(keys[:, 0], return_inverse=True)
    indicators = (strata == names[:, None]).astype(np.float64)
    return cells, cells.sum(axis=1), _Strata(indicators, indicators.sum(axis=1), of_cell.reshape(-1))


def _weights(column: Floats) -> Floats:
    """What makes the statistic Pearson's of indicators, Kruskal and Wallis's of ranks."""
    if column.shape[1] > 1:
        return np.asarray(1 / column.mean(axis=0))
    return np.asarray(1 / np.maximum(column.var(axis=0, ddof=1), 1e-300))


def _permutations(column: Floats, strata: Integers, clusters: Integers) -> tuple[Permutations, Unit]:
    """What draws orders (B, N) of the column's rows, and what it permutes."""
    _, first, of_image = np.unique(clusters, return_index=True, return_inverse=True)
    if len(first) == len(clusters):
        return _within(strata), "image"
    if (column == column[first][of_image]).all():
        held = np.zeros((len(first), int(strata.max()) + 1), dtype=np.int64)
        held[of_image, strata] = 1
        between = _within(np.unique(held, axis=0, return_inverse=True)[1].reshape(-1))
        return lambda count, rng: first[between(count, rng)][:, of_image], "cluster"
    sizes = np.bincount(of_image)
    alone = np.where(sizes[of_image] == 1, 0, 1 + of_image)
    return _within(np.unique(np.stack([strata, alone], 1), axis=0, return_inverse=True)[1]), "image within its cluster"


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
