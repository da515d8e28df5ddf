"""Pictures: a map over an image, an image as the network reads it, and maps scaled to be looked at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.compat.arrays import Array, as_array, as_tensor, scaled
from seewhy.compat.factors import create_labels_legend, show_factorization_on_image
from seewhy.compat.pictures import as_image, as_input_image, as_mask
from seewhy.errors import OptionError
from seewhy.render.color import Table, jet
from seewhy.render.overlay import blend_like_grad_cam

__all__ = [
    "create_labels_legend",
    "deprocess_image",
    "preprocess_image",
    "scale_accross_batch_and_channels",
    "scale_cam_image",
    "show_cam_on_image",
    "show_factorization_on_image",
]
COLORMAP_JET = 2  # OpenCV's number


def show_cam_on_image(
    img: Any, mask: Any, use_rgb: bool = False, colormap: int = COLORMAP_JET, image_weight: float = 0.5
) -> NDArray[np.uint8]:
    """An image under a map, (H, W, 3) of 8 bits: its colours and the map's, then divided by the picture's own maximum.

    `img` is (H, W, 3) in [0, 1], `mask` (H, W) in [0, 1]. `use_rgb` says that the image is RGB, else the colours are
    BGR, as OpenCV reads files. `colormap` is a number of OpenCV's, which has to be imported for any but JET, or 256 RGB
    colours (256, 3), or (256, 1, 3) in BGR. `image_weight` is the image's part, 0 to 1. Raises DataError for an image
    or a mask of other values or shapes, OptionError for another weight or colour map.
    """
    if not 0 <= image_weight <= 1:
        raise OptionError(f"image_weight is {image_weight}, and must lie from 0 to 1.", slug="option")
    image = as_image(img)
    table = _table(colormap)
    return blend_like_grad_cam(image, as_mask(mask, image), table if use_rgb else table[:, ::-1], image_weight)


def preprocess_image(
    img: Any, mean: Sequence[float] = (0.5, 0.5, 0.5), std: Sequence[float] = (0.5, 0.5, 0.5)
) -> Tensor:
    """An image (H, W, 3), of 8 bits or in [0, 1], as a network's input (1, 3, H, W): (image - mean) / std.

    Raises DataError for what is no such image; one that leaves [0, 1] is said.
    """
    image = torch.from_numpy(as_input_image(img, len(mean))).permute(2, 0, 1)
    return ((image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None].contiguous()


def deprocess_image(img: Any) -> NDArray[np.uint8]:
    """Any numbers as a picture of 8 bits: their mean is grey, one deviation a tenth of the range; the rest is cut."""
    values = np.asarray(img.detach().cpu() if isinstance(img, Tensor) else img)
    spread = 0.1 * (values - values.mean()) / (values.std() + 1e-5) + 0.5
    picture: NDArray[np.uint8] = (spread.clip(0, 1) * 255).astype(np.uint8)
    return picture


def scale_cam_image(cam: Any, target_size: Sequence[int] | None = None) -> Array:
    """Maps (N, h, w) from 0 to just below 1 each, resized to `target_size` (width, height); volumes likewise.

    One map (h, w) is scaled as a whole.
    """
    maps = as_tensor(np.asarray(cam) if not isinstance(cam, Tensor) else cam)
    return as_array(scaled(maps, None if target_size is None else target_size[::-1]))


def scale_accross_batch_and_channels(tensor: Any, target_size: Sequence[int]) -> Array:
    """Every channel of maps (N, C, h, w) scaled by itself, resized to (width, height)."""
    maps = as_tensor(tensor)
    return as_array(scaled(maps.flatten(0, 1), target_size[::-1]).unflatten(0, maps.shape[:2]))


def _table(colormap: Any) -> Table:
    """256 RGB colours. Raises OptionError where they are none, or a number of OpenCV's and OpenCV is not imported."""
    if isinstance(colormap, np.ndarray):
        if colormap.shape == (256, 1, 3):  # one of the user's own, as OpenCV takes it
            return colormap[:, 0, ::-1].astype(np.uint8)
        if colormap.shape != (256, 3):
            raise OptionError(
                f"A table of colours has shape (256, 3), or as OpenCV's (256, 1, 3), and this has {colormap.shape}.",
                slug="option",
            )
        return colormap.astype(np.uint8)
    if not isinstance(colormap, (int, np.integer)):
        raise OptionError(
            f"colormap is {colormap!r:.60}, and must be a number of OpenCV's or 256 RGB colours.\n"
            "  colormap=cv2.COLORMAP_VIRIDIS, or of a colour map of matplotlib:  "
            "colormap=np.uint8(255 * cmap(np.arange(256))[:, :3])",
            slug="option",
        )
    if colormap == COLORMAP_JET:
        return jet()
    opencv = sys.modules.get("cv2")
    if opencv is None:
        raise OptionError(
            f"colormap={colormap!r} is a number of OpenCV's, which is not imported.\n"
            "  import cv2, or give 256 RGB colours:  colormap=table  (256, 3) of 8 bits",
            slug="option",
        )
    try:
        table: Table = opencv.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], int(colormap))[:, 0, ::-1]
    except opencv.error as error:
        raise OptionError(
            f"OpenCV {opencv.__version__} has no colour map of the number {colormap}.\n"
            "  Name it:  colormap=cv2.COLORMAP_JET, cv2.COLORMAP_VIRIDIS, …",
            slug="option",
        ) from error
    return table
