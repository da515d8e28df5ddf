"""FullGrad: the score is the map plus the rest, to rounding, whatever the network computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

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


class Between(nn.Module):
    """Two convolutions and a linear layer without biases, and between them whatever is given h and constants b."""

    def __init__(self, between: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.between = between
        self.first, self.second = (nn.Conv2d(n, 6, 3, padding=1, bias=False) for n in (3, 6))
        self.constants = nn.Parameter(torch.linspace(-1, 1, 6).view(6, 1, 1))
        self.fc = nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.fc(self.second(self.between(h, self.constants.expand(h.shape))).mean((2, 3)))


def written(write: Callable[[Tensor, Tensor], object]) -> Callable[[Tensor, Tensor], Tensor]:
    """What changes a copy of h in place, as a function that gives the copy."""

    def change(h: Tensor, b: Tensor) -> Tensor:
        h = h * 1
        write(h, b)
        return h

    return change


def attended(h: Tensor, b: Tensor) -> Tensor:
    """Attention among the rows of a picture, none to those below."""
    scores = torch.matmul(h, h.transpose(2, 3)) + b[..., :1]
    below = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(below, -torch.inf).softmax(-1) @ h


ADDING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "clamp": lambda h, b: (h + b).clamp(-0.2, 0.3),
    "clamp between tensors": lambda h, b: h.clamp(b - 1, b),
    "clamp_min_": written(lambda h, b: h.clamp_min_(0.1)),
    "threshold": lambda h, b: functional.threshold(h, 0.1, 0.3),
    "maximum": lambda h, b: torch.maximum(h, b),
    "where": lambda h, b: torch.where(h > 0, h, b),
    "masked_fill": lambda h, b: h.masked_fill(h < 0, 0.5),
    "pad": lambda h, b: functional.pad(h, (1, 1, 1, 1), value=2.0),
    "cat": lambda h, b: torch.cat([h[:, :3], b[:, 3:]], 1).relu(),
    "addcmul": lambda h, b: torch.addcmul(b, h, torch.ones_like(h)).relu(),
    "lerp": lambda h, b: torch.lerp(h, b, 0.3),
    "a channel set": written(lambda h, b: h.__setitem__((slice(None), 0), b[:, 1])),
    "a channel added to": written(lambda h, b: h[:, 0].add_(b[:, 1])),
    "places of a view clamped": written(lambda h, b: h.transpose(1, 3)[:, 2:5].clamp_(0.1, 0.2)),
    "a constant written to": lambda h, b: written(lambda c, h: c.__setitem__((slice(None), slice(2, 6)), h[:, 2:]))(
        b, h
    ),
    "its own value, detached": lambda h, b: h + h.detach().abs(),
    "channels last": lambda h, b: (functional.linear(h.permute(0, 2, 3, 1), torch.eye(6).to(h), b[0, :, 0, 0])).permute(
        0, 3, 1, 2
    ),
    "gelu": lambda h, b: functional.gelu(h + b),
    "batch norm of the image's own": lambda h, b: functional.instance_norm(h, bias=b[0, :, 0, 0]),
    "layer norm of channels": lambda h, b: functional.layer_norm(h.movedim(1, 3), (6,)).movedim(3, 1),
    "a gate": lambda h, b: h * (h.mean((2, 3), keepdim=True) + b).sigmoid(),
    "a weight of its own": lambda h, b: h @ (h.mean((0, 1, 2)).diag() + 1),
}


@pytest.mark.parametrize("name", ADDING)
def test_whatever_an_operation_adds_is_met(name: str) -> None:
    """Each image's score is its map's sum, to rounding, and nearly all of it has a place."""
    model = seeded(Between(ADDING[name])).double()
    inputs = images(1 if name == "a weight of its own" else 3, 16).double()
    scene = scene_of(model, inputs)
    found = full_gradient(scene)
    assert found.residual.abs().max() < 1e-12
    total = found.maps.sum((1, 2)) + found.rest
    torch.testing.assert_close(total, scene.values, rtol=1e-10, atol=1e-12)
    if name not in ("a gate", "a weight of its own"):  # what is added to numbers of whole channels has no place
        assert found.rest.abs().max() < 1e-12
    in_single = full_gradient(scene_of(model.float(), inputs.float()))
    torch.testing.assert_close(in_single.maps.double(), found.maps, rtol=1e-3, atol=1e-4)


def test_attention_with_a_mask_of_minus_infinity() -> None:
    scene = scene_of(seeded(Between(attended)).double(), images(2, 16).double())
    found = full_gradient(scene)
    torch.testing.assert_close(found.maps.sum((1, 2)) + found.rest, scene.values, rtol=1e-10, atol=1e-12)


def test_a_clamped_pixel_is_worth_what_it_is_held_at() -> None:
    """Of a weighted sum of clamped pixels, each cell of the map is its own term."""
    weight = torch.linspace(-1, 1, 192).view(1, 3, 8, 8)

    class Clamped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.clamp(-0.5, 1.0) * weight).sum((1, 2, 3))[:, None].expand(-1, 2)

    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fullgrad(scene_of(Clamped(), x)), (x.clamp(-0.5, 1.0) * weight).sum(1))


def test_a_smooth_activation_by_hand() -> None:
    """What gelu(h) is beside gelu'(h) h counts like a bias of that place."""
    model = seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))).double()
    x = images(2, 16).double().requires_grad_()
    h = model[0](x)
    y = functional.gelu(h)
    by_x, by_h, by_y = torch.autograd.grad(model[3](y.flatten(1))[:, 1].sum(), [x, h, y])
    places = (by_h * model[0].bias[:, None, None] + by_y * y - by_h * h).sum(1)
    expected = ((x * by_x).sum(1) + spread(places, (16, 16))).detach()
    found = full_gradient(scene_of(model, x.detach()))
    torch.testing.assert_close(found.maps, expected)
    torch.testing.assert_close(found.rest, model[3].bias[1].detach().expand(2))


class Encoder(nn.Module):
    """Patches as tokens; as many as there are images, so that rows of tokens could be taken for rows of images."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.patches = nn.Conv2d(3, 8, 8, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
        self.encoder, self.fc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2)
        x = self.encoder(x.permute(0, 2, 1) if self.batch_first else x.permute(2, 0, 1))
        return self.fc(x.mean(1 if self.batch_first else 0))


@pytest.mark.parametrize("batch_first", [True, False])
def test_tokens_are_not_taken_for_images(batch_first: bool) -> None:
    model = seeded(Encoder(batch_first)).double()
    scene = scene_of(model, images(4, 16).double())
    found = full_gradient(scene)
    torch.testing.assert_close(found.maps.sum((1, 2)) + found.rest, scene.values, rtol=1e-10, atol=1e-12)
    alone = [full_gradient(scene_of(model, image[None])).rest for image in scene.inputs]
    torch.testing.assert_close(found.rest, torch.cat(alone))


class Cubed(torch.autograd.Function):
    """An operation that torch's modes do not see."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


def test_what_is_not_seen_is_left_in_the_residual_and_what_follows_is_met() -> None:
    model = seeded(Between(lambda h, b: Cubed.apply(h) + b)).double()
    scene = scene_of(model, images(2, 16).double())
    found = full_gradient(scene)
    with torch.no_grad():
        cubes = model.fc(model.second(model.first(scene.inputs) ** 3).mean((2, 3)))[:, 1]
    torch.testing.assert_close(found.residual, -2 * cubes)  # h ** 3 beside its tangent, 3 h ** 3
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
