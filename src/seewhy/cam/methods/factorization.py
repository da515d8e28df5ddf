"""Deep feature factorisation: a layer's features as a few concepts, each with a map."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import OptionError

_SWEEPS, _SETTLED = 200, 1e-4  # at most, and the share of the first sweep's change at which it stops


class Concepts(NamedTuple):
    """Concepts in the space of the channels (K, C), and where each is in each image (N, K, H, W), not negative."""

    vectors: Tensor
    maps: Tensor


def factorize(activation: Tensor, n_concepts: int, *, seed: int = 0) -> Concepts:
    """Features (N, C, H, W) as a non-negative factorisation into so many concepts that all images share.

    A channel's least value is taken off before, and added to the concepts after, so that features may be negative.
    Coordinate descent from a random start (Cichocki & Phan 2009, HALS), which a seed decides; it stops where a sweep
    changes 10,000 times less than the first, or after 200. Collins et al. 2018, arXiv:1806.10206. Raises OptionError
    where there are not as many places or channels as concepts.
    """
    n_images, n_channels, height, width = activation.shape
    most = min(n_channels, n_images * height * width)
    if not 1 <= n_concepts <= most:
        raise OptionError(
            f"{n_concepts} concepts are asked for of {n_channels} channels on {n_images * height * width} places: 1 "
            f"to {most} can be told apart.",
            slug="option",
        )
    features = activation.detach().nan_to_num().transpose(0, 1).flatten(1)  # (C, N H W)
    offset = features.amin(dim=1, keepdim=True)
    vectors, maps = _factors(features - offset, n_concepts, seed)
    shaped = maps.view(n_concepts, n_images, height, width).transpose(0, 1)
    return Concepts((vectors + offset).T, shaped)


def _factors(matrix: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """A non-negative matrix (C, P) as a product of (C, rank) and (rank, P), both not negative."""
    start = np.random.RandomState(seed)
    size = (matrix.mean() / rank).sqrt()
    right = size * torch.from_numpy(start.standard_normal((rank, matrix.shape[1]))).to(matrix).abs()
    left = size * torch.from_numpy(start.standard_normal((matrix.shape[0], rank))).to(matrix).abs()
    right, first = right.T.contiguous(), None
    for _ in range(_SWEEPS):
        change = _sweep(left, matrix @ right, right.T @ right) + _sweep(right, matrix.T @ left, left.T @ left)
        first = change if first is None else first
        if first == 0 or change / first <= _SETTLED:
            break
    return left, right.T


def _sweep(factor: Tensor, products: Tensor, gram: Tensor) -> float:
    """Set each column of a factor (M, rank) to its best value with the others held; how much there was to do."""
    change = 0.0
    for column in range(factor.shape[1]):
        gradient = factor @ gram[:, column] - products[:, column]
        reached = torch.where(factor[:, column] == 0, gradient.clamp(max=0), gradient)
        change += float(reached.abs().sum())
        if gram[column, column] != 0:
            factor[:, column] = (factor[:, column] - gradient / gram[column, column]).clamp(min=0)
    return change
