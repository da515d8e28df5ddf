"""Opti-CAM: by hand with torch's own Adam, a score that rises, and an image as if it were alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import explain
from seewhy.cam.capture import find_layer
from seewhy.cam.methods.opti import opti_cam
from seewhy.cam.methods.scene import Scene
from seewhy.errors import LayerError, ModelError
from tests.cam.methods.test_score_cam import scene_of
from tests.models import FourConv, Pooled, images, seeded


def scene(model: nn.Module, x: Tensor, layer: str, classes: list[int]) -> Scene:
    return replace(scene_of(model, x, layer, classes), layer=find_layer(model, layer))


def masked(features: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """One image (1, 3, H, W) behind the mixture of its features (1, C, h, w)."""
    mixed = sum(weight * feature for weight, feature in zip(weights, features[0], strict=True))
    mask = functional.interpolate(mixed[None, None], size=x.shape[-2:], mode="bilinear", align_corners=True)
    return x * (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)


def by_hand(seen: Scene, n_steps: int, rate: float, floor: float) -> Tensor:
    found = []
    for index, features in enumerate(seen.activation):
        logits = torch.zeros(len(features), dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([logits], rate, eps=floor)
        x, rows = seen.inputs[index : index + 1], torch.tensor([index])
        for step in range(n_steps):
            adam.param_groups[0]["lr"] = rate * (n_steps - step) / n_steps
            adam.zero_grad()
            (-seen.rescore(seen.model(masked(features[None], logits.softmax(0), x)), rows).sum()).backward()
            logits.grad /= logits.grad.norm()
            adam.step()
        found.append(logits.detach().softmax(0))
    return torch.stack(found)


@pytest.mark.parametrize("layer", ["block", "act"])
def test_equals_the_definition(layer: str) -> None:
    seen = scene(seeded(Pooled()).double(), images(2).double(), layer, [2, 1])
    have = opti_cam(seen, n_steps=20, rate=0.1, floor=1e-2)
    torch.testing.assert_close(have, by_hand(seen, 20, 0.1, 1e-2), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("make", "layer"), [(Pooled, "act"), (FourConv, "conv2")])
def test_the_score_of_the_masked_image_rises(make: type[nn.Module], layer: str) -> None:
    model, x = seeded(make()), images(3)
    seen = scene(model, x, layer, [1, 0, 1])
    weights, even = opti_cam(seen), torch.full((seen.activation.shape[1],), 1 / seen.activation.shape[1])
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    for index in range(3):
        features, image, rows = seen.activation[index : index + 1], x[index : index + 1], torch.tensor([index])
        with torch.no_grad():
            before, after = (seen.rescore(model(masked(features, one, image)), rows) for one in (even, weights[index]))
        assert after > before


def test_an_image_is_weighed_as_if_it_were_alone_to_the_last_bit() -> None:
    model, x, classes = seeded(FourConv()), images(3), [1, 0, 1]
    together = opti_cam(scene(model, x, "conv2", classes))
    for index, target in enumerate(classes):
        alone = opti_cam(scene(model, x[index : index + 1], "conv2", [target]))
        assert torch.equal(together[index : index + 1], alone)


def test_single_precision_ends_where_double_does() -> None:
    model, x = seeded(Pooled()), images(2)
    found = opti_cam(scene(model, x, "act", [0, 1]))
    want = opti_cam(scene(seeded(Pooled()).double(), x.double(), "act", [0, 1]))
    torch.testing.assert_close(found.double(), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", [1024.0, 2.0**-20])
def test_a_score_of_another_unit_or_with_a_bias_weighs_the_same(factor: float) -> None:
    seen = scene(seeded(Pooled()), images(1, 16), "act", [1])
    scaled = replace(seen, rescore=lambda output, rows: factor * seen.rescore(output, rows))
    assert torch.equal(opti_cam(scaled, n_steps=10), opti_cam(seen, n_steps=10))


def test_a_network_that_detaches_its_own_computation_is_told_so() -> None:
    class Detached(Pooled):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    with pytest.raises(ModelError, match="Opti-CAM follows the score's gradient to the image") as error:
        opti_cam(scene(seeded(Detached()), images(1, 16), "act", [0]))
    assert error.value.slug == "no-gradient"


def test_no_step_is_the_mean_of_all_channels() -> None:
    seen = scene(seeded(Pooled()), images(2), "act", [0, 1])
    torch.testing.assert_close(opti_cam(seen, n_steps=0), torch.full((2, 12), 1 / 12))


def test_what_cannot_be_masked_is_refused() -> None:
    seen = scene(seeded(Pooled()), images(1), "act", [0])
    with pytest.raises(LayerError, match="Opti-CAM weighs the channels of a layer, and none is named"):
        opti_cam(replace(seen, activation=None))
    with pytest.raises(ModelError, match="Opti-CAM masks images"):
        opti_cam(replace(seen, inputs=seen.inputs.flatten(2)))


def test_nothing_of_the_network_changes() -> None:
    model, x = seeded(Pooled()).train(), images(2, 16)
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    explain(model, x, target=1, layers="act", method="opti-cam", progress=False)
    assert model.training and torch.equal(model.fc.weight.grad, torch.ones_like(model.fc.weight))
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name != "fc.weight")
    frozen = explain(model.requires_grad_(False), x, target=1, layers="act", method="opti-cam", progress=False).maps
    np.testing.assert_array_equal(
        frozen, explain(seeded(Pooled()), x, target=1, layers="act", method="opti-cam", progress=False).maps
    )
