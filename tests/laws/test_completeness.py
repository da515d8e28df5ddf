"""What maps add up to: the score itself where the tail is linear, and the sums that linearity demands."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seewhy import explain
from seewhy.cam.attribute import Subject, attribute
from seewhy.cam.capture import capture, find_layer, gradients
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.methods.fullgrad import full_gradient
from seewhy.cam.methods.scene import Scene
from seewhy.cam.scores.targets import find_score
from tests.models import FourConv, InPlaceFunctional, Linear, Pooled, images, seeded

Maps = NDArray[np.float32]
LINEAR = [name for name, one in METHODS.items() if name in ("grad-cam", "hirescam", "xgrad-cam", "ablation-cam")]


class MixedTail(nn.Module):
    """Behind the layer: a strided convolution, batch norm, an average pool and two linear layers, nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh())
        self.tail = nn.Sequential(nn.Conv2d(6, 5, 3, stride=2), nn.BatchNorm2d(5), nn.AvgPool2d(2), nn.Flatten())
        self.fc = nn.Sequential(nn.Linear(45, 7), nn.Linear(7, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.tail(self.features(x)))


class Plain(nn.Module):
    """A ReLU network in which nothing but ReLUs and maximum pools bends."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.b = nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(6 * 64, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x).relu()
        return self.fc(self.pool((self.b(y) + y).relu()).flatten(1))


AFFINE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "pooled": (Pooled, "act"),
    "linear": (Linear, "features"),
    "mixed": (MixedTail, "features"),
    "in place": (lambda: Pooled(inplace=True), "act"),
}


def raw(model: nn.Module, x: Tensor, layer: str, method: str, target: object = 1) -> Maps:
    return explain(model, x, layers=layer, method=method, target=target, progress=False).maps


def tail_at_zero(model: nn.Module, x: Tensor, layer: str) -> Tensor:
    """The logits (N, K) when the layer gives zeros: the bias of the tail."""
    handle = model.get_submodule(layer).register_forward_hook(lambda module, args, output: torch.zeros_like(output))
    with torch.no_grad():
        found = model(x)
    handle.remove()
    return found


@pytest.mark.parametrize("net", AFFINE)
@pytest.mark.parametrize("method", ["hirescam", "ablation-cam"])
def test_on_an_affine_tail_the_evidence_is_the_logit_minus_the_bias(method: str, net: str) -> None:
    make, layer = AFFINE[net]
    model, x = seeded(make()), images(4, 16)
    with torch.no_grad():
        wanted = (model(x) - tail_at_zero(model, x, layer)).numpy()
    for target in range(3):
        if method == "hirescam":
            found = raw(model, x, layer, method, target).sum((1, 2))
        else:  # the sum of the channels' falls, which weigh the channels' own sums to 1
            found = falls(model, x, layer, target).sum(1).numpy()
        np.testing.assert_allclose(found, wanted[:, target], rtol=1e-4, atol=1e-5)


def falls(model: nn.Module, x: Tensor, layer: str, target: int) -> Tensor:
    """Ablation-CAM's weights (N, C), through `attribute`, as it calls every method that weighs channels."""
    kept: list[Tensor] = []
    method = METHODS["ablation-cam"]

    def function(scene: Scene) -> Tensor:
        kept.append(method.function(scene))
        return kept[-1]

    subject = Subject(
        [find_score(target, [str(k) for k in range(model.fc.out_features if isinstance(model.fc, nn.Linear) else 3)])]
    )
    attribute(model, x, [find_layer(model, layer)], {"m": replace(method, function=function)}, subject)
    return kept[0]


@pytest.mark.parametrize("net", AFFINE)
def test_on_an_affine_tail_a_fall_is_the_channels_gradient_times_activation(net: str) -> None:
    make, layer = AFFINE[net]
    model, x = seeded(make()), images(4, 16)
    with capture(model, x, [find_layer(model, layer)]) as captured:
        gradient = gradients(captured.logits[:, 1], captured.activations)[layer]
        activation = captured.activations[layer].detach()
    wanted = (gradient * activation).sum((2, 3))
    torch.testing.assert_close(falls(model, x, layer, 1), wanted, rtol=1e-4, atol=1e-6)
    by_hand = (wanted[:, :, None, None] * activation).sum(1).numpy()
    np.testing.assert_allclose(raw(model, x, layer, "ablation-cam"), by_hand, rtol=0, atol=1e-5 * np.abs(by_hand).max())


def test_on_a_tail_that_bends_a_fall_is_what_a_pass_without_the_channel_loses() -> None:
    model, x = seeded(FourConv(16)), images(3, 16)
    found = falls(model, x, "conv1", 1)
    with torch.no_grad():
        whole = model(x)[:, 1]
        for channel in range(6):

            def without(module: nn.Module, args: object, output: Tensor, channel: int = channel) -> Tensor:
                changed = output.clone()
                changed[:, channel] = 0
                return changed

            handle = model.conv1.register_forward_hook(without)
            torch.testing.assert_close(found[:, channel], whole - model(x)[:, 1], rtol=1e-4, atol=1e-5)
            handle.remove()


@pytest.mark.parametrize("make", [Plain, lambda: Pooled(inplace=True), lambda: FourConv(16), InPlaceFunctional])
def test_fullgrads_map_and_rest_are_the_score(make: Callable[[], nn.Module]) -> None:
    model, x = seeded(make()).double(), images(3, 16).double()
    with torch.no_grad():
        values = model(x)[:, 1]
    found = full_gradient(Scene(model, x, values, lambda output, rows: output[:, 1]))
    assert found.residual.abs().max() < 1e-12
    torch.testing.assert_close(found.maps.sum((1, 2)) + found.rest, values, rtol=0, atol=1e-12)
    shown = explain(model, x, target=1, method="fullgrad", progress=False).maps
    np.testing.assert_allclose(shown, found.maps.numpy(), rtol=0, atol=1e-6 * np.abs(shown).max())


def test_without_biases_fullgrad_is_input_times_gradient_and_sums_to_the_score() -> None:
    model, x = seeded(Plain(bias=False)), images(3, 16)
    leaf = x.clone().requires_grad_()
    logits = model(leaf)
    (gradient,) = torch.autograd.grad(logits[:, 2].sum(), leaf)
    found = explain(model, x, target=2, method="fullgrad", progress=False).maps
    np.testing.assert_allclose(found, (leaf * gradient).sum(1).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.sum((1, 2)), logits[:, 2].detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", AFFINE)
@pytest.mark.parametrize("method", LINEAR)
def test_the_maps_of_all_classes_sum_to_the_map_of_the_sum(method: str, net: str) -> None:
    make, layer = AFFINE[net]
    model, x = seeded(make()), images(4, 16)
    each = sum(raw(model, x, layer, method, target).astype(float) for target in range(3))
    together = raw(model, x, layer, method, lambda z: z.sum(1))
    np.testing.assert_allclose(together, each, rtol=0, atol=2e-5 * np.abs(each).max())


@pytest.mark.parametrize("net", AFFINE)
@pytest.mark.parametrize("method", [*LINEAR, "fullgrad"])
def test_a_contrast_is_the_difference_of_two_maps(method: str, net: str) -> None:
    make, layer = AFFINE[net]
    model, x = seeded(make()), images(4, 16)
    first, second, both = (raw(model, x, layer, method, target) for target in (0, 2, "contrast:0:2"))
    np.testing.assert_allclose(both, first - second, rtol=0, atol=2e-5 * np.abs(both).max())
    np.testing.assert_allclose(
        raw(model, x, layer, method, "contrast:2:0"), -both, rtol=0, atol=1e-6 * np.abs(both).max()
    )


@pytest.mark.parametrize("method", ["grad-cam", "hirescam", "xgrad-cam", "ablation-cam", "fullgrad", "guided-backprop"])
def test_the_sign_of_the_score_is_the_sign_of_the_map(method: str) -> None:
    model, x = seeded(Pooled()), images(4, 16)
    up, down = (raw(model, x, "act", method, target) for target in (lambda z: z[:, 1], lambda z: -z[:, 1]))
    if method == "guided-backprop":  # which passes positive gradients alone, and so sees another network
        assert np.abs(up + down).max() > 0.1 * np.abs(up).max()
    else:
        np.testing.assert_allclose(down, -up, rtol=0, atol=1e-6 * np.abs(up).max())


@pytest.mark.parametrize("net", ["pooled", "linear", "in place"])
def test_on_a_pooled_linear_head_grad_cam_is_hirescam_and_both_are_cam(net: str) -> None:
    make, layer = AFFINE[net]
    model, x = seeded(make()), images(4, 16)
    grad, hires = (raw(model, x, layer, method, 2) for method in ("grad-cam", "hirescam"))
    with capture(model, x, [find_layer(model, layer)], graph=False) as captured:
        activation = captured.activations[layer]
    places = activation[0, 0].numel()
    cam = torch.einsum("c,nchw->nhw", model.fc.weight[2], activation).detach().numpy() / places
    np.testing.assert_allclose(grad, hires, rtol=0, atol=2e-6 * np.abs(hires).max())
    np.testing.assert_allclose(grad, cam, rtol=0, atol=2e-6 * np.abs(cam).max())
    np.testing.assert_allclose(
        raw(model, x, layer, "cam", 2), places * cam, rtol=0, atol=2e-6 * places * np.abs(cam).max()
    )


def test_layercam_splits_hirescam_into_what_speaks_for_and_against() -> None:
    model, x = seeded(Pooled()), images(4, 16)
    for_it, whole = (raw(model, x, "act", method, 1) for method in ("layercam", "hirescam"))
    against = raw(model, x, "act", "layercam", lambda z: -z[:, 1])
    np.testing.assert_allclose(for_it - against, whole, rtol=0, atol=1e-6 * np.abs(for_it).max())


@pytest.mark.parametrize(
    "method", ["grad-cam", "hirescam", "layercam", "xgrad-cam", "finer-cam", "ablation-cam", "fullgrad"]
)
def test_twice_the_score_is_twice_the_map(method: str) -> None:
    x, model = images(4, 16), seeded(Pooled())
    double = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in double.fc.parameters():
            parameter.mul_(2)
    if method == "finer-cam":  # its weights of the rivals follow from the logits: with one rival there are none
        model, double = (two_classes(one) for one in (model, double))
    once, twice = (raw(one, x, "act", method, 1) for one in (model, double))
    np.testing.assert_allclose(twice, 2 * once, rtol=0, atol=5e-6 * np.abs(once).max())


def two_classes(model: nn.Module) -> nn.Module:
    found = copy.deepcopy(model)
    found.fc = nn.Linear(12, 2)
    with torch.no_grad():
        found.fc.weight.copy_(model.fc.weight[:2])
        found.fc.bias.copy_(model.fc.bias[:2])
    return found.eval()


def test_finer_cam_of_two_classes_is_the_map_of_the_margin() -> None:
    model, x = two_classes(seeded(Pooled())), images(4, 16)
    np.testing.assert_array_equal(raw(model, x, "act", "finer-cam", 1), raw(model, x, "act", "grad-cam", "margin:1"))


def test_augmented_maps_are_the_mean_of_those_of_the_six_inputs() -> None:
    model, x = seeded(Pooled()), images(3, 16)
    found = explain(model, x, layers="act", method="grad-cam", target=1, smooth="augment", progress=False).maps
    six = [
        raw(model, (x.flip(-1) if mirrored else x) * factor, "act", "grad-cam")[:, :, :: -1 if mirrored else 1]
        for mirrored in (False, True)
        for factor in (0.9, 1.0, 1.1)
    ]
    np.testing.assert_allclose(found, np.mean(six, 0), rtol=0, atol=2e-6 * np.abs(found).max())
