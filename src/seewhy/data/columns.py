"""Which columns of a table hold the paths, the labels and the splits, by their names and by what is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seewhy.data.folder_names import role_of
from seewhy.data.image_files import has_image_suffix
from seewhy.data.sheet import Sheet, cells
from seewhy.errors import DataError, OptionError, listed, nearest

# Without case, blanks and signs; the earlier outranks the later.
PATHS = (
    "path", "file", "filename", "filepath", "image", "imagepath", "img", "name", "imgpath", "imagefile",
    "imagefilename", "imagename", "imgname", "fname", "imageid", "imgid", "imageindex", "idcode", "isicid", "photo",
    "picture", "relativepath", "uri", "id", "uid",
)  # fmt: skip
LABELS = (
    "labelstr", "labelname", "classname", "categoryname", "label", "class", "target", "category", "labels",
    "classes", "targets", "findinglabels", "findings", "finding", "diagnosis", "dx", "groundtruth", "gt", "tags",
    "tag", "y", "classid", "labelid", "categoryid", "species", "breed",
)  # fmt: skip
SPLITS = ("split", "subset", "partition", "usage", "phase")
ROLES = {"path": PATHS, "label": LABELS, "split": SPLITS}
_USUAL = {"path", "label", "label_str", "split"}  # of which nothing needs to be said
_YES, _NO, _OPEN = ("1", "1.0", "true"), ("0", "0.0", "false", ""), ("-1", "-1.0")


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read; `flags` are columns of zeros and ones, each named like a label."""

    path: str
    label: str | None = None
    split: str | None = None
    index: str | None = None  # numbers beside the labels, whose order is that of the classes
    flags: tuple[str, ...] = ()

    def said(self) -> str:
        """The columns by what they are read as."""
        pairs = (("path", self.path), ("label", self.label), ("split", self.split))
        words = [f"{role} = {name}" for role, name in pairs if name]
        if self.flags:
            words.append(f"labels = {listed(self.flags, 4)} (columns of 0 and 1)")
        return ", ".join(words)

    @property
    def are_usual(self) -> bool:
        """Whether the columns are called as they are read."""
        return not self.flags and {self.path, self.label, self.split} - {None} <= _USUAL


def columns_of(sheet: Sheet, asked: Mapping[str, str], source: str) -> Columns:
    """The columns of a table; `asked` names some by what they are: path, label, split.

    Raises OptionError for a column that does not exist, and DataError where none holds paths.
    """
    named = {role: _asked(sheet, role, name, source) for role, name in asked.items()}
    path = named.get("path") or _path_column(sheet)
    if path is None:
        raise DataError(
            f"{source} has no column of paths, but: {listed(sheet.columns) or 'nothing'}.\n"
            f"  Name it one of: {listed(PATHS, 12)}, or say which:  --columns path=NAME,label=NAME",
            slug="csv",
        )
    rest = [name for name in sheet.columns if name != path]
    split = named.get("split") or _known(rest, SPLITS)
    rest = [name for name in rest if name != split]
    label = named.get("label") or _known([name for name in rest if any(cells(sheet.rows, name))], LABELS)
    index = next((name for name in rest if _plain(name) == "label"), None)
    if label is not None:
        return Columns(path, label, split, index)
    rest = [name for name in rest if _plain(name) not in (*PATHS, "", "unnamed0", "index")]
    flags = _flags(sheet, rest)
    if flags or len(rest) != 1 or not any(cells(sheet.rows, rest[0])):
        return Columns(path, None, split, None, flags)
    return Columns(path, rest[0], split)


def flag_labels(rows: Sequence[Mapping[str, str]], flags: Sequence[str]) -> list[tuple[str, ...] | None]:
    """For each row the flags that are set; None where no cell is filled, or one is open (-1 beside zeros)."""
    table = [[row.get(name, "").lower() for name in flags] for row in rows]
    filled = {cell for line in table for cell in line}
    is_open = set(_OPEN) if filled & {"0", "0.0"} else set()
    return [
        None
        if not any(line) or is_open & set(line)
        else tuple(n for n, c in zip(flags, line, strict=True) if c in _YES)
        for line in table
    ]


def _flags(sheet: Sheet, names: Sequence[str]) -> tuple[str, ...]:
    """The columns of nothing but zeros and ones, where there are two of them at least."""
    known = {*_YES, *_NO, *_OPEN}
    names = [name for name in names if role_of(name) not in ("train", "valid", "test")]  # is_train is no label
    flags = [name for name in names if (held := {c.lower() for c in cells(sheet.rows, name)}) <= known and held != {""}]
    return tuple(flags) if len(flags) > 1 else ()


def _path_column(sheet: Sheet) -> str | None:
    """The column that is called like one of paths, best with names of images in it; else the only one with such."""
    images = [name for name in sheet.columns if any(map(has_image_suffix, cells(sheet.rows, name)))]
    known = _known(images, PATHS) or _known(sheet.columns, PATHS)
    return known or (images[0] if len(images) == 1 else None)


def _known(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    return next((plain[word] for word in wanted if word in plain), None)


def _asked(sheet: Sheet, role: str, name: str, source: str) -> str:
    if role not in ROLES:
        raise OptionError(f"--columns says {role}={name}, but names one of: {listed(ROLES)}, as in path=scan,label=dx.")
    if name in sheet.columns:
        return name
    if (near := _known(sheet.columns, [_plain(name)])) is not None:
        return near
    raise OptionError(
        f"{source} has no column {name!r}, but: {listed(sheet.columns)}.  {nearest(name, sheet.columns)}".rstrip()
    )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
