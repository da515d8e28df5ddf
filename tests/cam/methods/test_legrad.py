"""LeGrad: by hand and as torch-cam has it, whichever way a network computes its attention."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy import explain
from seewhy.errors import LayerError
from tests.cam.methods.test_attention import HEADS, SIDE, WAYS, WIDTH, Transformer, Way
from tests.models import FourConv, images, seeded


def maps(model: nn.Module, x: Tensor, layer: str = "blocks.0", target: int = 1) -> np.ndarray:
    return explain(model, x, target=target, layers=layer, method="legrad", progress=False).maps


def by_hand(model: Transformer, x: Tensor, first: int = 0, target: int = 1) -> np.ndarray:
    """Every layer's score from its mean token, and its slope by the layer's attention, every step written out."""
    shares, tokens = [], model.embedded(x)
    for block in model.blocks:
        query, key, value = block.parts(block.norm1(tokens))
        scores = torch.einsum("nhid,nhjd->nhij", query, key) / math.sqrt(WIDTH // HEADS)
        attention = (scores - scores.amax(-1, keepdim=True)).exp()
        attention = attention / attention.sum(-1, keepdim=True)
        heads = torch.einsum("nhij,nhjd->nihd", attention, value).flatten(2)
        tokens = tokens + block.attention.out_proj(heads)
        tokens = tokens + block.mlp(block.norm2(tokens))
        logit = model.fc(model.norm(tokens.sum(1) / tokens.shape[1]))[:, target]
        (slope,) = torch.autograd.grad(logit.sum(), attention, retain_graph=True)
        share = torch.zeros(len(x), tokens.shape[1], dtype=slope.dtype)
        for n, h, i, j in np.ndindex(*slope.shape):
            share[n, j] += max(float(slope[n, h, i, j]), 0) / (slope.shape[1] * slope.shape[2])
        shares.append(share)
    mean = torch.stack(shares[first:]).mean(0)
    return mean[:, 1:].unflatten(1, (SIDE, SIDE)).numpy()


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_maps_are_those_of_the_paper_however_attention_is_computed(way: Way, averaged: bool) -> None:
    model, x = seeded(Transformer(way, averaged)), images(2, 12)
    want = by_hand(copy.deepcopy(model).double(), x.double())
    np.testing.assert_allclose(maps(model, x), want, rtol=0, atol=2e-6 * want.max())


@pytest.mark.parametrize(
    ("layer", "first"), [("blocks.0", 0), ("blocks.0.norm2", 0), ("blocks.1", 1), ("blocks.1.norm1", 1), ("norm", 0)]
)
def test_layers_are_averaged_from_the_named_one_on(layer: str, first: int) -> None:
    model, x = seeded(Transformer("fused")), images(2, 12)
    want = by_hand(copy.deepcopy(model).double(), x.double(), first)
    np.testing.assert_allclose(maps(model, x, layer), want, rtol=0, atol=2e-6 * want.max())


def test_equals_torchcam_on_a_vision_transformer() -> None:
    torchcam = pytest.importorskip("torchcam.methods")
    models = pytest.importorskip("torchvision.models.vision_transformer", reason="torchvision is not installed")
    torch.manual_seed(0)
    model = models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=5)
    nn.init.normal_(model.heads.head.weight)
    model, x = model.eval(), images(2, 32)
    with torchcam.LeGrad(model, [f"encoder.layers.encoder_layer_{number}" for number in (1, 2)]) as peer:
        model(x)
        want = peer.compute_cams([3, 3], normalized=False)[0].detach().numpy()
    have = maps(model, x, "encoder.layers.encoder_layer_1", 3)
    assert want.max() > 1e-6
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * want.max())


def test_an_image_alone_has_the_map_that_it_has_in_a_batch() -> None:
    model, x = seeded(Transformer("fused")), images(4, 12)
    want = maps(model, x)
    alone = np.concatenate([maps(model, image[None]) for image in x])
    np.testing.assert_allclose(alone, want, rtol=0, atol=5e-6 * want.max())


def test_twice_the_head_is_twice_the_map_and_a_bias_is_nothing() -> None:
    model, x = seeded(Transformer("fused")), images(2, 12)
    once = maps(model, x)
    with torch.no_grad():
        model.fc.weight.mul_(2)
        model.fc.bias.add_(3)
    np.testing.assert_allclose(maps(model, x), 2 * once, rtol=0, atol=1e-6 * once.max())
    assert once.min() >= 0 and np.abs(maps(model, x, target=2) - 2 * once).max() > 0.01 * once.max()


def test_maps_are_the_same_under_autocast_and_with_frozen_weights_and_nothing_is_left_behind() -> None:
    model, x = seeded(Transformer()), images(2, 12)
    want = maps(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_allclose(maps(model, x), want, rtol=0, atol=1e-6 * want.max())
    with torch.inference_mode():
        np.testing.assert_allclose(maps(model, x), want, rtol=0, atol=1e-6 * want.max())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    np.testing.assert_allclose(maps(model.requires_grad_(False).train(), x), want, rtol=0, atol=1e-6 * want.max())
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class Bare(Transformer):
    """Attention that lies in no module of its own: the second block's is computed by the network itself."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.blocks
        tokens = first(self.embedded(x))
        tokens = tokens + second._attended(second.norm1(tokens))
        return self.fc(self.norm(tokens)[:, 0])


def test_a_network_in_which_it_has_no_meaning_is_told_so() -> None:
    with pytest.raises(LayerError, match=r"Attention lies between tokens, and conv\d has none"):
        explain(seeded(FourConv(16)), images(1, 16), method="legrad", progress=False)
    with pytest.raises(LayerError, match=r"in Bare 1 of 2 lie in a module of their own") as caught:
        maps(seeded(Bare("fused")), images(2, 12), "blocks.0")
    assert caught.value.slug == "no-attention"
