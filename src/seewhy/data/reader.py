"""One image of the table as the network's input, with the picture and the geometry that overlays need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from seewhy.data.classifier import Opaque
from seewhy.data.decode import (
    Photograph,
    Pixels,
    UnreadableError,
    as_pixels,
    canvas_of,
    network_input,
    picture_of,
    read_photograph,
)
from seewhy.data.folder import ImageTable, label_of
from seewhy.errors import DataError, listed
from seewhy.geometry import Geometry, geometry_of
from seewhy.records import Image, Preprocess

PICTURE_SIDE = 1600  # overlays of larger photographs are drawn at this many pixels on the long side


@dataclass(frozen=True)
class Loaded:
    """One image, ready: the canvas (or the input itself), the photograph for pictures, and how the two lie.

    Without a photograph the picture is made of the input, when it is asked for.
    """

    size: tuple[int, int]
    geometry: Geometry
    photograph: Pixels | None = None
    preprocess: Preprocess | None = None
    canvas: Pixels | None = None
    inputs: Tensor | None = None
    digest: str | None = None
    label: str | None = None

    @cached_property
    def picture(self) -> Pixels:
        """An 8-bit RGB picture (H, W, 3), at most `PICTURE_SIDE` pixels on its long side where it is a photograph's."""
        if self.photograph is not None:
            return self.photograph
        if self.inputs is None:
            raise ValueError("an image without a photograph and without an input")
        return picture_of(self.inputs, self.preprocess)


def load_image(table: ImageTable, image: Image, preprocess: Preprocess | Opaque) -> Loaded:
    """The image read and preprocessed. Raises UnreadableError with the reason."""
    if image.error:
        raise UnreadableError(image.error)
    if table.items is None:
        return _from_photograph(read_photograph(image.path or ""), preprocess, image.label)
    try:
        item = table.items[int(image.id)]
    except (Exception, SystemExit) as error:  # a Dataset's own code may raise anything
        raise UnreadableError(f"{type(error).__name__}: {error}"[:200]) from error
    return _from_item(item, preprocess, image.label, table.classes)


def batch_of(
    loaded: Sequence[Loaded],
    preprocess: Preprocess | Opaque,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """The network's input (N, C, H, W) of several images. Raises DataError for mixed sizes."""
    shapes = {image.canvas.shape if image.canvas is not None else _shape(image.inputs) for image in loaded}
    if len(shapes) > 1:
        raise DataError(
            f"After preprocessing the images have different shapes: {listed(map(str, sorted(shapes)))}.\n"
            "  Give one size:  --size 224",
            slug="mixed-sizes",
        )
    canvases = [image.canvas for image in loaded if image.canvas is not None]
    if canvases and isinstance(preprocess, Preprocess):
        return network_input(canvases, preprocess).contiguous(memory_format=memory_format)
    inputs = torch.stack([image.inputs for image in loaded if image.inputs is not None])
    return inputs.contiguous(memory_format=memory_format)


def prepared(pixels: Pixels, preprocess: Preprocess | Opaque) -> Tensor:
    """The network's input (1, C, H, W) of a picture (H, W, 3) uint8. Raises UnreadableError where a function fails."""
    return batch_of([_from_photograph(Photograph(pixels, ""), preprocess, None)], preprocess)


def _from_photograph(photograph: Photograph, preprocess: Preprocess | Opaque, label: str | None) -> Loaded:
    pixels = photograph.pixels
    size = (pixels.shape[0], pixels.shape[1])
    if isinstance(preprocess, Preprocess):
        canvas, geometry = canvas_of(pixels, preprocess)
        return Loaded(size, geometry, _reduced(pixels), canvas=canvas, digest=photograph.digest, label=label)
    try:
        inputs = preprocess(PIL.Image.fromarray(pixels))
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UnreadableError(f"the preprocessing function failed: {type(error).__name__}: {error}"[:200]) from error
    if not isinstance(inputs, Tensor) or inputs.ndim != 3:
        shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise DataError(f"The preprocessing function gave {shape} for one image, where a tensor (C, H, W) is needed.")
    geometry = geometry_of(size, Preprocess(size=(inputs.shape[1], inputs.shape[2])))
    return Loaded(size, geometry, _reduced(pixels), inputs=inputs, digest=photograph.digest, label=label)


def _from_item(item: Any, preprocess: Preprocess | Opaque, label: str | None, classes: tuple[str, ...]) -> Loaded:
    if isinstance(item, (tuple, list)) and item:
        label = label or label_of(item[1], classes) if len(item) > 1 else label
        item = item[0]
    if isinstance(item, Tensor) and item.is_floating_point() and item.ndim == 3:
        size = (item.shape[1], item.shape[2])
        known = preprocess if isinstance(preprocess, Preprocess) else None
        return Loaded(size, geometry_of(size, Preprocess()), preprocess=known, inputs=item, label=label)
    if isinstance(item, Tensor) and item.dtype == torch.uint8 and item.ndim == 3:
        item = item.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()
    if isinstance(item, PIL.Image.Image):
        item = as_pixels(item)
    if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3:
        return _from_photograph(Photograph(item, ""), preprocess, label)
    raise UnreadableError(f"{type(item).__name__} is no image: give a PIL image, or a tensor (C, H, W)")


def _reduced(pixels: Pixels) -> Pixels:
    """The photograph, made smaller for pictures where it is large."""
    height, width = pixels.shape[:2]
    factor = PICTURE_SIDE / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BILINEAR, reducing_gap=2.0))


def _shape(inputs: Tensor | None) -> tuple[int, ...]:
    return tuple(inputs.shape) if inputs is not None else ()
