"""Right and wrong answers to the same images before and after, compared pair by pair, each cluster as a whole."""

from __future__ import annotations

import math

import numpy as np

from seewhy.errors import counted
from seewhy.estimates import Floats, Integers
from seewhy.evidence.inference.units import count_units


def sign_flip_p(changes: Integers, clusters: Integers) -> float:
    """The two-sided p-value of as many gains as losses, from the change (N,) of each image: -1, 0 or 1.

    The exact sign-flip test of Fisher 1935 (The Design of Experiments, 21) on the sums of clusters (N,): if nothing
    changed, each whole cluster could as well have had before and after the other way round (as blocks are flipped by
    Winkler et al. 2015, NeuroImage 123). Of images that are their own clusters it is McNemar's exact test (McNemar
    1947, Psychometrika 12).
    """
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], changes).astype(np.int64)
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    chances = np.ones(1)  # of each sum that flips can give, from the smallest in steps of 2
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        flipped = np.zeros(size * count + 1)
        flipped[::size] = _coin_tosses(count)
        chances = np.convolve(chances, flipped)
    reach = len(chances) - 1
    is_as_far = np.abs(2 * np.arange(reach + 1) - reach) >= abs(int(sums.sum()))
    return min(1.0, float(chances[is_as_far].sum()))


def _coin_tosses(count: int) -> Floats:
    """The chances (count + 1,) of so many heads."""
    factorials = np.cumsum(np.log(np.maximum(np.arange(count + 1), 1)))  # their logarithms
    return np.asarray(np.exp(factorials[-1] - factorials - factorials[::-1] - count * math.log(2)))


def cluster_count(clusters: Integers) -> int | None:
    """How many clusters there are; None where each image is its own."""
    count = count_units(clusters)
    return count if count < len(clusters) else None


def name_of_test(n_clusters: int | None) -> str:
    """What `sign_flip_p` is called of so many clusters, None where each image is its own."""
    return "McNemar's exact test" if n_clusters is None else f"exact sign-flip test of {counted(n_clusters, 'cluster')}"
