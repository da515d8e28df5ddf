"""What goes wrong in silence with the other package, and its neighbours: an error or a warning in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seewhy.compat.pytorch_grad_cam import GradCAM
from seewhy.compat.pytorch_grad_cam.metrics.road import ROADMostRelevantFirst
from seewhy.compat.pytorch_grad_cam.utils.image import (
    deprocess_image,
    preprocess_image,
    show_cam_on_image,
    show_factorization_on_image,
)
from seewhy.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from seewhy.errors import DataError, LayerError, OptionError
from tests.models import FourConv, images, seeded

PICTURE = images(1)[0].permute(1, 2, 0).numpy()
MASK = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(FourConv())


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([ClassifierOutputTarget(0)], r"1 target for 2 images.*Upstream leaves the maps.*\n.*\* len\(input_tensor\)"),
        ([ClassifierOutputTarget(0)] * 3, r"3 targets for 2 images\. \(Upstream leaves the last ones out\.\)"),
        ([], "0 targets for 2 images"),
        (1, "A target is a function of one image's output, and 1 is none"),
        ("cat", "and 'cat' is none"),
        ([1, 0], "and 1 is none"),
        (torch.tensor([1, 0]), r"and tensor\(1\) is none"),
        (ClassifierOutputTarget(float("inf")), "There is no class inf"),
        (lambda output: output, r"gave \(2,\), where one number"),
        (lambda output: None, "gave NoneType, where one number"),
    ],
)
def test_targets(model: nn.Module, targets: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        GradCAM(model, [model.conv2])(images(2), targets)


def test_a_class_out_of_range_inside_of_with_stops_the_script(model: nn.Module) -> None:
    went_on = False
    with pytest.raises(OptionError, match=r"There is no class 281: the network gives 2 outputs \(0 to 1\)"):
        with GradCAM(model, [model.conv2]) as cam:
            cam(images(1), [ClassifierOutputTarget(281)])
        went_on = True
    assert not went_on and not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        (lambda m: None, OptionError, "target_layers holds a NoneType: None"),
        (lambda m: "conv2", OptionError, "target_layers holds a str: 'conv2'"),
        (lambda m: [[m.conv2]], OptionError, r"target_layers holds a list: \[Conv2d"),
        (lambda m: m.parameters(), OptionError, "target_layers holds a Parameter"),
        (lambda m: [seeded(FourConv()).conv2], LayerError, r"layer of another network.*\n.*conv1, conv2"),
    ],
)
def test_layers(model: nn.Module, layers: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        GradCAM(model, layers(model))


def test_a_class_in_place_of_the_network(model: nn.Module) -> None:
    with pytest.raises(OptionError, match=r"model is .*FourConv.*must be the network itself, not its class"):
        GradCAM(FourConv, [model.conv2])  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("img", "words"),
    [
        (None, r"img is None, and no image\.\n.*cv2\.imread gives None"),
        ("face.png", r"img is 'face\.png'.*\n.*Image\.open\('face\.png'\)"),
        (PICTURE * 255, r"img lies from .* to 25\d.*\n.*img / 255"),
        ((PICTURE * 255).astype(np.int64), r"to 25\d, and must lie from 0 to 1"),
        (PICTURE * 2 - 1, r"img lies from -.*\n.*without the network's mean and std"),
        (np.dstack([PICTURE, PICTURE[..., :1]]), r"shape \(32, 32, 4\)"),
        (PICTURE * np.nan, "img holds NaN"),
    ],
    ids=["none", "name", "above 1", "integers", "normalised", "four channels", "nan"],
)
def test_pictures(img: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        show_cam_on_image(img, MASK)


def test_a_mask_that_is_none() -> None:
    with pytest.raises(DataError, match="mask is None, and no image"):
        show_cam_on_image(PICTURE, None)


def test_an_image_and_a_mask_of_8_bits_are_divided_and_said() -> None:
    eight, mask = (PICTURE * 255).astype(np.uint8), (MASK * 255).astype(np.uint8)
    with pytest.warns(UserWarning, match="img has 8 bits, and was divided by 255"):
        drawn = show_cam_on_image(eight, MASK)
    np.testing.assert_array_equal(drawn, show_cam_on_image(np.float32(eight) / 255, MASK))
    with pytest.warns(UserWarning, match="mask has 8 bits, and was divided by 255"):
        drawn = show_cam_on_image(PICTURE, mask)
    np.testing.assert_array_equal(drawn, show_cam_on_image(PICTURE, np.float32(mask) / 255))


def test_tensors_of_a_graph_are_drawn_as_arrays() -> None:
    image, mask = torch.tensor(PICTURE, requires_grad=True), torch.tensor(MASK, requires_grad=True)
    np.testing.assert_array_equal(show_cam_on_image(image, mask), show_cam_on_image(PICTURE, MASK))
    np.testing.assert_array_equal(deprocess_image(image), deprocess_image(PICTURE))


@pytest.mark.parametrize(
    ("img", "words"),
    [
        (None, "img is None, and no image"),
        ("face.png", r"img is 'face\.png', and no image"),
        (PICTURE.transpose(2, 0, 1), r"img has shape \(3, 32, 32\).*\n.*transpose\(1, 2, 0\)"),
        (np.dstack([PICTURE, PICTURE[..., :1]]), r"shape \(32, 32, 4\), where \(H, W, 3\).*\n.*img\[:, :, :3\]"),
    ],
    ids=["none", "name", "channels first", "four channels"],
)
def test_inputs_for_the_network(img: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        preprocess_image(img)


def test_an_input_above_1_is_said_and_made_all_the_same() -> None:
    with pytest.warns(UserWarning, match=r"img lies from .* to 25\d, and preprocess_image takes floats in \[0, 1\]"):
        made = preprocess_image(PICTURE * 255)
    torch.testing.assert_close(made, (torch.tensor(PICTURE * 255).permute(2, 0, 1)[None] - 0.5) / 0.5)


@pytest.mark.parametrize("percentile", [175, -1, float("nan"), "otsu"])
def test_percentiles(percentile: Any) -> None:
    with pytest.raises(ValueError, match=r"percentile is .*, and must lie from 0 to 100, or be 'auto'"):
        ROADMostRelevantFirst(percentile=percentile)
    assert ROADMostRelevantFirst(percentile="auto") and ROADMostRelevantFirst(percentile=np.int64(100))


def test_a_picture_of_concepts() -> None:
    maps = np.stack([MASK, 1 - MASK])
    with pytest.warns(UserWarning, match="img has 8 bits.*show_factorization_on_image takes floats"):
        drawn = show_factorization_on_image((PICTURE * 255).astype(np.uint8), maps)
    np.testing.assert_array_equal(
        drawn, show_factorization_on_image(np.float32((PICTURE * 255).astype(np.uint8)) / 255, maps)
    )
    with pytest.raises(DataError, match=r"img lies from .* to 25\d, and must lie from 0 to 1"):
        show_factorization_on_image(PICTURE * 255, maps)
    with pytest.raises(DataError, match=r"explanations have shape \(1, 2, 32, 32\).*\n.*explanations\[0\]"):
        show_factorization_on_image(PICTURE, maps[None])
    with pytest.raises(DataError, match=r"explanations have shape \(2, 16, 32\), and the image \(32, 32, 3\)"):
        show_factorization_on_image(PICTURE, maps[:, :16])
