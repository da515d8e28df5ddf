"""Pictures of interventions: an image, the donor, and the image with the donor's content in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seewhy.render.captions import write
from seewhy.render.color import INK, PAPER, QUIET, WRONG

_SIDE, _GAP, _LINE, _MARGIN, _HEAD = 192, 14, 16, 20, 58
DONATED = ("as it is", "donor", "with the donor's content")  # the heads of the columns
MARKED = ("as it is", "with the neutral patch", "with the mark")


@dataclass(frozen=True)
class Exchange:
    """One row: three pictures (H, W, 3) in bytes, each with its lines of words."""

    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    captions: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    is_counter: bool = False


def exchange_sheet(
    title: str, subtitle: str, rows: Sequence[Exchange], heads: tuple[str, str, str] = DONATED
) -> Image.Image:
    """The rows under a title and the heads of three columns, each picture at one height with its words below."""
    lines = max((len(words) for row in rows for words in row.captions), default=0)
    height, width = rows[0].pictures[0].shape[:2] if rows else (1, 1)
    wide = max(_SIDE, round(_SIDE * width / height))
    cell = (wide + _GAP, _SIDE + lines * _LINE + _GAP)
    page = Image.new("RGB", (3 * cell[0] + 2 * _MARGIN, len(rows) * cell[1] + _HEAD + _LINE + 2 * _MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    write(draw, (_MARGIN, _MARGIN - 4), title, 18, INK, page.width - 2 * _MARGIN)
    write(draw, (_MARGIN, _MARGIN + 26), subtitle, 12, QUIET, page.width - 2 * _MARGIN)
    for column, head in enumerate(heads):
        write(draw, (_MARGIN + column * cell[0], _MARGIN + _HEAD - _LINE), head, 12, QUIET, wide)
    for number, row in enumerate(rows):
        top = _MARGIN + _HEAD + _LINE // 2 + number * cell[1]
        for column, (picture, words) in enumerate(zip(row.pictures, row.captions, strict=True)):
            left = _MARGIN + column * cell[0]
            page.paste(Image.fromarray(picture).resize((wide, _SIDE), Image.Resampling.BICUBIC), (left, top))
            for place, line in enumerate(words):
                write(draw, (left, top + _SIDE + 2 + place * _LINE), line, 12, INK if place == 0 else QUIET, wide)
        if row.is_counter:  # a thin line beside all rows that speak against it
            draw.line((_MARGIN // 2, top, _MARGIN // 2, top + _SIDE), fill=WRONG, width=3)
    return page


def write_pictures(row: Exchange, stem: Path, names: tuple[str, str, str]) -> None:
    """Write the three pictures of a row as PNG, each pixel as it is: <stem>-<name>.png."""
    for picture, name in zip(row.pictures, names, strict=True):
        Image.fromarray(picture).save(stem.with_name(f"{stem.name}-{name}.png"), "PNG")


def write_sheet(page: Image.Image, path: str) -> None:
    """Write a page as PNG."""
    page.save(path, "PNG")
