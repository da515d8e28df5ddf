"""Edges of an image: what a map that looks like edges should be held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def sobel_cam(img: Any) -> NDArray[np.uint8]:
    """The mean strength (H, W) of horizontal and vertical edges of an RGB image (H, W, 3) of 8 bits, up to 255."""
    grey = np.rint(np.asarray(img, np.float64) @ (0.299, 0.587, 0.114)).astype(np.float32)
    kernel = torch.tensor(_SOBEL)
    padded = functional.pad(torch.from_numpy(grey)[None, None], (1, 1, 1, 1), mode="reflect")
    edges = functional.conv2d(padded, torch.stack([kernel, kernel.T])[:, None])[0].abs().clamp(max=255)
    strength: NDArray[np.uint8] = np.rint(edges.mean(dim=0).numpy()).astype(np.uint8)
    return strength
