"""Attention rollout and gradient-weighted attention: by hand, whichever way a network computes its attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import explain
from seewhy.errors import LayerError
from tests.models import FourConv, images, seeded

Way = Literal["whole", "with weights", "fused", "in steps"]
WAYS: tuple[Way, ...] = ("whole", "with weights", "fused", "in steps")
WIDTH, HEADS, SIDE = 8, 2, 3


class Block(nn.Module):
    def __init__(self, way: Way) -> None:
        super().__init__()
        self.way = way
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + (self._attended(y) if self.way in ("fused", "in steps") else self._by_module(y))
        return x + self.mlp(self.norm2(x))

    def _by_module(self, y: Tensor) -> Tensor:
        return self.attention(y, y, y, need_weights=self.way == "with weights")[0]

    def _attended(self, y: Tensor) -> Tensor:
        query, key, value = self.parts(y)
        if self.way == "fused":
            heads = functional.scaled_dot_product_attention(query, key, value)
        else:
            heads = (query @ key.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)).softmax(dim=-1) @ value
        return self.attention.out_proj(heads.transpose(1, 2).flatten(2))

    def parts(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed = functional.linear(y, self.attention.in_proj_weight, self.attention.in_proj_bias)
        query, key, value = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in packed.chunk(3, dim=2))
        return query, key, value


class Transformer(nn.Module):
    """Patches and a class token, two blocks, and a head on the class token or on the mean of the patches."""

    def __init__(self, way: Way = "whole", averaged: bool = False) -> None:
        super().__init__()
        self.averaged = averaged
        self.patch = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.position = nn.Parameter(torch.randn(1, 1 + SIDE * SIDE, WIDTH))
        self.blocks = nn.Sequential(Block(way), Block(way))
        self.norm, self.fc = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)
        for block in self.blocks:
            nn.init.normal_(block.attention.in_proj_weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.blocks(self.embedded(x)))
        return self.fc(x[:, 1:].mean(dim=1) if self.averaged else x[:, 0])

    def embedded(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), self.patch(x).flatten(2).transpose(1, 2)], 1) + (
            self.position
        )


def maps(model: nn.Module, x: Tensor, method: str) -> np.ndarray:
    return explain(model, x, target=1, layers="blocks.1.norm1", method=method, progress=False).maps


def by_hand(model: Transformer, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The attention of each block and its derivative, (N, heads, T, T), every step written out."""
    kept, tokens = [], model.embedded(x)
    for block in model.blocks:
        query, key, value = block.parts(block.norm1(tokens))
        scores = torch.einsum("nhid,nhjd->nhij", query, key) / math.sqrt(WIDTH // HEADS)
        attention = (scores - scores.amax(-1, keepdim=True)).exp()
        attention = attention / attention.sum(-1, keepdim=True)
        kept.append(attention)
        heads = torch.einsum("nhij,nhjd->nihd", attention, value).flatten(2)
        tokens = tokens + block.attention.out_proj(heads)
        tokens = tokens + block.mlp(block.norm2(tokens))
    last = model.norm(tokens)
    logit = model.fc(last[:, 1:].mean(dim=1) if model.averaged else last[:, 0])[:, 1]
    return [part.detach() for part in kept], list(torch.autograd.grad(logit.sum(), kept))


def rollout(attentions: list[Tensor], slopes: list[Tensor], rows: slice) -> np.ndarray:
    first, second = (0.5 * part.mean(1) + 0.5 * torch.eye(part.shape[-1]) for part in attentions)
    return (second @ first)[:, rows, 1:].mean(dim=1).unflatten(1, (SIDE, SIDE)).numpy()


def weighted(attentions: list[Tensor], slopes: list[Tensor], rows: slice) -> np.ndarray:
    first, second = ((part * slope).clamp(min=0).mean(1) for part, slope in zip(attentions, slopes, strict=True))
    drawn = first + second + second @ first  # (I + B)(I + A) - I
    return drawn[:, rows, 1:].mean(dim=1).unflatten(1, (SIDE, SIDE)).numpy()


REFERENCES: dict[str, Callable[..., np.ndarray]] = {"attention-rollout": rollout, "gradient-attention": weighted}


@pytest.mark.parametrize("method", REFERENCES)
@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_maps_are_those_of_the_papers_however_attention_is_computed(way: Way, averaged: bool, method: str) -> None:
    model, x = seeded(Transformer(way, averaged)), images(3, 12)
    rows = slice(1, None) if averaged else slice(0, 1)
    np.testing.assert_allclose(maps(model, x, method), REFERENCES[method](*by_hand(model, x), rows), atol=1e-6)


def test_what_a_token_draws_from_all_tokens_adds_up_to_one() -> None:
    model, x = seeded(Transformer()), images(4, 12)
    attentions, _ = by_hand(model, x)
    first, second = (0.5 * part.mean(1) + 0.5 * torch.eye(part.shape[-1]) for part in attentions)
    of_itself = (second @ first)[:, 0, 0].numpy()
    np.testing.assert_allclose(maps(model, x, "attention-rollout").sum((1, 2)) + of_itself, 1, atol=1e-5)


@pytest.mark.parametrize("method", REFERENCES)
def test_an_image_alone_has_the_map_that_it_has_in_a_batch(method: str) -> None:
    model, x = seeded(Transformer("fused")), images(4, 12)
    alone = np.concatenate([maps(model, image[None], method) for image in x])
    np.testing.assert_allclose(maps(model, x, method), alone, atol=1e-6)


def test_attention_by_the_gradient_knows_the_class_and_rollout_does_not() -> None:
    model, x = seeded(Transformer()), images(2, 12)

    def of(method: str, target: int) -> np.ndarray:
        return explain(model, x, target=target, layers="blocks.1.norm1", method=method, progress=False).maps

    np.testing.assert_array_equal(of("attention-rollout", 0), of("attention-rollout", 2))
    assert np.abs(of("gradient-attention", 0) - of("gradient-attention", 2)).max() > 1e-4


def test_functions_of_torch_are_as_before_also_after_an_error() -> None:
    before = functional.scaled_dot_product_attention, functional.softmax
    maps(seeded(Transformer()), images(1, 12), "gradient-attention")
    with pytest.raises(LayerError):
        explain(seeded(FourConv(16)), images(1, 16), method="attention-rollout", progress=False)
    assert (functional.scaled_dot_product_attention, functional.softmax) == before


@pytest.mark.parametrize("method", REFERENCES)
def test_maps_are_the_same_under_autocast_and_with_frozen_weights(method: str) -> None:
    model, x = seeded(Transformer()), images(2, 12)
    want = maps(model, x, method)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_allclose(maps(model, x, method), want, atol=1e-6)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    np.testing.assert_allclose(maps(model.requires_grad_(False), x, method), want, atol=1e-6)


class Windows(Transformer):
    """Attention within two windows of the patches, so that no token sees all others."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embedded(x)
        halves = self.blocks(torch.cat([tokens[:, :5], tokens[:, 5:]]))
        return self.fc(self.blocks[0].norm1(torch.cat(halves.chunk(2), dim=1)).mean(dim=1))


def test_a_network_without_such_attention_is_told_so() -> None:
    with pytest.raises(LayerError, match=r"Attention lies between tokens, and conv\d has none"):
        explain(seeded(FourConv(16)), images(1, 16), method="gradient-attention", progress=False)
    with pytest.raises(LayerError, match=r"all of them, in every layer; in Windows it has other shapes: .*5 x 5"):
        explain(
            seeded(Windows("fused")), images(2, 12), layers="blocks.0.norm1", method="attention-rollout",
            grid="3x3", progress=False,
        )  # fmt: skip
