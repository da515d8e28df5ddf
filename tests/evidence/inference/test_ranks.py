"""Estimates against independent references: scipy, scikit-learn, and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from seewhy.estimates import mean_of, share_difference, wilson
from seewhy.evidence.inference.ranks import holm, paired_difference, rank_auc, ranks, spearman


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (650, 1300), (1, 1)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    found = wilson(successes, n)
    want = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert (found.value, found.n) == (successes / n, n)
    assert (found.low, found.high) == pytest.approx((want.low, want.high), abs=1e-12)


def test_nothing_counted_says_nothing() -> None:
    found = wilson(0, 0)
    assert np.isnan(found.value) and (found.low, found.high) == (0, 1)


def test_the_mean_has_its_normal_interval() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    found = mean_of(values)
    half = stats.norm.ppf(0.975) * stats.sem(values)
    assert (found.value, found.low, found.high) == pytest.approx((4, 4 - half, 4 + half))


def two_class(rng: np.random.Generator, n: int, shift: float, digits: int = 9) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, 2, n)
    margin = np.round(rng.normal(size=n) + shift * labels, digits)
    return np.stack([-margin, margin], axis=1), labels


@pytest.mark.parametrize("digits", [9, 0], ids=["no ties", "many ties"])
def test_two_classes_give_the_area_under_the_curve(digits: int) -> None:
    scores, labels = two_class(np.random.default_rng(0), 200, 0.7, digits)
    assert rank_auc(scores, labels)[0] == pytest.approx(roc_auc_score(labels, scores[:, 1]))


def test_many_classes_count_every_pair_once() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 4, 30), rng.normal(size=(30, 4)).round(1)
    wins = [
        (scores[i, labels[i]] > scores[j, labels[i]]) + 0.5 * (scores[i, labels[i]] == scores[j, labels[i]])
        for i, j in itertools.permutations(range(30), 2)
        if labels[i] != labels[j]
    ]
    value, influence = rank_auc(scores, labels)
    assert value == pytest.approx(np.mean(wins))
    assert influence.sum() == pytest.approx(0, abs=1e-9)


def delong_error(margin: np.ndarray, labels: np.ndarray) -> float:
    """The standard error of an AUC by DeLong's placements, written independently."""
    high, low = margin[labels == 1], margin[labels == 0]
    wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    return float(np.sqrt(wins.mean(1).var(ddof=1) / len(high) + wins.mean(0).var(ddof=1) / len(low)))


def test_the_error_of_two_classes_is_delongs() -> None:
    scores, labels = two_class(np.random.default_rng(2), 400, 0.5)
    value, influence = rank_auc(scores, labels)
    found, _ = paired_difference(value, influence)
    error = (found.high - found.value) / stats.norm.ppf(0.975)
    assert error == pytest.approx(delong_error(scores[:, 1], labels), rel=0.01)


def test_the_interval_of_a_paired_difference_covers_the_truth() -> None:
    """Two scores of the same quality, strongly correlated: 95 % of the intervals hold 0, and no more than 99 %."""
    rng, covered, alarms = np.random.default_rng(3), 0, 0
    for _ in range(300):
        labels = rng.integers(0, 2, 150)
        common = rng.normal(size=150) + 0.6 * labels
        first, second = (common + 0.5 * rng.normal(size=150) for _ in range(2))
        (a, own), (b, other) = (rank_auc(np.stack([-one, one], 1), labels) for one in (first, second))
        found, p_value = paired_difference(a - b, own - other)
        covered += found.low <= 0 <= found.high
        alarms += p_value < 0.05
    assert 0.91 <= covered / 300 <= 0.99
    assert alarms == 300 - covered


def test_equal_scores_do_not_differ() -> None:
    scores, labels = two_class(np.random.default_rng(4), 50, 1)
    value, influence = rank_auc(scores, labels)
    assert paired_difference(value - value, influence - influence)[1] == 1


def test_one_class_has_no_order() -> None:
    value, influence = rank_auc(np.zeros((3, 2)), np.zeros(3, dtype=np.int64))
    assert np.isnan(value) and not influence.any()


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_ranks_and_spearman_are_scipys() -> None:
    rng = np.random.default_rng(5)
    one, other = rng.normal(size=(6, 40)).round(1), rng.normal(size=(6, 40)).round(1)
    np.testing.assert_allclose(ranks(one), stats.rankdata(one, axis=1) - 1)
    want = [stats.spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), want)


def test_a_constant_or_broken_map_has_no_correlation() -> None:
    varied = np.arange(4.0)
    assert np.isnan(
        spearman(np.stack([np.ones(4), varied, varied]), np.stack([varied, np.ones(4), [0, 1, np.nan, 2]]))
    ).all()


def test_the_difference_of_two_shares_is_newcombes() -> None:
    """Newcombe 1998, table II, example a, method 10: 56/70 - 48/80 = 0.2000 [0.0524, 0.3339]."""
    difference = share_difference(wilson(56, 70), wilson(48, 80))
    assert difference.value == pytest.approx(0.2) and difference.n == 150
    assert (difference.low, difference.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
