"""Recipro-CAM: its laws, on convolutions and on tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy import explain
from tests.models import FourConv, FrozenBackbone, Linear, images, seeded


def maps(model: nn.Module, x: Tensor, layer: str, method: str, target: int = 1) -> np.ndarray:
    return explain(model, x, target=target, layers=layer, method=method, progress=False).maps


def test_recipro_cam_of_a_linear_head_is_hirescam_and_adds_up_to_the_logit() -> None:
    model, x = seeded(Linear()), images(3, 12)
    have = maps(model, x, "features", "recipro-cam")
    np.testing.assert_allclose(have, maps(model, x, "features", "hirescam"), atol=1e-6)
    with torch.no_grad():
        want = model(x)[:, 1] - model.fc.bias[1]
    np.testing.assert_allclose(have.sum((1, 2)), want, atol=1e-5)


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_recipro_cam_is_the_score_of_each_place_alone(layer: str) -> None:
    model, x = seeded(FourConv(16)), images(2, 16)
    have = maps(model, x, layer, "recipro-cam")
    module = model.get_submodule(layer)
    height, width = have.shape[1:]

    def score(keep: Tensor) -> Tensor:
        handle = module.register_forward_hook(lambda m, a, out: out * keep)
        with torch.no_grad():
            logits = model(x)[:, 1]
        handle.remove()
        return logits

    empty = score(torch.zeros(height, width))
    for row, column in [(0, 0), (3, 5), (height - 1, width - 1)]:
        keep = torch.zeros(height, width)
        keep[row, column] = 1
        np.testing.assert_allclose(have[:, row, column], score(keep) - empty, atol=1e-5)


class Tokens(nn.Module):
    """A class token and 3 x 4 spatial ones; the class token answers after it has looked at the others."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, stride=4)
        self.cls = nn.Parameter(torch.zeros(1, 1, 6))
        self.norm = nn.LayerNorm(6)
        self.mix = nn.Linear(6, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), self.patch(x).flatten(2).transpose(1, 2)], 1)
        tokens = self.mix(self.norm(tokens))
        return self.fc((tokens[:, 0] + tokens[:, 1:].mean(1)).relu())


def test_recipro_cam_of_tokens_keeps_the_special_ones() -> None:
    model, x = seeded(Tokens()), images(2, 16)[:, :, :12]
    found = explain(model, x, target=1, layers="norm", method="recipro-cam", progress=False, grid="3x4").maps
    keep = torch.zeros(13, 1)
    scores = []
    for kept in ([0], [0, 7]):
        keep[kept] = 1
        handle = model.norm.register_forward_hook(lambda m, a, out: out * keep)
        scores.append(model(x)[:, 1].detach())
        handle.remove()
    assert found.shape == (2, 3, 4)
    np.testing.assert_allclose(found[:, 1, 2], scores[1] - scores[0], atol=1e-5)


def test_recipro_cam_needs_no_gradient() -> None:
    detached = seeded(FrozenBackbone())
    assert maps(detached, images(2), "backbone.0", "recipro-cam").shape == (2, 32, 32)
