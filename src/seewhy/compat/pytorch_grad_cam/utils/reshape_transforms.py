"""Functions that make features (N, C, H, W) of what transformers and detectors give."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.layers.inferred import MOST_SPECIAL
from seewhy.errors import LayerError


def vit_reshape_transform(tensor: Tensor, height: int | None = None, width: int | None = None) -> Tensor:
    """Tokens (N, T, C) as features (N, C, height, width): the last height x width of them, row by row.

    What stands in front (class, distillation and register tokens) is left out. Without a size the places are the
    largest square that leaves at most 16 of these. Raises LayerError where there is none.
    """
    n_tokens = tensor.shape[1]
    rows, columns = _size(n_tokens, height, width, MOST_SPECIAL)
    spatial = tensor[:, n_tokens - rows * columns :]
    return spatial.transpose(1, 2).reshape(len(tensor), tensor.shape[2], rows, columns)


def swinT_reshape_transform(tensor: Tensor, height: int | None = None, width: int | None = None) -> Tensor:
    """Features with channels last, (N, H, W, C) or tokens (N, H·W, C), as (N, C, H, W).

    Of tokens without a size the places are a square. Raises LayerError where they are not.
    """
    if tensor.ndim == 3:
        tensor = tensor.reshape(len(tensor), *_size(tensor.shape[1], height, width, 0), tensor.shape[2])
    return tensor.permute(0, 3, 1, 2)


def fasterrcnn_reshape_transform(x: Mapping[str, Tensor]) -> Tensor:
    """A feature pyramid's maps as one (N, C of all, H, W): absolute values, of the size of the coarsest, "pool"."""
    coarsest = x["pool"] if "pool" in x else list(x.values())[-1]
    size = (coarsest.shape[-2], coarsest.shape[-1])
    return torch.cat([functional.interpolate(value.abs(), size, mode="bilinear") for value in x.values()], dim=1)


def _size(n_tokens: int, height: int | None, width: int | None, most: int) -> tuple[int, int]:
    """Height and width of the places among so many tokens, of which at most `most` are special."""
    side = math.isqrt(n_tokens)
    rows, columns = height or (n_tokens // width if width else side), width or (n_tokens // height if height else side)
    if 0 <= n_tokens - rows * columns <= (n_tokens if height and width else most):
        return rows, columns
    raise LayerError(
        f"{n_tokens} tokens are no {rows} x {columns} places with at most {most} special tokens in front.\n"
        "  Say how many there are:  reshape_transform=lambda x: vit_reshape_transform(x, height=14, width=14)",
        slug="layer-without-grid",
    )
