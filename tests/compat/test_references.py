"""Grad-CAM of networks whose weights are set by hand, in numbers worked out on paper, and the same by two others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.compat.pytorch_grad_cam import GradCAM, HiResCAM, LayerCAM
from seewhy.compat.pytorch_grad_cam.utils.image import scale_cam_image
from seewhy.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tests.models import FourConv, Pooled, images, seeded

PICTURE = torch.tensor([[-2.0, 0.0, 1.0], [4.0, -1.0, 2.0], [3.0, 0.0, -3.0]])[None, None]
UNEQUAL = torch.tensor([[9.0, 0.0, 0.0], [0.0, -18.0, 0.0], [0.0, 0.0, 36.0]])  # the head's weights by place


class ByHand(nn.Module):
    """Two features, x and -2 x. Class 0 is the mean of 3 f0 + f1; class 1 weighs f0 by place and f1 by 1 everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.fc = nn.Linear(18, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -2.0])[:, None, None, None])
            self.fc.weight[0] = torch.tensor([3.0, 1.0]).repeat_interleave(9) / 9
            self.fc.weight[1] = torch.cat([UNEQUAL.flatten(), torch.ones(9)])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


# Class 0: the features weigh 3/9 and 1/9, so that the map is (3 x - 2 x) / 9 where that is positive.
# Class 1: the mean of the weights by place is 27/9 = 3, and 1, so that it is 3 x - 2 x; the mean forgets the places.
GRAD_CAM = {
    0: [[0, 0, 1 / 9], [4 / 9, 0, 2 / 9], [3 / 9, 0, 0]],
    1: [[0, 0, 1], [4, 0, 2], [3, 0, 0]],
}
# Class 1 by place: 9 x - 2 x in the first corner (negative), 0 - 2 x elsewhere, -18 x - 2 x, and 36 x - 2 x at last.
HIRES_CAM = [[0, 0, 0], [0, 20, 0], [0, 0, 0]]
# Only positive gradients count: in the middle none of f0, so 0 + 2; 9 x - 2 x = -14 and 36 x - 2 x = -102 are cut.
LAYER_CAM = [[0, 0, 0], [0, 2, 0], [0, 0, 0]]


@pytest.mark.parametrize("category", [0, 1])
def test_grad_cam_by_hand(category: int) -> None:
    model, want = ByHand(), np.float32([GRAD_CAM[category]])
    found = GradCAM(model, [model.conv])(PICTURE, [ClassifierOutputTarget(category)])
    np.testing.assert_allclose(found, want / want.max(), atol=1e-6)
    raw = seewhy.explain(model, PICTURE, target=category, layers=["conv"], method="grad-cam").maps
    np.testing.assert_allclose(np.maximum(raw, 0), want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("cam", "want"), [(HiResCAM, HIRES_CAM), (LayerCAM, LAYER_CAM)])
def test_methods_that_keep_the_places_by_hand(cam: Any, want: list[list[float]]) -> None:
    model = ByHand()
    found = cam(model, [model.conv])(PICTURE, [ClassifierOutputTarget(1)])[0]
    np.testing.assert_allclose(found, np.float32(want) / np.max(want), atol=1e-6)


def by_torchcam(model: nn.Module, layer: str, x: Tensor, category: int) -> np.ndarray:
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is not installed (requirements-parity.txt)")
    with methods.GradCAM(model, target_layer=layer) as extractor:
        (maps,) = extractor(category, model(x), normalized=False)
    return maps.detach().numpy()


def by_captum(model: nn.Module, layer: str, x: Tensor, category: int) -> np.ndarray:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed (requirements-parity.txt)")
    maps = attr.LayerGradCam(model, model.get_submodule(layer)).attribute(x, category, relu_attributions=True)
    return maps[:, 0].detach().numpy()


@pytest.mark.parametrize("other", [by_torchcam, by_captum])
@pytest.mark.parametrize("category", [0, 1])
def test_torch_cam_and_captum_get_the_same_numbers(other: Any, category: int) -> None:
    np.testing.assert_allclose(other(ByHand(), "conv", PICTURE, category)[0], GRAD_CAM[category], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("other", [by_torchcam, by_captum])
@pytest.mark.parametrize(("make", "layer"), [(FourConv, "conv1"), (FourConv, "conv2"), (Pooled, "block")])
def test_and_the_same_maps_of_deeper_networks(other: Any, make: Any, layer: str) -> None:
    model, x = seeded(make()), images(3)
    want = scale_cam_image(other(model, layer, x, 1), (32, 32))
    found = GradCAM(model, [model.get_submodule(layer)])(x, ClassifierOutputTarget(1))
    assert want.max() > 0.5
    np.testing.assert_allclose(found, scale_cam_image(want), atol=1e-5)
