"""Marks that are laid over pictures: a word, or a picture with transparency, at a place or over the whole canvas."""

from __future__ import annotations

from dataclasses import dataclass
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
FULL = "full"  # over the whole canvas
_TEXT = "text:"
SHUFFLED = "the same pixels shuffled"
_WIDTH_SHARE, _MARGIN_SHARE, _OPACITY = 0.4, 0.02, 0.75
_LETTERS_PX = 96
_PATCH = 8  # the neutral mark's patches, along the mark's shorter side
_FULL_PATCH = 56  # the same along the shorter side of the canvas, of a mark over all of it
_NEAR = 8  # patches of such a mark, along a side, that change places among themselves
_COVERS = 0.98  # of opacity everywhere, from which on a mark over the whole canvas leaves nothing of the picture

Mark = NDArray[np.float32]  # (4, H, W): red, green, blue and opacity in [0, 1]


@dataclass(frozen=True)
class _Spec:
    """A mark as it was typed: what is drawn, where, and what it is compared with; "" is the mark itself, shuffled."""

    what: str
    place: str
    against: str

    @property
    def words(self) -> str:
        where = "over the whole canvas" if self.place == FULL else f"at the {self.place}"
        return f"{self.what} {where}" + (f", in place of {self.against}" if self.against else "")


def find_mark(spec: str, size: tuple[int, int]) -> tuple[str, Mark, Mark]:
    """The words, the mark (4, H, W) and its neutral patch for "text:SAMPLE@centre", "logo.png@top-left", "wm.png@full".

    The mark is 40 % as wide as the canvas of `size` (height, width), at the bottom right unless a place is named; at
    "full" a picture is as large as the canvas, and a word as large as fits. The neutral patch has the mark's own pixels
    in shuffled patches: as large, as bright, without its shape; over the whole canvas patches change places with near
    ones alone, so that what lies in the middle stays there. "@centre:other.png" names another mark in place of it.
    Raises OptionError where nothing can be seen of the mark, or of a difference from its patch.
    """
    read = _spec_of(spec)
    mark = _drawn(read.what, read.place, size)
    if not mark[3].any():
        raise OptionError(
            f"{read.what} is transparent everywhere, so nothing would be laid over the pictures.\n"
            "  A picture that can be seen, or a word:  --mark watermark=text:SAMPLE",
            slug="insert",
        )
    patch = _drawn(read.against, read.place, size) if read.against else _neutral(read, size)
    if _looks_alike(mark, patch):
        alike = f"and {read.against} look the same" if read.against else "looks the same when its pixels are shuffled"
        raise OptionError(
            f"{read.what} {alike}, so that their comparison would always show nothing.\n"
            f"  Compare it with another picture:  {read.what}@{read.place}:other.png",
            slug="insert",
        )
    return read.words, mark, patch


def against_of(spec: str) -> str:
    """What a mark is compared with, in words."""
    return _spec_of(spec).against or SHUFFLED


def _spec_of(spec: str) -> _Spec:
    what, place, colon, against = _parts_of(spec)
    if place not in (*PLACES, FULL):
        raise OptionError(
            f"There is no place {place!r} for a mark.  {nearest(place, (*PLACES, FULL))}".rstrip()
            + f"\n  Places: {listed((*PLACES, FULL))}",
            slug="insert",
        )
    if colon and not against:
        raise OptionError(
            f"{spec!r} names nothing after the colon.  With another mark to compare with:  "
            f"{spec}other.png  or  {spec}text:WORD",
            slug="insert",
        )
    return _Spec(what, place, against)


def _parts_of(spec: str) -> tuple[str, str, str, str]:
    """What is drawn, the place, a colon where there is one behind it, and what follows; paths may hold any of these."""
    if "@" not in spec or (not spec.startswith(_TEXT) and _is_file(spec)):
        return spec, "bottom-right", "", ""
    parts = spec.split("@")
    ways = [("@".join(parts[:cut]), *"@".join(parts[cut:]).partition(":")) for cut in range(len(parts) - 1, 0, -1)]
    return next((way for way in ways if way[1] in (*PLACES, FULL)), ways[0])


def _drawn(what: str, place: str, size: tuple[int, int]) -> Mark:
    """A mark at its place of the canvas."""
    values = _scaled(what, place, size)
    if place != FULL:
        return _placed(values, size, place)
    return values if values.shape[1:] == size else _in_the_middle(values, size)


def _scaled(what: str, place: str, size: tuple[int, int]) -> Mark:
    """What is drawn, as large as it is laid over the canvas."""
    is_text = what.startswith(_TEXT)
    image = _text(what.removeprefix(_TEXT)) if is_text else _picture(Path(what))
    height, width = size
    if place != FULL:
        wide = min(width, max(4, round(width * _WIDTH_SHARE)))
        high = min(height, max(2, round(image.height * wide / image.width)))
    elif is_text:
        scale = min(width / image.width, height / image.height)
        wide, high = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    else:
        wide, high = width, height
    small = image.resize((wide, high), Image.Resampling.LANCZOS)
    values = np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    if place == FULL and values[3].min() >= _COVERS:
        raise OptionError(
            f"{what} is not transparent anywhere, so over the whole canvas nothing of the picture would be left.\n"
            f"  A picture with transparency, or a place:  {what}@centre",
            slug="insert",
        )
    return values


def _text(words: str) -> Image.Image:
    if not words.strip():
        raise OptionError("A text mark needs letters:  --mark watermark=text:SAMPLE")
    face = font(_LETTERS_PX)
    left, top, right, bottom = face.getbbox(words)
    image = Image.new("RGBA", (max(1, round(right - left)), max(1, round(bottom - top))), (255, 255, 255, 0))
    ImageDraw.Draw(image).text((-left, -top), words, (255, 255, 255, round(255 * _OPACITY)), face)
    return image


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # longer than a name may be
        return False


def _picture(path: Path) -> Image.Image:
    if not _is_file(path):
        raise DataError(f"There is no file {path} to insert.  {beside(path)}", slug="no-such-file")
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")) as image:
            return image.convert("RGBA")
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture: {error}", slug="no-images") from error


def _placed(values: Mark, size: tuple[int, int], place: str) -> Mark:
    free = [whole - part for whole, part in zip(size, values.shape[1:], strict=True)]
    margins = [min(round(min(size) * _MARGIN_SHARE), pixels // 2) for pixels in free]
    x, y = PLACES[place]
    top, left = (m + round(share * (f - 2 * m)) for m, share, f in zip(margins, (y, x), free, strict=True))
    return _at(values, size, top, left)


def _in_the_middle(values: Mark, size: tuple[int, int]) -> Mark:
    return _at(values, size, (size[0] - values.shape[1]) // 2, (size[1] - values.shape[2]) // 2)


def _at(values: Mark, size: tuple[int, int], top: int, left: int) -> Mark:
    canvas = np.zeros((4, *size), np.float32)
    canvas[:, top : top + values.shape[1], left : left + values.shape[2]] = values
    return canvas


def _looks_alike(mark: Mark, other: Mark) -> bool:
    """Whether no pixel's opacity or colour, as far as it is opaque, differs by half a grey level of 8 bits."""
    return all(
        np.allclose(a, b, rtol=0, atol=0.5 / 255)
        for a, b in ((mark[3], other[3]), (mark[:3] * mark[3], other[:3] * other[3]))
    )


def _neutral(spec: _Spec, size: tuple[int, int]) -> Mark:
    """The mark's own pixels in another order, at the same place."""
    if spec.place != FULL:
        values = _scaled(spec.what, spec.place, size)
        return _placed(_shuffled(values, max(1, min(values.shape[1:]) // _PATCH)), size, spec.place)
    mark = _drawn(spec.what, spec.place, size)
    rows, columns = (np.flatnonzero(mark[3].any(axis=axis)) for axis in (1, 0))
    neutral, side = mark.copy(), max(1, min(size) // _FULL_PATCH)
    step = side * _NEAR
    for top in range(int(rows[0]), int(rows[-1]) + 1, step) if len(rows) else ():
        for left in range(int(columns[0]), int(columns[-1]) + 1, step):
            near = np.s_[:, top : min(top + step, int(rows[-1]) + 1), left : min(left + step, int(columns[-1]) + 1)]
            neutral[near] = _shuffled(mark[near], side, seed=top * size[1] + left)
    return neutral


def _shuffled(values: Mark, side: int, seed: int = 0) -> Mark:
    """The patches of a mark in another order, its rest as it is."""
    rows, columns = values.shape[1] // side, values.shape[2] // side
    order = np.random.default_rng(seed).permutation(rows * columns)
    whole = values[:, : rows * side, : columns * side].reshape(4, rows, side, columns, side)
    patches = whole.transpose(1, 3, 0, 2, 4).reshape(rows * columns, 4, side, side)[order]
    moved = patches.reshape(rows, columns, 4, side, side).transpose(2, 0, 3, 1, 4)
    shuffled = values.copy()
    shuffled[:, : rows * side, : columns * side] = moved.reshape(4, rows * side, columns * side)
    return shuffled
