"""One overlay: a photograph and a map blended, and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seewhy.render.color import heat, jet

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB
Mask = NDArray[np.float32]  # (H, W), 0 to 1

OPACITY = 0.75  # at the map's peak; it falls with the map, so that the photograph shows where nothing lies
JPEG_QUALITY = 95


def overlay(photograph: Pixels, mask: Mask) -> Pixels:
    """The photograph under a map in [0, 1] of the same size: colour and opacity grow with it, 0 leaves the pixel."""
    colour, keep = _blend_tables()
    index = (mask * 255 + 0.5).astype(np.uint8)
    mixed = photograph * keep[index][..., None]  # uint16: at most 255 * 256
    mixed += colour[index]
    mixed >>= 8
    return mixed.astype(np.uint8)


def overlay_like_grad_cam(canvas: Pixels, mask: Mask) -> Pixels:
    """The picture of pytorch-grad-cam: JET over the canvas, half and half, divided by its own maximum, truncated."""
    colours, greys = _half_tables()
    mixed = colours[np.uint8(255 * mask)]
    mixed += greys[canvas]
    mixed /= mixed.max()
    mixed *= 255
    picture: Pixels = mixed.astype(np.uint8)
    return picture


def side_by_side(pictures: Sequence[Pixels]) -> Pixels:
    """Pictures of one height, left to right with a white gap; a single one as it is."""
    if len(pictures) == 1:
        return pictures[0]
    gap = np.full((pictures[0].shape[0], 4, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


def encode(picture: Pixels, image_format: str) -> bytes:
    """The picture's bytes: JPEG of quality 95, or PNG."""
    buffer = BytesIO()
    image = Image.fromarray(picture)
    if image_format == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


@cache
def _half_tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Half of JET's colours (256, 3) and half of every grey level (256,), in 0 to 0.5."""
    full = np.float32(255)
    colours, greys = jet().astype(np.float32) / full, np.arange(256, dtype=np.float32) / full
    return colours * np.float32(0.5), greys * np.float32(0.5)


@cache
def _blend_tables() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """By map value: colour times opacity, and the photograph's share; both in 1/256."""
    opacity = np.minimum(np.linspace(0, 1, 256) ** 0.8, 1) * OPACITY
    keep = np.round((1 - opacity) * 256).astype(np.uint16)
    return heat().astype(np.uint16) * (256 - keep)[:, None], keep
