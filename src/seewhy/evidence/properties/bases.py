"""Cosine and Fourier bases as matrices, kept for the sizes in use."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def cosines(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The orthonormal DCT-II (side, side): row k holds the cosine of frequency k. Ahmed et al. 1974, eq. 1."""
    place = torch.arange(side, dtype=torch.float64)
    basis = torch.cos(math.pi / side * place[:, None] * (place + 0.5)) * math.sqrt(2 / side)
    basis[0] = math.sqrt(1 / side)
    return basis.to(device, dtype)


@lru_cache(maxsize=16)
def waves(side: int, low: int, high: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The Fourier basis exp(-2 pi i k p / side) as cosines and minus sines (2, k from low to high, side)."""
    frequency = torch.arange(low, high + 1, dtype=torch.float64)
    angle = (frequency[:, None] * torch.arange(side)) % side * (2 * math.pi / side)
    return torch.stack([torch.cos(angle), -torch.sin(angle)]).to(device, dtype)


def where_chosen(canvases: Tensor, chosen: Tensor, edit: Callable[[Tensor], Tensor]) -> Tensor:
    """New canvases (N, ...): those that are chosen (N,) edited, the others copied.

    `edit` gets the rows (M,) of the chosen ones and gives their results (M, ...); it is not called for none.
    """
    rows = chosen.nonzero()[:, 0]
    if len(rows) == len(canvases):
        return edit(rows)
    edited = canvases.clone()
    return edited.index_copy_(0, rows, edit(rows)) if len(rows) else edited
