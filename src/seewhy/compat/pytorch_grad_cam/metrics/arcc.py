"""ARCC: the harmonic mean of ROAD, coherency and one minus complexity. arXiv:2605.14641."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.compat.arrays import Array
from seewhy.compat.notice import warn
from seewhy.compat.pytorch_grad_cam.metrics.road import ROADCombined

_EPS = 1e-8


class Complexity:
    """How much of a map is lit: the mean of its absolute values, 0 to 1. Poppi et al. 2021, arXiv:2104.10252."""

    def __call__(self, grayscale_cams: Any) -> Array:
        """The means (N,) of maps (N, H, W)."""
        mean: Array = np.abs(np.asarray(grayscale_cams, np.float32)).mean(axis=(1, 2))
        return mean


class Coherency:
    """How alike a map and the map of the input times that map are, 0 to 1. Poppi et al. 2021, arXiv:2104.10252."""

    def __call__(
        self, input_tensor: Tensor, grayscale_cams: Any, targets: Any, model: nn.Module, base_method: Any
    ) -> Array:
        """(Pearson correlation + 1) / 2 of each image (N,)."""
        maps = np.asarray(grayscale_cams)
        masked = input_tensor * torch.from_numpy(maps)[:, None].to(input_tensor)
        alike: Array = (
            batch_pearson_coherency(base_method(input_tensor=masked, targets=targets), maps) + 1
        ) / np.float32(2)
        return alike


class ARCC:
    """The harmonic mean of coherency, one minus complexity, and twice ROAD cut to [0, 1].

    Made for targets that are probabilities, of which ROAD lies from -0.5 to 0.5; others are said.
    """

    def __init__(self, base_method: Any, road_percentiles: Sequence[float] = (20, 40, 60, 80)) -> None:
        self.complexity = Complexity()
        self.coherency = Coherency()
        self.road = ROADCombined(percentiles=road_percentiles)
        self.base_method = base_method

    def __call__(self, input_tensor: Tensor, grayscale_cams: Any, targets: Any, model: nn.Module) -> Array:
        """The numbers (N,), 0 to 1."""
        sparse = 1 - self.complexity(grayscale_cams)
        coherent = self.coherency(input_tensor, grayscale_cams, targets, model, self.base_method)
        road = self.road(input_tensor, grayscale_cams, targets, model)
        if np.abs(road).max(initial=0) > 0.5:
            warn(
                f"ROAD reaches {np.abs(road).max():.3g}, and ARCC cuts it at 0.5: it is made for targets that are "
                "probabilities.  targets=[ClassifierOutputSoftmaxTarget(…)]"
            )
        parts = np.stack([coherent, sparse, (2 * road).clip(0, 1)])
        mean: Array = (3 / (1 / (parts + _EPS)).sum(axis=0)).astype(np.float32)
        return mean


def batch_pearson_coherency(A: Any, B: Any) -> Array:
    """The Pearson correlation (N,) of maps (N, H, W) with others, 0 of a constant one."""
    first, second = (np.asarray(maps, np.float64).reshape(len(maps), -1) for maps in (A, B))
    first, second = (values - values.mean(axis=1, keepdims=True) for values in (first, second))
    size = np.sqrt((first**2).mean(axis=1) * (second**2).mean(axis=1))
    correlation: Array = ((first * second).mean(axis=1) / (size + _EPS)).astype(np.float32)
    return correlation
