"""Pages of many pictures: the contact sheet and the mean maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seewhy.render.captions import write
from seewhy.render.color import INK, PAPER, QUIET, WRONG, Table, heat, legend
from seewhy.render.overlay import encode

TILE = 180
_NOTEBOOK_QUALITY = 85
NOTEBOOK_BYTES = 1_000_000  # of a page within a notebook, which spells it in a third more letters
_GAP, _LINE, _MARGIN, _HEAD, _NARROWEST = 10, 15, 20, 68, 760


@dataclass(frozen=True)
class Tile:
    """One picture of a page with its caption lines; `wrong` is marked in red.

    `columns` are lines below those for each of the panels that stand side by side in the picture.
    """

    picture: Image.Image | None
    caption: tuple[str, ...]
    wrong: bool = False
    columns: tuple[tuple[str, ...], ...] = ()

    @property
    def n_lines(self) -> int:
        """How many lines of text stand below the picture."""
        return len(self.caption) + max((len(column) for column in self.columns), default=0)


class SheetPicture(Image.Image):
    """A page of pictures, which a notebook takes in as a JPEG of at most a megabyte, not as PNG and JPEG of 14."""

    def _repr_png_(self) -> None:
        """Nothing: a notebook would keep it beside the JPEG."""

    def _repr_jpeg_(self) -> bytes:
        small: Image.Image = self
        while len(data := encode(np.asarray(small), "jpg", _NOTEBOOK_QUALITY)) > NOTEBOOK_BYTES:
            factor = 0.95 * (NOTEBOOK_BYTES / len(data)) ** 0.5
            small = self.resize((round(small.width * factor), round(small.height * factor)), reducing_gap=2.0)
        return data


def read_page(path: Path) -> SheetPicture:
    """A page that was written to a file, as notebooks take it in."""
    with Image.open(path, formats=("JPEG", "PNG")) as picture:
        return _as_sheet(picture.convert("RGB"))


def page(
    title: str,
    subtitle: str,
    tiles: Sequence[Tile],
    table: Table,
    scale: tuple[str, str],
    *,
    panels: int = 1,
    columns: int = 0,
) -> SheetPicture:
    """A grid of tiles under a title, with the legend of the colours at the top right.

    A tile is at most 1.35 times as wide as high, or holds so many `panels` side by side. `columns` 0 chooses.
    """
    columns = columns or _columns(len(tiles), panels)
    lines = max((tile.n_lines for tile in tiles), default=0)
    most = round(TILE * 1.35) if panels == 1 else panels * (TILE + 4)
    widths = [round(TILE * t.picture.width / t.picture.height) if t.picture else TILE for t in tiles]
    cell_width = max(TILE, min(max(widths, default=TILE), most))
    cell = (cell_width + _GAP, TILE + lines * _LINE + _GAP + 4)
    rows = -(-len(tiles) // columns)
    width = max(columns * cell[0] + 2 * _MARGIN, _NARROWEST)
    sheet = Image.new("RGB", (width, rows * cell[1] + _HEAD + 2 * _MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    key = legend(table, *scale)
    sheet.paste(key, (width - _MARGIN - key.width, _MARGIN))
    write(draw, (_MARGIN, _MARGIN - 4), title, 20, INK, width - 3 * _MARGIN - key.width)
    write(draw, (_MARGIN, _MARGIN + 36), subtitle, 13, QUIET, width - 2 * _MARGIN)
    for number, tile in enumerate(tiles):
        x = _MARGIN + number % columns * cell[0]
        y = _MARGIN + _HEAD + number // columns * cell[1]
        _draw_tile(sheet, draw, tile, (x, y), cell_width)
    return _as_sheet(sheet)


def _as_sheet(picture: Image.Image) -> SheetPicture:
    shown = SheetPicture()
    shown.__dict__.update(picture.__dict__)
    return shown


def picture_tile(picture: NDArray[np.uint8], caption: tuple[str, ...]) -> Tile:
    """Pixels (H, W, 3) with a caption."""
    return Tile(Image.fromarray(picture), caption)


def mean_map_tile(mean: NDArray[np.float32], top: float, caption: tuple[str, ...]) -> Tile:
    """A mean map (h, w) in colours on the scale 0 to `top`; what lies above it gets the last colour."""
    index = np.clip(mean / max(top, 1e-12) * 255, 0, 255).astype(np.uint8)
    small = Image.fromarray(heat()[index])
    height, width = mean.shape
    size = (max(1, round(TILE * width / height)), TILE)
    return Tile(small.resize(size, Image.Resampling.BILINEAR), caption)


def _columns(count: int, panels: int) -> int:
    """One row of up to 6, then about a square of at most 10 columns; fewer where tiles are wide."""
    most = max(1, 10 // panels)
    return max(1, min(most, count if count <= 6 else round(count**0.5 * 1.3)))


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], width: int) -> None:
    x, y = at
    factor = 1.0
    if tile.picture is None:
        draw.rectangle((x, y, x + width - 1, y + TILE - 1), outline=QUIET)
        draw.line((x, y, x + width - 1, y + TILE - 1), fill=QUIET)
    else:
        factor = min(width / tile.picture.width, TILE / tile.picture.height)
        size = (max(1, round(tile.picture.width * factor)), max(1, round(tile.picture.height * factor)))
        small = tile.picture.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)
        sheet.paste(small, (x, y + TILE - size[1]))
        if tile.wrong:
            draw.rectangle((x - 2, y + TILE - size[1] - 2, x + size[0] + 1, y + TILE + 1), outline=WRONG, width=3)
    below = y + TILE + 4
    for number, line in enumerate(tile.caption):
        colour = INK if number == 0 else WRONG if tile.wrong and number == 1 else QUIET
        write(draw, (x, below + number * _LINE), line, 12, colour, width)
    below += len(tile.caption) * _LINE
    step = (tile.picture.width * factor if tile.picture else width) / max(1, len(tile.columns))
    for place, lines in enumerate(tile.columns):
        for number, line in enumerate(lines):
            write(draw, (x + round(place * step), below + number * _LINE), line, 12, QUIET, int(step) - 6)
