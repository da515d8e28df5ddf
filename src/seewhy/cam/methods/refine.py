"""Refine-CAM: what a fine layer shows of what the coarser ones show too."""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.cam.methods.scene import Features, Scene
from seewhy.cam.methods.weighting import grad_cam_plus_plus, weighted_sum
from seewhy.errors import LayerError
from seewhy.maps import positive, resize


def refine_cam(scene: Scene) -> Tensor:
    """Maps (N, H, W) in [0, 1]: the product of the Grad-CAM++ maps of this layer and the named ones of no finer grid.

    Each map's positive part is scaled to [0, 1] and resized to this layer's grid. The finest layer named has the
    product of all; the coarsest has its own. A value is 1 where all have their peak. Domeniconi et al. 2026,
    arXiv:2605.14641. Raises LayerError where one layer alone is named.
    """
    assert scene.activation is not None and scene.layer is not None
    if len(scene.named) < 2:
        raise LayerError(
            f"Refine-CAM multiplies the maps of several layers, and {scene.layer.asked} alone is named.\n"
            "  Name two or more, as  --layers layer2,layer3,layer4   See them:  seewhy layers --model …",
            slug="one-layer",
        )
    size = (scene.activation.shape[2], scene.activation.shape[3])
    shown = [one for one in scene.named if one.activation[0, 0].numel() <= size[0] * size[1]]
    return torch.stack([resize(_scaled(one), size) for one in shown]).prod(dim=0)


def _scaled(features: Features) -> Tensor:
    """A layer's Grad-CAM++ map (N, h, w), its positive part from 0 to 1; 0 where it is constant."""
    activation, gradient = features
    assert gradient is not None
    maps = positive(weighted_sum(grad_cam_plus_plus(activation, gradient), activation))
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
