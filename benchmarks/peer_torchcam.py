"""ResNet-50 with torchcam in batches of 8, maps and overlays as its documentation makes them."""

from __future__ import annotations

import numpy as np
from peer_batched import Maps, explain
from PIL import Image
from torch import Tensor, nn
from torchcam.methods import GradCAM
from torchcam.utils import overlay_mask


def maps_of(model: nn.Module, target: int) -> Maps:
    """Positive maps in [0, 1]."""
    extractor = GradCAM(model, "layer4")
    return lambda inputs: extractor(target, model(inputs))[0]


def draw(picture: np.ndarray, map_: Tensor) -> Image.Image:
    mask = Image.fromarray(map_.numpy())
    return overlay_mask(Image.fromarray(np.uint8(picture * 255 + 0.5)), mask, alpha=0.5)


if __name__ == "__main__":
    explain(maps_of, draw)
