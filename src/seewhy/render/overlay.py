"""One overlay: a photograph and a map blended, and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seewhy.render.color import Table, heat, jet

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB
Mask = NDArray[np.float32]  # (H, W), 0 to 1

OPACITY = 0.75  # at the map's peak; it falls with the map, so that the photograph shows where nothing lies
JPEG_QUALITY = 95


def overlay(photograph: Pixels, mask: Mask) -> Pixels:
    """The photograph under a map in [0, 1] of the same size: colour and opacity grow with it, 0 leaves the pixel."""
    index = (mask * 255 + 0.5).astype(np.uint8)
    opacity = Image.fromarray(index).point(_opacity())
    return np.asarray(Image.composite(_coloured(index, heat()), Image.fromarray(photograph), opacity))


def overlay_like_grad_cam(canvas: Pixels, mask: Mask) -> Pixels:
    """The picture of pytorch-grad-cam: JET over the canvas, half and half, divided by its own maximum, truncated."""
    mixed = _half(np.asarray(_coloured((mask * 255).astype(np.uint8), jet())))
    mixed += _half(canvas)
    mixed /= mixed.max()
    mixed *= 255
    picture: Pixels = mixed.astype(np.uint8)
    return picture


def blend_like_grad_cam(
    image: NDArray[np.floating], mask: NDArray[np.floating], table: Table, weight: float = 0.5
) -> Pixels:
    """As `overlay_like_grad_cam`, of an image (H, W, 3) in [0, 1] that counts `weight`, and of any colours.

    Number by number as that package: in the image's own precision, truncated.
    """
    coloured = table[(255 * mask).astype(np.uint8)].astype(np.float32) / 255
    mixed = (1 - weight) * coloured + weight * image
    peak = mixed.max()
    picture: Pixels = (255 * (mixed / peak if peak > 0 else mixed)).astype(np.uint8)
    return picture


def side_by_side(pictures: Sequence[Pixels]) -> Pixels:
    """Pictures of one height, left to right with a white gap; a single one as it is."""
    if len(pictures) == 1:
        return pictures[0]
    gap = np.full((pictures[0].shape[0], 4, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


def encode(picture: Pixels, image_format: str, quality: int = JPEG_QUALITY) -> bytes:
    """The picture's bytes: JPEG of a quality (95), or PNG."""
    buffer = BytesIO()
    image = Image.fromarray(picture)
    if image_format == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _coloured(index: Pixels, table: Table) -> Image.Image:
    """The colour of each map value (H, W), as an RGB image."""
    image = Image.fromarray(index)
    image.putpalette(table.tobytes())
    return image.convert("RGB")


def _half(picture: Pixels) -> NDArray[np.float32]:
    """Half of the picture's values in [0, 1], rounded as that package rounds: divided first, then halved."""
    values = picture.astype(np.float32)
    values /= 255
    values *= 0.5
    return values


@cache
def _opacity() -> list[int]:
    """The opacity of each map value, 0 to 255."""
    return [round((value / 255) ** 0.8 * OPACITY * 255) for value in range(256)]
