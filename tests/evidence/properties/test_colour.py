from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from seewhy.evidence.properties import colour
from tests.evidence.properties.test_catalogue import scenes


def glaring(count: int) -> torch.Tensor:
    """Scenes of which a part is black, a part white."""
    return ((scenes(count) - 0.5) * 2.5 + 0.5).clamp(0, 1)


def test_the_luminance_is_pillows() -> None:
    canvas = scenes(1)[0]
    gray = Image.fromarray((canvas.permute(1, 2, 0) * 255).round().byte().numpy()).convert("L")
    assert np.abs(colour.luminance(canvas[None])[0].numpy() * 255 - np.asarray(gray)).max() <= 1


def test_measures_by_hand() -> None:
    canvas = torch.zeros(1, 3, 2, 2)
    canvas[0, 0, 0] = 1.0  # the upper half is red
    red = 0.299
    assert float(colour.brightness(canvas)) == pytest.approx(red / 2)
    assert float(colour.contrast(canvas)) == pytest.approx(red / 2)
    assert float(colour.saturation(canvas)) == pytest.approx((((1 - red) ** 2 + 2 * red**2) / 6) ** 0.5)
    torch.testing.assert_close(colour.tint(canvas), torch.tensor([[0.5 - red / 2, -red / 2, -red / 2]]))


@pytest.mark.parametrize("factor", [0.3, 0.8, 1.15, 1.3])
def test_brightness_is_the_gain_that_bisection_finds_although_pixels_clip(factor: float) -> None:
    canvases = glaring(4)
    wanted = colour.brightness(canvases) * factor
    edited = colour.brightness_editor(canvases)(wanted)
    low, high = torch.zeros(4, 1, dtype=torch.float64), torch.full((4, 1), 20.0, dtype=torch.float64)
    for _ in range(60):
        middle = (low + high) / 2
        enough = colour.brightness((canvases.double() * middle[:, :, None, None]).clamp(max=1)) >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    expected = (canvases.double() * high[:, :, None, None]).clamp(max=1)
    torch.testing.assert_close(edited.double(), expected, rtol=0, atol=2e-3)
    torch.testing.assert_close(colour.brightness(edited), wanted, rtol=0, atol=5e-4)


@pytest.mark.parametrize("name", ["contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.3, 0.5, 1.1, 1.25])
def test_the_spread_is_reached_although_pixels_clip(name: str, factor: float) -> None:
    canvases = glaring(4)
    measure, editor = getattr(colour, name), getattr(colour, f"{name}_editor")
    wanted = measure(canvases) * factor
    torch.testing.assert_close(measure(editor(canvases)(wanted)), wanted, rtol=0, atol=1e-3)


def test_what_is_out_of_reach_is_approached() -> None:
    canvases = glaring(4)
    own, wanted = colour.contrast(canvases), torch.full((4, 1), 0.7)
    assert (colour.contrast(colour.contrast_editor(canvases)(wanted)) > own * 1.1).all()
    dark = canvases * 0.01
    bright = colour.brightness_editor(dark)(torch.full((4, 1), 0.5))
    torch.testing.assert_close(bright, dark * colour.MOST)


def test_no_saturation_is_grey() -> None:
    edited = colour.saturation_editor(scenes(2))(torch.zeros(2, 1))
    assert (edited.amax(dim=1) - edited.amin(dim=1)).max() < 1e-6


def test_contrast_and_saturation_leave_the_others_alone() -> None:
    canvases = scenes(4)
    flatter = colour.contrast_editor(canvases)(colour.contrast(canvases) / 2)
    torch.testing.assert_close(colour.saturation(flatter), colour.saturation(canvases))
    torch.testing.assert_close(colour.tint(flatter), colour.tint(canvases), rtol=0, atol=1e-6)
    torch.testing.assert_close(colour.brightness(flatter), colour.brightness(canvases))
    paler = colour.saturation_editor(canvases)(colour.saturation(canvases) / 2)
    torch.testing.assert_close(colour.luminance(paler), colour.luminance(canvases), rtol=0, atol=1e-6)


def test_tint_keeps_the_luminance_of_every_pixel() -> None:
    canvases = scenes(4)
    edited = colour.tint_editor(canvases)(torch.tensor([[0.06, 0.0, -0.06]]).expand(4, 3))
    clipped = ((edited == 0) | (edited == 1)).any()
    assert not clipped
    assert (colour.luminance(edited) - colour.luminance(canvases)).abs().max() < 1e-6


def test_tint_ignores_what_is_luminance_in_the_wanted_value() -> None:
    canvases = scenes(3)
    own = colour.tint(canvases)
    torch.testing.assert_close(colour.tint_editor(canvases)(own + 0.2), canvases, rtol=0, atol=1e-5)


def test_black_and_white_take_no_tint() -> None:
    canvases = torch.cat([torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)])
    edited = colour.tint_editor(canvases)(torch.tensor([[0.2, 0.0, -0.2]]).expand(2, 3))
    torch.testing.assert_close(edited, canvases, rtol=0, atol=1e-5)
