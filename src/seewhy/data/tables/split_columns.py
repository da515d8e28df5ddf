"""Which column of a table says the split of each image, as far as its values say so, and what is said of the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seewhy.data.tables.folder_names import SPLITS as FOLDERS
from seewhy.data.tables.folder_names import role_of
from seewhy.data.tables.labels import whole
from seewhy.data.tables.sheet import Sheet, cells, plain
from seewhy.errors import listed

SPLITS = ("split", "subset", "partition", "usage", "phase")
_MOST = 6  # words of splits in a column that is not called like one
_PARTS = ("train", "valid", "test")
_FOLDS = re.compile(r"(k|cv|cross)?(validation|val)?folds?(id|no|nr|idx|index|number)?|cv")
_FLAG = re.compile(r"(is|in|for|use)?(training|train|validation|valid|val|dev|testing|test)(set|split|data|images?)?")
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no", "")


@dataclass(frozen=True)
class SplitColumns:
    """The columns that are read as the split: one of words, or flags like is_train; and what is to be said."""

    column: str | None = None
    flags: tuple[tuple[str, str], ...] = ()  # each with the part that it says: ("is_train", "train")
    others: tuple[str, ...] = ()  # which are of splits too, and not read
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are of splits, read or not: none is a label."""
        return tuple(filter(None, (self.column, *(name for name, _ in self.flags), *self.others)))

    def said(self) -> str:
        """What is read as the split; "" where nothing is."""
        return self.column or listed([name for name, _ in self.flags])

    def read(self, rows: Sequence[Mapping[str, str]]) -> tuple[list[str], list[str]]:
        """The split of each row ("" where there is none), and what is to be said."""
        if self.column is not None:
            return _of_column(rows, self.column)
        return _of_flags(rows, self.flags)


def splits_of(sheet: Sheet, names: Sequence[str], asked: str | None) -> SplitColumns:
    """The columns among `names` that say splits; `asked` is the one that the user named."""
    folds = [name for name in names if _FOLDS.fullmatch(plain(name)) and not _says_parts(sheet, name)]
    flags = _flags(sheet, [name for name in names if name != asked])
    column = asked or _column(sheet, [name for name in names if name not in folds and name not in dict(flags)])
    folds = [name for name in folds if name != column]
    notes = []
    if folds:
        held = sorted({cell for cell in cells(sheet.rows, folds[0]) if cell}, key=lambda cell: (len(cell), cell))
        notes.append(
            f"Column {folds[0]} holds folds ({listed(held, 5)}), which are no split: all rows are read "
            "alike.  Write which of them train and which validate into a column named split."
        )
    others = folds
    if column is not None and flags:
        others = [*folds, *(name for name, _ in flags)]
        notes.append(f"Left out beside {column}, which says the split: {listed(name for name, _ in flags)}.")
        flags = ()
    return SplitColumns(column, flags, tuple(others), tuple(notes))


def _column(sheet: Sheet, names: Sequence[str]) -> str | None:
    """The column that is called like one of splits, else the first whose values are parts of a data set."""
    called = {plain(name): name for name in reversed(names)}
    known = next((called[word] for word in SPLITS if word in called), None)
    return known or next((name for name in names if _says_parts(sheet, name)), None)


def _says_parts(sheet: Sheet, name: str) -> bool:
    """Whether all cells of a column that are filled are words of splits, of two parts at least."""
    held = set(cells(sheet.rows, name)) - {""}
    if len(held) > _MOST:
        return False
    roles = {role_of(cell) for cell in held}
    return roles <= {*_PARTS} and (len(roles) > 1 or (len(roles) == 1 and plain(name) in ("set", "fold", "dataset")))


def _flags(sheet: Sheet, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The columns of yes and no that are called like a part: is_train, is_valid, test.

    A single one that is called train is none: it may be a class, as of vehicles, and valid may be said of a file.
    """
    found: dict[str, str] = {}
    for name in names:
        if (match := _FLAG.fullmatch(plain(name))) and _is_yes_no(sheet, name):
            found.setdefault(role_of(match[2]), name)
    if len(found) == 1 and plain(next(iter(found.values()))) in FOLDERS:
        return ()
    return tuple((name, part) for part, name in found.items())


def _is_yes_no(sheet: Sheet, name: str) -> bool:
    held = {cell.lower() for cell in cells(sheet.rows, name)}
    return held <= {*_YES, *_NO} and held != {""}


def _of_column(rows: Sequence[Mapping[str, str]], column: str) -> tuple[list[str], list[str]]:
    """The cells; 0, 1 and 2 are train, valid and test, as CelebA has them. Other numbers are kept, and said."""
    splits = whole(cells(rows, column))
    held = sorted(set(splits) - {""}, key=lambda cell: (len(cell), cell))
    if held == ["0", "1", "2"]:
        names = {"": "", **dict(zip("012", _PARTS, strict=True))}
        return [names[split] for split in splits], [f"{column} 0, 1 and 2 are read as train, valid and test."]
    if held and all(map(str.isdecimal, held)):
        said = f"{column} holds {listed(held, 5)}, which do not say what trains and what validates: they are kept as "
        return splits, [said + "names of splits.  Write train, valid and test in their place."]
    return splits, []


def _of_flags(rows: Sequence[Mapping[str, str]], flags: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The part whose flag is set; where a single flag is not, the other part."""
    if not flags:
        return [""] * len(rows), []
    other = {"train": "valid", "valid": "train", "test": "train"}[flags[0][1]] if len(flags) == 1 else ""
    splits, both = [], 0
    for row in rows:
        parts = [part for name, part in flags if row.get(name, "").lower() in _YES]
        is_open = not any(row.get(name, "") for name, _ in flags)
        both += len(parts) > 1
        splits.append(parts[0] if len(parts) == 1 else "" if parts or is_open else other or _missing(flags))
    said = ", ".join(f"{name} = {part}" for name, part in flags)
    rest = other or _missing(flags)
    notes = [f"Read as splits: {said}{f'; rows without are {rest}' if rest else ''}."]
    if both:
        notes.append(f"{both:,} rows are of several of them, and have no split.")
    return splits, notes


def _missing(flags: Sequence[tuple[str, str]]) -> str:
    """The part of which there is no flag where there are those of the two others; "" else."""
    left = {*_PARTS} - {part for _, part in flags}
    return left.pop() if len(left) == 1 else ""
