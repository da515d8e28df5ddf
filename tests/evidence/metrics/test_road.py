"""ROAD: exact numbers of pixels, the linear system solved by hand, and a map against its inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from seewhy.errors import OptionError
from seewhy.evidence.metrics import grids
from seewhy.evidence.metrics.imputation import NEIGHBOURS, Weighting, filled, filled_each, lowest
from seewhy.evidence.metrics.road import road
from tests.evidence.metrics.linear import additive, drawn


def solved(image: np.ndarray, known: np.ndarray, weighting: Weighting = NEIGHBOURS) -> np.ndarray:
    """One channel (H, W) whose unknown pixels are the weighted mean of their neighbours: a dense system in float64."""
    places = {tuple(place): row for row, place in enumerate(np.argwhere(~known).tolist())}
    matrix, right = np.zeros((len(places), len(places))), np.zeros(len(places))
    for (y, x), row in places.items():
        for (down, across), weight in weighting:
            there = (y + down, x + across)
            if not (0 <= there[0] < image.shape[0] and 0 <= there[1] < image.shape[1]):
                continue
            matrix[row, row] += weight
            if there in places:
                matrix[row, places[there]] -= weight
            else:
                right[row] += weight * image[there]
    filled_in = image.copy()
    filled_in[~known] = np.linalg.solve(matrix, right)
    return filled_in


def test_the_score_is_that_of_the_linear_system_solved_by_hand() -> None:
    images, weights, maps = drawn(2, 1, 7, 6), drawn(2, 7, 6, seed=1), drawn(2, 7, 6, seed=2)
    have = road(maps, images, additive(weights), shares=(0.25, 0.5), noise=0)
    for row in range(2):
        order = np.argsort(-maps[row].numpy().ravel())
        for column, share in enumerate((0.25, 0.5)):
            count = round(share * 42)
            for scores, gone in ((have.most, order[:count]), (have.least, order[42 - count :])):
                known = np.ones(42, bool)
                known[gone] = False
                want = (solved(images[row, 0].numpy(), known.reshape(7, 6)) * weights[row].numpy()).sum()
                assert float(scores[row, column]) == pytest.approx(want, abs=2e-3)


def test_images_are_filled_at_once_as_each_alone() -> None:
    images = torch.rand(5, 3, 20, 17, generator=torch.Generator().manual_seed(0))
    known = drawn(5, 20, 17) > torch.tensor([-1.0, 0.0, 1.5, -9.0, 9.0])[:, None, None]
    together = filled_each(images, known)
    for row in range(5):
        torch.testing.assert_close(together[row], filled(images[row], known[row]), rtol=0, atol=2e-6)
    assert torch.equal(together[3], images[3])
    torch.testing.assert_close(together[4], images[4].mean(dim=(1, 2), keepdim=True).expand(3, 20, 17))
    np.testing.assert_allclose(
        together[1, 0].double(), solved(images[1, 0].double().numpy(), known[1].numpy()), atol=1e-5
    )


def hole(kind: str, height: int = 41, width: int = 38) -> np.ndarray:
    """Where (H, W) pixels are known."""
    down, across = np.mgrid[:height, :width]
    scattered = np.random.default_rng(3).random((height, width))
    missing = {
        "disc": (down - 19) ** 2 + (across - 21) ** 2 < 200,
        "all but a corner": down + across > 3,
        "all but a pixel": (down != 30) | (across != 7),
        "half": across > 18,
        "scattered": scattered < 0.6,
        "nearly all": scattered < 0.97,
        "lines": (down % 5 == 0) | (across % 7 < 2),
        "disc and scattered": ((down - 10) ** 2 + (across - 30) ** 2 < 90) | (scattered < 0.3),
    }
    return ~missing[kind]


HOLES = [
    "disc",
    "all but a corner",
    "all but a pixel",
    "half",
    "scattered",
    "nearly all",
    "lines",
    "disc and scattered",
]
FAR: Weighting = tuple(((down, 0), weight) for down, weight in ((-2, 0.2), (-1, 0.2), (1, 0.2), (2, 0.2))) + tuple(
    ((0, across), 0.1) for across in (-1, 1)
)
CROSS: Weighting = (((0, -1), 0.25), ((0, 1), 0.25), ((-1, 0), 0.25), ((1, 0), 0.25))


@pytest.mark.parametrize("weighting", [NEIGHBOURS, CROSS, FAR], ids=["neighbours", "cross", "far"])
@pytest.mark.parametrize("kind", HOLES)
def test_holes_of_any_shape_are_those_of_the_linear_system(kind: str, weighting: Weighting) -> None:
    image, known = torch.rand(2, 41, 38, generator=torch.Generator().manual_seed(4)), hole(kind)
    have = filled(image, torch.from_numpy(known), weighting).double()
    want = np.stack([solved(channel, known, weighting) for channel in image.double().numpy()])
    np.testing.assert_allclose(have, want, atol=2e-6)


def test_each_image_is_solved_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    near = grids.Grid.near

    def noted(self: grids.Grid, right: Tensor) -> Tensor:
        seen.append(right.shape[-1])
        return near(self, right)

    monkeypatch.setattr(grids.Grid, "near", noted)
    image = torch.rand(3, 160, 160, generator=torch.Generator().manual_seed(4))
    for kind in HOLES:
        seen.clear()
        filled(image, torch.from_numpy(hole(kind, 160, 160)))
        assert seen.count(max(seen)) <= (100 if kind == "all but a pixel" else 20), kind


def test_what_is_no_number_stays_in_its_own_image_and_ends() -> None:
    images = torch.rand(2, 1, 30, 30, generator=torch.Generator().manual_seed(4))
    known = torch.from_numpy(hole("disc", 30, 30)).expand(2, -1, -1)
    alone = filled_each(images[1:], known[1:])
    images[0, 0, 2, 2] = torch.nan
    images[0, 0, 12, 6] = torch.nan
    torch.testing.assert_close(filled_each(images, known)[1:], alone, rtol=0, atol=2e-6)


@pytest.mark.parametrize("levels", [2, 7, 10**6])
@pytest.mark.parametrize("percentile", [0, 3, 50, 99.5, 100])
def test_the_lowest_are_those_of_a_stable_order_of_shuffled_places(percentile: float, levels: int) -> None:
    values = torch.randint(levels, (23, 17), generator=torch.Generator().manual_seed(1)).float()
    values[4, 4:9] = torch.nan
    shuffled = torch.randperm(values.numel(), generator=torch.Generator().manual_seed(5))
    order = shuffled[values.flatten()[shuffled].argsort(stable=True)]
    count = int(np.ceil((values.numel() - 1) * percentile / 100))
    want = torch.zeros(values.numel(), dtype=torch.bool)
    want[order[:count]] = True
    assert torch.equal(lowest(values, percentile, seed=5), want.view(23, 17))


@pytest.mark.parametrize("kind", ["all zero", "one spot", "without ties"])
def test_with_ties_exactly_the_share_goes(kind: str) -> None:
    maps = {"all zero": torch.zeros(2, 20, 20), "without ties": drawn(2, 20, 20).float()}.get(kind)
    if maps is None:
        maps = torch.zeros(2, 20, 20)
        maps[:, 4:7, 4:7] = 1
    images, seen = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(1)), []

    def note(changed: Tensor, rows: Tensor) -> Tensor:
        seen.append((changed != images[rows]).any(dim=1).sum(dim=(1, 2)).tolist())
        return torch.zeros(len(changed))

    road(maps, images, note, shares=(0.1, 0.5, 0.9))
    assert seen == [[40, 40], [40, 40], [200, 200], [200, 200], [360, 360], [360, 360]]


def test_a_map_and_its_inverse_are_each_others_negative_and_noise_is_the_same_for_both() -> None:
    images, score, maps = drawn(3, 1, 9, 9), additive(drawn(3, 9, 9, seed=1)), drawn(3, 9, 9, seed=2)
    have, inverse = road(maps, images, score, seed=3), road(-maps, images, score, seed=3)
    torch.testing.assert_close(have.combined, -inverse.combined, rtol=0, atol=1e-9)
    assert torch.equal(have.most, inverse.least)
    assert not torch.equal(road(maps, images, score, seed=4).most, have.most)


def test_an_images_noise_is_the_same_in_a_batch_and_alone() -> None:
    """With noise ten times as wide as the image, of which the solver's tolerance is a ten-thousandth."""
    images, maps = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(1)), drawn(5, 12, 12)
    seen: list[Tensor] = []

    def note(changed: Tensor, rows: Tensor) -> Tensor:
        seen.append(changed)
        return torch.zeros(len(changed))

    road(maps, images, note, noise=10)
    together, seen = seen, []
    for row in (3, 0):
        seen.clear()
        road(maps[[row]], images[[row]], note, noise=10)
        for batch, alone in zip(together, seen, strict=True):
            torch.testing.assert_close(batch[[row]], alone, rtol=0, atol=2e-3)


def test_the_pixels_that_count_are_found() -> None:
    """A network that reads the mean of one square: the square itself is the best map, the rest the worst."""
    weights = torch.zeros(4, 16, 16, dtype=torch.float64)
    weights[:, 5:9, 5:9] = 1 / 16
    images = torch.zeros(4, 1, 16, 16, dtype=torch.float64)
    images[:, :, 5:9, 5:9] = 1
    square = road(weights, images, additive(weights), noise=0).combined
    assert bool((square > 0.4).all())
    others = drawn(4, 16, 16, seed=5)
    assert bool((road(others, images, additive(weights), noise=0).combined.abs() < square).all())


@pytest.mark.parametrize("shares", [(), (0.0,), (0.5, 1.0)])
def test_shares_that_are_none_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match=r"must be between 0 and 1, such as 0\.1"):
        road(torch.zeros(1, 4, 4), torch.zeros(1, 1, 4, 4), additive(torch.zeros(1, 4, 4)), shares=shares)
