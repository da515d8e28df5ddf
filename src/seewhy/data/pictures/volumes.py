"""Clips and 3-D scans: a tensor or array (N, C, T, H, W) as a table, and a volume's slices as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.data.pictures.canvas import picture_of
from seewhy.data.sources.items import readable
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError
from seewhy.records import Image, Preprocess


def are_volumes(images: Any) -> bool:
    """Whether these are volumes: a tensor or an array of five axes."""
    return isinstance(images, (Tensor, np.ndarray)) and images.ndim == 5


def holds_volumes(table: ImageTable) -> bool:
    """Whether the table is one that `volume_table` made."""
    held = table.items
    return are_volumes(held) or (isinstance(held, list) and isinstance(held[0], Tensor) and held[0].ndim == 4)


def volume_table(volumes: Tensor | NDArray[Any]) -> ImageTable:
    """The table of volumes (N, C, T, H, W), which are the network's own input: floats, frames or slices third.

    Raises DataError for none, and for what are no floats.
    """
    held = torch.from_numpy(np.ascontiguousarray(volumes)) if isinstance(volumes, np.ndarray) else volumes
    shape = tuple(held.shape)
    if not held.is_floating_point():
        raise DataError(
            f"The volumes are {held.dtype}, but must be floats, the network's own input (N, C, T, H, W).\n"
            "  Of bytes, for a network that reads 0 to 1:  volumes.float() / 255",
            slug="volumes",
        )
    if held.numel() == 0:
        raise DataError(f"The volumes have the shape {shape}: there is nothing in them.", slug="no-images")
    if held.is_meta:
        raise DataError("The volumes lie on the meta device: they have a shape and no numbers.", slug="meta-device")
    held = held.float() if held.dtype == torch.float64 and isinstance(volumes, np.ndarray) else held
    width = max(5, len(str(len(held))))
    note = (
        f"Volumes of the shape {shape[1:]} are read as {shape[2]} frames or slices of {shape[4]} x {shape[3]} pixels."
    )
    images = tuple(Image(f"{number:0{width}d}") for number in range(len(held)))
    return ImageTable(images, items=readable(held), source="the volumes", notes=(note,))


def pictures_of(volume: Tensor, preprocess: Preprocess | None) -> NDArray[np.uint8]:
    """The slices of a network's input (C, T, H, W) as 8-bit RGB pictures (T, H, W, 3), all on one scale."""
    _, slices, height, width = volume.shape
    return picture_of(volume.flatten(1, 2), preprocess).reshape(slices, height, width, 3)
