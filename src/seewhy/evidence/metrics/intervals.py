"""Means of several methods over the same images, with intervals of the means and of all their differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.units import draw_weights, share_of

DRAWS = 2000
LEVEL = 0.95
_SAME = 1e-9  # two columns whose numbers are nowhere further apart are one


@dataclass(frozen=True)
class PairedMeans:
    """The mean of each of K columns with its 95 % interval, and of each pair's difference.

    `differences[i][j]` is column i less column j. The intervals of the differences hold for all pairs at once, so that
    one may pick the best column by the same images and compare the others with it.
    """

    means: tuple[Estimate, ...]
    differences: tuple[tuple[Estimate, ...], ...]


def drawn_means(values: Floats, clusters: Integers, draws: int, rng: np.random.Generator) -> Floats:
    """Means (draws, K) of values (N, K) over images that are drawn with replacement, a cluster's (N,) all at once.

    Efron 1979, Annals of Statistics 7.
    """
    names, members = np.unique(clusters, return_inverse=True)
    sums, counts = np.zeros((len(names), values.shape[1])), np.bincount(members).astype(np.float64)
    np.add.at(sums, members, values)
    times = draw_weights(np.zeros(len(names), dtype=np.int64), draws, rng)
    return np.asarray((times @ sums) / (times @ counts)[:, None])


def paired_means(
    values: Floats, *, clusters: Integers | None = None, are_hits: bool = False, draws: int = DRAWS, seed: int = 0
) -> PairedMeans:
    """The means of values (N, K), one row for each image, with bootstrap intervals over the images.

    Those of the means are percentiles; of hits and misses (1 and 0, of a column with nothing between), which may all
    be the same, Wilson's for as many images as would say as much without clusters. Those of the differences are as
    wide, in units of each pair's own standard error, as the largest of all differences is in 95 of 100 draws (Romano &
    Wolf 2005, Econometrica 73: the maximum of studentised statistics). With one image, or one cluster, they are
    endless.
    """
    n, count = values.shape
    units = np.arange(n) if clusters is None else clusters
    means = values.mean(axis=0)
    if len(np.unique(units)) < 2:
        unknown = tuple(Estimate(float(mean), -np.inf, np.inf, n) for mean in means)
        pairs = tuple(
            tuple(_difference(means, i, j, 0.0 if i == j else np.inf, n) for j in range(count)) for i in range(count)
        )
        return PairedMeans(unknown, pairs)
    drawn = drawn_means(values, units, draws, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    single = tuple(
        _hits(column == 1, units) if are_hits and np.isin(column, (0, 1)).all() else Estimate(float(mean), *ends, n)
        for column, mean, ends in zip(values.T, means, zip(low.tolist(), high.tolist(), strict=True), strict=True)
    )
    halves = _halves(values, drawn)
    return PairedMeans(
        single,
        tuple(tuple(_difference(means, i, j, float(halves[i, j]), n) for j in range(count)) for i in range(count)),
    )


def _hits(hits: NDArray[np.bool_], units: Integers) -> Estimate:
    """The share of hits (N,) with an interval that holds it, whatever rounding does to its ends."""
    share = share_of(hits, units)
    return Estimate(share.value, min(share.low, share.value), max(share.high, share.value), share.n)


def _halves(values: Floats, drawn: Floats) -> NDArray[np.float64]:
    """Half of the width (K, K) of each difference's interval."""
    means, count = values.mean(axis=0), values.shape[1]
    errors = np.zeros((count, count))
    largest = np.zeros(len(drawn))
    for i in range(count):
        moved = drawn[:, i, None] - drawn - (means[i] - means)
        errors[i] = moved.std(axis=0, ddof=1)
        same = np.abs(values[:, i, None] - values).max(axis=0) <= _SAME
        errors[i, same] = 0.0
        apart = errors[i] > 0
        if apart.any():
            largest = np.maximum(largest, (np.abs(moved[:, apart]) / errors[i, apart]).max(axis=1))
    return np.asarray(float(np.quantile(largest, LEVEL)) * errors)


def _difference(means: Floats, i: int, j: int, half: float, n: int) -> Estimate:
    value = float(means[i] - means[j])
    return Estimate(value, value - half, value + half, n)
