"""Refine-CAM: by hand in float64, its bounds, and the same alone and in a batch."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import explain
from seewhy.cam.capture import LayerCall
from seewhy.cam.methods.refine import refine_cam
from seewhy.cam.methods.scene import Features, Scene
from seewhy.errors import LayerError
from tests.models import FourConv, Pooled, images, seeded

LAYERS = ["conv1", "conv2", "pool"]  # 16 x 16, 8 x 8 and 4 x 4


def maps(model: nn.Module, x: Tensor, layers: list[str], method: str = "refine-cam") -> dict[str, np.ndarray]:
    return explain(model, x, target=1, layers=layers, method=method, progress=False).maps


def scaled(one: np.ndarray) -> np.ndarray:
    kept = np.maximum(one.astype(np.float64), 0)
    return (kept - kept.min()) / (kept.max() - kept.min())


def larger(one: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, place by place, pixel centres at halves."""
    out = np.zeros(size)
    for row, column in product(range(size[0]), range(size[1])):
        y = max((row + 0.5) * one.shape[0] / size[0] - 0.5, 0)
        x = max((column + 0.5) * one.shape[1] / size[1] - 0.5, 0)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, one.shape[0] - 1), min(left + 1, one.shape[1] - 1)
        above = one[top, left] * (1 - (x - left)) + one[top, right] * (x - left)
        below = one[bottom, left] * (1 - (x - left)) + one[bottom, right] * (x - left)
        out[row, column] = above * (1 - (y - top)) + below * (y - top)
    return out


def test_equals_the_product_of_the_maps_of_no_finer_layers() -> None:
    model, x = seeded(FourConv(16)), images(3, 16)
    found, single = maps(model, x, LAYERS), maps(model, x, LAYERS, "grad-cam++")
    for number, layer in enumerate(LAYERS):  # from fine to coarse
        size = single[layer].shape[1:]
        for n in range(len(x)):
            want = np.prod([larger(scaled(single[one][n]), size) for one in LAYERS[number:]], axis=0)
            np.testing.assert_allclose(found[layer][n], want, rtol=0, atol=1e-5)


def test_the_order_in_which_layers_are_named_changes_nothing() -> None:
    model, x = seeded(FourConv(16)), images(2, 16)
    found, turned = maps(model, x, LAYERS), maps(model, x, LAYERS[::-1])
    for layer in LAYERS:
        np.testing.assert_allclose(found[layer], turned[layer], rtol=0, atol=1e-6)


def test_values_lie_between_0_and_what_the_layer_shows_itself() -> None:
    model, x = seeded(FourConv(16)), images(4, 16)
    found, single = maps(model, x, LAYERS), maps(model, x, LAYERS, "grad-cam++")
    for layer in LAYERS:
        own = np.stack([scaled(one) for one in single[layer]])
        assert found[layer].min() >= 0 and (found[layer] <= own + 1e-6).all() and found[layer].max() > 0


def test_a_layer_that_shows_nothing_leaves_an_empty_map() -> None:
    class Silent(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.relu(self.conv1(x)))
            return self.fc(self.pool(self.relu(0 * self.conv2(x))).flatten(1))

    found = maps(seeded(Silent(16)), images(2, 16), ["conv1", "conv2"])
    assert not found["conv2"].any() and not found["conv1"].any()


def test_pytorch_grad_cams_name_shows_the_same_where_no_map_is_resized() -> None:
    from seewhy.compat.pytorch_grad_cam import RefineCAM

    class Same(nn.Module):
        """Every layer as large as the picture."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
            self.fc = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(functional.relu(self.two(functional.relu(self.one(x)))).mean((2, 3)))

    model, x = seeded(Same()), images(2, 12)
    theirs = RefineCAM(model, [model.one, model.two])(x, [lambda output: output[1]] * 2)
    found = maps(model, x, ["one", "two"])
    for n in range(2):
        np.testing.assert_allclose(scaled(found["one"][n]), theirs[n], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found["one"][n], found["two"][n])


def test_one_layer_alone_is_refused() -> None:
    with pytest.raises(LayerError, match=r"several layers, and act alone is named.*\n  Name two or more") as caught:
        explain(seeded(Pooled()), images(1, 16), layers="act", method="refine-cam", progress=False)
    assert caught.value.slug == "one-layer"


def test_nan_stays_in_its_image() -> None:
    generator = torch.Generator().manual_seed(0)
    fine, coarse = (Features(*(torch.rand(2, 5, side, side, generator=generator) for _ in range(2))) for side in (6, 3))
    x = images(2, 16)
    scene = Scene(
        Pooled(), x, x[:, 0, 0, 0], lambda output, rows: output[:, 0], LayerCall("a", "a"),
        activation=fine.activation, named=(fine, coarse),
    )  # fmt: skip
    want = refine_cam(scene)
    coarse.activation[1, 2, 1, 1] = torch.nan
    found = refine_cam(scene)
    torch.testing.assert_close(found[0], want[0])
    assert found[1].isnan().all()
