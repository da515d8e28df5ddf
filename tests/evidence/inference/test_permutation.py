"""Columns against outcomes: references from scipy and by enumeration, the level of the test, clusters, and rates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from seewhy.evidence.inference.permutation import (
    PermutationTest,
    permutation_test,
    rate_difference,
    shared_by_clusters,
)

Array = np.ndarray


def indicators(groups: Array) -> Array:
    return (groups[:, None] == np.unique(groups)).astype(float)


def compared(
    column: Array, outcome: Array, strata: Array | None = None, clusters: Array | None = None, draws: int = 1999
) -> PermutationTest:
    n = len(outcome)
    strata = np.zeros(n, dtype=np.int64) if strata is None else strata
    clusters = np.arange(n) if clusters is None else clusters
    return permutation_test(column, outcome, strata, clusters, draws=draws, rng=np.random.default_rng(0))


def chi_squared(groups: Array, outcome: Array) -> float:
    """Pearson's statistic of two groups and two outcomes, by its textbook formula."""
    a, b, c, d = (np.sum((groups == g) & (outcome == k)) for g in (0, 1) for k in (0, 1))
    return len(groups) * (a * d - b * c) ** 2 / ((a + b) * (c + d) * (a + c) * (b + d))


def test_a_small_table_has_the_p_value_of_all_its_permutations() -> None:
    groups, outcome = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 1])
    observed = chi_squared(groups, outcome)
    orders = itertools.permutations(groups)
    as_large = [chi_squared(np.array(order), outcome) >= observed - 1e-9 for order in orders]
    found = compared(indicators(groups), outcome, draws=20000)
    assert found.p_value == pytest.approx(np.mean(as_large), abs=0.01) and found.unit == "image"
    assert found.p_value == pytest.approx(
        stats.fisher_exact([[3, 1], [0, 3]]).pvalue, abs=0.01
    )  # the same ordering of tables here


def test_cramers_v_and_large_samples_are_those_of_the_chi_squared_test() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, 400)
    outcome = (rng.random(400) < 0.35 + 0.08 * groups).astype(np.int64)
    table = np.array([[np.sum((groups == g) & (outcome == k)) for k in (0, 1)] for g in range(3)])
    found = compared(indicators(groups), outcome, draws=9999)
    assert found.cramers_v == pytest.approx(stats.contingency.association(table, method="cramer"))
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, abs=0.015)


def test_numbers_are_compared_by_their_ranks() -> None:
    rng = np.random.default_rng(2)
    outcome = rng.integers(0, 3, 200)
    values = rng.normal(size=200) + 0.2 * outcome
    found = compared(stats.rankdata(values)[:, None], outcome, draws=9999)
    reference = stats.kruskal(*(values[outcome == k] for k in range(3))).pvalue
    assert found.p_value == pytest.approx(reference, abs=0.015) and math.isnan(found.cramers_v)


def test_what_strata_explain_is_no_association_within_them() -> None:
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1], 150)
    groups = (rng.random(300) < np.where(strata, 0.9, 0.1)).astype(np.int64)
    outcome = (rng.random(300) < np.where(strata, 0.9, 0.1)).astype(np.int64)
    assert compared(indicators(groups), outcome).p_value == 1 / 2000
    assert compared(indicators(groups), outcome, strata).p_value > 0.05


def level_of(make, clustered: bool, n: int = 300) -> float:
    rng, alarms = np.random.default_rng(4), 0
    for _ in range(n):
        groups, outcome, clusters = make(rng)
        units, none = clusters if clustered else np.arange(len(outcome)), np.zeros(len(outcome), np.int64)
        found = permutation_test(indicators(groups), outcome, none, units, draws=99, rng=rng)
        alarms += found.p_value <= 0.05
    return alarms / n


def by_cluster(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Forty patients of five images: one scanner each, and labels that are alike within patients."""
    clusters = np.repeat(np.arange(40), 5)
    groups = np.repeat(rng.integers(0, 2, 40), 5)
    return groups, (rng.random(200) < rng.beta(0.5, 0.5, 40)[clusters]).astype(np.int64), clusters


def within_clusters(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Sites whose cameras and labels both differ between sites, and are independent within each."""
    clusters = np.repeat(np.arange(8), 25)
    rates = rng.beta(0.5, 0.5, (2, 8))
    groups, outcome = ((rng.random(200) < rate[clusters]).astype(np.int64) for rate in rates)
    return groups, outcome, clusters


@pytest.mark.parametrize("make", [by_cluster, within_clusters])
def test_with_clusters_the_test_keeps_its_level_and_without_it_does_not(make) -> None:
    assert level_of(make, clustered=True) <= 0.08
    assert level_of(make, clustered=False) > 0.2


def of_unequal(rng: np.random.Generator, sizes: Sequence[int]) -> Array:
    return np.repeat(np.arange(60), rng.choice(sizes, 60))


def rare_wards(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Patients of few or many images; wards, of which those of fewer than 5 images would be one group."""
    clusters = of_unequal(rng, (1, 1, 2, 3, 8, 20))
    wards = np.minimum(rng.geometric(0.12, 60), 25)[clusters]
    return np.where(shared_by_clusters(wards, clusters, 20), wards, -1), rng.integers(0, 3, len(clusters)), clusters


def large_patients(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A column that says which patients have many images; labels of images."""
    clusters = of_unequal(rng, (1, 1, 1, 2, 3, 20))
    return (np.bincount(clusters)[clusters] > 5).astype(np.int64), rng.integers(0, 2, len(clusters)), clusters


def two_large_patients(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """The same of two of sixty patients, with labels of patients."""
    clusters = np.repeat(np.arange(60), [1] * 58 + [29] * 2)
    return (clusters >= 58).astype(np.int64), rng.integers(0, 2, 60)[clusters], clusters


def smaller_patients(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """The patients with fewer images than the median, whose shares of a label vary more."""
    clusters = np.unique(rng.integers(0, 60, 270), return_inverse=True)[1]
    sizes = np.bincount(clusters)
    return (sizes < np.median(sizes))[clusters].astype(np.int64), np.repeat(np.arange(3), 90), clusters


@pytest.mark.parametrize("make", [rare_wards, large_patients, two_large_patients, smaller_patients])
def test_how_large_clusters_are_makes_no_association(make) -> None:
    assert level_of(make, clustered=True) <= 0.08


def test_numbers_that_say_how_large_clusters_are_keep_the_level_too() -> None:
    rng, alarms = np.random.default_rng(12), 0
    for _ in range(300):
        clusters = of_unequal(rng, (1, 1, 1, 2, 3, 20))
        numbers = (np.bincount(clusters) + rng.random(60))[clusters]
        outcome, none = rng.integers(0, 2, len(clusters)), np.zeros(len(clusters), np.int64)
        column = stats.rankdata(numbers)[:, None]
        alarms += permutation_test(column, outcome, none, clusters, draws=99, rng=rng).p_value <= 0.05
    assert alarms / 300 <= 0.08


def test_a_cluster_counts_once_however_many_images_it_has() -> None:
    rng = np.random.default_rng(13)
    groups, outcome = rng.integers(0, 3, 40), rng.integers(0, 2, 40)
    found = set()
    for sizes in (np.full(40, 2), rng.integers(1, 30, 40)):
        column = indicators(np.repeat(groups, sizes))
        clusters = np.repeat(np.arange(40), sizes)
        found.add(compared(column, np.repeat(outcome, sizes), clusters=clusters).p_value)
    assert len(found) == 1


def test_values_that_one_cluster_has_are_told_from_those_of_several() -> None:
    clusters = np.array([0, 0, 0, 1, 2, 2, 3, 4])
    values = np.array(["a", "a", "a", "b", "c", "c", "b", "d"])
    assert values[shared_by_clusters(values, clusters, 20)].tolist() == ["b", "b"]
    assert shared_by_clusters(values[:-1], clusters[:-1], 1).sum() == 2
    assert shared_by_clusters(values[3:-1], clusters[3:-1], 20).all()  # "c" alone keeps its name


def test_what_is_permuted_is_said() -> None:
    rng = np.random.default_rng(5)
    groups, outcome, clusters = by_cluster(rng)
    assert compared(indicators(groups), outcome, clusters=clusters).unit == "cluster"
    groups, outcome, clusters = within_clusters(rng)
    assert compared(indicators(groups), outcome, clusters=clusters).unit == "image within its cluster"


def nested_outcome(rng: np.random.Generator, effect: float) -> tuple[Any, Any, Any]:
    """Forty patients with one label each; a column that varies from image to image, more often 1 where the label is."""
    clusters = np.repeat(np.arange(40), rng.integers(2, 6, 40))
    outcome = rng.integers(0, 2, 40)[clusters]
    return (rng.random(len(clusters)) < 0.5 + effect * (outcome - 0.5)).astype(int), outcome, clusters


def test_where_each_cluster_has_one_class_a_column_that_varies_is_compared_between_them() -> None:
    rng = np.random.default_rng(17)
    groups, outcome, clusters = nested_outcome(rng, 0.8)
    test = compared(indicators(groups), outcome, clusters=clusters)
    assert test.p_value == 1 / 2000 and test.unit == "cluster"
    mixed = outcome.copy()
    mixed[np.flatnonzero(clusters == 0)[0]] ^= 1  # one image is judged otherwise
    assert compared(indicators(groups), mixed, clusters=clusters).p_value <= 2 / 2000
    alarms = 0
    for _ in range(300):
        groups, outcome, clusters = nested_outcome(rng, 0.0)
        none = np.zeros(len(outcome), np.int64)
        alarms += permutation_test(indicators(groups), outcome, none, clusters, draws=99, rng=rng).p_value <= 0.05
    assert alarms / 300 <= 0.08


def test_an_association_within_clusters_is_found() -> None:
    clusters = np.repeat(np.arange(20), 10)
    groups = np.tile([0, 1], 100)
    outcome = np.where(np.random.default_rng(6).random(200) < 0.8, groups, 1 - groups)
    assert compared(indicators(groups), outcome, clusters=clusters).p_value == 1 / 2000


def test_near_duplicates_that_differ_leave_the_rest_to_be_permuted() -> None:
    rng = np.random.default_rng(7)
    clusters = np.array([0, 0, *range(1, 119)])
    groups = np.array([0, 1, *rng.integers(0, 2, 118)])
    outcome = groups.copy()
    assert compared(indicators(groups), outcome, clusters=clusters).p_value == 1 / 2000


# Rates


def test_a_difference_of_rates_is_that_of_a_regression_on_group_and_strata() -> None:
    rng = np.random.default_rng(8)
    strata = rng.integers(0, 3, 500)
    group = rng.random(500) < 0.2 + 0.2 * strata
    hits = rng.random(500) < 0.3 + 0.1 * group + 0.1 * strata
    design = np.column_stack([group, *(strata == stratum for stratum in range(3))]).astype(float)
    fitted = np.linalg.lstsq(design, hits.astype(float), rcond=None)[0]
    found = rate_difference(group, hits, strata, np.arange(500))
    assert found.value == pytest.approx(fitted[0]) and found.n == 500
    left = hits - design @ fitted
    bread = np.linalg.inv(design.T @ design)
    robust = math.sqrt((bread @ (design.T * left**2) @ design @ bread)[0, 0])
    assert (found.high - found.low) / (2 * stats.norm.ppf(0.975)) == pytest.approx(robust, rel=0.03)


def test_without_strata_it_is_the_plain_difference_and_covers() -> None:
    rng, covered = np.random.default_rng(9), 0
    group, none = np.arange(120) < 50, np.zeros(120, dtype=np.int64)
    for _ in range(400):
        hits = rng.random(120) < np.where(group, 0.7, 0.4)
        found = rate_difference(group, hits, none, np.arange(120))
        assert found.value == pytest.approx(hits[group].mean() - hits[~group].mean())
        covered += found.low <= 0.3 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_rates_of_0_and_1_are_not_taken_for_certain() -> None:
    group, none = np.arange(20) < 10, np.zeros(20, dtype=np.int64)
    found = rate_difference(group, group, none, np.arange(20))
    assert found.value == 1 and found.low < 0.8


def test_copies_of_clusters_add_nothing_to_a_difference() -> None:
    rng = np.random.default_rng(10)
    group, hits = rng.random(60) < 0.5, rng.random(60) < 0.5
    once = rate_difference(group, hits, np.zeros(60, np.int64), np.arange(60))
    copies = (np.repeat(values, 8) for values in (group, hits, np.zeros(60, np.int64), np.arange(60)))
    many = rate_difference(*copies)
    assert many.value == pytest.approx(once.value)
    assert many.high - many.low == pytest.approx(once.high - once.low, rel=0.06)


def test_a_group_that_fills_every_stratum_cannot_be_compared() -> None:
    strata = np.repeat([0, 1], 10)
    found = rate_difference(strata == 0, np.arange(20) % 2 == 0, strata, np.arange(20))
    assert math.isnan(found.value) and found.n == 0


def test_how_many_images_a_cluster_has_raises_no_alarm_where_means_are_compared() -> None:
    rng, alarms = np.random.default_rng(23), 0
    sizes = np.repeat([2, 10], 30)
    clusters, outcome = np.repeat(np.arange(60), sizes), np.repeat(np.repeat([0, 1], 30), sizes)
    none = np.zeros(len(outcome), np.int64)
    for _ in range(300):
        numbers = np.where(rng.random(len(outcome)) < 0.8, 0.0, rng.random(len(outcome)))
        column = stats.rankdata(numbers)[:, None]
        alarms += permutation_test(column, outcome, none, clusters, draws=99, rng=rng).p_value <= 0.05
    assert alarms / 300 <= 0.09
