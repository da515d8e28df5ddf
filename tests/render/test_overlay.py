"""Overlays pixel by pixel: where the map is zero nothing changes, elsewhere the colour comes in evenly."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from seewhy.render.color import heat
from seewhy.render.overlay import OPACITY, encode, overlay, overlay_like_grad_cam

LEVELS = np.arange(256, dtype=np.float32) / 255


@pytest.mark.parametrize("seed", range(3))
def test_pixels_without_a_map_keep_their_bytes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    photograph = generator.integers(0, 256, (33, 47, 3), dtype=np.uint8)
    mask = np.maximum(generator.random((33, 47), dtype=np.float32) - 0.5, 0)
    picture = overlay(photograph, mask)
    np.testing.assert_array_equal(picture[mask == 0], photograph[mask == 0])
    assert (picture[mask > 0.2] != photograph[mask > 0.2]).any(axis=-1).mean() > 0.99


@pytest.mark.parametrize("level", [0, 60, 255])
def test_colour_and_photograph_mix_by_the_formula(level: int) -> None:
    photograph = np.full((1, 256, 3), level, np.uint8)
    picture = overlay(photograph, LEVELS[None])[0]
    opacity = OPACITY * LEVELS[:, None].astype(float) ** 0.8
    want = opacity * heat() + (1 - opacity) * level
    np.testing.assert_allclose(picture, want, rtol=0, atol=1.5)


@pytest.mark.parametrize("channel", range(3), ids=["red", "green", "blue"])
def test_a_stronger_map_is_never_further_from_its_colour(channel: int) -> None:
    # The share of the photograph that is left, measured where it can be: as the difference of two photographs.
    dark, light = (overlay(np.full((1, 256, 3), level, np.uint8), LEVELS[None])[0].astype(int) for level in (0, 255))
    left = (light - dark)[:, channel]
    assert left[0] == 255 and left[-1] == pytest.approx(255 * (1 - OPACITY), abs=1)
    assert (np.diff(left) <= 1).all() and (np.diff(left[::8]) < 0).all()


def test_the_map_and_the_photograph_are_not_changed() -> None:
    photograph, mask = np.full((4, 4, 3), 9, np.uint8), np.full((4, 4), 0.5, np.float32)
    for draw in (overlay, overlay_like_grad_cam):
        draw(photograph, mask)
        assert (photograph == 9).all() and (mask == 0.5).all()


@pytest.mark.parametrize("level", [0, 255], ids=["black", "white"])
@pytest.mark.parametrize("peak", [0.0, 1 - 1e-7, 1.0])
def test_the_presets_picture_at_the_ends_is_that_of_the_real_package(level: int, peak: float) -> None:
    image = pytest.importorskip("pytorch_grad_cam.utils.image", reason="grad-cam is not installed")
    canvas = np.full((5, 7, 3), level, np.uint8)
    mask = np.linspace(0, peak, 35, dtype=np.float32).reshape(5, 7)
    want = image.show_cam_on_image(np.float32(canvas) / 255, mask, use_rgb=True)
    np.testing.assert_array_equal(overlay_like_grad_cam(canvas, mask), want)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (17, 9)])
@pytest.mark.parametrize("image_format", ["jpg", "png"])
def test_pictures_of_any_size_are_encoded_the_same_each_time(size: tuple[int, int], image_format: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    data = encode(picture, image_format)
    assert data == encode(picture.copy(), image_format)
    with PIL.Image.open(BytesIO(data)) as read:
        assert read.size == size[::-1] and read.format == {"jpg": "JPEG", "png": "PNG"}[image_format]
        assert image_format == "jpg" or (np.asarray(read) == picture).all()
