"""From bytes to an upright RGB photograph; one of more than 8 bits keeps its depth as floats beside them."""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from seewhy.data.formats.depth import (
    Scan,
    Shares,
    Source,
    eight_bits,
    in_colours,
    is_deep,
    misfit,
    scan_of,
    shown,
)
from seewhy.data.formats.extras import TooShortError
from seewhy.data.formats.extras import UnreadableError as UnreadableError
from seewhy.data.formats.heic import check_avif, is_heic, open_heic
from seewhy.data.formats.scans import image_of_scan, is_scan, source_of
from seewhy.data.sources.files import HEAD, hash_of, head_of, opened_of, read_bytes, read_start
from seewhy.data.sources.files import file_digest as file_digest
from seewhy.errors import SeewhyError
from seewhy.records import Preprocess

MOST_PIXELS = 178_956_970  # which is also where Pillow stops
# Those of SUFFIXES, the first without loading more of Pillow; EPS, of which Pillow makes a program run, is none.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000", "TGA", "AVIF")
_PNG = b"\x89PNG\r\n\x1a\n"  # whose byte 24 says how many bits a channel has
_HEADER = 2**20  # in which most scans say how large they are
_LARGE = 40_000_000  # pixels, from which on memory counts more than time
T = TypeVar("T")
Pixels = NDArray[np.uint8]  # (H, W, 3), RGB


@dataclass(frozen=True)
class Photograph:
    """An upright RGB photograph (H, W, 3) and the hash of the bytes it came from.

    `shares` are the pixels of what has more than 8 bits: (H, W) or (H, W, 3) in [0, 1].
    """

    pixels: Pixels
    digest: str = ""
    shares: Shares | None = None


def read_photograph(path: str | Path, how: Preprocess | None = None) -> Photograph:
    """The photograph in a file, turned upright by its EXIF tag; one of more than 8 bits needs a scale.

    Raises UnreadableError with the reason.
    """
    data = read_bytes(path)
    return replace(_checked(partial(_decoded, how=how or Preprocess()), data), digest=hash_of(data).hexdigest())


def read_image(path: str | Path) -> tuple[PIL.Image.Image, str]:
    """What a file holds as Pillow opens it, in its own mode and turned upright; and the hash of its bytes.

    Raises UnreadableError with the reason.
    """
    data = read_bytes(path)
    return _checked(_opened, data), hash_of(data).hexdigest()


def read_verified(path: str | Path, digest: str | None) -> bytes:
    """The bytes of a file whose hash is known. Raises UnreadableError where it is another one, or none is known."""
    try:
        data = read_bytes(path)
    except ValueError as error:  # a name that holds what no file system takes
        raise UnreadableError(str(error)) from error
    if hash_of(data).hexdigest() != digest:
        raise UnreadableError("it is not the file that was read")
    return data


def reduced(data: bytes, side: int, how: Preprocess | None = None) -> Pixels:
    """The upright photograph in a file's bytes with at most `side` pixels on its long side. Raises UnreadableError."""
    return _checked(partial(_decoded_small, side=side, how=how or Preprocess()), data)


class _Quiet:
    """How many blocks are quiet now, and what puts the filters of warnings back after the last one."""

    def __init__(self) -> None:
        self.lock, self.count, self.filters = threading.Lock(), 0, contextlib.ExitStack()


_quiet = _Quiet()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing is warned of: neither a size within our limit, nor metadata, changes the pixels.

    Filters are those of the process, so threads that put them back each by itself would leave others behind.
    """
    with _quiet.lock:
        if _quiet.count == 0:
            _quiet.filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _quiet.count += 1
    try:
        yield
    finally:
        with _quiet.lock:
            _quiet.count -= 1
            if _quiet.count == 0:
                _quiet.filters.close()


def read_size(path: str | Path) -> tuple[int, int]:
    """The upright (height, width) from a file's header alone. Raises UnreadableError."""
    try:
        file = opened_of(path)
        head = head_of(file)
        if is_scan(head):
            return _source_in(file).size
        with quiet(), _open_as(head, file) as image:
            if image.format == "TIFF":
                image.load()  # Pillow turns these by itself, some versions before and some after reading the size
            turned = image.getexif().get(0x0112, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except (UnreadableError, SeewhyError):
        raise
    except PIL.Image.DecompressionBombError as error:
        raise UnreadableError(_too_large(error)) from error
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {error}"[:200]) from error


def has_depth(path: str | Path) -> bool:
    """Whether the image in a file has more than 8 bits, by its header alone; False where that cannot be read."""
    try:
        head = read_start(path, HEAD)
        if head.startswith(_PNG):
            return head[24] > 8
        file = opened_of(path)
        if is_scan(head):
            return _source_in(file).deep
        with quiet(), _open_as(head, file) as image:
            return is_deep(image)
    except SeewhyError:  # a store that does not answer is not asked a thousand times
        raise
    except Exception:  # noqa: BLE001 -- decoders raise anything; what is the matter is said when the file is read
        return False


def read_scan(path: str | Path) -> Scan:
    """The numbers in a file of more than 8 bits. Raises UnreadableError with the reason."""
    data = read_bytes(path)
    return _checked(_scanned, data)


def photograph_of(image: PIL.Image.Image, how: Preprocess, data: bytes = b"") -> Photograph:
    """The photograph in an image of any mode, upright; `data` are the bytes of its file, if it comes from one.

    Raises UnreadableError for more than 8 bits without a scale, or beyond it.
    """
    return _photograph_of_scan(scan_of(image, data), how) if is_deep(image) else Photograph(as_pixels(image))


def as_pixels(image: PIL.Image.Image, how: Preprocess | None = None, data: bytes = b"") -> Pixels:
    """A picture of an image of any mode, upright and as 8-bit RGB (H, W, 3).

    More than 8 bits are shown by their scale; where none is known the grey ones between the image's own extremes.
    """
    how = how or Preprocess()
    if is_deep(image) and (how.window or how.scales or not image.mode.startswith("RGB")):
        return eight_bits(shown(scan_of(image, data), how))
    image = PIL.ImageOps.exif_transpose(image)
    if image.width * image.height > _LARGE:
        return _in_bands(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _checked(decode: Callable[[bytes], T], data: bytes) -> T:
    """What `decode` makes of the bytes; whatever it raises becomes an UnreadableError with the reason."""
    try:
        with quiet():
            return decode(data)
    except UnreadableError:
        raise
    except (PIL.UnidentifiedImageError, KeyError) as error:  # its own text names an address in memory; no such format
        raise UnreadableError("no image format that can be read") from error
    except MemoryError as error:
        raise UnreadableError("too large for memory") from error
    except PIL.Image.DecompressionBombError as error:  # where Pillow's own limit is the lower one
        raise UnreadableError(_too_large(error)) from error
    except Exception as error:  # decoders raise anything, from OSError to struct.error and IndexError
        raise UnreadableError(f"{type(error).__name__}: {error}"[:200]) from error


def _too_large(error: PIL.Image.DecompressionBombError) -> str:
    """Pillow's words for it in ours."""
    pixels, limit = (int(number) for number in re.findall(r"\d+", str(error))[:2])
    return f"{pixels:,} pixels is more than the limit of {limit:,}"


def _decoded(data: bytes, how: Preprocess) -> Photograph:
    if (scan := _scan_in(data)) is not None:
        return _photograph_of_scan(scan, how)
    with _open(data) as image:
        return photograph_of(image, how, data)


def _photograph_of_scan(scan: Scan, how: Preprocess) -> Photograph:
    if not scan.is_deep:
        return Photograph(_pixels_of_scan(scan, how))
    if reason := misfit(scan, how):
        raise UnreadableError(reason)
    shares = shown(scan, how)
    return Photograph(eight_bits(shares), shares=shares)


def _scanned(data: bytes) -> Scan:
    if (scan := _scan_in(data)) is not None:
        return scan
    with _open(data) as image:
        return scan_of(image, data)


def _opened(data: bytes) -> PIL.Image.Image:
    if (scan := _scan_in(data)) is not None:
        return image_of_scan(scan)
    with _open(data) as image:
        return PIL.ImageOps.exif_transpose(image)  # which is a copy


def _open(data: bytes) -> PIL.Image.Image:
    image = _open_as(data[:HEAD], BytesIO(data))
    _check_size(image.width, image.height)
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise UnreadableError(f"{width} x {height} pixels is more than the limit of {MOST_PIXELS:,}")


def _scan_in(data: bytes) -> Scan | None:
    """The numbers in a file that Pillow does not open; None where it may."""
    if not is_scan(data[:HEAD]):
        return None
    source = source_of(data)
    _check_size(source.size[1], source.size[0])
    return source.scan()


def _source_in(file: Path | BytesIO) -> Source:
    """What such a file says before its pixels are read: by its first bytes, or by all where these are too few."""
    try:
        with quiet():
            return source_of(head_of(file, _HEADER))
    except Exception as error:
        if isinstance(error, UnreadableError) and not isinstance(error, TooShortError):
            raise
        return _checked(source_of, file.getvalue() if isinstance(file, BytesIO) else read_bytes(file))


def _open_as(head: bytes, file: Path | BytesIO) -> PIL.Image.Image:
    """The image in a file that begins so. Raises UnreadableError where what reads it is missing."""
    if is_heic(head):
        return open_heic(file)
    check_avif(head)
    return PIL.Image.open(file, formats=FORMATS)


def _decoded_small(data: bytes, side: int, how: Preprocess) -> Pixels:
    scan = _scan_in(data)
    return shrunk(_pixels_near(data, side, how) if scan is None else _pixels_of_scan(scan, how), side)


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """The picture with at most `side` pixels on its long side."""
    factor = side / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BILINEAR, reducing_gap=2.0))


def _pixels_near(data: bytes, side: int, how: Preprocess) -> Pixels:
    """The picture that Pillow reads in a file's bytes, or that of a JPEG made smaller, with `side` pixels at least."""
    with _open(data) as image:
        if image.format == "JPEG":  # a HEIC would be shown by a picture within it, which may be another one
            image.draft("RGB", (2 * side, 2 * side))  # it is decoded at a half, a quarter or an eighth
        return as_pixels(image, how, data)


def _pixels_of_scan(scan: Scan, how: Preprocess) -> Pixels:
    return eight_bits(shown(scan, how)) if scan.is_deep else in_colours(scan.values)


def _in_bands(image: PIL.Image.Image) -> Pixels:
    """The image as 8-bit RGB, some rows at a time: no second whole copy of it is held."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, (1 << 20) // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"))
    return pixels
