"""The order of the classes of a table: by the numbers that stand beside their names, else sorted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from seewhy.data.tables.labels import number_of, whole
from seewhy.data.tables.sheet import cells, plain
from seewhy.errors import listed

_NUMBERS = (
    "label", "labels", "target", "targets", "class", "category", "y", "gt", "labelid", "classid", "targetid",
    "categoryid", "labelidx", "classidx", "labelindex", "classindex", "labelnum", "classnum", "labelcode", "classcode",
    "labelencoded", "encodedlabel",
)  # fmt: skip

_INDICES = ("id", "idx", "index", "num", "number", "no", "nr", "code", "class", "label", "target", "categor", "encoded")

Rows = Sequence[Mapping[str, str]]


def class_order(
    rows: Rows, labels: Sequence[str | None], columns: Sequence[str], label: str | None
) -> tuple[tuple[str, ...], list[str]]:
    """The class names in their order, and what is said of it.

    Where names have one number each in one of the other `columns`, that is their order, if the column is called like an
    index (a severity or a priority is none) and some name stands in several rows; else they are sorted, numbers as
    numbers.
    """
    names = sorted({name for name in labels if name})
    if names and all(map(str.isdecimal, whole(names))):
        return tuple(sorted(names, key=lambda name: int(whole([name])[0]))), []
    if label is None or len(names) < 2:
        return tuple(names), []
    notes, orders = [], {}
    repeats = len([name for name in labels if name]) > len(names)  # else a column may as well number the rows
    for column in sorted(columns, key=_rank):
        order = _numbers(rows, labels, column)
        if _rank(column) < len(_NUMBERS) and (said := _contradiction(order, column, label)):
            notes.append(said)
        numbers = [next(iter(held)) for held in order.values() if len(held) == 1]
        is_order = len(order) == len(names) == len(set(numbers))
        counted = sorted(numbers) in (list(range(len(names))), list(range(1, len(names) + 1)))
        if is_order and ((counted and repeats and _is_index(column)) or _rank(column) < len(_NUMBERS)):
            orders[column] = tuple(sorted(names, key=lambda name: min(order[name])))
    if not orders:
        return tuple(names), notes
    column, ordered = next(iter(orders.items()))
    return ordered, [*_said(orders, label), *_said_of_gaps(_numbers(rows, labels, column), column)]


def _is_index(column: str) -> bool:
    """Whether a column's name begins or ends like that of an index: "species_id", "code", "no"."""
    name = plain(column)
    return name.startswith(_INDICES) or name.endswith(_INDICES)


def _said(orders: Mapping[str, tuple[str, ...]], label: str) -> list[str]:
    (column, order), *others = orders.items()
    notes = []
    if plain(column) != "label":
        notes.append(
            f"The classes are in the order of {column}, which has a number for each {label}: {listed(order, 6)}."
        )
    other = [name for name, differing in others if differing != order]
    if other:
        notes.append(f"{listed(other, 4)} would give another order of the classes than {column}.")
    return notes


def _said_of_gaps(order: Mapping[str, set[int]], column: str) -> list[str]:
    """What is said of numbers between which some are missing: the network may have classes that are not here."""
    most = max(max(held) for held in order.values())
    if most <= len(order):
        return []
    return [
        f"{column} goes up to {most} and there are {len(order)} names: classes without an image may be missing between "
        "them.  Name all, in their order:  --classes"
    ]


def other_labels(rows: Rows, labels: Sequence[str | None], columns: Sequence[str], label: str | None) -> list[str]:
    """What is said of other columns of labels, as by their names, that do not say the same in other words."""
    notes = []
    for column in columns if label is not None else ():
        pairs = {(name, cell) for name, cell in zip(labels, cells(rows, column), strict=True) if name and cell}
        is_same = len({name for name, _ in pairs}) == len({cell for _, cell in pairs}) == len(pairs)
        numbers = all(number_of(text) is not None for pair in pairs for text in pair)
        if pairs and (not is_same or (numbers and any(number_of(name) != number_of(cell) for name, cell in pairs))):
            notes.append(f"{column} is called like a label too: {label} is read.  Else:  --columns label={column}")
    return notes


def _numbers(rows: Rows, labels: Sequence[str | None], column: str) -> dict[str, set[int]]:
    """The numbers that each name has in a column; nothing where it holds anything else."""
    held = whole(cells(rows, column))
    if not all(cell.isdecimal() for cell in held if cell):
        return {}
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for name, cell in zip(labels, held, strict=True):
        if name and cell:
            numbers[name].add(int(cell))
    return dict(numbers)


def _contradiction(order: Mapping[str, set[int]], column: str, label: str) -> str:
    """What is said of numbers that are those of classes by their column's name, but not of the names here."""
    several = next((name for name, held in order.items() if len(held) > 1), None)
    ids = sum(len(held) for held in order.values()) > len(order) * 3  # numbers of rows, as of `id`
    if several is not None and not ids:
        what = f"{several} has {listed(map(str, sorted(order[several])), 4)}"
    else:
        first = [min(held) for held in order.values() if len(held) == 1]
        number = next((number for number in first if first.count(number) > 1), None)
        if number is None or several is not None:
            return ""
        what = f"{number} is {listed([name for name, held in order.items() if held == {number}], 4)}"
    return (
        f"{column} and {label} contradict each other ({what}): {label} is read, and its names are in the order of the "
        f"alphabet.  For the numbers:  --columns label={column}"
    )


def _rank(column: str) -> int:
    """How surely a column is one of classes' numbers, by its name."""
    name = plain(column)
    return _NUMBERS.index(name) if name in _NUMBERS else len(_NUMBERS)
