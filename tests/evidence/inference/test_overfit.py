"""Train against valid: claims only for a memorised factor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from seewhy.errors import DataError, OptionError
from seewhy.evidence.inference.overfit import EditTrials, OverfitExcess, overfit_excess

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
