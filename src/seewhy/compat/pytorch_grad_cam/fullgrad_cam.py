"""FullGrad: the input and every bias times its gradient, as upstream draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.methods import weighting
from seewhy.cam.model import unwrap
from seewhy.compat.arrays import Array, as_array, as_tensor, scaled
from seewhy.compat.notice import warn
from seewhy.compat.old_style import takes_use_cuda
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class FullGrad(BaseCAM):
    """The absolute input-gradient and bias-gradients, each channel scaled to [0, 1], summed. arXiv:1905.00780, eq. 5.

    Biases are those of 2-D convolutions and batch norms, each with the gradient of its own layer. What the parts add
    up to before they are scaled is `seewhy.explain(…, method="fullgrad")`.
    """

    @takes_use_cuda
    def __init__(self, model: Any, target_layers: Any = (), reshape_transform: Any = None, **options: Any) -> None:
        if target_layers is not None and len(target_layers):
            warn(
                "target_layers is taken and does nothing: FullGrad reads every convolution and batch norm with a bias."
            )
        biased = [layer for layer in unwrap(model)[0].modules() if _has_bias(layer)]
        super().__init__(model, biased, reshape_transform, compute_input_gradient=True, **options)

    def compute_cam_per_layer(self, input_tensor: Tensor, targets: Any, eigen_smooth: bool) -> list[Array]:
        """The sum over input and layers, or their first principal component, as one map (N, 1, H, W)."""
        size = tuple(input_tensor.shape[2:])
        slope = input_tensor.grad if input_tensor.grad is not None else torch.zeros_like(input_tensor)
        parts = [_each_scaled((slope * input_tensor.detach()).abs().cpu(), size)]
        for place, gradient in sorted(self.activations_and_grads.slopes.items()):
            bias = _bias_of(self.target_layers[place])[None, :, None, None].to(gradient)
            parts.append(_each_scaled((bias * gradient).abs(), size).sum(dim=1, keepdim=True))
        stacked = torch.cat(parts, dim=1)
        if not eigen_smooth:
            return [as_array(stacked.sum(dim=1, keepdim=True))]
        small = _each_scaled(stacked, (max(1, size[0] // 8), max(1, size[1] // 8)))
        cam = weighting.principal(torch.ones_like(small[:, :, 0, 0]), small)
        return [as_array(scaled(cam, size)[:, None])]

    def aggregate_multi_layers(self, cam_per_target_layer: Any) -> Array:
        """The one map (N, H, W), scaled."""
        return as_array(scaled(torch.from_numpy(np.sum(cam_per_target_layer[0], axis=1))))


def _has_bias(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Conv2d, nn.BatchNorm2d)) and layer.bias is not None


def _bias_of(layer: Any) -> Tensor:
    """What a layer adds (C,): of a batch norm with its running mean."""
    if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None:
        return as_tensor(layer.bias - layer.running_mean * layer.weight / (layer.running_var + layer.eps).sqrt())
    return as_tensor(layer.bias)


def _each_scaled(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Every channel of maps (N, C, h, w) scaled by itself, laid on (N, C, height, width)."""
    return scaled(as_tensor(maps).flatten(0, 1), size).view(*maps.shape[:2], *size)
