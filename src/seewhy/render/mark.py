"""Marks that are laid over pictures: a word, or a picture with transparency, at a place of the canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seewhy.errors import DataError, OptionError, beside, listed, nearest
from seewhy.render.color import font

PLACES = {  # the middle of the mark, as shares of the free width and height
    "top-left": (0.0, 0.0),
    "top-right": (1.0, 0.0),
    "bottom-left": (0.0, 1.0),
    "bottom-right": (1.0, 1.0),
    "centre": (0.5, 0.5),
}
_WIDTH_SHARE, _MARGIN_SHARE, _OPACITY = 0.4, 0.02, 0.75
_LETTERS_PX = 96
_PATCH = 8  # the neutral mark's patches, along the mark's shorter side

Mark = NDArray[np.float32]  # (4, H, W): red, green, blue and opacity in [0, 1]


def find_mark(spec: str, size: tuple[int, int]) -> tuple[str, Mark, Mark]:
    """The words, the mark (4, H, W) and its neutral patch for "text:SAMPLE@centre" or "logo.png@top-left".

    The mark is 40 % as wide as the canvas of `size` (height, width), at the bottom right unless a place is named. The
    neutral patch has the mark's own pixels in shuffled patches: as large, as bright, without its shape.
    """
    has_place = "@" in spec and not Path(spec).is_file()
    what, _, place = spec.rpartition("@") if has_place else (spec, "", "bottom-right")
    if place not in PLACES:
        raise OptionError(
            f"There is no place {place!r} for a mark.  {nearest(place, PLACES)}".rstrip()
            + f"\n  Places: {listed(PLACES)}"
        )
    image = _text(what.removeprefix("text:")) if what.startswith("text:") else _picture(Path(what))
    height, width = size
    wide = max(4, round(width * _WIDTH_SHARE))
    high = max(2, min(height, round(image.height * wide / image.width)))
    small = image.resize((wide, high), Image.Resampling.LANCZOS)
    values = np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    return f"{what} at the {place}", _placed(values, size, place), _placed(_shuffled(values), size, place)


def _text(words: str) -> Image.Image:
    if not words.strip():
        raise OptionError("A text mark needs letters:  --mark watermark=text:SAMPLE")
    face = font(_LETTERS_PX)
    left, top, right, bottom = face.getbbox(words)
    image = Image.new("RGBA", (max(1, round(right - left)), max(1, round(bottom - top))), (255, 255, 255, 0))
    ImageDraw.Draw(image).text((-left, -top), words, (255, 255, 255, round(255 * _OPACITY)), face)
    return image


def _picture(path: Path) -> Image.Image:
    if not path.is_file():
        raise DataError(f"There is no file {path} to insert.  {beside(path)}", slug="no-such-file")
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")) as image:
            return image.convert("RGBA")
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture: {error}", slug="no-images") from error


def _placed(values: Mark, size: tuple[int, int], place: str) -> Mark:
    canvas = np.zeros((4, *size), np.float32)
    margin = round(min(size) * _MARGIN_SHARE)
    x, y = PLACES[place]
    left = margin + round(x * (size[1] - values.shape[2] - 2 * margin))
    top = margin + round(y * (size[0] - values.shape[1] - 2 * margin))
    top, left = max(0, top), max(0, left)
    canvas[:, top : top + values.shape[1], left : left + values.shape[2]] = values
    return canvas


def _shuffled(values: Mark) -> Mark:
    """The patches of the mark in another order, its rest as it is."""
    side = max(1, min(values.shape[1:]) // _PATCH)
    rows, columns = values.shape[1] // side, values.shape[2] // side
    order = np.random.default_rng(0).permutation(rows * columns)
    whole = values[:, : rows * side, : columns * side].reshape(4, rows, side, columns, side)
    patches = whole.transpose(1, 3, 0, 2, 4).reshape(rows * columns, 4, side, side)[order]
    moved = patches.reshape(rows, columns, 4, side, side).transpose(2, 0, 3, 1, 4)
    shuffled = values.copy()
    shuffled[:, : rows * side, : columns * side] = moved.reshape(4, rows * side, columns * side)
    return shuffled
