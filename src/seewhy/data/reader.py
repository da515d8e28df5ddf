"""One image of the table as the network's input, with the picture and the geometry that overlays need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from torch import Tensor

from seewhy.data.formats.depth import eight_bits
from seewhy.data.networks.classifier import Opaque
from seewhy.data.pictures.canvas import Canvas, canvas_of, network_input, picture_of
from seewhy.data.pictures.decode import (
    Photograph,
    Pixels,
    UnreadableError,
    as_pixels,
    photograph_of,
    read_image,
    read_photograph,
)
from seewhy.data.pictures.volumes import holds_volumes
from seewhy.data.pipelines.function_fit import known_rule
from seewhy.data.sources.items import image_and_label
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, listed
from seewhy.geometry import Geometry, geometry_of
from seewhy.records import Image, Preprocess

PICTURE_SIDE = 1600  # overlays of larger photographs are drawn at this many pixels on the long side
_INPUT_NAMES = ("pixel_values", "image", "img", "inputs")  # of a processor's or a transform's dict


@dataclass(frozen=True)
class Loaded:
    """One image, ready: the canvas (or the input itself), the photograph for pictures, and how the two lie.

    Without a photograph the picture is made of the input, when it is asked for.
    """

    size: tuple[int, int]
    geometry: Geometry
    photograph: Pixels | None = None
    preprocess: Preprocess | None = None
    canvas: Canvas | None = None
    inputs: Tensor | None = None
    digest: str | None = None
    label: str | None = None
    mode: str | None = None  # of the image that a function made the input of

    @cached_property
    def picture(self) -> Pixels:
        """An 8-bit RGB picture (H, W, 3), at most `PICTURE_SIDE` pixels on its long side where it is a photograph's."""
        if self.photograph is not None:
            return self.photograph
        if self.inputs is None:
            raise ValueError("an image without a photograph and without an input")
        return picture_of(self.inputs, self.preprocess)

    @property
    def drawn_canvas(self) -> Pixels:
        """The canvas as an 8-bit picture; the picture where there is none."""
        if self.canvas is None:
            return self.picture
        canvas = self.canvas
        return eight_bits(canvas) if canvas.dtype == np.float32 else canvas.astype(np.uint8, copy=False)


def load_image(table: ImageTable, image: Image, preprocess: Preprocess | Opaque) -> Loaded:
    """The image read and preprocessed. Raises UnreadableError with the reason."""
    if image.error:
        raise UnreadableError(image.error)
    if table.items is None:
        path = image.path or ""
        if isinstance(preprocess, Preprocess):
            return _from_photograph(read_photograph(path, preprocess), preprocess, image.label)
        return _by_function(*read_image(path), preprocess, image.label)
    held = item_of(table, image)
    if holds_volumes(table):
        return _of_volume(held, preprocess)
    if table.one_label is None:
        return _from_item(*image_and_label(held, image.label, table.classes, table.first_label), preprocess)
    item, label = image_and_label(held, None, table.classes, table.first_label or 0)  # a set, of which one is asked
    return _from_item(item, image.label if label is None else table.one_label.read(label), preprocess)


def item_of(table: ImageTable, image: Image) -> Any:
    """What a Dataset gives for an image. Raises UnreadableError with the reason."""
    try:
        return table.items[int(image.id)]
    except (Exception, SystemExit) as error:  # a Dataset's own code may raise anything
        raise UnreadableError(f"{type(error).__name__}: {error}"[:200]) from error


def image_of(item: Any) -> PIL.Image.Image | None:
    """The PIL image that an item is, or that its bytes or 16-bit grey levels make; None of anything else."""
    if isinstance(item, Tensor) and item.dtype == torch.uint8 and item.ndim == 3 and len(item) in (1, 3):
        item = item.permute(1, 2, 0).contiguous().cpu().numpy()
        item = item[..., 0] if item.shape[2] == 1 else item
    if isinstance(item, np.ndarray):
        shape = item.shape
        colours = item.dtype == np.uint8 and len(shape) == 3 and shape[2] in (3, 4)
        grey = item.dtype in (np.uint8, np.uint16) and len(shape) == 2
        item = PIL.Image.fromarray(item) if colours or grey else None
    return item if isinstance(item, PIL.Image.Image) else None


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
            + (
                "  Give one size:  --size 224"
                if isinstance(preprocess, Preprocess)
                else "  Let the preprocessing function give one size, as Resize((224, 224)) does."
            ),
            slug="mixed-sizes",
        )
    canvases = [image.canvas for image in loaded if image.canvas is not None]
    if canvases and isinstance(preprocess, Preprocess):
        return network_input(canvases, preprocess).contiguous(memory_format=memory_format)
    inputs = torch.stack([image.inputs for image in loaded if image.inputs is not None])
    return inputs.contiguous(memory_format=memory_format)


def prepared(pixels: Pixels, preprocess: Preprocess | Opaque) -> Tensor:
    """The network's input (1, C, H, W) of a picture (H, W, 3) uint8. Raises UnreadableError where a function fails."""
    return batch_of([_from_image(PIL.Image.fromarray(pixels), preprocess, None)], preprocess)


def refuse_others(loaded: Loaded, channels: int) -> None:
    """Raise UnreadableError for an input of other than `channels` channels that a function made of an image."""
    if loaded.mode is not None and loaded.inputs is not None and len(loaded.inputs) != channels:
        raise UnreadableError(
            f"the preprocessing function gave {len(loaded.inputs)} channels, and {channels} of the first image"
            + _mode_advice(loaded.mode)
        )


def _mode_advice(mode: str) -> str:
    """What may be the matter with an image that is no RGB, for a function that was written for such."""
    return "" if mode == "RGB" else f' (the image has the mode {mode}: convert it first, image = image.convert("RGB"))'


def _from_image(image: PIL.Image.Image, preprocess: Preprocess | Opaque, label: str | None) -> Loaded:
    if isinstance(preprocess, Preprocess):
        return _from_photograph(photograph_of(image, preprocess), preprocess, label)
    return _by_function(PIL.ImageOps.exif_transpose(image), "", preprocess, label)


def _from_photograph(photograph: Photograph, preprocess: Preprocess, label: str | None) -> Loaded:
    pixels = photograph.pixels
    canvas, geometry = canvas_of(pixels if photograph.shares is None else photograph.shares, preprocess)
    size = (pixels.shape[0], pixels.shape[1])
    return Loaded(size, geometry, _reduced(pixels), canvas=canvas, digest=photograph.digest, label=label)


def _by_function(image: PIL.Image.Image, digest: str, preprocess: Opaque, label: str | None) -> Loaded:
    """An upright image of any mode, of which the user's function makes the input."""
    mode, size, picture = image.mode, (image.height, image.width), _reduced(as_pixels(image))
    try:
        made = preprocess(image)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        failure = f"the preprocessing function failed: {type(error).__name__}: {error}"
        advice = _mode_advice(mode)
        raise UnreadableError(failure[: 200 - len(advice)] + advice) from error
    inputs = input_made(made)
    geometry = known_rule(preprocess).geometry(size, (inputs.shape[1], inputs.shape[2]))
    refuse_not_finite(inputs, "the preprocessing function gave")
    inputs = inputs.clone()  # a function may use its buffer again
    return Loaded(size, geometry, picture, inputs=inputs, digest=digest, label=label, mode=mode)


def input_made(made: Any) -> Tensor:
    """The network's input (C, H, W) in what a function made: a tensor, an array of floats, a processor's dict.

    Raises DataError for anything else.
    """
    part = next((made[name] for name in _INPUT_NAMES if name in made), made) if isinstance(made, Mapping) else made
    part = part[0] if isinstance(part, (list, tuple)) and len(part) == 1 else part
    tensor = torch.from_numpy(np.ascontiguousarray(part)) if _is_floats(part) else part
    if isinstance(tensor, Tensor) and tensor.ndim == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if isinstance(tensor, Tensor) and tensor.ndim == 3 and tensor.is_floating_point():
        return tensor
    what = f"{type(made).__name__}"
    if isinstance(part, (Tensor, np.ndarray)):
        what = f"{part.dtype} of shape {tuple(part.shape)}".removeprefix("torch.")
    raise DataError(
        f"The preprocessing function gave {what} for one image, where floats (C, H, W) are needed: the network's input."
        "\n  Of a picture (H, W, 3) of bytes:  torch.from_numpy(array).permute(2, 0, 1) / 255",
        slug="preprocessing-result",
    )


def _is_floats(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "f" and part.ndim in (3, 4)


def refuse_not_finite(inputs: Tensor, said: str) -> None:
    """Raise UnreadableError where an input holds no finite numbers throughout; `said` begins the reason."""
    if not bool(inputs.isfinite().all()):
        raise UnreadableError(f"{said} NaN or infinite values")


def _of_volume(volume: Tensor, preprocess: Preprocess | Opaque) -> Loaded:
    """A volume (C, T, H, W), the network's input; of the size of its slices."""
    size = (volume.shape[2], volume.shape[3])
    known = preprocess if isinstance(preprocess, Preprocess) else None
    refuse_not_finite(volume, "it holds")
    return Loaded(size, geometry_of(size, Preprocess()), preprocess=known, inputs=volume.clone())


def _from_item(item: Any, label: str | None, preprocess: Preprocess | Opaque) -> Loaded:
    if isinstance(item, Tensor) and item.is_floating_point() and item.ndim == 3:
        size = (item.shape[1], item.shape[2])
        known = preprocess if isinstance(preprocess, Preprocess) else None
        refuse_not_finite(item, "it holds")
        return Loaded(size, geometry_of(size, Preprocess()), preprocess=known, inputs=item.clone(), label=label)
    image = image_of(item)
    if image is not None:
        try:
            return _from_image(image, preprocess, label)
        except (OSError, ValueError) as error:  # of a file that is read only now, or closed
            raise UnreadableError(f"{type(error).__name__}: {error}"[:200]) from error
    if isinstance(item, Tensor):
        what = f"a tensor of {item.dtype} and the shape {tuple(item.shape)} is no image"
        raise UnreadableError(f"{what}: give floats (C, H, W), the network's input, or bytes (3, H, W)")
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
