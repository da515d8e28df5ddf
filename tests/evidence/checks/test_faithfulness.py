"""Whether maps agree with swapped places, on networks whose effects are known in closed form."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from seewhy.cam.capture import find_layer
from seewhy.estimates import Estimate
from seewhy.evidence.checks.faithfulness import (
    Agreement,
    Faithfulness,
    alike,
    cell_means,
    faithfulness_of,
    trivial_pictures,
)
from seewhy.evidence.checks.map_findings import map_findings
from seewhy.evidence.checks.swaps import N_STEPS, PLANS, Swaps, affordable, choose_donors, operations_of, swap_cells
from seewhy.evidence.checks.trust import Trust, examine
from seewhy.evidence.inference.differences import mean_with_interval
from seewhy.evidence.inference.ranks import spearman
from seewhy.evidence.thresholds import CHECK_THRESHOLDS
from tests.models import FourConv, images, seeded

LITTLE = CHECK_THRESHOLDS["little_better"]


class Weighted(nn.Module):
    """A feature that is the picture itself, flattened into one weight a place: score 1 is their sum, score 0 is 0."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 1, 1, bias=False)
        self.fc = nn.Linear(weights.numel(), 2, bias=False)
        with torch.no_grad():
            self.features.weight.fill_(1)
            self.fc.weight.copy_(torch.stack([torch.zeros(weights.numel()), weights.flatten()]))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).flatten(1))


def noise(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 1, *shape, generator=torch.Generator().manual_seed(seed))


def ones(n: int) -> Tensor:
    return torch.ones(n, dtype=torch.long)


def trust_of(model: nn.Module, method: str, inputs: Tensor, layer: str = "features") -> Trust:
    (found,) = examine(model, inputs, [find_layer(model, layer)], method, ones(len(inputs)))
    return found


def faithful(trust: Trust) -> Faithfulness:
    assert trust.faithful is not None
    return trust.faithful


def test_a_swap_changes_a_linear_score_by_what_the_cell_holds() -> None:
    weights, inputs = noise(1, 9, 14, seed=3)[0, 0], noise(6, 9, 14)
    swaps = swap_cells(Weighted(weights), inputs, ones(6), list("aabbab"), batch_size=5)
    assert swaps is not None
    assert swaps.changes.shape == (6, 4, 7, 7) and swaps.donors.shape == (6, 4)
    held = (inputs[:, 0] * weights).double().numpy()
    rows, columns = swaps.edges
    sums = np.add.reduceat(np.add.reduceat(held, rows[:-1], axis=1), columns[:-1], axis=2)
    for image, donors, changes in zip(swaps.images, swaps.donors, swaps.changes, strict=True):
        assert changes == pytest.approx(sums[donors] - sums[image], abs=1e-5)
    assert swaps.before == pytest.approx(held.sum(axis=(1, 2)), abs=1e-5)


def test_one_map_with_opposite_weights_is_the_case_that_grad_cam_loses() -> None:
    """A = [1, 1] with w = [+2, -1]: what is there is worth +2 and -1, and the mean gradient 0.5 lights both."""
    model, inputs = Weighted(torch.tensor([[2.0, -1.0]])), torch.tensor([[[[1.0, 1.0]]], [[[0.0, 0.0]]]])
    swaps = swap_cells(model, inputs, ones(2), [0, 1])
    assert swaps is not None
    drop = -swaps.changes[:1].mean(axis=1)
    assert drop.tolist() == [[[2.0, -1.0]]]
    seen = {"hirescam": np.array([[[2.0, -1.0]]]), "grad-cam": np.array([[[0.5, 0.5]]])}
    assert alike(seen["hirescam"], drop).tolist() == [1.0] and alike(seen["grad-cam"], drop).tolist() == [0.0]


def test_hirescam_beats_all_where_places_have_opposite_weights_and_grad_cam_is_only_brightness() -> None:
    checkers = torch.where(torch.arange(49).view(7, 7) % 2 == 0, 2.0, -1.0)
    inputs = (noise(40, 7, 7) - 0.5).relu()  # spots on black, so that nothing is what a donor mostly has there
    fine, poor = (trust_of(Weighted(checkers), method, inputs) for method in ("hirescam", "grad-cam"))
    found = faithful(fine)
    assert (found.n_images, found.cells, found.n_donors) == (30, (7, 7), 4)
    assert found.verdict(LITTLE) == "better"
    lost = faithful(poor)
    assert found.direction.of_map.low > 0.4 and lost.direction.of_map.high < 0.15
    for way in (lost.direction, lost.amount):
        assert way.better_by["brightness"].value == pytest.approx(0, abs=1e-6)
    assert lost.verdict(LITTLE) == "no better" and lost.best.rival == "brightness"
    assert any("no better than the picture's brightness" in one.text for one in map_findings(poor)[2])
    assert not any("no better" in one.text for one in map_findings(fine)[2])


def test_a_complete_map_agrees_as_far_as_donors_let_it() -> None:
    """The place's own part of the effect beside the mean of four donors': correlation 1 / sqrt(1 + 1/4) = .89."""
    checkers = torch.where(torch.arange(49).view(7, 7) % 2 == 0, 2.0, -1.0)
    found = faithful(trust_of(Weighted(checkers), "hirescam", noise(40, 7, 7)))
    assert found.direction.of_map.value == pytest.approx(0.88, abs=0.03)
    assert found.direction.repeated.value == pytest.approx(1 / 1.5, abs=0.04), "two donors beside two others"


def test_donors_without_content_make_a_complete_map_agree_exactly() -> None:
    checkers = torch.where(torch.arange(49).view(7, 7) % 2 == 0, 2.0, -1.0)
    inputs = torch.cat([noise(1, 7, 7).abs(), torch.zeros(4, 1, 7, 7)])
    swaps = swap_cells(Weighted(checkers), inputs, ones(5), [1, 0, 0, 0, 0])
    assert swaps is not None
    alone = replace(
        swaps, images=swaps.images[:1], donors=swaps.donors[:1], before=swaps.before[:1], changes=swaps.changes[:1]
    )
    maps = (inputs[:, 0] * checkers).double().numpy()
    pictures = {"brightness": inputs[:, 0].double().numpy()}
    assert faithfulness_of(alone, maps, pictures).direction.of_map.value == pytest.approx(1)
    averaged = faithfulness_of(alone, 0.5 * pictures["brightness"], pictures)
    assert averaged.direction.of_map.value < 0.5


def test_a_map_of_a_blob_is_not_better_than_the_blob() -> None:
    inputs = noise(30, 7, 7)
    centre = trivial_pictures(inputs)["the centre"].double().numpy()
    swaps = swap_cells(Weighted(torch.from_numpy(centre[0]).float()), inputs, ones(30), [0] * 30)
    assert swaps is not None
    pictures = {name: one.double().numpy() for name, one in trivial_pictures(inputs).items() if name != "edges"}
    found = faithfulness_of(swaps, centre, pictures)
    assert found.amount.of_map.value > 0.3, "it does tell where, as the blob does"
    assert found.amount.better_by["the centre"] == Estimate(0.0, 0.0, 0.0, 30)
    assert found.verdict(LITTLE) != "better"


def test_unrelated_maps_are_hardly_ever_called_better() -> None:
    rng, called = np.random.default_rng(5), 0
    edges = (np.arange(5), np.arange(5))
    for seed in range(100):
        changes = rng.standard_normal((15, 4, 4, 4)) + rng.standard_normal((15, 1, 4, 4))
        swaps = Swaps(np.arange(15), np.zeros((15, 4), dtype=np.int64), np.ones(15), changes, edges)
        maps, brightness, centre = rng.standard_normal((3, 15, 4, 4))
        found = faithfulness_of(swaps, maps, {"brightness": brightness, "the centre": centre}, seed=seed)
        called += found.verdict(LITTLE) == "better"
    assert called <= 3


def test_a_network_that_no_swap_moves_tells_nothing() -> None:
    trust = trust_of(Weighted(torch.zeros(7, 7)), "hirescam", noise(8, 7, 7))
    found = faithful(trust)
    assert found.n_images == 0 and np.isnan(found.amount.of_map.value)
    assert found.verdict(LITTLE) == "cannot tell"
    assert "no swap of places moves it" in map_findings(trust)[0].text


def test_logits_that_are_no_numbers_are_left_out() -> None:
    inputs = noise(6, 7, 7)
    inputs[2] = float("inf")
    swaps = swap_cells(Weighted(torch.ones(7, 7)), inputs, ones(6), [0] * 6)
    assert swaps is not None
    found = faithfulness_of(swaps, np.ones((6, 7, 7)), {"brightness": np.ones((6, 7, 7))})
    assert found.n_images < 6, "the broken image, and those that were given its content"


@pytest.mark.parametrize("n", [1, 2, 5])
def test_steps_are_counted_right_for_any_number_of_images(n: int) -> None:
    steps: list[None] = []
    swaps = swap_cells(
        Weighted(torch.ones(3, 2)), noise(n, 3, 2), ones(n), [0] * n, batch_size=2, step=lambda: steps.append(None)
    )
    assert len(steps) == N_STEPS
    assert (swaps is None) == (n == 1)
    if swaps is not None:
        assert swaps.changes.shape == (n, min(4, n - 1), 3, 2), "no cell is smaller than a pixel"


def test_batches_do_not_change_what_is_found() -> None:
    model, inputs = seeded(FourConv(size=20)), images(9, size=20)
    one, many = (
        examine(model, inputs, [find_layer(model, "conv2")], "hirescam", batch_size=size)[0] for size in (1, 7)
    )
    for first, second in zip(numbers_of(faithful(one)), numbers_of(faithful(many)), strict=True):
        assert first == pytest.approx(second, abs=1e-5)


def numbers_of(found: Faithfulness) -> list[float]:
    ways = (found.amount, found.direction)
    all_of = [
        one for way in ways for one in (way.of_map, way.repeated, *way.baselines.values(), *way.better_by.values())
    ]
    return [value for one in all_of for value in (one.value, one.low, one.high)]


def test_another_seed_takes_other_donors_and_the_same_one_the_same() -> None:
    model, inputs = Weighted(torch.ones(4, 4)), noise(12, 4, 4)
    first, again, other = (swap_cells(model, inputs, ones(12), [0] * 12, seed=seed) for seed in (1, 1, 2))
    assert first is not None and again is not None and other is not None
    assert np.array_equal(first.changes, again.changes) and not np.array_equal(first.donors, other.donors)


def test_the_model_is_left_as_found() -> None:
    model = seeded(FourConv(size=16)).train()
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    swap_cells(model, images(4, size=16), ones(4), [0, 0, 1, 1])
    assert model.training and torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_half_of_the_donors_come_from_another_class_and_never_the_image_itself() -> None:
    groups = ["a"] * 6 + ["b"] * 3 + ["c"]
    rng = np.random.default_rng(0)
    for image in range(10):
        donors = choose_donors(groups, image, 4, rng)
        assert image not in donors and len(set(donors.tolist())) == 4
        own = sum(groups[donor] == groups[image] for donor in donors)
        assert own == {"a": 2, "b": 2, "c": 0}[groups[image]], "the last one is alone in its class"
        if own:
            assert Counter(groups[donor] == groups[image] for donor in donors[:2]) == {True: 1, False: 1}
    assert sorted(choose_donors(["a"] * 3, 1, 4, rng).tolist()) == [0, 2]


def test_the_grid_is_chosen_by_operations_alone() -> None:
    assert affordable(1e3) == (7, 4) and affordable(1e12) == (4, 2) == PLANS[-1]
    passes = [side**2 * donors for side, donors in map(affordable, np.geomspace(1e6, 1e10, 60))]
    assert passes == sorted(passes, reverse=True) and set(passes) == {196, 144, 100, 64, 32}
    assert operations_of(Weighted(torch.ones(4, 4)), noise(1, 4, 4)) == 2 * 16 + 2 * 16 * 2


def test_rank_correlations_are_spearmans_where_nothing_is_nearly_tied() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.permutation(36).reshape(1, 6, 6).astype(float), rng.integers(0, 9, (1, 6, 6)).astype(float)
    wanted = stats.spearmanr(one.ravel(), other.ravel()).statistic
    assert alike(one, other)[0] == pytest.approx(wanted, abs=1e-12)
    assert alike(one, other)[0] == pytest.approx(spearman(one.reshape(1, -1), other.reshape(1, -1))[0], abs=1e-12)
    assert alike(one, np.ones_like(one))[0] == 0


def test_what_rounding_does_to_ties_cannot_be_seen() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 1, 7, 7))
    other[:, :3] = 0
    rounded = other + rng.uniform(-1e-8, 1e-8, other.shape)
    assert alike(one, rounded)[0] == pytest.approx(alike(one, other)[0], abs=1e-5)
    assert spearman(one.reshape(1, -1), rounded.reshape(1, -1))[0] != pytest.approx(alike(one, other)[0], abs=1e-3)


def test_cells_take_what_lies_in_them() -> None:
    pictures = np.arange(16.0).reshape(1, 4, 4)
    halves = np.array([0, 5, 10])
    assert cell_means(pictures, (halves, halves)).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    three = np.array([[[1.0, 2.0, 4.0]]])
    assert cell_means(three, (np.array([0, 1]), np.array([0, 1, 2])))[0, 0] == pytest.approx([4 / 3, 10 / 3])
    uneven = cell_means(three, (np.array([0, 6]), np.array([0, 1, 6])))[0, 0]
    assert uneven == pytest.approx([1.0, (1 / 6 * 1 + 1 / 3 * 2 + 1 / 3 * 4) / (5 / 6)])


def test_intervals_are_students() -> None:
    values = np.random.default_rng(0).standard_normal(12)
    found = mean_with_interval(values)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert np.isnan(mean_with_interval(values[:1]).low) and mean_with_interval(values[:0]).n == 0


def agreement(low: float, high: float, repeated: float = 0.3) -> Agreement:
    clear = Estimate(0.5, 0.4, 0.6, 30)
    by = {"brightness": Estimate((low + high) / 2, low, high, 30), "chance": clear}
    return Agreement(clear, Estimate(repeated + 0.1, repeated, repeated + 0.2, 30), dict.fromkeys(by, clear), by)


def test_a_verdict_needs_every_rival_beaten_in_one_way_or_none_in_either() -> None:
    clear, lost, wide = agreement(0.02, 0.3), agreement(-0.2, 0.05), agreement(-0.2, 0.3)

    def word(amount: Agreement, direction: Agreement) -> str:
        found = Faithfulness(30, (4, 4), 4, amount, direction)
        assert found.best.rival == "brightness"
        return found.verdict(0.1)

    assert word(clear, lost) == word(lost, clear) == "better"
    assert word(lost, lost) == "no better"
    assert word(lost, wide) == word(wide, lost) == word(wide, wide) == "cannot tell"
    assert word(lost, agreement(-0.2, 0.05, repeated=-0.05)) == "cannot tell", "other donors would say something else"


def test_maps_no_better_than_a_blob_are_graded_b_and_the_others_as_before() -> None:
    numbers = {
        "completeness_error": 0.0, "with_hirescam": 1.0, "empty": 0.0, "no_gradient": 0.0, "null_shape": 0.1,
        "flipped": 0.9, "noisy": 0.99, "other_class": -0.3,
    }  # fmt: skip
    healthy = Trust("layer4", "grad-cam", 64, randomised=((1.0, 0.1),), **numbers)

    def graded(low: float, high: float) -> tuple[str, str]:
        one = agreement(low, high)
        blob = replace(one, better_by={"the centre": one.better_by["brightness"], "chance": one.better_by["chance"]})
        finding, grade, _ = map_findings(replace(healthy, faithful=Faithfulness(30, (4, 4), 4, blob, blob)))
        return grade, finding.text

    grade, text = graded(-0.2, 0.05)
    assert grade == "B" and "no better than a blob in the centre" in text
    assert "-0.075 [-0.200, +0.050]" in text and "n = 30, 16 places" in text
    grade, text = graded(0.02, 0.3)
    assert grade == "A" and "better than a blob in the centre and all else" in text
    grade, text = graded(-0.2, 0.3)
    assert grade == "A" and "cannot be told" in text
