"""ResNet-50 with captum in batches of 8: its LayerGradCam and its own interpolation.

captum itself draws matplotlib figures only, which would be slow; the overlay is pytorch-grad-cam's.
"""

from __future__ import annotations

import numpy as np
from captum.attr import LayerAttribution, LayerGradCam
from peer_batched import Maps, explain
from PIL import Image
from pytorch_grad_cam.utils.image import show_cam_on_image
from torch import Tensor, nn


def maps_of(model: nn.Module, target: int) -> Maps:
    """Signed maps."""
    grad_cam = LayerGradCam(model, model.layer4)
    return lambda inputs: grad_cam.attribute(inputs, target).detach()[:, 0]


def draw(picture: np.ndarray, map_: Tensor) -> Image.Image:
    mask = LayerAttribution.interpolate(map_.clamp(min=0)[None, None], picture.shape[:2], "bilinear")[0, 0].numpy()
    mask = (mask - mask.min()) / max(float(np.ptp(mask)), 1e-7)
    return Image.fromarray(show_cam_on_image(picture, mask, use_rgb=True))


if __name__ == "__main__":
    explain(maps_of, draw)
