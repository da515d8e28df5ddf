"""Clusters as the units: what images of one patient, sign or video say together counts once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from seewhy.estimates import Estimate, Floats, Integers, Z, wilson


def draw_weights(strata: Integers, draws: int, rng: np.random.Generator) -> Floats:
    """How often each unit (N,) is drawn in each bootstrap sample (draws, N), every stratum keeping its size."""
    weights = np.zeros((draws, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return weights


def draw_clusters(classes: Integers, clusters: Integers, draws: int, rng: np.random.Generator) -> Floats:
    """How often each image (N,) is drawn in each sample (draws, N): its cluster is drawn as a whole.

    Clusters that hold images of the same classes are a stratum, so that each class keeps its size but for how large the
    drawn clusters are (Davison & Hinkley 1997, Bootstrap Methods, 3.8, their first strategy).
    """
    _, places = np.unique(clusters, return_inverse=True)
    names, of_class = np.unique(classes, return_inverse=True)
    held = np.zeros((int(places.max(initial=-1)) + 1, len(names)), dtype=np.int64)
    held[places, len(names) - 1 - of_class] = 1
    strata = np.unique(held, axis=0, return_inverse=True)[1].reshape(-1)
    return np.asarray(draw_weights(strata, draws, rng)[:, places])


def unit_means(values: Floats, clusters: Integers) -> Floats:
    """The mean value of each cluster (U,), from a value (N,) of each image."""
    _, places, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(places, values) / counts)


def unit_influences(influences: Floats, clusters: Integers) -> Floats:
    """The influence of each cluster (U,) on an estimate, from that of each image (N,); both average to the same."""
    _, places = np.unique(clusters, return_inverse=True)
    sums = np.bincount(places, influences)
    return influences if len(sums) == len(influences) else np.asarray(sums * (len(sums) / len(influences)))


def units_of(names: Sequence[str | None], count: int) -> Integers:
    """The number of each image's cluster (N,); one without a name, or all where there are no names, is its own."""
    own = [name or f"\0{place}" for place, name in enumerate(names or [None] * count)]
    return np.unique(own, return_inverse=True)[1].astype(np.int64) if own else np.zeros(0, np.int64)


def share_of(hits: NDArray[np.bool_], clusters: Integers) -> Estimate:
    """The share of hits (N,) with Wilson's interval for as many images as would say as much without clusters (N,).

    `n` stays that of the images.
    """
    n = len(hits)
    plain = wilson(int(hits.sum()), n)
    enough = independent_count(hits.astype(np.float64), clusters)
    if enough == n:
        return plain
    if not enough:
        return Estimate(plain.value, 0.0, 1.0, n)
    share = plain.value
    centre = (share + Z**2 / (2 * enough)) / (1 + Z**2 / enough)
    half = Z / (1 + Z**2 / enough) * math.sqrt(share * (1 - share) / enough + Z**2 / (4 * enough**2))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def share_change(before: NDArray[np.bool_], after: NDArray[np.bool_], clusters: Integers) -> Estimate:
    """How much more often images (N,) are hits after than before, with an interval that knows of clusters (N,).

    Agresti & Min 2005, Statistics in Medicine 24: half an image more in each of the four cells, so that no change
    among few images is no proof of none. As in share_of the cells are those of as many independent images.
    """
    change = after.astype(np.float64) - before
    n, value = len(change), float(change.mean())
    enough = independent_count(change, clusters)
    if not enough:
        return Estimate(value, -1.0, 1.0, n)
    net, discordant, total = value * enough, float(np.abs(change).mean()) * enough + 1, enough + 2
    half = Z * math.sqrt(discordant - net**2 / total) / total
    return Estimate(value, max(-1.0, net / total - half), min(1.0, net / total + half), n)


def independent_count(values: Floats, clusters: Integers) -> float:
    """How many images without clusters would tell the mean of values (N,) as well; 0 where all are one cluster.

    The number of the images over the design effect, and smaller where clusters are few (Korn & Graubard 1998, Survey
    Methodology 24). Where the values do not vary, a cluster tells as much as one image.
    """
    n, n_units = len(values), count_units(clusters)
    if n_units == n:
        return float(n)
    if n_units < 2:
        return 0.0
    deviations = values - values.mean()
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], deviations)
    variance = n_units / (n_units - 1) * float((sums**2).sum())
    independent = float((deviations**2).sum())
    effect = max(1.0, variance / independent) if independent > 0 else n / n_units
    widened = float(special.stdtrit(n_units - 1, 0.975)) / Z
    return n / effect / widened**2


def count_units(clusters: Integers) -> int:
    """How many clusters there are."""
    return len(np.unique(clusters))
