"""The transform between a photograph's upright pixels and the canvas, and laying maps and points through it.

Coordinates are in pixels with (0, 0) at the outer corner of the first pixel, so that the centre of pixel i is i + 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import floor

import numpy as np
import torch
from torch import Tensor

from seewhy.records import Preprocess

_NEARLY = 1e-6  # of a pixel: what floating point may lack to a whole one


@dataclass(frozen=True)
class Geometry:
    """canvas = photograph * scale + offset, along x and along y; sizes are (height, width) in pixels."""

    photograph: tuple[int, int]
    canvas: tuple[int, int]
    scale: tuple[float, float]  # (y, x)
    offset: tuple[float, float]  # (y, x), in canvas pixels

    def to_photograph(self, x: float, y: float) -> tuple[float, float]:
        """The photograph's point (x, y) of a canvas point (x, y)."""
        return (x - self.offset[1]) / self.scale[1], (y - self.offset[0]) / self.scale[0]


def geometry_of(photograph: tuple[int, int], preprocess: Preprocess) -> Geometry:
    """How a photograph of (height, width) pixels lies on the canvas that `preprocess` asks for.

    The resized photograph has whole pixels, so its scale can differ by a pixel's share between the axes. Where it is
    cropped, shares of pixels are cut off as torchvision and timm do, so that networks see what they were trained on.
    """
    height, width = photograph
    if preprocess.size is None:
        canvas = _own_shape(photograph, preprocess.shorter)
        return Geometry(photograph, canvas, (canvas[0] / height, canvas[1] / width), (0.0, 0.0))
    canvas = preprocess.size
    if preprocess.fit == "letterbox":
        factor = min(canvas[0] / height, canvas[1] / width)
        resized = (max(1, round(height * factor)), max(1, round(width * factor)))
    else:
        resized = _whole(canvas[0] / preprocess.crop_share), _whole(canvas[1] / preprocess.crop_share)
    if preprocess.fit == "crop":
        factor = max(resized[0] / height, resized[1] / width)
        resized = (_whole(height * factor), _whole(width * factor))
    cut = floor if preprocess.rounding == "floor" and preprocess.fit != "letterbox" else round
    offset = tuple(0.0 - cut((have - space) / 2) for space, have in zip(canvas, resized, strict=True))
    return Geometry(photograph, canvas, (resized[0] / height, resized[1] / width), (offset[0], offset[1]))


def _own_shape(photograph: tuple[int, int], shorter: int | None) -> tuple[int, int]:
    """The photograph's size, with `shorter` pixels on its shorter side."""
    if shorter is None:
        return photograph
    least = min(photograph)
    return (shorter * photograph[0] // least, shorter * photograph[1] // least)


def _whole(pixels: float) -> int:
    return int(pixels + _NEARLY)


def resized_size(geometry: Geometry) -> tuple[int, int]:
    """The (height, width) to which the whole photograph is resized before it is cropped or padded."""
    height, width = geometry.photograph
    return round(height * geometry.scale[0]), round(width * geometry.scale[1])


def lay(maps: Tensor, geometry: Geometry, size: tuple[int, int] | None = None) -> Tensor:
    """Maps (..., h, w) that cover the canvas, laid on the photograph: (..., height, width), bilinear.

    `size` draws the photograph at another (height, width). Photograph pixels outside the canvas get 0.
    """
    columns, rows = _taps(maps.shape[-1], geometry, 1, size), _taps(maps.shape[-2], geometry, 0, size)
    flat = maps.reshape(-1, maps.shape[-1])  # index_select is slow along the last of three dimensions
    wide = torch.lerp(flat.index_select(1, columns.low), flat.index_select(1, columns.high), columns.share.to(maps))
    wide = wide.view(*maps.shape[:-1], -1)
    laid = torch.lerp(wide.index_select(-2, rows.low), wide.index_select(-2, rows.high), rows.share.to(maps)[:, None])
    if rows.some_outside or columns.some_outside:
        laid.masked_fill_(rows.outside[:, None] | columns.outside, 0)
    return laid


@dataclass(frozen=True)
class _Taps:
    """For each pixel along one axis: the cells around its centre, the second one's share, and whether it is off."""

    low: Tensor
    high: Tensor
    share: Tensor
    outside: Tensor
    some_outside: bool


@lru_cache(maxsize=64)  # most photographs of a folder share a geometry
def _taps(cells: int, geometry: Geometry, axis: int, size: tuple[int, int] | None) -> _Taps:
    full = geometry.photograph[axis]
    n_pixels = size[axis] if size else full
    canvas = ((np.arange(n_pixels) + 0.5) * (full / n_pixels)) * geometry.scale[axis] + geometry.offset[axis]
    position = np.clip(canvas * (cells / geometry.canvas[axis]) - 0.5, 0, cells - 1)
    low = np.minimum(position.astype(np.int64), max(cells - 2, 0))
    outside = (canvas < 0) | (canvas > geometry.canvas[axis])
    return _Taps(
        torch.from_numpy(low),
        torch.from_numpy(np.minimum(low + 1, cells - 1)),
        torch.from_numpy(position - low),
        torch.from_numpy(outside),
        bool(outside.any()),
    )
