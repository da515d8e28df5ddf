"""Which layers have a grid, which one auto takes, and the input size that fits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seewhy.cam.layers import candidates, choose, fitting_size, input_channels, size_error, trace
from seewhy.errors import LayerError
from tests.models import FourConv, Linear, Pooled, images, seeded


def test_a_trace_lists_every_call_in_finishing_order() -> None:
    calls = trace(seeded(FourConv()), images(1))
    assert [call.name for call in calls] == ["conv1", "relu", "pool", "conv2", "relu", "pool", "fc"]
    assert calls[3].shape == (1, 8, 16, 16)
    found = {one.name: one for one in candidates(calls)}
    assert list(found) == ["conv1", "conv2", "relu", "pool"]
    assert found["pool"].grid == (8, 8, 8) and found["pool"].runs == 2


BLOCK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


@pytest.mark.parametrize(
    ("model", "size", "layer", "method"),
    [
        (FourConv(), 32, "conv2", "hirescam"),
        (Pooled(), 32, "act", "grad-cam"),
        (Pooled(inplace=True), 32, "act", "grad-cam"),
        (Linear(), 32, "features", "grad-cam"),
        (nn.Sequential(BLOCK, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), 32, "0", "grad-cam"),
        (nn.Sequential(BLOCK, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(900, 9), nn.Linear(9, 2)), 32, "0", "hirescam"),
    ],
    ids=["shared relu", "activation", "in-place activation", "convolution", "a block", "pool and flatten"],
)  # fmt: skip
def test_auto_takes_the_last_layer_with_a_grid(model: nn.Module, size: int, layer: str, method: str) -> None:
    choice = choose(trace(seeded(model), images(1, size)))
    assert (choice.layer, choice.method) == (layer, method)
    assert choice.reason.startswith(layer)


@pytest.mark.parametrize(
    ("name", "layer", "method"),
    [("resnet18", "layer4", "grad-cam"), ("vgg11", "features", "hirescam"), ("densenet121", "features", "grad-cam"),
     ("mobilenet_v3_small", "features", "grad-cam"), ("squeezenet1_1", "classifier.2", "grad-cam")],
)  # fmt: skip
def test_auto_on_known_architectures(name: str, layer: str, method: str) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    choice = choose(trace(models.get_model(name, weights=None).eval(), images(1, 224)))
    assert (choice.layer, choice.method) == (layer, method)


def test_a_network_without_a_grid_is_told_so() -> None:
    with pytest.raises(LayerError, match="No layer of this network has a grid"):
        choose(trace(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), images(1, 8)))


@pytest.mark.parametrize("size", [32, 64, 96, 256])
def test_the_size_that_fits_a_flattening_head_is_found(size: int) -> None:
    assert fitting_size(FourConv(size), 3) == size


def test_a_pooled_head_takes_the_first_usual_size() -> None:
    assert fitting_size(Pooled(), 3) == 224


def test_the_error_names_the_size_or_the_channels() -> None:
    cause = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert "--size 64" in str(size_error(FourConv(64), (1, 3, 32, 32), cause))
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(2))
    grey(torch.zeros(1, 1, 28, 28))
    assert input_channels(grey) == 1
    assert "--channels grey" in str(size_error(grey, (1, 3, 28, 28), cause))
