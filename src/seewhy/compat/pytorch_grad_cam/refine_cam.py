"""RefineCAM: the product of several layers' maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.compat.arrays import Array, as_array, scaled
from seewhy.compat.pytorch_grad_cam.grad_cam_plusplus import GradCAMPlusPlus


class RefineCAM:
    """The product of the maps that `base_method` makes of each layer, scaled: what all layers show. arXiv:2605.14641.

    All layers in one pass.
    """

    def __init__(
        self,
        model: Any,
        target_layers: Any,
        reshape_transform: Any = None,
        base_method: Any = GradCAMPlusPlus,
        **options: Any,
    ) -> None:
        self.base_cam = base_method(model, target_layers, reshape_transform, **options)
        self.base_cam.aggregate_multi_layers = _product

    def __call__(
        self, input_tensor: Tensor, targets: Any = None, eigen_smooth: bool = False, *, aug_smooth: bool = False
    ) -> Array:
        """Maps (N, H, W) from 0 to just below 1."""
        maps: Array = self.base_cam(input_tensor, targets, aug_smooth, eigen_smooth)
        return maps

    forward = __call__

    @property
    def outputs(self) -> Any:
        """What the network gave at the last call, detached."""
        return self.base_cam.outputs

    def __enter__(self) -> RefineCAM:
        return self

    def __exit__(self, *error: object) -> None:
        self.base_cam.__exit__(*error)


def _product(cam_per_target_layer: Any) -> Array:
    maps = [scaled(torch.from_numpy(np.asarray(maps))[:, 0].clamp(min=0)) for maps in cam_per_target_layer]
    return as_array(scaled(torch.stack(maps).prod(dim=0)))
