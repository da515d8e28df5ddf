"""Maps from a transformer's own attention: rollout, and attention weighted by the score's gradient."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from seewhy.cam.methods.input_score import Scored, leaf_of
from seewhy.cam.methods.scene import Scene
from seewhy.errors import LayerError

_READ = 1e-6  # of the strongest row's gradient: a token above it is read by what follows the last attention
_SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax}


def attention_rollout(scene: Scene) -> Tensor:
    """Maps (N, H, W) of where the tokens that the head reads draw from, whatever the class; at least 0, at most 1.

    The product over layers of the attention, averaged over heads and mixed half and half with the identity for the
    residual connection. Abnar & Zuidema 2020, arXiv:2005.00928, sec. 3. Raises LayerError where the layer that is named
    has no tokens, or the network no attention over all of them.
    """
    attentions, _, read = _attended(scene)
    identity = torch.eye(attentions[0].shape[-1], device=scene.inputs.device)
    flow = identity
    for attention in attentions:
        flow = (attention.mean(dim=1) + identity) / 2 @ flow
    return on_grid(scene, (read @ flow)[:, 0])


def gradient_attention(scene: Scene) -> Tensor:
    """Maps (N, H, W) of what the score draws from each place; at least 0.

    Layer by layer the positive part of attention times the score's derivative by it, averaged over heads, is added to
    what the tokens hold so far: R <- R + A R. Chefer, Gur & Wolf 2021, arXiv:2103.15679, eqs. 5-6. Errors as
    `attention_rollout`.
    """
    attentions, slopes, read = _attended(scene)
    identity = torch.eye(attentions[0].shape[-1], device=scene.inputs.device)
    relevance = identity
    for attention, slope in zip(attentions, slopes, strict=True):
        relevance = relevance + (attention * slope).clamp(min=0).mean(dim=1) @ relevance
    return on_grid(scene, (read @ (relevance - identity))[:, 0])


def _attended(scene: Scene) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The attention of each layer, the score's derivative by it, both (N, heads, T, T), and the read tokens (N, 1, T).

    Read are the tokens in which the score has a derivative behind the last attention, in equal shares: the class token,
    or all that are averaged.
    """
    count, tokens = len(scene.inputs), tokens_of(scene)
    with torch.inference_mode(False), torch.enable_grad(), Attention() as watched:
        value = Scored(scene)(leaf_of(scene.inputs)).sum()
        seen = whole(scene, watched, tokens)
        slopes = torch.autograd.grad(value, seen, allow_unused=True)
    attentions = [by_head(attention.detach(), count) for attention in seen]
    gradients = [
        torch.zeros_like(attention) if slope is None else by_head(slope, count)
        for attention, slope in zip(attentions, slopes, strict=True)
    ]
    strength = gradients[-1].abs().amax(dim=(1, 3)).unsqueeze(1)
    read = (strength > _READ * strength.amax(dim=2, keepdim=True)).to(strength.dtype)
    return attentions, gradients, read / read.sum(dim=2, keepdim=True).clamp(min=1)


def whole(scene: Scene, watched: Attention, tokens: int) -> list[Tensor]:
    """The attention from each token to all, of every layer. Raises LayerError where a layer has another one."""
    seen = watched.square
    if {attention.shape[-1] for attention in seen} != {tokens} or any(len(each) % len(scene.inputs) for each in seen):
        raise refusal(scene, seen, tokens)
    return seen


def by_head(attention: Tensor, count: int) -> Tensor:
    """Of `count` images (N, heads, T, T), however the heads are laid out."""
    return attention.reshape(count, -1, *attention.shape[-2:])


def tokens_of(scene: Scene) -> int:
    """How many tokens the scene's layer has. Raises LayerError for a layer without tokens."""
    grid = scene.grid
    if grid is None or grid.layout != "tokens":
        asked = scene.layer.asked if scene.layer else "the input"
        raise LayerError(
            f"Attention lies between tokens, and {asked} has none.\n"
            "  Name a layer whose grid is of tokens (seewhy layers --model …), or another method:  --method grad-cam",
            slug="no-attention",
        )
    return grid.skipped + grid.height * grid.width


def on_grid(scene: Scene, shares: Tensor) -> Tensor:
    """A number for each token (N, T), on the layer's grid (N, H, W)."""
    assert scene.grid is not None
    return scene.grid.view(shares[:, :, None])[:, 0]  # as a layer's output with one channel


def refusal(scene: Scene, seen: list[Tensor], tokens: int) -> LayerError:
    """The error for a network whose attention is not from all tokens of the layer to all."""
    assert scene.layer is not None
    shapes = ", ".join(dict.fromkeys(" x ".join(map(str, attention.shape)) for attention in seen)) or "none was seen"
    return LayerError(
        f"There must be attention from each of the {tokens} tokens of layer {scene.layer.asked} to all of them, in "
        f"every layer; in {type(scene.model).__name__} it has other shapes: {shapes}.\n"
        "  Use a method that needs no attention:  --method grad-cam",
        slug="no-attention",
    )


class Attention(TorchFunctionMode):
    """While it is entered, every attention that is computed is kept, on the way from the input to the output."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    @property
    def square(self) -> list[Tensor]:
        """Those from tokens to the same tokens, in the order in which they were computed."""
        return [attention for attention in self.seen if attention.shape[-1] == attention.shape[-2]]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        if func is functional.multi_head_attention_forward:  # what it calls is not seen here
            with (
                mock.patch.object(functional, "scaled_dot_product_attention", self._attend),
                mock.patch.object(functional, "softmax", self._softmax),
            ):
                return func(*args, **kwargs)
        result = func(*args, **kwargs)
        if func in _SOFTMAX:
            self._keep(result)
        return result

    def _keep(self, attention: Tensor) -> None:
        if attention.ndim >= 3 and attention.shape[-1] > 1 and attention.requires_grad:
            self.seen.append(attention)

    def _softmax(self, *args: Any, **kwargs: Any) -> Tensor:
        result = torch.softmax(args[0], args[1] if len(args) > 1 else kwargs["dim"])
        self._keep(result)
        return result

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """The same in steps, so that the attention itself can be kept; without dropout, as networks are explained."""
        if enable_gqa:
            repeats = query.shape[-3] // key.shape[-3]
            key, value = (part.repeat_interleave(repeats, dim=-3) for part in (key, value))
        scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones_like(scores, dtype=torch.bool).tril()
        if attn_mask is not None:
            is_bool = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, -math.inf) if is_bool else scores + attn_mask
        attention = torch.softmax(scores, dim=-1)
        self._keep(attention)
        return attention @ value
