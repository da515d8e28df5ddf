"""The ordered list of images, with what their folders or labels say of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seewhy.data.tables.item_labels import ItemReading
from seewhy.data.tables.labels import SURE, OneLabel, are_joined, are_sets, one_case, separator_of, vocabulary
from seewhy.data.tables.packed import labels_of
from seewhy.records import Image


@dataclass(frozen=True)
class ImageTable:
    """The ordered list of images, with the class names that their folders or labels suggest.

    `images` are a tuple, or packed where they are many. `root` is what ids are relative to; `items` holds images that
    are not files (a tensor or a Dataset), by position.
    """

    images: Sequence[Image]
    root: Path | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    items: Any = None
    source: str = ""
    empty: tuple[str, ...] = ()  # class folders without an image
    whole: tuple[str, ...] = ()  # the labels of all images, where some were left out
    first_label: int | None = None  # the number of the first class, where labels are numbers and it is known
    one_label: OneLabel | None = None  # of several labels the only one that is asked about
    either: int | None = None  # how deep the first of two levels of folders lies, either of which may be the classes
    flags: tuple[str, ...] = ()  # columns of zeros and ones whose names are the labels
    seen: tuple[ItemReading, ...] = ()  # what some items hold beside their images, where no label is known beforehand
    labels_come: bool = False  # whether labels that no table has may come with items while these are read
    strange: tuple[str, ...] = ()  # labels that are no class of the network and were left out, the most frequent first
    columns: tuple[str, ...] = ()  # of a table, all but that of paths: what `Image.cells` are
    read_as: tuple[str, ...] = ()  # those of them that labels and splits were read from
    cluster_by: str = ""  # what `Image.cluster` comes from
    also_in: Mapping[str, frozenset[str]] = field(default_factory=dict)  # other splits of files listed twice

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> list[str]:
        """The labels that are known, image by image, also of images that were left out."""
        return list(self.whole) or labels_of(self.images)

    @property
    def labels_seen(self) -> list[str]:
        """The labels that are known; where there are none, those of the items that were looked at."""
        return self.labels or [read.label for read in self.seen if read.label]

    def class_names(self, count: int) -> tuple[str, ...] | None:
        """The names of `count` classes; those of sets, or of folders without an image, where that makes so many."""
        with_empty = tuple(sorted({*self.classes, *self.empty}))
        separator = separator_of(self.labels, lambda names: len(names) == count)
        in_sets = vocabulary(self.labels, separator) if separator else ()
        as_sets = separator in SURE and any(separator in name for name in self.classes)
        in_one_case = one_case(self.classes, self.labels)
        ways = [in_sets, self.classes, with_empty] if as_sets else [self.classes, with_empty, in_sets]
        ways.append(in_one_case)
        if are_joined(self.classes):  # two labels in one cell are no class of their own
            ways = [in_sets]
        return next((names for names in ways if len(names) == count), None)

    def is_multi_label(self, classes: Sequence[str] | None, count: int) -> bool:
        """Whether labels are sets of `classes` (None: of the `count` that the table names)."""
        names = classes or self.class_names(count)
        return names is not None and count > 1 and are_sets(self.labels_seen, names, self.first_label or 0)
