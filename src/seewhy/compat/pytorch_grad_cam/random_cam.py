"""RandomCAM, by seewhy's own random."""

from __future__ import annotations

import zlib
from typing import Any

import torch

from seewhy.compat.arrays import as_array, like, planes
from seewhy.compat.pytorch_grad_cam.rerun import RerunCAM


class RandomCAM(RerunCAM):
    """Random weights, the same for an image every time: the map that any method has to beat. Needs no gradient."""

    method = "random"

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        """Weights (N, C), like the activations; asked of the class alone they follow from the activations."""
        if isinstance(self, RandomCAM):
            return super().get_cam_weights(input_tensor, target_layers, targets, activations, grads)
        features = planes(activations)
        seed = zlib.crc32(as_array(features).tobytes())
        return like(torch.randn(features.shape[:2], generator=torch.Generator().manual_seed(seed)), activations)
