"""Maps: scaled, fused and described as an independent reference does it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from seewhy.maps import NEGLIGIBLE, empty_reason, fuse, is_smoothed, positive, resize, scale_to_draw, share


def random_maps(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def grad_cam_reference(layers: list[np.ndarray], width: int, height: int) -> np.ndarray:
    """pytorch-grad-cam 1.5.5 after the weighted sum: scale_cam_image per layer, mean, scale_cam_image again."""

    def scaled(cams: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
        found = []
        for cam in cams:
            cam = cam - np.min(cam)
            cam = cam / (1e-7 + np.max(cam))
            found.append(cam if size is None else cv2.resize(np.float32(cam), size))
        return np.float32(found)

    per_layer = [scaled(np.maximum(cams, 0), (width, height))[:, None] for cams in layers]
    stacked = np.maximum(np.concatenate(per_layer, axis=1), 0)
    return scaled(np.mean(stacked, axis=1), None)


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (8, 8), (5, 6)], ids=str)
@pytest.mark.parametrize("grids", [[(8, 8)], [(16, 16), (4, 4)], [(7, 9), (14, 18), (3, 3)]], ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e6], ids=str)
def test_fused_maps_equal_pytorch_grad_cams(grids: list[tuple[int, int]], size: tuple[int, int], scale: float) -> None:
    layers = [random_maps(5, *grid, seed=number, scale=scale) for number, grid in enumerate(grids)]
    wanted = grad_cam_reference([one.numpy() for one in layers], size[1], size[0])
    found = fuse(layers, size).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert found.shape == (5, *size)
    assert found.min() >= 0
    assert found.max() < 1


def test_fusing_leaves_empty_and_constant_maps_dark() -> None:
    maps = torch.stack([torch.full((4, 4), -2.0), torch.zeros(4, 4), torch.full((4, 4), 3.0)])
    assert float(fuse([maps], (8, 8)).abs().max()) == 0


def test_fusing_one_image_or_many_gives_the_same() -> None:
    layers = [random_maps(4, 6, 6, seed=1), random_maps(4, 3, 3, seed=2)]
    alone = torch.cat([fuse([one[n : n + 1] for one in layers], (12, 12)) for n in range(4)])
    torch.testing.assert_close(fuse(layers, (12, 12)), alone, atol=0, rtol=0)


def test_fusing_does_not_change_what_it_is_given() -> None:
    maps = random_maps(2, 4, 4)
    before = maps.clone()
    fuse([maps], (8, 8))
    scale_to_draw(maps)
    share(maps)
    assert torch.equal(maps, before)


@pytest.mark.parametrize("size", [(20, 30), (3, 2)], ids=str)
def test_resizing_is_opencvs_linear(size: tuple[int, int]) -> None:
    maps = random_maps(3, 7, 5)
    wanted = np.stack([cv2.resize(one.numpy(), size[::-1], interpolation=cv2.INTER_LINEAR) for one in maps])
    np.testing.assert_allclose(resize(maps, size).numpy(), wanted, atol=5e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30], ids=str)
def test_a_coarse_map_is_drawn_as_its_positive_part_over_its_maximum(scale: float) -> None:
    maps = random_maps(4, 5, 5, scale=scale)
    wanted = np.maximum(maps.numpy(), 0) / maps.numpy().max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(scale_to_draw(maps).numpy(), wanted, rtol=1e-6)
    middle = random_maps(3, 14, 14, scale=scale).numpy()  # too many cells for the peak, too few to be smoothed
    clipped = [np.clip(one / np.quantile(np.maximum(one, 0), 0.96, method="nearest"), 0, 1) for one in middle]
    np.testing.assert_allclose(scale_to_draw(torch.from_numpy(middle)).numpy(), clipped, rtol=1e-5)
    assert scale_to_draw(maps).amax(dim=(1, 2)).tolist() == [1.0] * 4


def drawn_reference(raw: np.ndarray) -> np.ndarray:
    """A fine map by OpenCV: positive part, mean over 32 cells a side, blurred by (1 2 1), 1 at its 96th percentile."""
    size = tuple(min(32, side) for side in raw.shape[::-1])
    small = cv2.resize(np.maximum(raw, 0).astype(np.float64), size, interpolation=cv2.INTER_AREA)
    kernel = np.array([0.25, 0.5, 0.25])
    blurred = cv2.sepFilter2D(small, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.clip(blurred / np.quantile(blurred, 0.96, method="nearest"), 0, 1)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30], ids=str)
@pytest.mark.parametrize("grid", [(17, 17), (28, 28), (64, 128), (256, 256), (96, 20)], ids=str)
def test_a_fine_map_is_drawn_smoothed_up_to_its_96th_percentile(grid: tuple[int, int], scale: float) -> None:
    maps = random_maps(3, *grid, scale=scale)
    assert is_smoothed(grid) and not is_smoothed((16, 16))
    for one, drawn in zip(maps, scale_to_draw(maps), strict=True):
        np.testing.assert_allclose(drawn.numpy(), drawn_reference(one.numpy() / scale), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [7, 14, 32, 128, 256])
def test_a_single_cell_is_drawn_at_its_place_so_large_that_it_is_seen(side: int) -> None:
    maps = torch.full((1, side, side), -1.0)
    maps[0, side // 3, 3 * side // 4] = 1e-5
    drawn = scale_to_draw(maps)[0]
    places = torch.argwhere(drawn > 0.3).double().mean(dim=0) + 0.5
    wanted = ((side // 3 + 0.5) / side, (3 * side // 4 + 0.5) / side)
    assert (places / len(drawn)).tolist() == pytest.approx(wanted, abs=0.03)
    assert 0.12 <= float((drawn > 0.001).double().mean()) <= 0.3 and float(drawn.max()) == 1


def test_noise_beside_a_peak_is_not_taken_for_a_map() -> None:
    maps = random_maps(1, 64, 64).abs() * 1e-7
    maps[0, 30:34, 10:14] = 1.0
    drawn = scale_to_draw(maps)[0]
    assert float(drawn[20:, 16:].max()) < 0.01 and float(drawn[16, 6]) == 1


@pytest.mark.parametrize("value", [0.0, -1.0], ids=["zero", "negative"])
def test_a_map_without_a_positive_part_scales_and_shares_to_zero(value: float) -> None:
    maps = torch.full((2, 3, 3), value)
    assert float(scale_to_draw(maps).abs().max()) == 0
    assert float(scale_to_draw(torch.full((2, 40, 40), value)).abs().max()) == 0
    assert float(share(maps).abs().max()) == 0


def test_shares_have_mean_one_whatever_the_size_of_the_map() -> None:
    maps = random_maps(6, 9, 4) * torch.logspace(-12, 12, 6)[:, None, None]
    shares = share(maps)
    np.testing.assert_allclose(shares.mean(dim=(1, 2)).numpy(), np.ones(6), rtol=1e-6)
    np.testing.assert_allclose(shares.numpy(), share(maps * 1000).numpy(), rtol=1e-5)
    even = share(torch.full((1, 3, 3), 0.2))
    np.testing.assert_allclose(even.numpy(), np.ones((1, 3, 3)), rtol=1e-6)


def test_the_positive_part_keeps_positive_cells_and_drops_the_rest() -> None:
    maps = torch.tensor([[[-1.0, 0.0], [2.0, -0.5]]])
    assert positive(maps).tolist() == [[[0.0, 0.0], [2.0, 0.0]]]


@pytest.mark.parametrize(
    ("maximum", "n_cells", "score", "in_units", "reason"),
    [
        pytest.param(math.nan, 4, 1.0, True, "not finite", id="nan"),
        pytest.param(math.inf, 4, 1.0, True, "not finite", id="infinite"),
        pytest.param(0.0, 4, 1.0, True, "no positive part", id="zero"),
        pytest.param(-3.0, 4, 1.0, False, "no positive part", id="negative"),
        pytest.param(1e-5, 4, 1.0, True, "peak is negligible", id="negligible"),
        pytest.param(1e-5, 4, -1.0, True, "peak is negligible", id="negligible-of-a-negative-score"),
        pytest.param(1e-5, 4, 1.0, False, None, id="other-units-are-not-judged"),
        pytest.param(NEGLIGIBLE / 4 * 1.01, 4, 1.0, True, None, id="just-enough"),
        pytest.param(NEGLIGIBLE / 4 * 0.99, 4, 1.0, True, "peak is negligible", id="just-too-little"),
        pytest.param(1e-20, 4, 0.0, True, None, id="any-peak-for-a-score-of-zero"),
        pytest.param(5.0, 4, math.nan, True, None, id="a-score-that-is-no-number"),
    ],
)
def test_why_a_map_is_drawn_empty(
    maximum: float, n_cells: int, score: float, in_units: bool, reason: str | None
) -> None:
    assert empty_reason(maximum, n_cells, score, in_score_units=in_units) == reason
