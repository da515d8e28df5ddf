"""Intervals of means: against the normal ones, and how often equals are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.estimates import wilson
from seewhy.evidence.metrics.intervals import drawn_means, paired_means


def test_a_mean_has_about_its_normal_interval() -> None:
    values = np.random.default_rng(0).normal(3, 2, (400, 1))
    (mean,) = paired_means(values).means
    half = 1.96 * values.std(ddof=1) / 20
    assert mean.value == pytest.approx(values.mean()) and mean.n == 400
    assert (mean.low, mean.high) == pytest.approx((mean.value - half, mean.value + half), abs=0.02)


def test_a_difference_is_taken_image_by_image() -> None:
    """Two columns that share all but a constant are told apart, however far the images spread."""
    shared = np.random.default_rng(0).normal(0, 100, 50)
    noise = np.random.default_rng(1).normal(0, 0.1, 50)
    both = paired_means(np.stack([shared, shared - 0.5 + noise], axis=1))
    apart = both.differences[0][1]
    assert apart.value == pytest.approx(0.5, abs=0.05) and apart.low > 0.4
    assert both.differences[1][0].value == -apart.value and both.differences[1][0].high == -apart.low
    assert both.means[0].low < both.means[1].value < both.means[0].high


def test_what_is_the_same_differs_by_nothing() -> None:
    column = np.random.default_rng(0).normal(size=30)
    both = paired_means(np.stack([column, column, column + 1], axis=1))
    assert (both.differences[0][1].low, both.differences[0][1].high) == (0, 0)
    assert both.differences[2][0].low == pytest.approx(1)


def test_the_best_of_equals_is_seldom_told_apart_from_any() -> None:
    """The first is picked by the same images; intervals that know nothing of that tell it apart far more often."""
    told, single = 0, 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(size=(60, 6))
        differences = paired_means(values, draws=400, seed=seed).differences
        best = int(values.mean(axis=0).argmax())
        told += any(differences[place][best].high < 0 for place in range(6))
        gaps = values[:, [best]] - np.delete(values, best, axis=1)
        single += bool((gaps.mean(axis=0) > 1.96 * gaps.std(axis=0, ddof=1) / np.sqrt(60)).any())
    assert told <= 20 < single  # of 200: 5 % are 10


def test_a_cluster_is_drawn_as_a_whole() -> None:
    values, clusters = np.random.default_rng(0).normal(size=(20, 1)).repeat(5, axis=0), np.arange(20).repeat(5)
    whole, alone = paired_means(values, clusters=clusters).means[0], paired_means(values).means[0]
    assert (whole.high - whole.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(5), rel=0.15)
    drawn = drawn_means(values, clusters, 50, np.random.default_rng(0))
    assert drawn.shape == (50, 1)


def test_one_image_says_nothing() -> None:
    one = paired_means(np.array([[1.0, 2.0]]))
    assert one.means[0].low == -np.inf and one.differences[0][1].high == np.inf


@pytest.mark.parametrize(("share", "n"), [(0.05, 24), (0.02, 60), (0.95, 60), (0.5, 12)])
def test_the_interval_of_a_share_of_hits_holds_it(share: float, n: int) -> None:
    """In 300 drawn columns; a bootstrap of no hits is [0, 0] and holds 0.05 of 24 images 70 times in 100."""
    random = np.random.default_rng(0)
    shares = [
        paired_means((random.random((n, 1)) < share).astype(float), are_hits=True, draws=2).means[0] for _ in range(300)
    ]
    assert np.mean([each.low <= share <= each.high for each in shares]) > 0.92
    assert all(each.low < each.high and each.low <= each.value <= each.high for each in shares)


def test_hits_of_few_clusters_say_as_much_as_the_clusters() -> None:
    """All of five clusters hit: no more than five images would say, and less, because five are few."""
    hits = np.ones((50, 1))
    whole = paired_means(hits, clusters=np.arange(5).repeat(10), are_hits=True).means[0]
    assert (whole.value, whole.high, whole.n) == (1, 1, 50)
    assert whole.low <= wilson(5, 5).low < paired_means(hits, are_hits=True).means[0].low
    assert paired_means(hits, clusters=np.arange(5).repeat(10)).means[0].low == 1  # where they are no hits
