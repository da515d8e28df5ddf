"""A table as people save it: its rows as text, whatever its separator and its encoding."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from seewhy.data.image_files import has_image_suffix
from seewhy.errors import DataError

_SEPARATORS = (",", ";", "\t", "|")
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_LINE = re.compile(r"(?P<path>.+?\.\w+)(?:\s*[,;|]\s*|\s+)(?P<label>\S.*)")  # of a text: a.png 3


@dataclass(frozen=True)
class Sheet:
    """The rows of a table, each a cell of text by column, the columns in their order, and what is to be said."""

    rows: tuple[dict[str, str], ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_sheet(path: Path) -> Sheet:
    """The table in a file. The separator is the most frequent in its first line; a first row of data is no header."""
    text, notes = read_text(path)
    first, _, rest = text.partition("\n")
    separator = first.strip()[4:5] if first.lower().startswith("sep=") else ""  # as spreadsheets say it
    text, first = (rest, rest.partition("\n")[0]) if separator else (text, first)
    separator = separator or _separator(first, "\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        lines = [line for line in csv.reader(StringIO(text, newline=""), delimiter=separator) if any(line)]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read: {error}", slug="csv") from error
    if not lines:
        return Sheet((), (), notes)
    if any(map(has_image_suffix, lines[0])):
        header = [f"column {number}" for number in range(1, len(lines[0]) + 1)]
        notes = (*notes, f"{path.name} has no header: its first line is an image.")
    else:
        header, lines = [name.strip() for name in lines[0]], lines[1:]
    if longer := sum(len(line) > len(header) for line in lines):
        notes = (
            *notes,
            f"{longer:,} rows of {path.name} have more cells than its header: what is too much is left out.",
        )
    rows = [dict(zip(header, [cell.strip() for cell in line], strict=False)) for line in lines]
    return Sheet(tuple(rows), tuple(dict.fromkeys(header)), notes)


def read_lines(path: Path) -> Sheet:
    """A text with one path a line, or a path and its label, as a table; a text with columns as read_sheet does it."""
    text, notes = read_text(path)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    pairs = [match for line in lines if (match := _LINE.fullmatch(line)) and has_image_suffix(match["path"])]
    if lines and len(pairs) == len(lines) and not any(map(has_image_suffix, lines)):
        rows = tuple({"path": pair["path"], "label": pair["label"]} for pair in pairs)
        return Sheet(rows, ("path", "label"), (*notes, f"Each line of {path.name} is read as a path and its label."))
    if lines and not has_image_suffix(lines[0]) and all(_separator(line, "") for line in lines):
        return read_sheet(path)
    return Sheet(tuple({"path": line} for line in lines), ("path",), notes)


def sheet_of(rows: Iterable[Mapping[str, Any]]) -> Sheet:
    """Rows that were made in Python as a table; None and NaN are empty cells."""
    written = tuple({str(name): _written(cell) for name, cell in row.items()} for row in rows)
    return Sheet(written, tuple(dict.fromkeys(name for row in written for name in row)))


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text in a file and what is said of its encoding: UTF-8, UTF-16 by its mark or zeros, else Windows-1252."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", slug="csv") from error
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), _unmarked(data))
    notes: tuple[str, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
        notes = (f"{path.name} is no {encoding.upper()} text: it is read as Windows-1252 (Western European).",)
    if "\0" in text:  # no name holds one, and what reads it may stop there
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path} holds a NUL byte in line {line}: it is no plain text, or damaged.", slug="csv")
    return text, notes


def _unmarked(data: bytes) -> str:
    """UTF-16 where every second of the first bytes is zero, else UTF-8."""
    some = data[:64]
    if len(some) >= 4 and not len(data) % 2:
        if not any(some[1::2]) and all(some[::2]):
            return "utf-16-le"
        if not any(some[::2]) and all(some[1::2]):
            return "utf-16-be"
    return "utf-8"


def _separator(line: str, otherwise: str) -> str:
    outside = re.sub(r'"[^"]*"', "", line)
    most = max(_SEPARATORS, key=outside.count)
    return most if most in outside else otherwise


def _written(cell: Any) -> str:
    return "" if cell is None or cell != cell else str(cell).strip()


def cells(rows: Sequence[Mapping[str, str]], column: str) -> list[str]:
    """One column of the rows; what a short row lacks is empty."""
    return [row.get(column, "") for row in rows]
