"""Pictures, and maps scaled to be drawn, as the real package makes them; what it takes silently is said."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch

from seewhy.compat.pytorch_grad_cam.sobel_cam import sobel_cam
from seewhy.compat.pytorch_grad_cam.utils import image as ours
from seewhy.compat.pytorch_grad_cam.utils import reshape_transforms
from seewhy.compat.pytorch_grad_cam.utils.find_layers import (
    find_layer_types_recursive,
    replace_all_layer_type_recursive,
    replace_layer_recursive,
)
from seewhy.errors import DataError, LayerError, OptionError
from tests.compat import peers
from tests.models import Pooled, seeded

theirs = peers.theirs.utils.image
cv2 = pytest.importorskip("cv2")


def picture(kind: Any = np.float32, size: int = 40) -> np.ndarray:
    return np.random.default_rng(0).random((size, size, 3)).astype(kind)


def mask(size: int = 40) -> np.ndarray:
    return np.random.default_rng(1).random((size, size)).astype(np.float32)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("use_rgb", [True, False])
@pytest.mark.parametrize("weight", [0.5, 0.2, 1.0])
@pytest.mark.parametrize("colormap", [cv2.COLORMAP_JET, cv2.COLORMAP_TURBO, cv2.COLORMAP_BONE])
def test_overlays_are_the_same_bytes(kind: Any, use_rgb: bool, weight: float, colormap: int) -> None:
    options = {"use_rgb": use_rgb, "image_weight": weight, "colormap": colormap}
    have = ours.show_cam_on_image(picture(kind), mask(), **options)
    np.testing.assert_array_equal(have, theirs.show_cam_on_image(picture(kind), mask(), **options))


def test_a_picture_of_nothing_has_no_division_by_zero() -> None:
    assert ours.show_cam_on_image(np.zeros((4, 4, 3)), np.zeros((4, 4)), image_weight=1).max() == 0


def test_an_image_of_8_bits_is_divided_and_said() -> None:
    eight = (picture() * 255).astype(np.uint8)
    with pytest.warns(UserWarning, match="img has 8 bits, and was divided by 255") as told:
        have = ours.show_cam_on_image(eight, mask(), use_rgb=True)
    assert told[0].filename == __file__
    np.testing.assert_array_equal(have, theirs.show_cam_on_image(np.float32(eight) / 255, mask(), use_rgb=True))


@pytest.mark.parametrize(
    ("img", "over", "words"),
    [
        (picture() * 255, mask(), r"img lies from .* to 25\d"),
        (picture() - 0.5, mask(), r"img lies from -0\.5 to 0\.5.*\n.*without the network's mean"),
        (picture().transpose(2, 0, 1), mask(), r"img has shape \(3, 40, 40\).*\n.*transpose"),
        (picture(), mask()[None], r"mask has shape \(1, 40, 40\).*\n.*mask\[0\]"),
        (picture(), mask(8), r"mask has shape \(8, 8\)"),
        (picture(), mask() * 9, r"mask lies from .*\n.*scale_cam_image"),
        (picture(), mask() * np.nan, "mask holds NaN"),
    ],
)
def test_bad_pictures_are_named(img: Any, over: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        ours.show_cam_on_image(img, over)


def test_a_colour_map_of_ones_own_as_opencv_takes_it() -> None:
    own = np.random.default_rng(3).integers(0, 255, (256, 1, 3), np.uint8)
    for use_rgb in (False, True):
        options = {"use_rgb": use_rgb, "colormap": own}
        want = theirs.show_cam_on_image(picture(), mask(), **options)
        np.testing.assert_array_equal(ours.show_cam_on_image(picture(), mask(), **options), want)


def test_bad_options_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="image_weight is 2"):
        ours.show_cam_on_image(picture(), mask(), image_weight=2)
    with pytest.raises(OptionError, match="table of colours has shape"):
        ours.show_cam_on_image(picture(), mask(), colormap=np.zeros((3, 3)))
    with pytest.raises(OptionError, match=r"colormap is 'jet', and must be.*\n.*cv2\.COLORMAP_VIRIDIS"):
        ours.show_cam_on_image(picture(), mask(), colormap="jet")
    with pytest.raises(OptionError, match=r"has no colour map of the number 999.*\n.*cv2\.COLORMAP_JET"):
        ours.show_cam_on_image(picture(), mask(), colormap=999)
    monkeypatch.delitem(sys.modules, "cv2")
    with pytest.raises(OptionError, match="a number of OpenCV's, which is not imported"):
        ours.show_cam_on_image(picture(), mask(), colormap=11)


@pytest.mark.parametrize("size", [None, (24, 16), (7, 9)])
def test_scaled_maps(size: Any) -> None:
    maps = np.random.default_rng(2).normal(size=(3, 11, 13)).astype(np.float32)
    np.testing.assert_allclose(ours.scale_cam_image(maps, size), theirs.scale_cam_image(maps, size), atol=1e-6)
    channels = maps[None]
    if size:
        want = theirs.scale_accross_batch_and_channels(channels, size)
        np.testing.assert_allclose(ours.scale_accross_batch_and_channels(channels, size), want, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_images_in_and_out(kind: Any) -> None:
    image = (picture() * (255 if kind is np.uint8 else 1)).astype(kind)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    want = theirs.preprocess_image(image, mean=mean, std=std)
    torch.testing.assert_close(ours.preprocess_image(image, mean=mean, std=std), want)
    values = np.random.default_rng(3).normal(size=(20, 20, 3))
    np.testing.assert_array_equal(ours.deprocess_image(values), theirs.deprocess_image(values))


def test_edges() -> None:
    from pytorch_grad_cam.sobel_cam import sobel_cam as their_edges

    image = (picture() * 255).astype(np.uint8)
    assert np.abs(np.int32(sobel_cam(image)) - np.int32(their_edges(image))).max() <= 1


def test_reshape_functions() -> None:
    wide = peers.theirs.utils.reshape_transforms
    tokens = torch.rand(2, 197, 5)
    torch.testing.assert_close(reshape_transforms.vit_reshape_transform(tokens), wide.vit_reshape_transform(tokens))
    square = torch.rand(2, 49, 5)
    torch.testing.assert_close(reshape_transforms.swinT_reshape_transform(square), wide.swinT_reshape_transform(square))
    torch.testing.assert_close(
        reshape_transforms.swinT_reshape_transform(square.view(2, 7, 7, 5)), wide.swinT_reshape_transform(square)
    )
    pyramid = {"0": torch.randn(1, 3, 16, 16), "1": torch.randn(1, 3, 8, 8), "pool": torch.randn(1, 3, 4, 4)}
    torch.testing.assert_close(
        reshape_transforms.fasterrcnn_reshape_transform(pyramid), wide.fasterrcnn_reshape_transform(pyramid)
    )


def test_q21_reshape_functions_of_other_sizes_and_with_registers() -> None:
    spatial = torch.rand(2, 256, 5)
    tokens = torch.cat([torch.rand(2, 5, 5), spatial], dim=1)
    want = spatial.view(2, 16, 16, 5).permute(0, 3, 1, 2)
    torch.testing.assert_close(reshape_transforms.vit_reshape_transform(tokens), want)
    wide = reshape_transforms.vit_reshape_transform(torch.rand(1, 1 + 32, 5), height=4, width=8)
    assert wide.shape == (1, 5, 4, 8)
    with pytest.raises(LayerError, match="33 tokens are no 5 x 5 places with at most 0"):
        reshape_transforms.swinT_reshape_transform(torch.rand(1, 33, 5))


def test_layers_found_and_replaced() -> None:
    model = seeded(Pooled())
    wide = peers.theirs.utils.find_layers if hasattr(peers.theirs.utils, "find_layers") else None
    found = find_layer_types_recursive(model, [torch.nn.Conv2d, torch.nn.BatchNorm2d])
    assert found == [model.stem[0], model.stem[1], model.block[0], model.block[1]]
    assert wide is None or found == wide.find_layer_types_recursive(model, [torch.nn.Conv2d, torch.nn.BatchNorm2d])
    own = torch.nn.Identity()
    assert replace_layer_recursive(model, model.stem[2], own) and model.stem[2] is own
    assert not replace_layer_recursive(model, torch.nn.ReLU(), own)
    replace_all_layer_type_recursive(model, torch.nn.BatchNorm2d, own)
    assert model.stem[1] is own and model.block[1] is own
