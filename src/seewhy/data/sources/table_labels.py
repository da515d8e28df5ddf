"""The labels of an image table as classes of the network: which level, which columns, which numbers are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seewhy.data.sources.items import is_in_memory
from seewhy.data.sources.listing import label_names
from seewhy.data.tables.folder_names import LevelNote
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.item_labels import label_of
from seewhy.data.tables.labels import (
    JOINT,
    LabelReader,
    OneLabel,
    are_sets,
    check_numbering,
    joined,
    said_of_case,
    set_separator,
    vocabulary,
)
from seewhy.data.tables.packed import gathered, relabelled
from seewhy.errors import listed
from seewhy.records import Task, one_form

_MOST_STRANGE = 40  # labels that are kept of those that are no class
_ENOUGH = 4  # items looked at for each class, from which on it says something that none is the first


def with_labels(table: ImageTable, classes: Sequence[str], task: Task = "classification") -> ImageTable:
    """The table with every label as one of `classes`, or a set of them; what is none of them is dropped, and said.

    A label that is a number counts as a class index. Raises DataError where they are surely counted from 1.
    """
    table = _without_other_flags(table, classes)
    first, several = _first_of(table), task == "multi-label"
    separator = set_separator(table.labels_seen, classes, first) if several else None
    numbers = vocabulary(table.labels, separator)
    notes = [*table.notes]
    if table.first_label is None and (said := check_numbering(numbers, classes)):
        notes.append(said)
    if table.first_label is None and not table.labels:
        notes += _numbering_seen(table, table.classes or classes)
    reader = LabelReader(classes, first, several, separator)
    images = relabelled(table.images, reader.read)
    seen = [reader.read(label_of(one.label, table.classes or classes, table.first_label or 0)) for one in table.seen]
    hidden = table.items is not None and not is_in_memory(table.items) and not table.labels
    notes += _said_of(reader, table, is_left=any(image.label for image in images))
    names = table.classes if table.items is None or table.classes else tuple(classes)
    first_label = 0 if table.first_label is None and "0" in numbers else table.first_label
    return replace(
        table,
        images=images,
        classes=names,
        notes=tuple(notes),
        whole=(),
        first_label=first_label,
        seen=(),
        labels_come=hidden and (any(seen) or not seen),
        strange=tuple(label for label, _ in reader.dropped.most_common(_MOST_STRANGE)),
    )


def _said_of(reader: LabelReader, table: ImageTable, *, is_left: bool) -> list[str]:
    """What is said of the labels that were read: other cases, those that are no class, and what to do about them."""
    classes, notes = reader.classes, []
    if reader.other_case:
        pairs = listed([f"{label} is {name}" for label, name in reader.other_case.items()], 4)
        notes.append(f"Labels that differ from a class in case alone are that class: {pairs}.")
    if reader.dropped:
        said = ", ".join(f"{label!r} ({count})" for label, count in reader.dropped.most_common(5))
        seen = f" ({len(table.seen):,} items were looked at)" if table.seen else ""
        notes.append(f"Labels that are no class of this network were left out: {said}{seen}.")
        if not is_left and not table.seen and len(table.classes) == len(classes):
            own = ",".join(table.classes)
            notes.append(f"No label is left.  To call the classes as the data does:  --classes {own}")
        if not reader.several and are_sets(list(reader.dropped), classes, reader.first):
            notes.append("Some of them are several classes in one:  --task multi-label")
    if table.items is None and (said := said_of_case(classes, table.labels)):
        notes.append(said)
    return notes


def with_one_label(table: ImageTable, label: OneLabel) -> ImageTable:
    """The table, whose labels are sets, with two classes: one of the labels, and its absence."""
    images = relabelled(table.images, label.read)
    return replace(table, images=images, one_label=label)


def by_class_names(table: ImageTable, classes: Sequence[str] | None) -> ImageTable:
    """The table whose labels are of that level of folders which these names are of, where two levels could be it."""
    if table.either is None or not classes:
        return table
    known = {one_form(name).casefold() for name in classes}
    places = [image.id.split("/")[table.either : -1] for image in table.images]
    fitting = [
        level
        for level in (0, 1)
        if {one_form(place[level]).casefold() for place in places if len(place) > level} <= known
    ]
    if len(fitting) != 1:
        return table
    level = fitting[0]
    images = gathered(
        replace(image, label=one_form(place[level]), split=one_form(place[0]) if level else None)
        if len(place) > level
        else image
        for image, place in zip(table.images, places, strict=True)
    )
    notes = tuple(note for note in table.notes if not isinstance(note, LevelNote))
    return replace(table, images=images, classes=label_names(images), notes=notes, empty=(), whole=(), either=None)


def _without_other_flags(table: ImageTable, classes: Sequence[str]) -> ImageTable:
    """The table without the columns of zeros and ones that are no class, where others are."""
    other = {name for name in table.flags if name not in classes}
    if not other or len(other) == len(table.flags):
        return table
    kept = [name for name in table.flags if name not in other]

    def label_in(text: str | None) -> str | None:
        return text and joined(set(text.split(JOINT)) & {*kept}, kept)

    images = relabelled(table.images, label_in)
    note = f"Columns of 0 and 1 that are no class were left out: {listed(sorted(other))}."
    return replace(
        table,
        images=images,
        whole=tuple(label_in(text) or "" for text in table.whole),
        flags=tuple(kept),
        notes=(*table.notes, note),
    )


def _first_of(table: ImageTable) -> int:
    """The number of the first class in the labels of the table; those of items that have names are names already."""
    return 0 if table.items is not None and table.classes else table.first_label or 0


def _numbering_seen(table: ImageTable, classes: Sequence[str]) -> list[str]:
    """What is said of labels in items that are numbers without 0; raises DataError where they are from 1, surely."""
    numbers = {read.label for read in table.seen if read.label and not read.is_row}
    said = check_numbering(numbers, classes)
    return [said] if said and len(table.seen) >= _ENOUGH * len(classes) else []
