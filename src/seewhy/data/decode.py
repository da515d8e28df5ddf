"""From bytes to an upright RGB photograph, from there to the canvas and to the network's input."""

from __future__ import annotations

import hashlib
import stat
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.geometry import Geometry, geometry_of, resized_size
from seewhy.records import Preprocess

MOST_PIXELS = 178_956_970  # which is also where Pillow stops
# Those of SUFFIXES, the first without loading more of Pillow; EPS, of which Pillow makes a program run, is none.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000", "TGA", "AVIF")
MOST_BYTES = 2**30  # of a file
_PIECE = 2**20  # bytes that are hashed at once
_LARGE = 40_000_000  # pixels, from which on memory counts more than time
_RESAMPLING = {
    "nearest": PIL.Image.Resampling.NEAREST,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos": PIL.Image.Resampling.LANCZOS,
}
_LETTERBOX_GREY = 128

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB


class UnreadableError(Exception):
    """Occurs when one image cannot be read; its text is the reason in the image's row."""


@dataclass(frozen=True)
class Photograph:
    """An upright RGB photograph (H, W, 3) and the hash of the bytes it came from."""

    pixels: Pixels
    digest: str


def read_photograph(path: str | Path) -> Photograph:
    """The photograph in a file, turned upright by its EXIF tag. Raises UnreadableError with the reason."""
    data = _bytes_of(Path(path))
    return Photograph(_checked(_decoded, data), _hash(data).hexdigest())


def read_verified(path: str | Path, digest: str | None) -> bytes:
    """The bytes of a file whose hash is known. Raises UnreadableError where it is another one, or none is known."""
    try:
        data = _bytes_of(Path(path))
    except ValueError as error:  # a name that holds what no file system takes
        raise UnreadableError(str(error)) from error
    if _hash(data).hexdigest() != digest:
        raise UnreadableError("it is not the file that was read")
    return data


def reduced(data: bytes, side: int) -> Pixels:
    """The upright photograph in a file's bytes with at most `side` pixels on its long side. Raises UnreadableError."""
    return _checked(partial(_decoded_small, side=side), data)


def file_digest(path: str | Path) -> str:
    """The hash of a file's bytes, as a Photograph has it. Raises UnreadableError with the reason."""
    try:
        left, digest = _check_file(Path(path)), _hash()
        with Path(path).open("rb") as file:
            while left > 0 and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
        return digest.hexdigest()
    except OSError as error:
        raise UnreadableError(error.strerror or type(error).__name__) from error


def read_size(path: str | Path) -> tuple[int, int]:
    """The upright (height, width) from a file's header alone. Raises UnreadableError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_file(Path(path))
            with PIL.Image.open(path, formats=FORMATS) as image:
                if image.format == "TIFF":
                    image.load()  # Pillow turns these by itself, some versions before and some after reading the size
                turned = image.getexif().get(0x0112, 1) >= 5
                return (image.width, image.height) if turned else (image.height, image.width)
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {error}"[:200]) from error


def canvas_of(pixels: Pixels, preprocess: Preprocess) -> tuple[Pixels, Geometry]:
    """The canvas of a photograph, as 8-bit RGB (H, W, 3), and the geometry between the two."""
    geometry = geometry_of((pixels.shape[0], pixels.shape[1]), preprocess)
    height, width = resized_size(geometry)
    if geometry.canvas == geometry.photograph == (height, width):
        return pixels, geometry
    image = PIL.Image.fromarray(pixels).resize((width, height), _RESAMPLING[preprocess.interpolation])
    if preprocess.fit == "crop":
        left, top = -geometry.offset[1], -geometry.offset[0]
        image = image.crop((int(left), int(top), int(left) + geometry.canvas[1], int(top) + geometry.canvas[0]))
    elif preprocess.fit == "letterbox":
        page = PIL.Image.new("RGB", geometry.canvas[::-1], (_LETTERBOX_GREY,) * 3)
        page.paste(image, (int(geometry.offset[1]), int(geometry.offset[0])))
        image = page
    return np.asarray(image), geometry


def network_input(canvases: Sequence[Pixels], preprocess: Preprocess) -> Tensor:
    """The network's input (N, C, H, W), float32 and channels last, from 8-bit canvases of one size."""
    batch = torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2).float()  # (N, 3, H, W)
    batch = _in_channels(batch, preprocess)
    if preprocess.range == "0-1":
        batch /= 255
    return _standardised(batch, preprocess)


def input_from_canvas(canvases: Tensor, preprocess: Preprocess) -> Tensor:
    """The network's input (N, C, H, W) from canvases (N, 3, H, W) in [0, 1], which may be overwritten."""
    batch = _in_channels(canvases, preprocess)
    return _standardised(batch if preprocess.range == "0-1" else batch * 255, preprocess)


def canvas_from_input(inputs: Tensor, preprocess: Preprocess) -> Tensor:
    """The canvases (N, C, H, W) behind a network's input; grey ones get three equal channels."""
    image = inputs.float() * torch.tensor(preprocess.std).view(-1, 1, 1) + torch.tensor(preprocess.mean).view(-1, 1, 1)
    image = image / 255 if preprocess.range == "0-255" else image
    image = image.flip(-3) if preprocess.channels == "bgr" else image
    return image.expand(*image.shape[:-3], 3, -1, -1) if preprocess.channels == "grey" else image


def _in_channels(batch: Tensor, preprocess: Preprocess) -> Tensor:
    if preprocess.channels == "bgr":
        return batch.flip(1)
    if preprocess.channels == "grey":
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return (batch * weights.to(batch)).sum(dim=1, keepdim=True)
    return batch


def _standardised(batch: Tensor, preprocess: Preprocess) -> Tensor:
    if preprocess.mean == (0.0,) and preprocess.std == (1.0,):
        return batch
    mean = torch.tensor(preprocess.mean).view(1, -1, 1, 1)
    return (batch - mean.to(batch)) / torch.tensor(preprocess.std).view(1, -1, 1, 1).to(batch)


def picture_of(inputs: Tensor, preprocess: Preprocess | None) -> Pixels:
    """A network's input (C, H, W) as an 8-bit RGB picture: mean and std undone, stretched if out of range."""
    image = inputs.detach().float().cpu()
    if preprocess is not None and len(preprocess.mean) in (1, len(image)):
        image = canvas_from_input(image, preprocess)
    if image.min() < -0.01 or image.max() > 1.01:
        image = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-9)
    image = image.expand(3, -1, -1) if len(image) == 1 else image[:3]
    return np.ascontiguousarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def as_pixels(image: PIL.Image.Image) -> Pixels:
    """An image of any mode as upright 8-bit RGB (H, W, 3)."""
    image = PIL.ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _from_deep(image)
    if image.width * image.height > _LARGE:
        return _in_bands(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _hash(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=16)


def _bytes_of(path: Path) -> bytes:
    try:
        size = _check_file(path)
        with path.open("rb") as file:
            data = file.read(size + 1)
        if len(data) > size:  # what /proc shows has no size, and may have no end
            raise UnreadableError(f"it holds more than the {size:,} bytes that it is said to hold")
    except OSError as error:
        raise UnreadableError(error.strerror or type(error).__name__) from error
    if not data:
        raise UnreadableError("the file is empty")
    return data


def _check_file(path: Path) -> int:
    """The size of a file in bytes. Raises UnreadableError for what would be waited for or read without an end.

    Such are pipes, devices, giants.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # reading a folder has a reason of its own
        raise UnreadableError("no regular file")
    if status.st_size > MOST_BYTES:
        raise UnreadableError(f"a file of {status.st_size:,} bytes is more than the limit of {MOST_BYTES:,}")
    return status.st_size


def _checked(decode: Callable[[bytes], Pixels], data: bytes) -> Pixels:
    """What `decode` makes of the bytes; whatever it raises becomes an UnreadableError with the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning about metadata does not change the pixels
            return decode(data)
    except UnreadableError:
        raise
    except (PIL.UnidentifiedImageError, KeyError) as error:  # its own text names an address in memory; no such format
        raise UnreadableError("no image format that can be read") from error
    except MemoryError as error:
        raise UnreadableError("too large for memory") from error
    except Exception as error:  # decoders raise anything, from OSError to struct.error and IndexError
        raise UnreadableError(f"{type(error).__name__}: {error}"[:200]) from error


def _decoded(data: bytes) -> Pixels:
    with PIL.Image.open(BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            raise UnreadableError(f"{image.width} x {image.height} pixels is more than the limit of {MOST_PIXELS:,}")
        return as_pixels(image)


def _decoded_small(data: bytes, side: int) -> Pixels:
    with PIL.Image.open(BytesIO(data), formats=FORMATS) as image:
        image.draft("RGB", (2 * side, 2 * side))  # a JPEG is decoded at a half, a quarter or an eighth
        pixels = as_pixels(image)
    factor = side / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BILINEAR, reducing_gap=2.0))


def _in_bands(image: PIL.Image.Image) -> Pixels:
    """The image as 8-bit RGB, some rows at a time: no second whole copy of it is held."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, (1 << 20) // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"))
    return pixels


def _from_deep(image: PIL.Image.Image) -> PIL.Image.Image:
    """16-bit grey to 8 bits by its full range; floats and 32 bits by the least usual range that holds them."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise UnreadableError("it holds NaN or infinite values")
    peak = float(values.max(initial=0))
    ranges = {"F": (1.0, 255.0, 65535.0), "I": (255.0, 65535.0)}.get(image.mode, (65535.0,))
    top = next((limit for limit in ranges if peak <= limit), peak)
    return PIL.Image.fromarray(np.clip(values / top * 255, 0, 255).round().astype(np.uint8))
