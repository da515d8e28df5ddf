"""Geometric zones: parts of the picture that need no mask, as functions of its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from seewhy.data.masks import Levels
from seewhy.errors import OptionError

Zone = Callable[[tuple[int, int]], Levels]  # (height, width) -> its levels, 0 outside and 255 inside

BORDER = 0.06  # of the shorter side
CORNER = 0.18  # of each side
CENTRE = 0.5  # of each side
MOST_CELLS = 32  # of a grid along one side


def border(size: tuple[int, int]) -> Levels:
    """The ring along the edges, 6 % of the shorter side wide."""
    width = max(1, round(BORDER * min(size)))
    levels = np.full(size, 255, np.uint8)
    levels[width : size[0] - width, width : size[1] - width] = 0
    return levels


def corner(is_bottom: int, is_right: int, size: tuple[int, int]) -> Levels:
    """The box in one corner, 18 % of each side."""
    height, width = (max(1, round(CORNER * side)) for side in size)
    levels = np.zeros(size, np.uint8)
    rows = slice(size[0] - height, None) if is_bottom else slice(height)
    levels[rows, slice(size[1] - width, None) if is_right else slice(width)] = 255
    return levels


def centre(size: tuple[int, int]) -> Levels:
    """The box in the middle, half of each side."""
    top, left = (round(side * (1 - CENTRE) / 2) for side in size)
    levels = np.zeros(size, np.uint8)
    levels[top : size[0] - top, left : size[1] - left] = 255
    return levels


def cell(row: int, column: int, rows: int, columns: int, size: tuple[int, int]) -> Levels:
    """One cell of a grid; cells do not overlap and together cover all."""
    levels = np.zeros(size, np.uint8)
    top, bottom = (round(size[0] * edge / rows) for edge in (row, row + 1))
    left, right = (round(size[1] * edge / columns) for edge in (column, column + 1))
    levels[top:bottom, left:right] = 255
    return levels


CORNERS: Mapping[str, Zone] = {
    "top-left": partial(corner, 0, 0),
    "top-right": partial(corner, 0, 1),
    "bottom-left": partial(corner, 1, 0),
    "bottom-right": partial(corner, 1, 1),
}
HALVES: Mapping[str, Zone] = {
    "left": partial(cell, 0, 0, 1, 2),
    "right": partial(cell, 0, 1, 1, 2),
    "top": partial(cell, 0, 0, 2, 1),
    "bottom": partial(cell, 1, 0, 2, 1),
}
ZONES: Mapping[str, Zone] = {"border": border, **CORNERS, "centre": centre}
_SINGLE: Mapping[str, Zone] = {**ZONES, **HALVES}
_GROUPS: Mapping[str, Mapping[str, Zone]] = {"zones": ZONES, "corners": CORNERS, "halves": HALVES}
WORDS = (*_GROUPS, *_SINGLE)


def zones_of(word: str) -> Mapping[str, Zone]:
    """The zones that a word names, by name: "border", "corners", "grid:4x4", …; none for any other word.

    Raises OptionError for a grid that is none.
    """
    if word in _SINGLE:
        return {word: _SINGLE[word]}
    if word == "grid" or word.startswith("grid:"):
        return _grid(word)
    return _GROUPS.get(word, {})


def _grid(word: str) -> Mapping[str, Zone]:
    sides = word.partition(":")[2].lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and 1 <= int(side) <= MOST_CELLS for side in sides):
        raise OptionError(
            f"The grid {word!r} is not ROWSxCOLUMNS with 1 to {MOST_CELLS} cells a side.  Write it as:  grid:4x4",
            slug="no-such-region",
        )
    rows, columns = map(int, sides)
    return {
        f"cell-{row}-{column}": partial(cell, row, column, rows, columns)
        for row in range(rows)
        for column in range(columns)
    }
