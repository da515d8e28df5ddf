"""Guided Backprop against its peers where they are right, and on what they miss: functions, in-place ReLUs, batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import GuidedGradCam
from pytorch_grad_cam import GuidedBackpropReLUModel
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.capture import capture, find_layer, gradients
from seewhy.cam.methods.guided import guided_backprop, guided_grad_cam
from seewhy.cam.methods.scene import Scene
from seewhy.cam.model import untouched
from seewhy.errors import OptionError
from tests.models import FourConv, Linear, images, seeded


def halves(x: Tensor) -> Tensor:
    """The first channels rectified apart, the others where they lie."""
    x[:, :3] = x[:, :3].relu()
    x[:, 3:].relu_()
    return x


BY_ARGUMENTS: dict[str, Callable[[Tensor], Tensor]] = {  # functions that are a ReLU as they are called
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp(0, 1e9)": lambda x: torch.clamp(x, 0, 1e9),
    "clamp(min=tensor)": lambda x: x.clamp(min=torch.tensor(0.0)),
    "clip(0)": lambda x: x.clip(0),
    "clamp_": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "threshold": lambda x: functional.threshold(x, 0, 0),
    "threshold in place": lambda x: functional.threshold(x, threshold=0, value=0, inplace=True),
    "nn.Threshold": nn.Threshold(0, 0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum, turned": lambda x: torch.maximum(torch.zeros_like(x), other=x),
    "max": lambda x: torch.max(x, torch.zeros(())),
    "fmax": lambda x: x.fmax(torch.zeros(1)),
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.0),
    "nn.LeakyReLU in place": nn.LeakyReLU(0.0, inplace=True),
    "hardtanh": lambda x: functional.hardtanh(x, 0, 1e9),
    "halves in place": halves,
}


class Rectified(nn.Module):
    """One network whose ReLUs are written in the way that `style` says; the weights are the same for all."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 16, 3)
        if style == "modules":
            self.relus = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        if style == "modules in place":
            self.relus = nn.ModuleList([nn.ReLU(inplace=True), nn.ReLU(inplace=True)])

    def rectify(self, x: Tensor, index: int) -> Tensor:
        if self.style.startswith("modules"):
            return self.relus[index](x)
        return {
            "functional.relu": functional.relu,
            "functional.relu in place": lambda x: functional.relu(x, inplace=True),
            "functional.relu_": functional.relu_,
            "torch.relu": torch.relu,
            "torch.relu_": torch.relu_,
            "Tensor.relu": lambda x: x.relu(),
            "Tensor.relu_": lambda x: x.relu_(),
            **BY_ARGUMENTS,
        }[self.style](x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rectify(self.first(x), 0)
        x = self.rectify(self.second(x), 1)
        return self.fc(functional.adaptive_avg_pool2d(x, 4).flatten(1))


RELU6 = ("module", "module in place", "function")
STYLES = (
    "modules in place",
    "functional.relu",
    "functional.relu in place",
    "functional.relu_",
    "torch.relu",
    "torch.relu_",
    "Tensor.relu",
    "Tensor.relu_",
    *BY_ARGUMENTS,
)


def pick(output: object, rows: Tensor | None) -> Tensor:
    assert isinstance(output, Tensor)
    return output[:, 1]


def scene_of(model: nn.Module, inputs: Tensor, layer: str | None = None) -> Scene:
    scene = Scene(model, inputs, torch.zeros(len(inputs)), pick)
    if layer is None:
        return scene
    found = find_layer(model, layer)
    with capture(model, inputs, [found]) as captured:
        slopes = gradients(captured.logits[:, 1], captured.activations)
        activation = captured.activations[layer].detach()
    return replace(scene, layer=found, activation=activation, gradient=slopes[layer])


@pytest.mark.parametrize("style", STYLES)
def test_equals_the_peer_for_every_image_however_relu_is_written(style: str) -> None:
    inputs = images(3, 16)
    peer = GuidedBackpropReLUModel(copy.deepcopy(seeded(Rectified("modules"))))
    theirs = np.stack([peer(image[None], target_category=1).sum(axis=2) for image in inputs])
    ours = guided_backprop(scene_of(seeded(Rectified(style)), inputs))
    assert np.abs(theirs).max() > 1e-3
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-6 * np.abs(theirs).max())


def test_differs_from_the_plain_gradient() -> None:
    model, inputs = seeded(Rectified("functional.relu")), images(2, 16)
    leaf = inputs.clone().requires_grad_()
    (plain,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    assert (guided_backprop(scene_of(model, inputs)) - plain.sum(1)).abs().max() > 1e-2


class Clamped(nn.Module):
    """A weighted sum of clamped pixels: the guided gradient is known in closed form."""

    def __init__(self, clamp: Callable[[Tensor], Tensor], weight: Tensor) -> None:
        super().__init__()
        self.clamp, self.weight = clamp, weight

    def forward(self, x: Tensor) -> Tensor:
        return (self.clamp(x * 1) * self.weight).sum((1, 2, 3))[:, None].expand(-1, 2)


@pytest.mark.parametrize("clamp", [nn.ReLU6(), nn.ReLU6(inplace=True), functional.relu6], ids=RELU6)
def test_relu6_is_a_relu(clamp: Callable[[Tensor], Tensor]) -> None:
    x = 4 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    weight = torch.linspace(-1, 1, 192).view(1, 3, 8, 8)
    expected = (weight.clamp(min=0) * ((x > 0) & (x < 6))).sum(1)
    torch.testing.assert_close(guided_backprop(scene_of(Clamped(clamp, weight), x)), expected)


@pytest.mark.parametrize("style", ["modules", "modules in place"])
def test_the_network_is_left_as_it_was(style: str) -> None:
    model, inputs = seeded(Rectified(style)), images(2, 16)
    relus, before = list(model.relus), {name: value.clone() for name, value in model.state_dict().items()}
    with untouched(model):
        guided_backprop(scene_of(model, inputs))
    assert all(one is other for one, other in zip(relus, model.relus, strict=True))
    assert all(one.inplace == (style != "modules") for one in model.relus)
    assert all(not one._forward_hooks and not one._backward_hooks for one in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    leaf = inputs.clone().requires_grad_()  # and later passes are plain again
    first, second = (torch.autograd.grad(one(leaf)[:, 1].sum(), leaf)[0] for one in (model, copy.deepcopy(model)))
    assert torch.equal(first, second)


def test_after_an_exception_gradients_are_plain_again() -> None:
    def fail(output: object, rows: Tensor | None) -> Tensor:
        raise ValueError("the user's own score fails")

    scene = replace(scene_of(seeded(Rectified("torch.relu")), images(1, 16)), rescore=fail)
    with pytest.raises(ValueError, match="own score fails"):
        guided_backprop(scene)
    x = torch.ones(3, requires_grad=True)
    (slope,) = torch.autograd.grad((-torch.relu(x)).sum(), x)
    assert torch.equal(slope, -torch.ones(3))


def test_guided_grad_cam_equals_captum() -> None:
    model, inputs = seeded(Rectified("modules")), images(3, 16)
    other = copy.deepcopy(model)
    ours = guided_grad_cam(scene_of(model, inputs, "second"))
    leaf = inputs.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum announces its hooks
        theirs = GuidedGradCam(other, other.second).attribute(leaf, target=1, interpolate_mode="bilinear").sum(1)
    assert theirs.abs().max() > 1e-4
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_the_shared_relu_of_the_tutorial() -> None:
    """One ReLU that runs several times: as if it were several."""
    model, inputs = seeded(FourConv()), images(2)

    class Apart(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(functional.relu(self.conv1(x)))
            return self.fc(self.pool(functional.relu(self.conv2(x))).flatten(1))

    apart = Apart()
    apart.load_state_dict(model.state_dict())
    assert torch.equal(guided_backprop(scene_of(model, inputs)), guided_backprop(scene_of(apart.eval(), inputs)))


def test_a_network_without_relu_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.SiLU(inplace=True), nn.Flatten(), nn.Linear(784, 2))
    with pytest.raises(OptionError, match=r"has none: its activations are: gelu, silu[^~]*captum:integrated-gradients"):
        guided_backprop(scene_of(model.eval(), images(1, 16)))
    with pytest.raises(OptionError, match="no activation function was seen"):
        guided_backprop(scene_of(seeded(Linear()), images(1, 16)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.clamp(min=0.1),
        lambda x: x.clamp(max=0),
        lambda x: functional.threshold(x, 0, 0.1),
        functional.leaky_relu,
        lambda x: torch.maximum(x, -x),
        lambda x: functional.hardtanh(x),
        lambda x: x + torch.max(x, 0, keepdim=True).values,
    ],
    ids=["clamp(min=0.1)", "clamp(max=0)", "threshold(0, 0.1)", "leaky_relu", "maxout", "hardtanh", "max over images"],
)
def test_what_is_no_relu_by_its_arguments_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(OptionError, match="Clamped has none"):
        guided_backprop(scene_of(Clamped(function, torch.ones(1, 3, 8, 8)), images(1, 8) - 0.5))


def test_guided_grad_cam_needs_a_layer() -> None:
    with pytest.raises(OptionError, match=r"needs a layer[^~]*--layers NAME"):
        guided_grad_cam(scene_of(seeded(Rectified("torch.relu")), images(1, 16)))
