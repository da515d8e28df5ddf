"""Colours and overlays against independent references; sheets say what they must."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from seewhy.render.color import WRONG, heat, jet
from seewhy.render.overlay import OPACITY, encode, overlay, overlay_like_grad_cam, side_by_side
from seewhy.render.sheet import Tile, page

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (48, 64, 3), dtype=np.uint8)


def oklab(table: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB bytes (N, 3) in OKLab, by Ottosson's forward matrices (the code under test uses the inverse ones)."""
    c = table / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    lms = linear @ np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                             [0.0883024619, 0.2817188376, 0.6299787005]]).T  # fmt: skip
    rows = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(lms) @ np.array(rows).T


def test_heat_is_perceptually_uniform() -> None:
    lab = oklab(heat())
    assert (np.diff(lab[::4, 0]) > 0).all()
    steps = np.linalg.norm(np.diff(lab[::8], axis=0), axis=1)
    assert steps.max() / steps.mean() < 1.2 and steps.min() / steps.mean() > 0.8


def test_jet_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    reference = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_JET)[:, 0, ::-1]
    np.testing.assert_array_equal(jet(), reference)


def test_a_map_of_zero_leaves_the_photograph() -> None:
    np.testing.assert_array_equal(overlay(PHOTO, np.zeros(PHOTO.shape[:2], np.float32)), PHOTO)


def test_a_peak_gets_the_last_colour_at_full_opacity() -> None:
    picture = overlay(PHOTO, np.ones(PHOTO.shape[:2], np.float32))
    want = PHOTO * (1 - OPACITY) + heat()[255] * OPACITY
    assert np.abs(picture - want).max() <= 1.5


def test_a_larger_value_is_further_from_the_photograph() -> None:
    grey = np.full((1, 256, 3), 60, np.uint8)
    picture = overlay(grey, np.linspace(0, 1, 256, dtype=np.float32)[None]).astype(int)
    opacity = (
        np.abs(picture - heat()[None].astype(int)).sum(2)[0, 1:] / np.abs(grey - heat()[None].astype(int)).sum(2)[0, 1:]
    )
    assert opacity[0] > opacity[120] > opacity[254]


def test_the_presets_picture_is_that_of_the_real_package() -> None:
    image = pytest.importorskip("pytorch_grad_cam.utils.image", reason="grad-cam is not installed")
    for seed in range(5):
        mask = np.random.default_rng(seed).random(PHOTO.shape[:2], dtype=np.float32) * (seed + 1) / 5
        want = image.show_cam_on_image(np.float32(PHOTO) / 255, mask, use_rgb=True)
        np.testing.assert_array_equal(overlay_like_grad_cam(PHOTO, mask), want)


def test_png_keeps_every_pixel_and_jpeg_has_quality_95() -> None:
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(BytesIO(encode(PHOTO, "png")))), PHOTO)
    reference = BytesIO()
    PIL.Image.fromarray(PHOTO).save(reference, "JPEG", quality=95)
    tables = [PIL.Image.open(BytesIO(data)).quantization for data in (encode(PHOTO, "jpg"), reference.getvalue())]
    assert tables[0] == tables[1]


def test_panels_stand_side_by_side() -> None:
    both = side_by_side([PHOTO, PHOTO])
    assert both.shape == (48, 132, 3) and (both[:, 64:68] == 255).all()
    np.testing.assert_array_equal(both[:, 68:], PHOTO)


@pytest.mark.parametrize("name", ["x" * 300, "a\nb\t\x1b[31m", "<img onerror=1>", "naïve ‮ 名前", ""])
def test_any_name_can_stand_on_a_sheet(name: str) -> None:
    tiles = [
        Tile(PIL.Image.fromarray(PHOTO), (name, "cat 0.50", "max 1"), wrong=True),
        Tile(None, (name, "no result", name)),
    ]
    sheet = np.asarray(page(name, name, tiles, heat(), ("0", "1")))
    assert (sheet == WRONG).all(2).sum() > 100


def test_only_a_wrong_prediction_is_framed() -> None:
    def red(wrong: bool) -> int:
        tile = Tile(PIL.Image.fromarray(PHOTO * 0), ("a", "b", "c"), wrong)
        return int((np.asarray(page("t", "s", [tile], heat(), ("0", "1"))) == WRONG).all(2).sum())

    assert red(True) > 500 and red(False) == 0
