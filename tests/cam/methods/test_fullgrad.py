"""FullGrad: the score is the map plus the rest, to rounding, on every piecewise-linear network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.methods.fullgrad import full_gradient, fullgrad, spread
from seewhy.cam.methods.scene import Scene
from seewhy.cam.model import logits_of, untouched
from seewhy.errors import ModelError
from tests.models import FourConv, FrozenBackbone, InPlaceFunctional, Pooled, images, seeded


def scene_of(model: nn.Module, inputs: Tensor, target: int = 1) -> Scene:
    def rescore(output: object, rows: Tensor | None) -> Tensor:
        assert isinstance(output, Tensor)
        return logits_of(output, len(output))[:, target]

    with torch.no_grad():
        values = rescore(model(inputs), None)
    return Scene(model, inputs, values, rescore)


class OtherOrder(nn.Module):
    """Modules registered in another order than they run in, with as many channels each, one of them run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.last = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.middle = nn.Conv2d(6, 6, 3, padding=1)
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        x = functional.relu(self.middle(self.middle(x)), inplace=True)
        return self.fc(torch.relu(self.last(x)).mean((2, 3)))


class Shifting(nn.Module):
    """x -> x plus constants, written in every way."""

    def forward(self, x: Tensor) -> Tensor:
        shade = torch.linspace(0, 1, x.shape[-1])
        x = 2 + (x + 1 - torch.ones(3, 1, 1)) - shade
        x = torch.add(x, 3, alpha=2).sub_(1.5).add_(torch.ones(x.shape[1:]))
        x += torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
        x -= 0.25
        x = torch.rsub(1 - x, torch.full((1,), 0.5)) + np.float32(0.5)
        return (torch.sub(1.0, torch.subtract(2, x)) * torch.linspace(-1, 2, x[0].numel()).view(x[0].shape)).sum((2, 3))


class Normalising(nn.Module):
    """Constants added in the forward pass: the image's mean, a frozen batch norm, a residual branch, ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1))
        self.stem = nn.Conv2d(3, 5, 3, stride=2)
        self.register_buffer("shift", torch.linspace(-1, 1, 5).view(1, 5, 1, 1))
        self.block = nn.Sequential(nn.Conv2d(5, 5, 3, padding=1), nn.ReLU6(), nn.Conv2d(5, 5, 1, bias=False))
        self.head = nn.Conv2d(5, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / 0.25
        x = functional.relu(self.stem(x) * 8 + self.shift, inplace=True)
        y = self.block(x)
        y += x
        x = functional.max_pool2d(functional.relu6(1 - y) + 3 * y, 2)
        return self.head(functional.adaptive_avg_pool2d(x, 1)).flatten(1)


NETS: dict[str, Callable[[], nn.Module]] = {
    "constants in every way": Shifting,
    "batch norm": Pooled,
    "batch norm, in place": lambda: Pooled(inplace=True),
    "shared relu, flattened head": FourConv,
    "functional relu in place": InPlaceFunctional,
    "another order of registration": OtherOrder,
    "constants in the forward pass": Normalising,
}


@pytest.mark.parametrize("net", NETS)
def test_the_score_is_the_map_plus_the_rest(net: str) -> None:
    inputs = images(3, 16 if net == "functional relu in place" else 32)
    model = seeded(NETS[net]())
    scene = scene_of(model, inputs)
    with untouched(model):
        found = full_gradient(scene)
    assert found.maps.shape == (3, *inputs.shape[2:])
    total = found.maps.sum(dim=(1, 2)) + found.rest
    torch.testing.assert_close(total, scene.values, rtol=1e-4, atol=1e-5)
    exact = full_gradient(scene_of(model.double(), inputs.double()))
    assert exact.residual.abs().max() < 1e-12
    torch.testing.assert_close(found.maps.double(), exact.maps, rtol=1e-3, atol=1e-5)
    assert exact.maps.std() > 0


def test_a_relu_network_by_hand() -> None:
    """Against bias-gradients taken by autograd with respect to biases that are tensors of the output's shape."""
    model = seeded(OtherOrder()).double()
    inputs = images(2, 16).double()
    found = full_gradient(scene_of(model, inputs))

    def norm_of(x: Tensor, bias: Tensor) -> Tensor:
        norm = model.norm
        return x * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None] + bias

    norm = model.norm
    implicit = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
    places = torch.ones(2, 1, 8, 8, dtype=torch.float64)
    names = (model.first.bias, implicit, model.middle.bias, model.middle.bias, model.last.bias)
    biases = [(places * bias[None, :, None, None]).detach().requires_grad_() for bias in names]
    x = inputs.clone().requires_grad_()
    h = norm_of(functional.conv2d(x, model.first.weight, None, 2, 1) + biases[0], biases[1]).relu()
    h = functional.conv2d(h, model.middle.weight, None, 1, 1) + biases[2]
    h = (functional.conv2d(h, model.middle.weight, None, 1, 1) + biases[3]).relu()
    h = (functional.conv2d(h, model.last.weight, None, 1, 1) + biases[4]).relu()
    score = model.fc(h.mean((2, 3)))[:, 1]
    slopes = torch.autograd.grad(score.sum(), [x, *biases])
    expected = (x * slopes[0]).sum(1)
    for bias, slope in zip(biases, slopes[1:], strict=True):
        expected = expected + spread((bias * slope).sum(1), (16, 16))
    torch.testing.assert_close(found.maps, expected.detach())
    torch.testing.assert_close(found.rest, model.fc.bias[1].detach().expand(2))


def test_what_is_not_piecewise_linear_is_said() -> None:
    model = seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2)))
    scene = scene_of(model, images(2, 16))
    found = full_gradient(scene)
    assert found.residual.abs().min() > 1e-3
    torch.testing.assert_close(found.maps.sum((1, 2)) + found.rest + found.residual, scene.values)


def test_an_image_alone_and_in_a_batch() -> None:
    scene = scene_of(seeded(Pooled()), images(4))
    alone = [fullgrad(replace(scene, inputs=scene.inputs[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(fullgrad(scene), torch.cat(alone), rtol=1e-4, atol=1e-6)


def test_a_wider_network_is_left_as_it_was() -> None:
    model = seeded(OtherOrder())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = images(2, 16)
    kept = inputs.clone()
    fullgrad(scene_of(model, inputs))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(not module._forward_hooks and not module._backward_hooks for module in model.modules())
    assert torch.equal(inputs, kept) and not inputs.requires_grad


def test_a_detached_backbone_is_refused() -> None:
    with pytest.raises(ModelError, match=r"No gradient reaches the input of FrozenBackbone"):
        fullgrad(scene_of(seeded(FrozenBackbone()), images(1, 16)))


@pytest.mark.parametrize("size", [(8, 8), (7, 12), (3, 2), (1, 9)], ids=str)
def test_spreading_keeps_the_sum(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(spread(maps, size).sum((1, 2)), maps.sum((1, 2)))
    even = spread(torch.ones(1, 4, 3), (16, 9))
    torch.testing.assert_close(even, torch.full((1, 16, 9), 12 / 144))
    torch.testing.assert_close(spread(maps, (4, 3)), maps)
