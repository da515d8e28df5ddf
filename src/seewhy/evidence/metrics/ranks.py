"""In which order a map names its pixels, and what a metric asks of the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Changed images (B, C, H, W), and which of the images (B,) each is a change of -> the explained number of each (B,).
Rescore = Callable[[Tensor, Tensor], Tensor]


def ranks(maps: Tensor, *, seed: int = 0) -> Tensor:
    """The rank (N, H, W) of each pixel of maps (N, H, W): 0 for the most relevant, each number once in each map.

    Signed values count as they are. Among equal ones, as the many zeros of a map are, a seed decides, so that the first
    so many pixels are exactly so many.
    """
    flat = maps.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(flat.shape[1], generator=generator).to(maps.device)
    order = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    ranked = torch.empty_like(order)
    ranked.scatter_(1, order, torch.arange(flat.shape[1], device=maps.device).expand_as(order))
    return ranked.view(maps.shape)


def rows_of(images: Tensor) -> Tensor:
    """The rows (N,) of images that are all changed, in order."""
    return torch.arange(len(images))
