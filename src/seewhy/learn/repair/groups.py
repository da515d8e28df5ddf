"""Groups of images by class and by what a factor says in them, from the donors' own effects or from a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import OptionError, counted, listed, nearest
from seewhy.estimates import Floats, Integers
from seewhy.records import Image

LEAST_CELL = 20  # images of each class and group, for a last layer to be fitted anew
MARKED_OR_NOT = ("the mark is left out", "the mark is laid over")  # the groups of images that a mark is laid over
NO_GROUP = -1  # of an image whose group is not known
_SHOWN = 10  # images that are named


@dataclass(frozen=True)
class Groups:
    """The group of each image (M,), NO_GROUP where it is not known; `source` says where they are from.

    `names` go on where "where" stands before them: "hint is h0", "background speaks for cat".
    """

    of: Integers = field(repr=False)
    names: tuple[str, ...]
    source: str

    def cells(self, labels: Integers, n_classes: int) -> Integers:
        """How many images each class and group has: (K, G)."""
        counts = np.zeros((n_classes, len(self.names)), dtype=np.int64)
        known = self.of != NO_GROUP
        np.add.at(counts, (labels[known], self.of[known]), 1)
        return counts


def no_groups(n_images: int, why: str = "not known for so many classes; name a column with --groups") -> Groups:
    """No groups: where many classes are asked about at once, donors do not speak for one; a mark has no donors."""
    return Groups(np.full(n_images, NO_GROUP, dtype=np.int64), (), why)


def groups_by_effects(effects: Floats, names: tuple[str, str]) -> Groups:
    """Two groups of donors (M,): whose content lowers the probability of the contrast's class, and whose raises it.

    The cut is the one that leaves the least spread within both (Otsu 1979, IEEE Trans. SMC 9); no label of the factor
    is needed. NaN effects have no group.
    """
    known = np.flatnonzero(np.isfinite(effects))
    of = np.full(len(effects), NO_GROUP, dtype=np.int64)
    if len(known) > 1:
        of[known] = effects[known] > _cut(effects[known])
    return Groups(of, names, "the donors' effects")


def _cut(values: Floats) -> float:
    """Where two groups of values differ most, for their sizes: halfway between two neighbours."""
    ordered = np.sort(values)
    n = len(ordered)
    below = np.arange(1, n)
    sums = np.cumsum(ordered)[:-1]
    means = sums / below, (ordered.sum() - sums) / (n - below)
    between = below * (n - below) * (means[1] - means[0]) ** 2
    at = int(between.argmax())
    return float((ordered[at] + ordered[at + 1]) / 2)


def groups_by_column(
    table: ImageTable, images: Sequence[Image], column: str, among: Sequence[Image] | None = None
) -> Groups:
    """The groups that a column of the table names, of all images `among` which these are.

    Raises OptionError where there is no such column, or labels or splits are read from it.
    """
    flags = () if table.one_label is None else tuple(name for name in table.flags if name != table.one_label.name)
    read = [name for name in table.read_as if name not in flags]
    others = [name for name in table.columns if name not in read]
    if column in read:
        raise OptionError(
            f"Labels or splits are read from the column {column!r}: groups say what the factor is in an image.\n"
            f"  Columns: {listed(others, 12) if others else 'none beside'}.",
            slug="no-such-column",
        )
    if column not in table.columns:
        has = listed(others, 12) if others else "none"
        raise OptionError(
            f"There is no column {column!r}.  {nearest(column, others)}".rstrip() + f"\n  Columns: {has}.",
            slug="no-such-column",
        )
    place = table.columns.index(column)
    cells, all_cells = (
        [image.cells[place].strip() if image.cells else "" for image in some] for some in (images, among or images)
    )
    values = sorted(set(all_cells) - {""})
    if not 2 <= len(values) <= 20:
        raise OptionError(
            f"The column {column!r} has {counted(len(values), 'value')}; groups need 2 to 20.", slug="no-such-column"
        )
    of = np.array([values.index(cell) if cell else NO_GROUP for cell in cells], dtype=np.int64)
    return Groups(of, tuple(f"{column} is {value}" for value in values), f"column {column}")


@dataclass(frozen=True)
class Cell:
    """The images of one class in one group, and how many more would make the classes alike in it."""

    label: str
    group: str
    count: int
    to_add: int
    to_trim: int
    images: tuple[str, ...] = ()


def cells_of(groups: Groups, labels: Integers, classes: Sequence[str], images: Sequence[Image]) -> list[Cell]:
    """What to collect or to trim: per class as many images of each group as its largest has, or its smallest.

    `images` are named for a cell that is to grow: more like those are needed.
    """
    counts = groups.cells(labels, len(classes))
    cells = []
    for index, label in enumerate(classes):
        for group, name in enumerate(groups.names):
            count = int(counts[index, group])
            members = np.flatnonzero((labels == index) & (groups.of == group))[:_SHOWN]
            cells.append(
                Cell(
                    label=label,
                    group=name,
                    count=count,
                    to_add=int(counts[index].max()) - count,
                    to_trim=count - least if (least := int(counts[index].min())) else 0,
                    images=tuple(images[place].id for place in members),
                )
            )
    return cells


def collecting(cells: Sequence[Cell], factor: str, source: str) -> str:
    """What to collect, in a sentence."""
    if not cells:
        return f"Which images to collect cannot be said: what {factor} says is {source}."
    told = ", ".join(f"{cell.count:,} of {cell.label} where {cell.group}" for cell in cells)
    adds = [f"{cell.to_add:,} of {cell.label} where {cell.group}" for cell in cells if cell.to_add]
    trims = ", or trim the others as far" if all(cell.count for cell in cells) else ""
    what = f"add {listed(adds, 4)}{trims}" if adds else "the cells are alike"
    return f"Train by class and by what {factor} says ({source}): {told}. To make it say nothing: {what}."
