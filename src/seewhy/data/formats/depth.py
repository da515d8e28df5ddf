"""Images of more than 8 bits a channel: their numbers as the file holds them, and as shares of a window."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from seewhy.records import Preprocess

Values = NDArray[Any]  # (H, W) or (H, W, 3), in the file's own units
Shares = NDArray[np.float32]  # the same between black and white: in [0, 1]
Window = tuple[float, float]  # what becomes black, and what becomes white

SCALES = (255.0, 1023.0, 4095.0, 65535.0)  # of whole numbers: 8, 10, 12 and 16 bits
_HOUNSFIELD = (-1024.0, 3071.0)  # 12 bits of a computed tomography
_GDAL_NODATA = 42113  # a TIFF tag
_SAYS_NAN = "the tag GDAL_NODATA that says nan"
_SLACK = 0.01  # of a window, by which rounding and interpolation may leave it
_LOW_BYTES = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # Pillow reads the other ones


@dataclass(frozen=True)
class Scan:
    """The numbers of one image, upright, in its file's own units: (H, W), or colours (H, W, 3).

    Bytes are a picture of 8 bits. `window` is what the file asks for, and `no_data` are numbers that stand for none.
    """

    values: Values
    window: Window | None = None
    no_data: tuple[float, ...] = ()

    @property
    def is_deep(self) -> bool:
        """Whether it has more than 8 bits, or signed ones."""
        return self.values.dtype != np.uint8


@dataclass(frozen=True)
class Source:
    """What a file that Pillow does not open says at once: (height, width), whether it is deep, how it is read."""

    size: tuple[int, int]
    deep: bool
    scan: Callable[[], Scan]


def rescaled(values: Values, slope: float, intercept: float) -> Values:
    """The numbers times `slope` plus `intercept`; whole ones stay whole where these are."""
    if (slope, intercept) == (1, 0):
        return values
    scaled: Values = values.astype(np.float64) * slope + intercept
    whole = values.dtype.kind in "ui" and slope.is_integer() and intercept.is_integer()
    return as_whole(scaled) if whole else scaled.astype(np.float32)


def as_whole(values: Values) -> Values:
    """Whole numbers of any type as 32 bits, and as floats where these do not hold them."""
    limits = np.iinfo(np.int32)
    fits = limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max
    return values.astype(np.int32 if fits else np.float32)


def turned(scan: Scan, total: float) -> Scan:
    """The scan with black and white exchanged: `total` minus its numbers."""
    window = None if scan.window is None else (total - scan.window[1], total - scan.window[0])
    return Scan(_mirrored(scan.values, total), window, tuple(total - number for number in scan.no_data))


def _mirrored(values: Values, total: float) -> Values:
    """`total` minus the numbers, in their own type where that holds them."""
    if values.dtype.kind == "f":
        return np.asarray(total - values, values.dtype)
    found: Values = total - values.astype(np.float64)
    limits = np.iinfo(values.dtype)
    fits = limits.min <= found.min(initial=0) and found.max(initial=0) <= limits.max
    return found.astype(values.dtype) if fits else as_whole(found)


def is_deep(image: PIL.Image.Image) -> bool:
    """Whether a channel has more than 8 bits, or signed ones. Of colours that is known before the pixels are loaded."""
    signed = image.mode == "L" and _tag(image, 339) == 2
    return image.mode in ("I", "F") or image.mode.startswith("I;") or signed or _is_wide(image)


def values_of(image: PIL.Image.Image, data: bytes = b"") -> Values:
    """The numbers of a deep image, upright; `data` are its file's bytes, from which 16-bit colours are read."""
    if _is_wide(image):
        return _wide_values(image, data)
    kind, bits = _tag(image, 339), _tag(image, 258)
    values = np.asarray(PIL.ImageOps.exif_transpose(image))
    if image.mode == "L" and kind == 2:
        return values.view(np.int8)
    return values.view(np.uint32) if image.mode == "I" and (kind, bits) == (1, 32) else values


def shares_of(values: Values, window: Window) -> Shares:
    """The numbers as shares of the window; what lies beyond is black or white."""
    low, high = window
    kind: Any = np.float64 if values.dtype.itemsize > 2 else np.float32
    wide: NDArray[np.float64] = values.astype(kind)
    shares: Shares = np.clip((wide - low) / ((high - low) or 1), 0, 1).astype(np.float32)
    return shares


def shown(scan: Scan, how: Preprocess) -> Shares:
    """The numbers as shares of the window that `how` has for them, else of their own extremes.

    What the file says to stand for no data is black; what `how` says to does lies beyond the window, black or white.
    """
    shares = shares_of(scan.values, window_for(scan.values, how) or extremes_of(scan).window)
    return np.where(holes_in(scan), np.float32(0), shares) if scan.no_data else shares


def scan_of(image: PIL.Image.Image, data: bytes = b"") -> Scan:
    """The numbers of a deep image; `data` are its file's bytes, from which 16-bit colours are read."""
    return Scan(values_of(image, data), no_data=_declared(image))


def window_for(values: Values, how: Preprocess) -> Window | None:
    """The window that is asked for, else the scale of such numbers; None where neither is known."""
    kind = kind_of(values)
    return how.window or next(((low, high) for name, low, high in how.scales if name == kind), None)


def misfit(scan: Scan, how: Preprocess) -> str:
    """Why the numbers cannot be shown as `how` says; "" where they can. A scale from 0 on must hold them."""
    scan = _without(scan, how)
    values = scan.values[~holes_in(scan)] if scan.no_data else scan.values
    if not (finite := np.isfinite(values)).all():
        share = f"{100 * (1 - finite.mean()):.3g}%"
        return (
            f"it holds NaN or infinite values in {share} of its pixels: write a number there, or in a TIFF {_SAYS_NAN}"
        )
    (low, high, kind), window = extremes_of(scan)[:3], window_for(values, how)
    if window is None:
        return f"it holds {kind} numbers, {low:g} to {high:g}, as none looked at does: give a scale, --window 0,65535"
    slack = _SLACK * window[1] if kind == "float" else 0
    if how.window or window[0] < 0 or (low >= -slack and high <= window[1] + slack):
        return ""
    return (
        f"it holds {low:g} to {high:g}, beyond the scale {window[0]:g} to {window[1]:g} that other images show: "
        f"give one for all, --window {min(low, window[0]):g},{max(high, window[1]):g}"
    )


def kind_of(values: Values) -> str:
    """What kind of numbers a file holds, by its type: "unsigned", "signed" or "float"."""
    return {"u": "unsigned", "i": "signed"}.get(values.dtype.kind, "float")


class Extremes(NamedTuple):
    """The smallest and the largest finite number of images, their kind, and the window that a file asks for.

    `declared` are numbers in it that the file says to stand for no data; both ends leave them out.
    """

    low: float
    high: float
    kind: str
    asked: Window | None = None
    declared: tuple[float, ...] = ()

    @property
    def window(self) -> Window:
        """From the smallest to the largest."""
        return self.low, self.high


def extremes_of(scan: Scan) -> Extremes:
    """The extremes of one image; 0 and 0 where no number is finite."""
    values, kind = scan.values, kind_of(scan.values)
    values = values[~holes_in(scan)] if scan.no_data else values
    finite = values[np.isfinite(values)] if kind == "float" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    declared = tuple(number for number in scan.no_data if _are(scan.values, number).any())
    return Extremes(low, high, kind, scan.window, declared)


def holes_in(scan: Scan) -> NDArray[np.bool_]:
    """Where the numbers stand for no data, in the shape of the values."""
    holes = np.zeros(scan.values.shape, bool)
    for number in scan.no_data:
        holes |= _are(scan.values, number)
    return holes


def _are(values: Values, number: float) -> NDArray[np.bool_]:
    """Where the values are the number, as their type holds it; nowhere where it holds no such one."""
    same: NDArray[np.bool_] = np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            same = np.isnan(values) if math.isnan(number) else values == values.dtype.type(number)
    elif float(number).is_integer() and np.iinfo(values.dtype).min <= number <= np.iinfo(values.dtype).max:
        same = values == int(number)
    return same


def _without(scan: Scan, how: Preprocess) -> Scan:
    """The scan with what `how` says of numbers that stand for no data."""
    return replace(scan, no_data=(*scan.no_data, *how.no_data)) if how.no_data else scan


def joined(parts: Sequence[Extremes]) -> list[Extremes]:
    """The extremes of several images, of each kind of numbers."""
    kinds = {kind: [part for part in parts if part.kind == kind] for kind in dict.fromkeys(part.kind for part in parts)}
    return [Extremes(min(p.low for p in some), max(p.high for p in some), kind) for kind, some in kinds.items()]


def scale_of(seen: Extremes) -> Window:
    """What is black and what is white in images of these numbers.

    It is the least usual scale that holds them; of negative numbers that of Hounsfield units, -1 to 1, or their own
    extremes.
    """
    low, high, kind = seen[:3]
    floats = kind == "float"
    if low >= (-_SLACK if floats else 0):
        scales = (1.0, *SCALES) if floats else SCALES
        return 0.0, next((scale for scale in scales if high <= scale * (1 + _SLACK * floats)), high)
    usual = [(-1.0, 1.0), _HOUNSFIELD] if floats else [_HOUNSFIELD]
    return next(((a, b) for a, b in usual if a * (1 + _SLACK) <= low and high <= b * (1 + _SLACK)), (low, high))


def eight_bits(shares: NDArray[Any]) -> NDArray[np.uint8]:
    """Shares (H, W) or (H, W, 3) as 8-bit RGB (H, W, 3); NaN is black."""
    return in_colours(np.rint(np.nan_to_num(shares) * 255).astype(np.uint8))


def in_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey or coloured bytes as RGB (H, W, 3)."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _declared(image: PIL.Image.Image) -> tuple[float, ...]:
    """The number that stands for no data by the TIFF's tag of GDAL, if there is one."""
    tags: Any = getattr(image, "tag_v2", None)
    words = "" if tags is None else str(tags.get(_GDAL_NODATA, ""))
    with contextlib.suppress(ValueError):
        return (float(words.strip("\0 ")),)
    return ()


def _tag(image: PIL.Image.Image, number: int) -> int | None:
    """The first number of a TIFF tag: 258 are the bits, 339 says 1 for unsigned, 2 for signed, 3 for floats."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return None
    value = tags.get(number, 1)
    return int(value[0] if isinstance(value, tuple) else value)


def _rawmode(image: PIL.Image.Image) -> str:
    """How Pillow is about to read the pixels, like "RGB;16B"; "" once they are loaded."""
    tiles: Any = getattr(image, "tile", None)
    how = tiles[0][3] if tiles else ""
    return str(how if isinstance(how, str) else how[0] if how else "")


def _is_wide(image: PIL.Image.Image) -> bool:
    """Whether it has colours (or grey and alpha) of 16 bits, of which Pillow reads the upper 8."""
    return image.mode in ("RGB", "RGBA") and ";16" in _rawmode(image)


def _wide_values(image: PIL.Image.Image, data: bytes) -> Values:
    """The colours (H, W, 3) or the grey (H, W) of 16 bits: the file is read once for each of their bytes."""
    raw = _rawmode(image)
    if raw.startswith("LA"):
        pairs = _read_as(image, data, "RGBA")
        return pairs[..., 0].astype(np.uint16) << 8 | pairs[..., 1]
    upper, lower = (_read_as(image, data, name) for name in (raw, raw[:-1] + _LOW_BYTES[raw[-1]]))
    return upper[..., :3].astype(np.uint16) << 8 | lower[..., :3]


def _read_as(image: PIL.Image.Image, data: bytes, rawmode: str) -> NDArray[np.uint8]:
    with PIL.Image.open(BytesIO(data), formats=(str(image.format),)) as again:
        file: Any = again
        file.tile = [_reading(tile, rawmode) for tile in file.tile]
        return np.asarray(PIL.ImageOps.exif_transpose(again))


def _reading(tile: Any, rawmode: str) -> Any:
    """A part of a file as Pillow knows it, to be read in another way."""
    how = rawmode if isinstance(tile[3], str) else (rawmode, *tile[3][1:])
    return tile._replace(args=how) if hasattr(tile, "_replace") else (*tile[:3], how)  # a plain tuple before Pillow 11
