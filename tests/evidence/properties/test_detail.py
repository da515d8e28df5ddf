from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage, special

from seewhy.evidence.properties import detail
from seewhy.evidence.properties.colour import brightness, luminance, tint
from tests.evidence.properties.test_catalogue import scenes


def gaussian(image: NDArray[np.float64], time: float) -> NDArray[np.float64]:
    """Lindeberg's discrete Gaussian by its Bessel functions, on an image that is reflected."""
    kernel = special.ive(np.arange(-40, 41), time)
    for axis in (0, 1):
        image = ndimage.correlate1d(image, kernel, axis=axis, mode="reflect")
    return image


def test_sharpness_is_the_slope_over_the_spread() -> None:
    canvases = scenes(3, (20, 27)).double()
    gray = luminance(canvases).numpy()
    slopes = (np.diff(gray, axis=1) ** 2).sum((1, 2)) + (np.diff(gray, axis=2) ** 2).sum((1, 2))
    expected = np.sqrt(slopes / (20 * 27) / (gray.var((1, 2)) + 1e-8))
    np.testing.assert_allclose(detail.sharpness(canvases)[:, 0].numpy(), expected, rtol=1e-10)


def test_contrast_and_brightness_do_not_change_sharpness() -> None:
    canvases = scenes(3)
    torch.testing.assert_close(detail.sharpness(canvases * 0.5 + 0.2), detail.sharpness(canvases), rtol=1e-3, atol=0)


@pytest.mark.parametrize("time", [0.1, 1.0, 9.0])
def test_the_blur_is_the_discrete_gaussian(time: float) -> None:
    canvases = scenes(2, (64, 80)).double()
    expected = torch.from_numpy(np.stack([[gaussian(plane, time) for plane in one] for one in canvases.numpy()]))
    blurred = detail.sharpness_editor(canvases)(detail.sharpness(expected))
    torch.testing.assert_close(blurred, expected, rtol=0, atol=5e-4)  # a tenth of a grey level


@pytest.mark.parametrize("kind", ["scene", "noise"])
def test_sharpness_falls_with_the_blur_so_that_the_wanted_one_is_found(kind: str) -> None:
    noise = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    canvases = {"scene": scenes(3), "noise": noise}[kind]
    own = detail.sharpness(canvases)
    edit = detail.sharpness_editor(canvases)
    for share in (0.99, 0.9, 0.7, 0.3 if kind == "noise" else 0.65):  # a scene has low frequencies, and keeps them
        torch.testing.assert_close(detail.sharpness(edit(own * share)), own * share, rtol=5e-3, atol=0)


def test_blur_keeps_the_mean_colour() -> None:
    canvases = scenes(3)
    blurred = detail.sharpness_editor(canvases)(detail.sharpness(canvases) / 3)
    torch.testing.assert_close(blurred.mean(dim=(2, 3)), canvases.mean(dim=(2, 3)), rtol=0, atol=1e-5)


def test_a_flat_wish_blurs_no_further_than_the_widest() -> None:
    canvases = scenes(1, (64, 64)).double()
    blurred = detail.sharpness_editor(canvases)(torch.zeros(1, 1, dtype=torch.float64))
    expected = np.stack([gaussian(plane, (64 * detail.WIDEST_BLUR) ** 2) for plane in canvases[0].numpy()])
    np.testing.assert_allclose(blurred[0].numpy(), expected, atol=1e-6)


def test_noise_is_the_median_under_immerkaers_mask() -> None:
    canvases = scenes(2, (21, 30)).double()
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    for gray, found in zip(luminance(canvases).numpy(), detail.noise(canvases)[:, 0].tolist(), strict=True):
        responses = np.sort(np.abs(ndimage.convolve(gray, mask)[1:-1, 1:-1]), axis=None)
        assert found == pytest.approx(responses[(responses.size - 1) // 2] / 0.6744897501960817 / 6)


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_noise_measures_the_luminances_noise(level: float) -> None:
    drawn = torch.randn(8, 1, 96, 96, generator=torch.Generator().manual_seed(2)) * level
    ramp = torch.linspace(0.3, 0.7, 96).expand(8, 3, 96, 96)
    torch.testing.assert_close(detail.noise(ramp + drawn), torch.full((8, 1), level), rtol=0.06, atol=0)


def test_added_noise_has_the_level_that_was_missing() -> None:
    flat = torch.full((1, 3, 128, 128), 0.5)
    added = detail.noise_editor(flat)(torch.full((1, 1), 0.03)) - flat
    assert float(luminance(added).std()) == pytest.approx(0.03, rel=0.05)
    correlation = torch.corrcoef(added[0].flatten(1))
    assert (correlation - torch.eye(3)).abs().max() < 0.03
    assert added.mean().abs() < 1e-3


def test_noise_keeps_brightness_and_tint() -> None:
    canvases = scenes(3)
    noisy = detail.noise_editor(canvases)(torch.full((3, 1), 0.05))
    torch.testing.assert_close(brightness(noisy), brightness(canvases), rtol=0, atol=2e-3)
    torch.testing.assert_close(tint(noisy), tint(canvases), rtol=0, atol=3e-3)
