"""Which other columns of a table can be compared with labels and answers, and what they say of each image."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seewhy.data.tables.columns import LABELS
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.sheet import plain
from seewhy.errors import OptionError, listed, nearest
from seewhy.estimates import Floats, Integers
from seewhy.records import Image

ALL, NONE = "all", "none"
OTHER, EMPTY = "(other)", "(empty)"
LEAST = 5  # images of a value, for it to be a group of its own
MOST_GROUPS, MOST_OF_NUMBERS = 20, 10  # values, beyond which the rarest are one group, and numbers are compared by size
_ID = 0.95  # of the rows have another value, from which on whole numbers are taken for ids
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_BLANK = ("", "nan", "none", "<na>", "null", "n/a")


@dataclass(frozen=True)
class TableColumn:
    """A column as it is compared: `kept` (N,) says of which images it says anything.

    Of few values `groups` (N,) are places in `names`; of numbers `values` (N,) are these, and `names` is empty.
    """

    name: str
    kept: NDArray[np.bool_]
    names: tuple[str, ...] = ()
    groups: Integers | None = None
    values: Floats | None = None


def check_columns(table: ImageTable, asked: Sequence[str]) -> None:
    """Raise OptionError where a column is named that the table does not have."""
    words = [name for name in asked if name not in (ALL, NONE)]
    for name in words:
        if not table.columns:
            raise OptionError(f"--columns names {name!r}, but {table.source or 'what was given'} is no table.")
        if _known(table, name) is None:
            close = nearest(name, table.columns)
            raise OptionError(
                f"{table.source} has no column {name!r}, but: {listed(table.columns, 20)}.  {close}".rstrip()
            )


def usable_columns(
    table: ImageTable, images: Sequence[Image], asked: Sequence[str] = (ALL,)
) -> tuple[list[TableColumn], dict[str, str]]:
    """The columns that can be compared on these images, and by name why others that were asked for cannot."""
    if NONE in asked:
        return [], {}
    named = [name for word in asked if (name := _known(table, word)) is not None]
    columns, left = list[TableColumn](), dict[str, str]()
    for name in table.columns if ALL in asked else dict.fromkeys(named):
        place = table.columns.index(name)
        cells = [image.cells[place] if image.cells else "" for image in images]
        if name in table.read_as:
            if name in named:
                left[name] = "labels or splits are read from it"
        elif plain(name) in LABELS and _says_the_label(cells, images):
            left[name] = "it says what the label says"
        else:
            read = _read(name, cells, is_named=name in named)
            if isinstance(read, str):
                left[name] = read
            else:
                columns.append(read)
    return columns, left


def _known(table: ImageTable, word: str) -> str | None:
    alike = (name for name in table.columns if plain(name) == plain(word))
    return word if word in table.columns else next(alike, None)


def _says_the_label(cells: Sequence[str], images: Sequence[Image]) -> bool:
    pairs = {(cell, image.label) for cell, image in zip(cells, images, strict=True)}
    return len(pairs) == len({cell for cell, _ in pairs}) == len({label for _, label in pairs})


def _read(name: str, cells: Sequence[str], *, is_named: bool) -> TableColumn | str:
    """The column, or why it cannot be compared."""
    filled = np.array([cell.strip().lower() not in _BLANK for cell in cells], dtype=bool)
    known = [cell for cell, is_filled in zip(cells, filled, strict=True) if is_filled]
    held = set(known)
    if not held:
        return "it is empty for all of these images"
    numbers = _numbers(known)
    if numbers is not None and len(held) > MOST_OF_NUMBERS:
        if isinstance(numbers, str):
            return numbers
        is_id = len(held) >= _ID * len(known) and all(number.is_integer() for number in numbers)
        if is_id and not is_named:
            return f"it has another whole number in nearly every row, like an id (--columns {name} compares it)"
        values = np.full(len(cells), math.nan)
        values[filled] = numbers
        return TableColumn(name, filled, values=values)
    if len(held) > len(known) / 2:
        return "it has another text in nearly every row, like an id or a remark"
    return _grouped(name, cells, filled)


def _numbers(cells: Sequence[str]) -> list[float] | str | None:
    """The numbers, None where they are none, or why they cannot be read."""
    try:
        comma = _comma_of([cell.strip() for cell in cells])
        numbers = [float(cell.replace(",", comma or "")) for cell in cells]
    except ValueError:
        return None
    if not all(map(math.isfinite, numbers)):
        return None
    if comma is None:
        some = next(cell for cell in cells if "," in cell)
        either = f"{some.replace(',', '')} or {some.replace(',', '.')}"
        return f"its commas may be those of thousands or of decimals ({some}): write {either}"
    return numbers


def _comma_of(cells: Sequence[str]) -> str | None:
    """What is to stand for the commas of numbers: "." for decimals, "" for thousands, None where they may be either.

    Those of thousands have three digits behind each, in all cells. That they are no decimals is known by a second
    comma or a point in any cell, or where numbers without one are there and lie below 1,000. Raises ValueError.
    """
    commas, others = ([cell for cell in cells if ("," in cell) is has] for has in (True, False))
    if not all(map(_THOUSANDS.fullmatch, commas)):
        return "."
    if not commas or any("." in cell or cell.count(",") > 1 for cell in (*commas, *others)):
        return ""
    return "" if others and all(abs(float(cell)) < 1000 for cell in others) else None


def _grouped(name: str, cells: Sequence[str], filled: NDArray[np.bool_]) -> TableColumn | str:
    """The column with its frequent values as groups, and what is rare, or empty, as one each."""
    words = [cell if is_filled else EMPTY for cell, is_filled in zip(cells, filled.tolist(), strict=True)]
    counts = Counter(words)
    frequent = [word for word, count in counts.most_common(MOST_GROUPS) if count >= LEAST]
    groups = [word if word in frequent else OTHER if word != EMPTY else "" for word in words]
    if groups.count(OTHER) < LEAST:
        groups = ["" if word == OTHER else word for word in groups]
    names = sorted({*groups} - {""})
    if len(names) < 2:
        alike = max(counts.values())
        return f"it is the same for {alike:,} of {len(cells):,} images, and no other value has {LEAST}"
    kept = np.array([word != "" for word in groups], dtype=bool)
    places = {word: place for place, word in enumerate(names)}
    return TableColumn(name, kept, tuple(names), np.array([places.get(word, 0) for word in groups], dtype=np.int64))
