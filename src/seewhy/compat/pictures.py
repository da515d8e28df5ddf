"""Images and masks as they are drawn: checked, and said what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.compat.notice import warn
from seewhy.errors import DataError

Floats = NDArray[np.floating]
_ROUNDING = 1e-3  # by which a resized image may leave [0, 1]


def as_image(img: Any) -> Floats:
    """An image (H, W, 3) in [0, 1]; of 8 bits it is divided by 255, and said. Raises DataError for any other."""
    image = np.asarray(img)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        advice = "img.transpose(1, 2, 0)" if image.ndim == 3 and image.shape[0] in (1, 3) else "one image, (H, W, 3)"
        raise DataError(f"img has shape {image.shape}, where (H, W, 3) is needed.\n  {advice}", slug="picture")
    if image.dtype == np.uint8:
        warn("img has 8 bits, and was divided by 255: show_cam_on_image takes floats in [0, 1].")
        return image.astype(np.float32) / 255
    return _within(image if np.issubdtype(image.dtype, np.floating) else image.astype(np.float32), "img")


def as_mask(mask: Any, image: Floats) -> Floats:
    """A map (H, W) in [0, 1] of the image's size. Raises DataError for any other."""
    values = np.asarray(mask)
    if values.shape != image.shape[:2]:
        advice = "one map of the batch:  mask[0]" if values.ndim == 3 else "the map has the size of the network's input"
        raise DataError(
            f"mask has shape {values.shape}, and the image {image.shape}, where the same height and width are "
            f"needed.\n  {advice}",
            slug="picture",
        )
    if values.dtype == np.uint8:
        warn("mask has 8 bits, and was divided by 255: show_cam_on_image takes floats in [0, 1].")
        return values.astype(np.float32) / 255
    return _within(values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float32), "mask")


def _within(values: Floats, name: str) -> Floats:
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinite values.", slug="picture")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        advice = {
            "img": "img / 255, or without the network's mean and std",
            "mask": "scale_cam_image(mask[None])[0]",
        }[name]
        raise DataError(
            f"{name} lies from {low:.3g} to {high:.3g}, and must lie from 0 to 1.\n  For example:  {advice}",
            slug="picture",
        )
    return values if low >= 0 and high <= 1 else values.clip(0, 1)
