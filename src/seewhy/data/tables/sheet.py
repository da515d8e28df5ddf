"""A table as people save it: its rows as text, whatever its separator and its encoding."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any

from seewhy.data.formats.image_files import has_image_suffix
from seewhy.errors import DataError, listed

# Names of columns of paths as `plain` writes them; the earlier outranks the later.
PATHS = (
    "path", "file", "filename", "filepath", "image", "imagepath", "img", "name", "imgpath", "imagefile",
    "imagefilename", "imagename", "imgname", "fname", "imageid", "imgid", "imageindex", "idcode", "isicid", "photo",
    "picture", "relativepath", "uri", "id", "uid",
)  # fmt: skip
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
    text, titles = _without_titles(text, path.name)
    notes = (*notes, *titles)
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
        header = [name.strip() for name in lines[0]]
        lines, again = [line for line in lines[1:] if line != lines[0]], lines[1:].count(lines[0])
        notes = (*notes, *([f"The header of {path.name} stands in it {again + 1} times."] if again else []))
        header = _told_apart(header)
    if longer := sum(len(line) > len(header) for line in lines):
        notes = (
            *notes,
            f"{longer:,} rows of {path.name} have more cells than its header: what is too much is left out.",
        )
    rows = [dict(zip(header, [cell.strip() for cell in line], strict=False)) for line in lines]
    return Sheet(tuple(rows), tuple(dict.fromkeys(header)), notes)


def _without_titles(text: str, name: str) -> tuple[str, tuple[str, ...]]:
    """The text from its header on, and what is said of lines before it: comments (#), or a title in a single cell."""
    lines = text.split("\n")
    at = 0
    while at < len(lines) - 1 and (not lines[at].strip() or _is_before_header(lines[at], lines[at + 1 :])):
        at += 1
    left = [line.strip() for line in lines[:at] if line.strip()]
    rest = "\n".join([lines[at].lstrip("# "), *lines[at + 1 :]]) if lines[at].startswith("#") else "\n".join(lines[at:])
    said = f"Left out before the header of {name}: {listed([line[:60] for line in left], 3)}"
    return rest, (said,) if left else ()


def _is_before_header(line: str, rest: Sequence[str]) -> bool:
    """Whether a line is a comment or a title, by what comes after it; "# path,label" before its rows is a header."""
    bare = (_bare(other) for other in rest if other.strip() and not other.startswith("#"))
    after = list(islice(dropwhile(lambda other: not any(sign in other for sign in _SEPARATORS), bare), 2))
    line = _bare(line)
    if not after or '"' in line:
        return False
    most = max(_SEPARATORS, key=after[0].count)
    count = after[0].count(most)
    if line.startswith("#"):
        return not (count and line.count(most) == count and any(map(has_image_suffix, after[0].strip().split(most))))
    filled = [cell for cell in line.strip().split(most) if cell.strip()]
    alone = len(filled) == 1 and plain(filled[0]) not in PATHS and not has_image_suffix(filled[0])
    in_step = count > 0 and all(other.count(most) == count for other in after)
    return alone and in_step and not line.lower().startswith("sep=")


def _bare(line: str) -> str:
    """A line in which what stands in quotes holds no separators."""
    return re.sub(r'"([^"]*)"', lambda match: re.sub(r"[,;\t|]", "", match[1]), line)


def _told_apart(header: Sequence[str]) -> list[str]:
    """The names of columns, of which the second of a name is called label.2."""
    seen: Counter[str] = Counter()
    names = []
    for name in header:
        seen[name] += 1
        names.append(f"{name}.{seen[name]}" if name and seen[name] > 1 else name)
    return names


def read_lines(path: Path) -> Sheet:
    """A text with one path a line, or a path and its label, as a table; a text with columns as read_sheet does it."""
    text, notes = read_text(path)
    lines = [line.strip() for line in text.split("\n") if line.strip() and not line.startswith("# ")]
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


def plain(name: str) -> str:
    """The name of a column without case, blanks and signs."""
    return re.sub(r"[\W_]+", "", name.casefold())
