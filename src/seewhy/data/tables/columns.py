"""Which columns of a table hold the paths, the labels and the splits, by their names and by what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seewhy.data.formats.image_files import has_image_suffix
from seewhy.data.tables.sheet import PATHS, Sheet, cells, plain
from seewhy.data.tables.split_columns import SPLITS, SplitColumns, splits_of
from seewhy.errors import DataError, OptionError, listed, nearest

# As `plain` writes them; the earlier outranks the later.
LABELS = (
    "labelstr", "labelname", "classname", "categoryname", "label", "class", "target", "category", "labels",
    "classes", "targets", "findinglabels", "findings", "finding", "diagnosis", "dx", "groundtruth", "gt", "tags",
    "tag", "y", "classid", "labelid", "categoryid", "species", "breed",
)  # fmt: skip
ROLES = {"path": PATHS, "label": LABELS, "split": SPLITS}
_USUAL = {"path", "label", "label_str", "split"}  # of which nothing needs to be said
_LABEL_ENDS = ("label", "labels", "class", "target", "category", "diagnosis")  # as in true_label
_YES, _NO, _OPEN = ("1", "1.0", "true"), ("0", "0.0", "false", ""), ("-1", "-1.0")


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read; `flags` are columns of zeros and ones, each named like a label."""

    path: str
    label: str | None = None
    split: SplitColumns = field(default_factory=SplitColumns)
    others: tuple[str, ...] = ()  # of which one may hold the numbers of the classes
    flags: tuple[str, ...] = ()
    left: tuple[str, ...] = ()  # columns of zeros and ones that are not read, since there is one of labels

    def said(self) -> str:
        """The columns by what they are read as."""
        pairs = (("path", self.path), ("label", self.label), ("split", self.split.said()))
        words = [f"{role} = {name}" for role, name in pairs if name]
        if self.flags:
            words.append(f"labels = {listed(self.flags, 4)} (columns of 0 and 1)")
        left = f"; no labels: {listed(self.left, 4)} (columns of 0 and 1)" if self.left else ""
        return ", ".join(words) + left

    @property
    def way_out(self) -> str:
        """What to type where only one of the columns of zeros and ones is the label; "" where there are none."""
        return f"  If one of them is the label:  --columns label={self.flags[0]}" if self.flags else ""

    @property
    def are_usual(self) -> bool:
        """Whether the columns are called as they are read."""
        return not (self.flags or self.left) and {self.path, self.label, self.split.column} - {None} <= _USUAL


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
    _refuse_twins(sheet, path, "path", asked, source)
    no_labels = [name for name in rest if name != named.get("label") and plain(name) not in LABELS]
    split = splits_of(sheet, no_labels, named.get("split"))
    rest = [name for name in rest if name not in split.columns]
    label = named.get("label") or _label_column([name for name in rest if any(cells(sheet.rows, name))])
    if label is not None:
        _refuse_twins(sheet, label, "label", asked, source)
        others = tuple(name for name in rest if name != label)
        return Columns(path, label, split, others, left=_flags(sheet, [n for n in others if plain(n) not in LABELS]))
    rest = [name for name in rest if plain(name) not in (*PATHS, "", "unnamed0", "index")]
    flags = _flags(sheet, rest)
    flags = flags if len(flags) > 1 else ()
    if flags or len(rest) != 1 or not any(cells(sheet.rows, rest[0])):
        return Columns(path, None, split, flags=flags)
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
    """The columns of nothing but zeros and ones."""
    known = {*_YES, *_NO, *_OPEN}
    held = {name: {cell.lower() for cell in cells(sheet.rows, name)} for name in names}
    return tuple(name for name in names if held[name] <= known and held[name] != {""})


def _label_column(names: Sequence[str]) -> str | None:
    """The column that is called like one of labels, else the only one whose name ends so: true_label, ImageClass."""
    ending = [name for name in names if plain(name).endswith(_LABEL_ENDS)]
    return _known(names, LABELS) or (ending[0] if len(ending) == 1 else None)


def _path_column(sheet: Sheet) -> str | None:
    """The column that is called like one of paths, best with names of images in it; else the only one with such."""
    images = [name for name in sheet.columns if any(map(has_image_suffix, cells(sheet.rows, name)))]
    known = _known(images, PATHS) or _known(sheet.columns, PATHS)
    return known or (images[0] if len(images) == 1 else None)


def _refuse_twins(sheet: Sheet, name: str, role: str, asked: Mapping[str, str], source: str) -> None:
    """Raise DataError where there is another column of the same name with other cells, and nobody said which counts."""
    twins = [other for other in sheet.columns if other != name and _is_twin(other, name)]
    for other in twins if role not in asked else ():
        pairs = zip(cells(sheet.rows, name), cells(sheet.rows, other), strict=True)
        row, differing = next(((at, pair) for at, pair in enumerate(pairs, 1) if pair[0] != pair[1]), (0, ("", "")))
        if row:
            raise DataError(
                f"{source} has two columns {name}, which differ (row {row}: {differing[0] or 'nothing'}, "
                f"{differing[1] or 'nothing'}).\n"
                f"  Say which is read:  --columns {role}={name}  or  --columns {role}={other}",
                slug="csv",
            )


def _is_twin(other: str, name: str) -> bool:
    """Whether a column is called as another, or like it and a number, as seewhy and pandas tell two of one name."""
    start, _, number = other.rpartition(".")
    return plain(other) == plain(name) or (start == name and number.isdecimal())


def _known(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    called = {plain(name): name for name in reversed(names)}
    return next((called[word] for word in wanted if word in called), None)


def _asked(sheet: Sheet, role: str, name: str, source: str) -> str:
    if role not in ROLES:
        raise OptionError(f"--columns says {role}={name}, but names one of: {listed(ROLES)}, as in path=scan,label=dx.")
    if name in sheet.columns:
        return name
    if (near := _known(sheet.columns, [plain(name)])) is not None:
        return near
    raise OptionError(
        f"{source} has no column {name!r}, but: {listed(sheet.columns)}.  {nearest(name, sheet.columns)}".rstrip()
    )
