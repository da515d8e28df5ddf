"""Donor effects and their inference: exact laws, references from scipy, and simulated trials whose truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from seewhy.errors import DataError, OptionError
from seewhy.estimates import wilson
from seewhy.evidence.inference.bootstrap import omnibus, two_way_bootstrap
from seewhy.evidence.inference.differences import (
    ClassDifference,
    class_difference,
    difference_of,
    equivalent,
    fcr_level,
    flip_rate,
    one_versus_rest,
    outcome,
    own_class_difference,
    permuted_controls,
    smallest_effect,
)
from seewhy.evidence.inference.ranks import holm
from seewhy.evidence.inference.two_way import (
    cluster_effects,
    donor_effects,
    necessity,
    sensitivity,
    sufficiency,
    two_way,
)
from seewhy.evidence.inference.units import draw_weights

Array = np.ndarray
AGAINST = {1: 1.0, 0: -1.0}


def classes_of(donors: int) -> Array:
    return np.repeat([0, 1], donors)


def design(rng: np.random.Generator, recipients: int, donors: int, each: int) -> tuple[Array, Array]:
    """Each recipient meets `each` donors of both classes; `donors` of each class are used equally often."""
    uses = -(-recipients * each // donors)
    slots = [np.concatenate([rng.permutation(donors) for _ in range(uses)])[: recipients * each] for _ in range(2)]
    return np.tile(np.repeat(np.arange(recipients), each), 2), np.concatenate([slots[0], slots[1] + donors])


def changes(
    rng: np.random.Generator, recipient: Array, donor: Array, effects: Array, spread: float = 0.3, noise: float = 0.1
) -> Array:
    own = rng.normal(0, spread, recipient.max() + 1)
    return own[recipient] + effects[donor] + rng.normal(0, noise, len(recipient))


def plain_means(donor: Array, change: Array) -> Array:
    return np.bincount(donor, change) / np.bincount(donor)


# The fit


def test_the_fit_is_the_least_squares_solution_of_unbalanced_trials() -> None:
    rng = np.random.default_rng(0)
    recipient, donor = rng.integers(0, 20, 150), rng.integers(0, 30, 150)
    change = rng.normal(size=150)
    fit = two_way(recipient, donor, change, 20, 30)
    matrix = np.zeros((150, 50))
    matrix[np.arange(150), recipient] = matrix[np.arange(150), 20 + donor] = 1
    solution = np.linalg.lstsq(matrix, change, rcond=None)[0]
    assert fit.residuals == pytest.approx(change - matrix @ solution, abs=1e-11)
    assert fit.freedom == 150 - np.linalg.matrix_rank(matrix)
    want = np.where(np.bincount(donor, minlength=30) > 0, solution[20:], np.nan)
    assert fit.donors == pytest.approx(want - np.nanmean(want), abs=1e-11, nan_ok=True)


def test_effects_without_noise_are_found_exactly_with_trials_missing() -> None:
    rng = np.random.default_rng(1)
    recipient, donor = design(rng, 40, 30, 3)
    effects = rng.normal(size=60)
    change = changes(rng, recipient, donor, effects, noise=0)
    change[rng.random(len(change)) < 0.2] = np.nan
    effects[np.setdiff1d(np.arange(60), donor[np.isfinite(change)])] = np.nan
    found = donor_effects(recipient, donor, change, 60)
    assert found == pytest.approx(effects - np.nanmean(effects), abs=1e-11, nan_ok=True)


def test_balanced_trials_give_the_contrast_of_plain_means() -> None:
    rng = np.random.default_rng(2)
    recipient, donor = design(rng, 60, 40, 4)
    change = changes(rng, recipient, donor, rng.normal(0, 0.3, 80), spread=2)
    found = class_difference(donor_effects(recipient, donor, change, 80), classes_of(40), AGAINST)
    plain = class_difference(plain_means(donor, change), classes_of(40), AGAINST)
    assert found.value == pytest.approx(plain.value, abs=1e-12)
    assert found.error < 0.6 * plain.error  # the recipients' spread is out of it


def test_donors_never_used_are_nan_and_the_others_centred() -> None:
    found = donor_effects(np.array([0, 0, 1, 1]), np.array([0, 3, 0, 3]), np.array([1.0, 2.0, 5.0, 6.0]), 5)
    assert found == pytest.approx([-0.5, np.nan, np.nan, 0.5, np.nan], nan_ok=True)


def test_trials_that_nothing_links_keep_their_plain_means() -> None:
    rng = np.random.default_rng(3)
    recipient, donor = design(rng, 25, 25, 1)
    change = rng.normal(size=50)
    found = donor_effects(recipient, donor, change, 50)
    plain = plain_means(donor, change)
    assert found == pytest.approx(plain - plain.mean(), abs=1e-12)


def test_nothing_measured_gives_nothing() -> None:
    none = np.array([], dtype=np.int64)
    assert np.isnan(donor_effects(none, none, np.array([]), 3)).all()
    assert np.isnan(donor_effects(np.array([0]), np.array([1]), np.array([np.nan]), 3)).all()


@pytest.mark.parametrize(
    ("recipient", "donor", "message"),
    [
        ([0, 1], [0], "The trials have 2 recipients, 1 donors and 2 changes"),
        ([0, 1], [0, 7], "A trial names donor 7, but they are numbered from 0 to 3"),
        ([0, -1], [0, 1], "A trial names recipient -1"),
    ],
    ids=["lengths", "donor", "recipient"],
)
def test_trials_that_do_not_fit_are_refused(recipient: list[int], donor: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        donor_effects(np.array(recipient), np.array(donor), np.array([0.0, 1.0]), 4)


def test_near_duplicates_become_one_unit_per_class() -> None:
    effects = np.array([1.0, 3.0, 10.0, np.nan, 7.0, 8.0])
    means, classes = cluster_effects(effects, np.array([0, 0, 1, 0, 1, 1]), np.array([4, 4, 4, 4, 9, 2]))
    assert sorted(zip(classes.tolist(), means.tolist(), strict=True)) == [(0, 2.0), (1, 7.0), (1, 8.0), (1, 10.0)]


# The contrast


def test_two_classes_are_welchs_test() -> None:
    rng = np.random.default_rng(4)
    effects = np.concatenate([rng.normal(0, 1, 12), rng.normal(0.5, 3, 30)])
    classes = np.repeat([0, 1], [12, 30])
    found = class_difference(effects, classes, AGAINST, level=0.9)
    want = stats.ttest_ind(effects[12:], effects[:12], equal_var=False)
    interval = want.confidence_interval(0.9)
    assert (found.p_value, found.df) == pytest.approx((want.pvalue, want.df))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.n == {1: 30, 0: 12}


def test_one_versus_rest_weighs_the_other_classes_alike() -> None:
    assert one_versus_rest(2, [0, 1, 2]) == {2: 1, 0: -0.5, 1: -0.5}
    assert one_versus_rest(1, [0, 1]) == AGAINST
    rng = np.random.default_rng(5)
    groups = [rng.normal(size=size) for size in (5, 8, 11)]
    classes = np.repeat([0, 1, 2], [5, 8, 11])
    found = class_difference(np.concatenate(groups), classes, one_versus_rest(0, [0, 1, 2]))
    assert found.value == pytest.approx(groups[0].mean() - (groups[1].mean() + groups[2].mean()) / 2)
    parts = np.array([1, 0.25, 0.25]) * [group.var(ddof=1) / len(group) for group in groups]
    assert found.error == pytest.approx(math.sqrt(parts.sum()))
    assert found.df == pytest.approx(parts.sum() ** 2 / (parts**2 / [4, 7, 10]).sum())


def test_an_unknown_class_cannot_be_compared() -> None:
    with pytest.raises(OptionError, match=r"Class 3 cannot be compared with the others of \[0, 1\]"):
        one_versus_rest(3, [0, 1])


def test_too_few_donors_say_nothing() -> None:
    found = class_difference(np.array([1.0, 2.0, 5.0]), np.array([0, 0, 1]), AGAINST)
    assert (found.value, found.low, found.high, found.p_value) == (3.5, -math.inf, math.inf, 1)
    missing = class_difference(np.array([1.0, 2.0]), np.array([0, 0]), AGAINST)
    assert math.isnan(missing.value) and (missing.low, missing.high) == (-math.inf, math.inf)
    assert outcome(missing, 0.02) == outcome(found, 0.02) == "cannot say"


def test_a_region_that_is_never_seen_is_shown_to_be_without_effect() -> None:
    found = class_difference(np.zeros(10), classes_of(5), AGAINST)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert equivalent(found, 0.02)


def test_the_level_after_selection_is_benjamini_and_yekutielis() -> None:
    assert fcr_level(3, 12) == pytest.approx(1 - 3 * 0.05 / 12)
    assert fcr_level(12, 12) == 0.95
    assert fcr_level(0, 12) == fcr_level(1, 12)
    with pytest.raises(OptionError, match="13 of 12 effects cannot be selected"):
        fcr_level(13, 12)


def test_equivalence_is_two_one_sided_tests() -> None:
    contrast = difference_of(0.006, 0.008, 30, {})
    p_value = max(stats.t.sf((0.006 + 0.02) / 0.008, 30), stats.t.cdf((0.006 - 0.02) / 0.008, 30))
    assert equivalent(contrast, 0.02) and p_value < 0.05
    assert not equivalent(contrast, 0.02, level=0.95) and p_value > 0.025


@pytest.mark.parametrize(
    ("value", "error", "want"),
    [
        (0.1, 0.01, "depends"),
        (-0.1, 0.01, "depends"),
        (0.004, 0.001, "none larger than the bound"),
        (0.0, 0.05, "cannot say"),
        (0.019, 0.004, "cannot say"),
        (0.03, 0.02, "cannot say"),
    ],
)
def test_there_are_three_outcomes(value: float, error: float, want: str) -> None:
    assert outcome(difference_of(value, error, 200, {}), 0.02) == want


def test_planning_agrees_with_the_designs_table() -> None:
    for donors, effect in ((43, 0.8), (110, 0.5), (306, 0.3), (688, 0.2)):
        assert smallest_effect(donors, alpha=0.05 / 12) == pytest.approx(effect, rel=0.025)
    assert smallest_effect(50, sd=3) == pytest.approx(3 * smallest_effect(50))
    assert smallest_effect(2, alpha=0.004) > smallest_effect(3, alpha=0.004) > smallest_effect(100_000) > 0
    assert smallest_effect(64) == pytest.approx(0.5, rel=0.01)  # Cohen 1988, table 2.3.5
    with pytest.raises(OptionError, match="n_per_class=1"):
        smallest_effect(1)


def test_permuted_controls_are_contrasts_of_scrambled_classes() -> None:
    rng = np.random.default_rng(6)
    effects = rng.normal(size=12)
    every = [
        abs(effects[list(one)].mean() - np.delete(effects, one).mean()) for one in itertools.combinations(range(12), 6)
    ]
    found = permuted_controls(effects, classes_of(6), AGAINST, n=4000, rng=rng)
    assert np.abs(found[:, None] - np.array(every)).min(axis=1).max() < 1e-12
    assert stats.ks_2samp(found, every).pvalue > 0.01
    assert np.isnan(permuted_controls(effects, np.zeros(12, dtype=int), AGAINST, rng=rng)).all()


# Own class


def test_own_class_contrast_is_the_donors_mean_in_a_crossed_design_and_the_class_contrast_of_two() -> None:
    rng = np.random.default_rng(7)
    recipient, donor = (grid.reshape(-1) for grid in np.meshgrid(np.arange(12), np.arange(20), indexing="ij"))
    of_recipient, of_donor = np.repeat([0, 1], 6), classes_of(10)
    score = changes(rng, recipient, donor, rng.normal(size=20))
    margin = score * (2 * of_recipient[recipient] - 1)
    found = own_class_difference(recipient, donor, margin, of_recipient, of_donor)
    plain = class_difference(donor_effects(recipient, donor, score, 20), of_donor, AGAINST)
    table = margin.reshape(12, 20)
    per_donor = [
        table[of_recipient == one, j].mean() - table[of_recipient != one, j].mean() for j, one in enumerate(of_donor)
    ]
    assert found.value == pytest.approx(plain.value, abs=1e-12)
    assert found.value == pytest.approx(np.mean(per_donor), abs=1e-12)
    assert found.n == {0: 10, 1: 10}


def unbalanced(rng: np.random.Generator, classes: int, size: int) -> tuple[Array, Array, Array, Array]:
    """Own and other donors per recipient, 0.3 better for their own class, own trials lost more often."""
    labels = np.repeat(np.arange(classes), size)
    own = [rng.choice(np.flatnonzero(labels == one), 4, replace=False) for one in labels]
    other = [rng.choice(np.flatnonzero(labels != one), 4, replace=False) for one in labels]
    recipient, donor = np.repeat(np.arange(len(labels)), 8), np.concatenate([own, other], axis=1).reshape(-1)
    alike = labels[recipient] == labels[donor]
    gain = rng.normal(0.3, 0.1, len(labels))
    change = changes(rng, recipient, donor, rng.normal(0, 0.2, len(labels)), spread=0.5) + gain[donor] * alike
    change[rng.random(len(change)) < np.where(alike, 0.4, 0.1)] = np.nan
    return recipient, donor, change, labels


def test_own_class_intervals_cover_with_many_classes_and_unbalanced_trials() -> None:
    rng = np.random.default_rng(8)
    found = []
    for _ in range(150):
        recipient, donor, change, labels = unbalanced(rng, 40, 6)
        found.append(own_class_difference(recipient, donor, change, labels, labels))
    assert np.mean([one.value for one in found]) == pytest.approx(0.3, abs=0.003)
    assert 0.9 <= np.mean([one.low < 0.3 < one.high for one in found]) <= 0.98


def test_copied_donors_do_not_narrow_the_own_class_interval() -> None:
    recipient, donor, change, labels = unbalanced(np.random.default_rng(9), 10, 6)
    once = own_class_difference(recipient, donor, change, labels, labels)
    twice = np.tile(recipient, 2), np.concatenate([donor, donor + 60]), np.tile(change, 2)
    both = own_class_difference(*twice, labels, np.tile(labels, 2), clusters=np.tile(np.arange(60), 2))
    assert both.value == pytest.approx(once.value, abs=1e-12)
    assert both.error == pytest.approx(once.error, rel=0.1)
    assert own_class_difference(*twice, labels, np.tile(labels, 2)).error < 0.75 * once.error


def test_own_class_without_any_other_donor_says_nothing() -> None:
    numbers = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = own_class_difference(numbers, np.zeros(8, int), np.arange(8.0), np.zeros(4, int), np.zeros(4, int))
    assert math.isnan(found.value) and found.low == -math.inf


# Summaries


def test_sensitivity_is_the_spread_of_donors_and_its_interval_covers_for_any_shape() -> None:
    rng = np.random.default_rng(10)
    shapes = {"normal": lambda: rng.normal(0, 0.2, 400), "rare": lambda: 0.5 * (rng.random(400) < 0.1)}
    for name, truth in (("normal", 0.2), ("rare", 0.15)):
        found = []
        for _ in range(150):
            recipient, donor = design(rng, 200, 200, 4)
            change = changes(rng, recipient, donor, shapes[name](), noise=0.3)
            found.append(sensitivity(recipient, donor, change, 400))
        assert np.sqrt(np.mean([one.value**2 for one in found])) == pytest.approx(truth, rel=0.02)
        assert 0.86 <= np.mean([one.low < truth < one.high for one in found]) <= 0.99


def test_sensitivity_of_noise_reaches_down_to_nothing() -> None:
    rng = np.random.default_rng(11)
    recipient, donor = design(rng, 100, 100, 4)
    found = [sensitivity(recipient, donor, changes(rng, recipient, donor, np.zeros(200)), 200) for _ in range(100)]
    assert np.mean([one.low == 0 for one in found]) >= 0.93
    assert math.isnan(sensitivity(*design(rng, 9, 9, 1), rng.normal(size=18), 18).value)


def test_sensitivity_of_a_crossed_design_is_the_analysis_of_variance() -> None:
    table = np.random.default_rng(12).normal(size=(7, 9)) + np.arange(9)
    recipient, donor = (grid.reshape(-1) for grid in np.meshgrid(np.arange(7), np.arange(9), indexing="ij"))
    left = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    want = table.mean(axis=0).var(ddof=1) - (left**2).sum() / (6 * 8) / 7
    assert sensitivity(recipient, donor, table.reshape(-1), 9).value == pytest.approx(math.sqrt(want))


def test_necessity_is_the_distance_to_the_median_score_after() -> None:
    recipient = np.array([2, 0, 2, 2, 0])
    change = np.array([1.0, -3.0, -5.0, -2.0, np.nan])
    assert necessity(recipient, change, 4) == pytest.approx([3, np.nan, 2, np.nan], nan_ok=True)


def test_sufficiency_looks_at_recipients_of_other_classes() -> None:
    recipient, donor = np.array([0, 1, 2, 0, 1]), np.array([0, 0, 0, 1, 1])
    change = np.array([0.9, 0.1, 0.3, np.nan, 0.7])
    found = sufficiency(recipient, donor, change, np.array([0, 1, 1]), np.array([0, 1, 1]))
    assert found == pytest.approx([0.2, np.nan, np.nan], nan_ok=True)


def test_flips_that_come_with_their_donor_count_once_per_donor() -> None:
    recipient, donor = np.tile(np.arange(50), 20), np.repeat(np.arange(20), 50)
    found = flip_rate(recipient, donor, (donor < 5).astype(float))
    assert found.value == 0.25 and found.n == 1000
    assert (found.low, found.high) == pytest.approx((0.108, 0.478), abs=0.01)  # 5 of 20, not 250 of 1,000
    alone = flip_rate(np.arange(1000), np.arange(1000), (donor < 5).astype(float))
    assert (alone.low, alone.high) == pytest.approx((wilson(250, 1000).low, wilson(250, 1000).high), abs=1e-3)


def test_no_flip_is_as_sure_as_the_fewer_of_recipients_and_donors() -> None:
    found = flip_rate(np.tile(np.arange(50), 20), np.repeat(np.arange(20), 50), np.zeros(1000))
    assert (found.value, found.high) == (0, wilson(0, 20).high)
    assert math.isnan(flip_rate(np.array([0]), np.array([0]), np.array([np.nan])).value)


# Resampling


def test_drawn_weights_keep_the_size_of_each_stratum() -> None:
    strata = np.array([0, 1, 1, 0, 1])
    found = draw_weights(strata, 500, np.random.default_rng(0))
    assert (found[:, strata == 1].sum(axis=1) == 3).all() and (found[:, strata == 0].sum(axis=1) == 2).all()
    assert found.mean(axis=0) == pytest.approx(np.ones(5), abs=0.12)
    assert found[:, 1].var() == pytest.approx(2 / 3, rel=0.2)


def test_the_two_way_interval_covers_where_recipients_respond_differently_and_the_donors_alone_does_not() -> None:
    rng = np.random.default_rng(13)
    covered: dict[str, list[bool]] = {"two-way": [], "donors": []}
    for _ in range(150):
        recipient, donor = design(rng, 60, 60, 4)
        side = classes_of(60)[donor] - 0.5
        change = changes(rng, recipient, donor, rng.normal(0, 0.2, 120)) + side * rng.normal(0, 0.4, 60)[recipient]
        both = two_way_bootstrap(recipient, donor, change, classes_of(60), AGAINST, draws=300, rng=rng)
        alone = class_difference(donor_effects(recipient, donor, change, 120), classes_of(60), AGAINST)
        assert both.value == alone.value
        covered["two-way"].append(both.low < 0 < both.high)
        covered["donors"].append(alone.low < 0 < alone.high)
    assert 0.92 <= np.mean(covered["two-way"]) <= 0.99
    assert np.mean(covered["donors"]) < 0.9


def test_the_omnibus_finds_what_is_outside_of_the_core_and_only_that() -> None:
    rng = np.random.default_rng(14)
    recipient, donor = design(rng, 100, 100, 3)
    label = np.arange(100) % 2
    for outside, seen in ((0.0, False), (1.0, True)):
        after = changes(rng, recipient, donor, classes_of(100) - 0.5) + outside * (label[recipient] - 0.5)
        right = ((after > 0) == (label[recipient] == 1)).astype(float)
        found = omnibus(recipient, donor, after, right, label, classes_of(100), AGAINST, rng=rng)
        assert (found.contrast.p_value < 1e-6) == seen
        assert (found.benefit.low > 0) == seen and found.benefit.high > 0
        assert found.contrast.value == pytest.approx(outside, abs=0.15)


def test_the_benefit_of_the_omnibus_weighs_classes_alike() -> None:
    recipient, donor = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1])
    right = np.array([1.0, 1.0, 1.0, 1.0, 0.0, np.nan])
    found = omnibus(
        recipient, donor, right, right, np.array([0, 0, 1]), np.array([0, 1]), AGAINST, rng=np.random.default_rng(0)
    )
    assert found.benefit.value == pytest.approx((1 + 1 + 0) / 3 - 0.5)


# Simulations


def test_the_donor_test_alarms_at_its_level_and_the_test_over_recipients_does_not() -> None:
    rng = np.random.default_rng(15)
    alarms: dict[str, list[bool]] = {"donors": [], "recipients": [], "few donors, recipients": []}
    for _ in range(500):
        recipient, donor = design(rng, 300, 300, 4)
        change = changes(rng, recipient, donor, rng.normal(0, 0.2, 600))
        found = class_difference(donor_effects(recipient, donor, change, 600), classes_of(300), AGAINST)
        alarms["donors"].append(found.p_value < 0.05)
        alarms["recipients"].append(recipients_only(recipient, donor, change, 300) < 0.05)
        recipient, donor = design(rng, 300, 100, 4)
        change = changes(rng, recipient, donor, rng.normal(0, 0.2, 200))
        alarms["few donors, recipients"].append(recipients_only(recipient, donor, change, 100) < 0.05)
    assert 0.03 <= np.mean(alarms["donors"]) <= 0.07
    assert np.mean(alarms["recipients"]) > 0.2
    assert np.mean(alarms["few donors, recipients"]) > 0.4


def recipients_only(recipient: Array, donor: Array, change: Array, donors: int) -> float:
    side = 2 * classes_of(donors)[donor] - 1
    return float(stats.ttest_1samp(np.bincount(recipient, change * side), 0).pvalue)


@pytest.mark.parametrize("rho", [0.6, 0.75, 0.9, 1.0])
def test_a_linear_network_gives_its_effect_times_twice_the_alignment_less_one(rho: float) -> None:
    rng = np.random.default_rng(round(100 * rho))
    effect, found = 0.8, []
    for _ in range(40):
        recipient, donor = design(rng, 200, 200, 4)
        labels = classes_of(200)
        content = rng.random(400) < np.where(labels == 1, rho, 1 - rho)
        before = rng.random(200) < np.where(np.arange(200) % 2, rho, 1 - rho)
        change = effect * (content[donor].astype(float) - before[recipient])  # score = rest + effect x content
        found.append(class_difference(donor_effects(recipient, donor, change, 400), labels, AGAINST))
    want = (2 * rho - 1) * effect
    error = math.sqrt(np.mean([one.error**2 for one in found]) / 40)
    assert np.mean([one.value for one in found]) == pytest.approx(want, abs=max(4 * error, 1e-9))
    assert rho < 1 or all(one.value == pytest.approx(effect, abs=1e-9) for one in found)


@pytest.mark.parametrize("shape", ["normal", "rare"])
def test_intervals_cover_what_ten_thousand_fresh_donors_would_say_of_the_same_recipients(shape: str) -> None:
    rng = np.random.default_rng(16 if shape == "normal" else 17)

    def contents(count: int) -> Array:
        if shape == "normal":
            return np.concatenate([rng.normal(0, 0.2, count), rng.normal(0.1, 0.2, count)])
        return 0.5 * (rng.random(2 * count) < np.repeat([0.1, 0.9], count))

    covered = []
    for _ in range(20 if shape == "normal" else 10):
        response, own = rng.normal(1, 0.5, 100), rng.normal(0, 0.3, 100)
        fresh = contents(5000)  # each recipient meets all of them: its own effect and all noise cancel
        target = response.mean() * (fresh[5000:].mean() - fresh[:5000].mean())
        for _ in range(100):
            recipient, donor = design(rng, 100, 100, 4)
            change = own[recipient] + response[recipient] * contents(100)[donor] + rng.normal(0, 0.1, 800)
            found = class_difference(donor_effects(recipient, donor, change, 200), classes_of(100), AGAINST)
            covered.append(found.low < target < found.high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_near_duplicates_need_the_cluster_as_unit() -> None:
    rng = np.random.default_rng(18)
    alarms: dict[str, list[bool]] = {"cluster": [], "donor": []}
    for _ in range(300):
        recipient, donor = design(rng, 150, 150, 4)
        clusters = np.concatenate([rng.integers(0, 50, 150), 50 + rng.integers(0, 50, 150)])
        effects = rng.normal(0, 0.2, 100)[clusters]
        found = donor_effects(recipient, donor, changes(rng, recipient, donor, effects), 300)
        means, labels = cluster_effects(found, classes_of(150), clusters)
        alarms["cluster"].append(class_difference(means, labels, AGAINST).p_value < 0.05)
        alarms["donor"].append(class_difference(found, classes_of(150), AGAINST).p_value < 0.05)
    assert 0.02 <= np.mean(alarms["cluster"]) <= 0.08
    assert np.mean(alarms["donor"]) > 0.2


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_holm_lets_at_most_five_percent_of_families_of_twenty_nulls_alarm(correlation: float) -> None:
    rng = np.random.default_rng(19)
    shared, own = rng.normal(size=(1000, 80, 1)), rng.normal(size=(1000, 80, 20))
    effects = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    any_found = [min(holm(family(one))) < 0.05 for one in effects]
    assert np.mean(any_found) <= 0.065
    assert np.mean([min(family(one)) < 0.05 for one in effects[:100]]) > 0.2  # without it they alarm


def family(effects: Array) -> list[float]:
    return [class_difference(column, classes_of(40), AGAINST).p_value for column in effects.T]


def test_an_effect_at_the_bound_is_called_smaller_in_at_most_five_percent() -> None:
    rng = np.random.default_rng(20)
    claims = {"0.90": [], "0.95": [], "none": []}
    for _ in range(2000):
        effects = rng.normal(0, 0.03, 200) + np.repeat([0, 0.02], 100)
        found = class_difference(effects, classes_of(100), AGAINST)
        claims["0.90"].append(equivalent(found, 0.02))
        claims["0.95"].append(equivalent(found, 0.02, level=0.95))
        claims["none"].append(equivalent(shifted(found, -0.02), 0.02))
    assert 0.03 < np.mean(claims["0.90"]) <= 0.062
    assert np.mean(claims["0.95"]) <= 0.035
    assert np.mean(claims["none"]) > 0.95  # and no effect is found to be none


def shifted(contrast: ClassDifference, by: float) -> ClassDifference:
    return difference_of(contrast.value + by, contrast.error, contrast.df, contrast.n)
