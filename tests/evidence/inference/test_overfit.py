"""Train against valid: claims only for a memorised factor, and distances between the splits' records."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from seewhy.errors import DataError, OptionError
from seewhy.evidence.inference.overfit import EditTrials, OverfitExcess, energy_distance_test, overfit_excess

Array = np.ndarray
IMAGES, DONORS, EACH = 150, 100, 6


def trials(rng: np.random.Generator, before: Array, cost: Array, donors: Array) -> EditTrials:
    """The margin falls by the recipient's cost and the donor's effect, with noise."""
    recipient = np.repeat(np.arange(len(before)), EACH)
    donor = np.concatenate([rng.permutation(len(donors)) for _ in range(-(-len(recipient) // len(donors)))])
    donor = donor[: len(recipient)]
    after = before[recipient] - cost[recipient] + donors[donor] + rng.normal(0, 0.3, len(recipient))
    return EditTrials(recipient, donor, before[recipient], after, before[recipient] > 0, after > 0)


def split(
    rng: np.random.Generator, margin: float, cost: float, control_cost: float, n: int = IMAGES
) -> tuple[EditTrials, EditTrials]:
    """The trials of a factor and of a control on images whose margins are `margin` on average."""
    before = rng.normal(margin, 1, n)
    factor, control = (
        trials(rng, before, rng.normal(one, 0.5, n), rng.normal(0, 0.4, DONORS)) for one in (cost, control_cost)
    )
    return factor, control


def naive_alarm(train: EditTrials, valid: EditTrials) -> bool:
    """The rule that the amendment rejects: the benefits in accuracy differ between the splits."""
    gains = []
    for one in (train, valid):
        share = np.bincount(one.recipient, one.right_before.astype(float) - one.right_after) / EACH
        gains.append(share)
    return bool(stats.ttest_ind(*gains, equal_var=False).pvalue < 0.05)


def judged(rng: np.random.Generator, train: tuple[EditTrials, ...], valid: tuple[EditTrials, ...]) -> OverfitExcess:
    return overfit_excess(train[0], valid[0], train[1:], valid[1:], chance=0.5, draws=200, rng=rng)


@pytest.mark.parametrize("cost", [0.3, 1.5, 3.0], ids=["small edit", "middle edit", "large edit"])
def test_larger_margins_on_train_alone_are_no_overfit_to_the_background(cost: float) -> None:
    rng = np.random.default_rng(0)
    claims, naive = [], []
    for _ in range(60):
        train, valid = split(rng, 3.0, cost, 0.2), split(rng, 1.5, cost, 0.2)  # overfit on core content only
        claims.append(judged(rng, train, valid).overfit)
        naive.append(naive_alarm(train[0], valid[0]))
    assert np.mean(claims) <= 0.05
    assert np.mean(naive) > 0.3


def test_margins_that_every_edit_shrinks_are_no_overfit_either() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        pair = []
        for margin in (3.0, 1.5):
            before = rng.normal(margin, 1, IMAGES)
            pair.append(tuple(trials(rng, before, 0.6 * before, rng.normal(0, 0.4, DONORS)) for _ in range(2)))
        found.append(judged(rng, *pair))
    assert np.mean([one.overfit for one in found]) <= 0.05
    assert np.mean([one.plain_margin.low > 0 for one in found]) > 0.9  # without controls it looks like overfit


def test_a_memorised_factor_is_found() -> None:
    rng = np.random.default_rng(2)
    found = [judged(rng, split(rng, 3.0, 3.0, 0.2), split(rng, 1.5, 0.3, 0.2)) for _ in range(30)]
    assert np.mean([one.overfit for one in found]) >= 0.9
    assert np.mean([one.margin.value for one in found]) == pytest.approx(2.7, abs=0.1)


def test_a_factor_that_helps_more_on_valid_is_not_called_overfit() -> None:
    rng = np.random.default_rng(3)
    found = judged(rng, split(rng, 3.0, 0.3, 0.2), split(rng, 3.0, 3.0, 0.2))
    assert found.margin.high < 0 and found.accuracy.high < 0 and not found.overfit


def test_the_intervals_cover_the_difference_of_differences() -> None:
    rng = np.random.default_rng(4)
    found = [judged(rng, split(rng, 2.0, 1.0, 0.2), split(rng, 2.0, 0.6, 0.3)).margin for _ in range(150)]
    assert 0.91 <= np.mean([one.low < 0.5 < one.high for one in found]) <= 1.0


def one_image(before: float, after: list[float]) -> EditTrials:
    """One image with one trial per value of `after`."""
    values = np.array(after)
    numbers, first = np.arange(len(after)), np.zeros(len(after), dtype=np.int64)
    return EditTrials(first, numbers, np.full(len(after), before), values, np.full(len(after), before > 0), values > 0)


def test_the_values_are_those_computed_by_hand() -> None:
    train, valid = one_image(3.0, [1.0, -1.0]), one_image(2.0, [1.0, 2.0])
    controls = [one_image(3.0, [3.0, 2.0])], [one_image(2.0, [-2.0, 1.0])]
    found = overfit_excess(train, valid, *controls, chance=0.5, draws=50, rng=np.random.default_rng(0))
    assert (found.benefit_train.value, found.benefit_valid.value) == (3.0, 0.5)
    assert found.plain_margin.value == 2.5
    assert found.margin.value == 2.5 - (0.5 - 2.5)
    assert found.accuracy.value == (0.5 / 0.5 - 0) - (0 - 0.5 / 0.5)


def test_missing_trials_and_uneven_counts_leave_each_recipient_the_same_weight() -> None:
    both = EditTrials(
        np.array([0, 0, 0, 1]),
        np.array([0, 1, 2, 1]),
        np.array([1.0, 1.0, 1.0, 4.0]),
        np.array([0.0, -1.0, np.nan, 1.0]),
        np.ones(4, dtype=bool),
        np.ones(4, dtype=bool),
    )
    found = overfit_excess(both, both, [both], [both], chance=0.5, draws=20, rng=np.random.default_rng(0))
    assert found.benefit_train.value == pytest.approx((1.5 + 3) / 2)
    assert found.margin.value == found.accuracy.value == 0


def test_on_a_split_at_chance_no_accuracy_is_lost() -> None:
    rng = np.random.default_rng(5)
    train, valid = split(rng, 3.0, 3.0, 0.2), split(rng, 0.0, 0.3, 0.2)
    found = judged(rng, train, valid)
    assert found.margin.low > 0 and found.accuracy.low > 0 and found.overfit, "what train loses was learned by heart"
    both = judged(rng, valid, split(rng, 0.0, 0.3, 0.2))
    assert both.accuracy.value == both.accuracy.low == both.accuracy.high == 0 and not both.overfit


def test_controls_must_match_and_trials_exist() -> None:
    train, valid = one_image(3.0, [1.0]), one_image(3.0, [1.0])
    rng = np.random.default_rng(0)
    with pytest.raises(OptionError, match="0 control factors on train and 1 on valid"):
        overfit_excess(train, valid, [], [valid], chance=0.5, rng=rng)
    empty = dataclasses.replace(train, margin_after=np.array([np.nan]))
    with pytest.raises(DataError, match="no finite trial"):
        overfit_excess(train, empty, [train], [valid], chance=0.5, rng=rng)


def test_the_same_seed_gives_the_same_intervals() -> None:
    train, valid = (split(np.random.default_rng(6), 2.0, 1.0, 0.2, n=30) for _ in range(2))
    assert judged(np.random.default_rng(1), train, valid) == judged(np.random.default_rng(1), train, valid)


# Energy distance


def one_stratum(train: Array, valid: Array) -> tuple[Array, Array]:
    return np.zeros(len(train), dtype=np.int64), np.zeros(len(valid), dtype=np.int64)


def test_one_column_is_the_square_of_scipys_energy_distance() -> None:
    rng = np.random.default_rng(7)
    train, valid = rng.normal(size=(40, 1)), rng.exponential(size=(25, 1))
    spread = np.concatenate([train, valid]).std()
    distance, _ = energy_distance_test(train, valid, one_stratum(train, valid), n_permutations=9, rng=rng)
    assert distance == pytest.approx(stats.energy_distance(train[:, 0] / spread, valid[:, 0] / spread) ** 2)


def test_columns_count_in_their_own_units_and_constant_ones_not() -> None:
    rng = np.random.default_rng(8)
    train, valid = rng.normal(size=(30, 2)), rng.normal(1, 1, (30, 2))
    strata = one_stratum(train, valid)
    once, _ = energy_distance_test(train, valid, strata, n_permutations=9, rng=rng)
    other = [np.concatenate([one * [1, 1000], np.ones((30, 1))], axis=1) for one in (train, valid)]
    again, _ = energy_distance_test(other[0], other[1], strata, n_permutations=9, rng=rng)
    assert again == pytest.approx(once)


def test_equal_distributions_alarm_at_the_level_and_shifted_ones_always() -> None:
    rng = np.random.default_rng(9)
    for shift, low, high in ((0.0, 0.02, 0.085), (0.8, 0.95, 1.0)):
        found = []
        for _ in range(200):
            train, valid = rng.normal(size=(50, 3)), rng.normal(shift, 1, (40, 3))
            found.append(energy_distance_test(train, valid, one_stratum(train, valid), n_permutations=99, rng=rng)[1])
        assert low <= np.mean(np.array(found) <= 0.05) <= high


def test_more_right_images_on_train_are_no_drift_within_strata() -> None:
    rng = np.random.default_rng(10)
    within, pooled = [], []
    for _ in range(100):
        right = rng.random(120) < 0.95, rng.random(80) < 0.6
        train, valid = (rng.normal(one[:, None] * 1.5, 1, (len(one), 2)) for one in right)
        strata = right[0].astype(np.int64), right[1].astype(np.int64)
        within.append(energy_distance_test(train, valid, strata, n_permutations=99, rng=rng)[1] <= 0.05)
        pooled.append(
            energy_distance_test(train, valid, one_stratum(train, valid), n_permutations=99, rng=rng)[1] <= 0.05
        )
    assert np.mean(within) <= 0.11
    assert np.mean(pooled) > 0.9


def test_strata_of_one_split_are_left_out() -> None:
    train, valid = np.zeros((4, 1)), np.ones((4, 1))
    strata = np.zeros(4, dtype=np.int64), np.ones(4, dtype=np.int64)
    distance, p_value = energy_distance_test(train, valid, strata, rng=np.random.default_rng(0))
    assert math.isnan(distance) and p_value == 1


def test_the_distance_is_the_mean_over_strata_by_their_size() -> None:
    rng = np.random.default_rng(11)
    train, valid = rng.normal(size=(60, 1)), rng.normal(1, 2, (30, 1))
    strata = np.repeat([0, 1], [50, 10]), np.repeat([0, 1], [5, 25])
    spread = np.concatenate([train, valid]).std()
    parts = [
        stats.energy_distance(train[strata[0] == one, 0] / spread, valid[strata[1] == one, 0] / spread) ** 2
        for one in (0, 1)
    ]
    distance, _ = energy_distance_test(train, valid, strata, n_permutations=9, rng=rng)
    assert distance == pytest.approx(np.average(parts, weights=[50 * 5 / 55, 10 * 25 / 35]))
