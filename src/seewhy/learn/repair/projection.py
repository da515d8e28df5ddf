"""The factor's direction in the penultimate layer projected away, always or only where it is present.

Nothing is trained. Always gives a plain linear layer again, only where it is present a gate in front of the old one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.data.networks.gated import Gate
from seewhy.estimates import Integers


def direction_of(features: Tensor, labels: Integers, groups: Integers) -> tuple[Tensor, Tensor]:
    """The unit direction (D,) in which a factor moves the features (M, D), and the point (D,) in between.

    The difference of the two groups' mean features within each class, averaged over the classes that have both: within
    a class, so that what tells the classes apart is not taken for the factor. This is the pattern of the concept
    (Pahde et al. 2022, arXiv:2202.03482), not the weights of a classifier of it. The point is the mean of the groups'
    means, the classes counting alike.
    """
    first, second = _means(features, labels, groups)
    return _unit(second - first), (first + second) / 2


def gate_of(features: Tensor, labels: Integers, groups: Integers) -> Gate:
    """The gate that takes what the second group has of the direction to the level of the first, beyond their middle.

    The direction is that of `direction_of` (reactive P-ClArC: Bareeva et al. 2024, arXiv:2404.09601).
    """
    first, second = _means(features, labels, groups)
    way = _unit(second - first)
    return Gate(way, float((first + second) @ way / 2), float(first @ way))


def _means(features: Tensor, labels: Integers, groups: Integers) -> tuple[Tensor, Tensor]:
    """The mean features (D,) of both groups, the classes that have both counting alike."""
    there, here = [], []
    for index in range(int(labels.max()) + 1):
        cells = [features[torch.from_numpy((labels == index) & (groups == group))] for group in (0, 1)]
        if all(len(cell) for cell in cells):
            there.append(cells[0].mean(dim=0))
            here.append(cells[1].mean(dim=0))
    return torch.stack(there).mean(dim=0), torch.stack(here).mean(dim=0)


def _unit(way: Tensor) -> Tensor:
    unit: Tensor = way / way.norm().clamp(min=1e-12)
    return unit


def projected(weight: Tensor, bias: Tensor, direction: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (K, D) and bias (K,) of a head that does not see the direction (D,) from the point (D,) on.

    h -> h - v v^T (h - z) before the layer (P-ClArC, Anders et al. 2022, arXiv:1912.11425) is linear, so it is
    folded into the layer: W (1 - v v^T) and b + W v v^T z.
    """
    seen = weight @ direction  # (K,)
    return weight - torch.outer(seen, direction), bias + seen * (direction @ point)
