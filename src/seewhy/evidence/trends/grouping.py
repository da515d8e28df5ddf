"""How many groups a cloud of points has, none included, and which points belong to which; SpRAy's way beside it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csgraph, csr_matrix

from seewhy.errors import MissingExtraError
from seewhy.estimates import Floats, Integers

LEAST = 40  # points, below which nothing is grouped
MOST_GROUPS = 6
STRONG = 0.8  # prediction strength from which groups are stable; Tibshirani and Walther 2005, section 3
SPLITS = 6  # halvings, for the mean of the prediction strength
NULLS = 39  # clouds of each kind without groups that must all be cut less tightly: five numbers of groups are tried
PARTS = 10  # principal components that are grouped
MOST_POINTS = 500  # that decide the number of groups
NEIGHBOURS = 10  # of SpRAy's graph
MOST_SPRAY = 1000  # points of SpRAy's graph, whose matrix is dense


@dataclass(frozen=True)
class Grouping:
    """Points in groups: `labels` (N) from 0, the largest group first, all 0 where there is one.

    `strength` is the prediction strength of that number of groups, 0 to 1; NaN where it is of one group.
    """

    labels: Integers
    strength: float

    @property
    def n_groups(self) -> int:
        """How many groups there are; 1: no stable groups."""
        return int(self.labels.max(initial=0)) + 1


def stable_groups(points: Floats, seed: int = 0) -> Grouping:
    """The largest number of groups of points (N, D) that halves of them agree on, and that a cloud has by chance in
    at most one case of forty; one group where there is none.

    k-means; prediction strength of Tibshirani and Walther 2005 (JCGS 14). The clouds by chance have the same extents
    and are cut into as many groups: Gaussian ones as in SigClust (Liu et al. 2008, JASA 103), and even ones as in the
    gap statistic (Tibshirani et al. 2001). One long cloud cut in two is no two groups. The order of the points changes
    nothing but that of the labels.
    """
    order = np.lexsort(points.T)
    parts = principal_parts(points[order])
    random = np.random.default_rng(seed)
    some = np.sort(random.permutation(len(parts))[:MOST_POINTS])
    for n_groups in range(min(MOST_GROUPS, len(np.unique(parts, axis=0))), 1, -1):
        strength = prediction_strength(parts[some], n_groups, seed)
        if strength >= STRONG and not _is_by_chance(parts[some], n_groups, seed):
            return Grouping(_back(_k_means(parts, n_groups, seed).labels_, order), strength)
    return Grouping(np.zeros(len(points), dtype=np.int64), float("nan"))


def spectral_groups(points: Floats, seed: int = 0) -> Grouping:
    """The groups that SpRAy proposes of points (N, D), as many as the eigengap says, 2 to 6: never none.

    Lapuschkin et al. 2019 (Nature Communications 10): a symmetric graph of the 10 nearest neighbours, the normalized
    Laplacian, the largest gap between its eigenvalues, and k-means of its eigenvectors (Ng, Jordan and Weiss 2001).
    Of more than 1,000 points the others join the group of their nearest one.
    """
    order = np.lexsort(points.T)
    parts = principal_parts(points[order])
    some = np.sort(np.random.default_rng(seed).permutation(len(parts))[:MOST_SPRAY])
    library = _library("neighbors")
    count = min(NEIGHBOURS, len(some) - 1)
    graph: Any = library.kneighbors_graph(parts[some], count, mode="connectivity")
    laplacian = csgraph.laplacian(csr_matrix((graph + graph.T) / 2), normed=True).toarray()
    values, vectors = eigh(laplacian, subset_by_index=[0, min(MOST_GROUPS, len(some) - 1)])
    n_groups = 2 + int(np.argmax(np.diff(values)[1:]))
    rows = vectors[:, :n_groups]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    labels = _k_means(rows, n_groups, seed).labels_
    nearest = library.NearestNeighbors(n_neighbors=1).fit(parts[some]).kneighbors(parts, return_distance=False)[:, 0]
    every = labels[nearest]
    every[some] = labels  # of points that are the same, each its own
    return Grouping(_back(every, order), prediction_strength(parts[some], n_groups, seed))


def prediction_strength(points: Floats, n_groups: int, seed: int = 0) -> float:
    """How well halves of points (N, D) predict each other's groups, 0 to 1: the mean over halvings, both ways.

    Tibshirani and Walther 2005, eq. 2: in the worst group of one half, the share of pairs that the centres of the
    other half leave together.
    """
    random, strengths = np.random.default_rng(seed), []
    for _ in range(SPLITS):
        drawn = random.permutation(len(points))
        halves = points[drawn[: len(points) // 2]], points[drawn[len(points) // 2 :]]
        fits = [_k_means(half, n_groups, seed) for half in halves]
        for half, its_own, other in zip(halves, fits, reversed(fits), strict=True):
            strengths.append(_kept_pairs(its_own.labels_, other.predict(half), n_groups))
    return float(np.mean(strengths))


def principal_parts(points: Floats) -> Floats:
    """Points (N, D) along their principal components (N, at most 10)."""
    centred = points - points.mean(axis=0)
    _, scales, axes = np.linalg.svd(centred, full_matrices=False)
    kept = scales[:PARTS] > 1e-9 * max(1.0, float(scales.max(initial=0.0)))
    parts: Floats = centred @ axes[:PARTS][kept].T
    return np.ascontiguousarray(parts) if parts.shape[1] else np.zeros((len(points), 1))


def plane(points: Floats, seed: int = 0) -> Floats:
    """Points (N, D) on a plane (N, 2) for the eye, each axis 0 to 1: t-SNE, or principal components of over 2,000."""
    order = np.lexsort(points.T)
    parts = principal_parts(points[order])
    if 10 <= len(parts) <= 2000 and len(np.unique(parts, axis=0)) > 3:
        perplexity = min(30.0, (len(parts) - 1) / 3)
        parts = _library("manifold").TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(parts)
    flat = np.zeros((len(points), 2))
    flat[order, : min(2, parts.shape[1])] = parts[:, :2]
    low, high = flat.min(axis=0), flat.max(axis=0)
    placed: Floats = np.where(high > low, (flat - low) / np.where(high > low, high - low, 1), 0.5)
    return placed


def _kept_pairs(labels: Integers, others: Integers, n_groups: int) -> float:
    counts = np.zeros((n_groups, n_groups))
    np.add.at(counts, (labels, others), 1)
    sizes = counts.sum(axis=1)
    pairs = sizes * (sizes - 1)
    kept = (counts * (counts - 1)).sum(axis=1)
    return float(np.where(pairs > 0, kept / np.maximum(pairs, 1), 0.0).min())


def _is_by_chance(points: Floats, n_groups: int, seed: int) -> bool:
    """Whether a cloud of as many points and the same extents, without groups, is cut as tightly into groups."""
    random, spread, extent = np.random.default_rng([seed, n_groups]), points.std(axis=0), np.ptp(points, axis=0)
    clouds = (
        cloud
        for _ in range(NULLS)
        for cloud in (random.standard_normal(points.shape) * spread, random.random(points.shape) * extent)
    )
    tightness = _rest(points, n_groups, seed)
    return any(_rest(cloud, n_groups, seed) <= tightness for cloud in clouds)


def _rest(points: Floats, n_groups: int, seed: int) -> float:
    """The share of the points' sum of squares that is left within groups: SigClust's cluster index."""
    total = float(((points - points.mean(axis=0)) ** 2).sum())
    return float(_k_means(points, n_groups, seed).inertia_) / total if total > 0 else 1.0


def _back(labels: Integers, order: Integers) -> Integers:
    """Labels of sorted points for the points as they came, the largest group 0."""
    _, first, labels, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    back = np.empty(len(labels), dtype=np.int64)
    back[order] = rank[labels]
    return back


def _k_means(points: Floats, n_groups: int, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that fewer points differ than groups are asked for
        return _library("cluster").KMeans(n_groups, n_init=3, random_state=seed).fit(points)


def _library(name: str) -> Any:
    try:
        return import_module(f"sklearn.{name}")
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "trends", "Grouping maps") from error
