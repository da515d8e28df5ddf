"""How many groups there are: planted ones are recovered, and clouds without groups have none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scikit-learn groups the maps, which is not there")

from seewhy.evidence.trends.grouping import plane, prediction_strength, spectral_groups, stable_groups

Floats = NDArray[np.float64]


def clouds(centres: Floats, n: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """n points around each centre, with spread 1."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(centres)), n)
    return centres[labels] + random.standard_normal((len(labels), centres.shape[1])), labels


def same_partition(first: NDArray[np.int64], second: NDArray[np.int64]) -> bool:
    together = [labels[:, None] == labels[None] for labels in (first, second)]
    return bool((together[0] == together[1]).all())


@pytest.mark.parametrize("n_clouds", [2, 3, 4])
def test_planted_groups_are_recovered_by_both_ways(n_clouds: int) -> None:
    points, labels = clouds(20 * np.eye(5)[:n_clouds], 30)
    stable = stable_groups(points)
    assert stable.n_groups == n_clouds and stable.strength == 1.0 and same_partition(stable.labels, labels)
    assert same_partition(spectral_groups(points).labels, labels)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", ["round", "long", "even"])
def test_one_cloud_is_no_groups(shape: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.standard_normal((80, 4)) if shape != "even" else random.random((80, 4))
    if shape == "long":
        points[:, 0] *= 20
    grouping = stable_groups(points, seed)
    assert grouping.n_groups == 1 and np.isnan(grouping.strength) and not grouping.labels.any()


def test_the_order_of_points_and_the_day_change_nothing() -> None:
    points, _ = clouds(np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]]), 25)
    order = np.random.default_rng(1).permutation(len(points))
    for grouped in (stable_groups, spectral_groups):
        first, again, moved = grouped(points), grouped(points), grouped(points[order])
        assert (first.labels == again.labels).all() and first.strength == again.strength == moved.strength
        assert (first.labels[order] == moved.labels).all()
    assert np.allclose(plane(points)[order], plane(points[order]))


def test_the_largest_group_is_the_first() -> None:
    points = np.concatenate([clouds(np.zeros((1, 2)), 20)[0], clouds(np.full((1, 2), 30.0), 60)[0]])
    assert np.bincount(stable_groups(points).labels).tolist() == [60, 20]


def test_identical_points_are_one_group() -> None:
    assert stable_groups(np.ones((50, 4))).n_groups == 1
    assert np.isfinite(plane(np.ones((50, 4)))).all()


def test_prediction_strength_is_its_definition() -> None:
    """The worst group's share of pairs that the other half leaves together, by counting pairs."""
    from sklearn.cluster import KMeans

    from seewhy.evidence.trends import grouping

    points, _ = clouds(np.array([[0.0, 0], [2, 0]]), 20)
    random, strengths = np.random.default_rng(3), []
    for _ in range(grouping.SPLITS):
        drawn = random.permutation(len(points))
        halves = points[drawn[:20]], points[drawn[20:]]
        fits = [KMeans(2, n_init=3, random_state=3).fit(half) for half in halves]
        for half, fitted, other in ((halves[0], *fits), (halves[1], *fits[::-1])):
            others = other.predict(half)
            shares = []
            for group in range(2):
                members = [place for place, label in enumerate(fitted.labels_) if label == group]
                pairs = [others[a] == others[b] for a in members for b in members if a != b]
                shares.append(np.mean(pairs) if pairs else 0.0)
            strengths.append(min(shares))
    assert prediction_strength(points, 2, 3) == pytest.approx(np.mean(strengths), abs=1e-12)


@pytest.mark.parametrize("n_copies", [20, 39, 45])
def test_points_that_are_nearly_all_the_same_have_groups_without_gaps(n_copies: int) -> None:
    points = np.zeros((n_copies + 1, 16))
    points[-1, 3] = 1.0
    for seed in range(5):
        labels = spectral_groups(points, seed=seed).labels
        assert labels.shape == (n_copies + 1,) and set(labels) == set(range(labels.max() + 1))
