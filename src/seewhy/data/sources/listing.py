"""Lists of images in files: a table with its columns, or a text with one path a line."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from seewhy.data.sources.addresses import address_of, name_at
from seewhy.data.sources.places import located, why_not_here
from seewhy.data.tables.class_order import class_order, other_labels
from seewhy.data.tables.columns import LABELS, Columns, columns_of, flag_labels
from seewhy.data.tables.labels import DIFFERING, JOINT, NO_LABEL, whole
from seewhy.data.tables.sheet import Sheet, cells, plain
from seewhy.errors import listed
from seewhy.records import Image

_MISSING = ("nan", "<na>", "n/a", "#n/a", "null")  # "NA" and "none" may be classes


@dataclass(frozen=True)
class Listing:
    """The images of a list, the class names in their order, and notes."""

    images: tuple[Image, ...]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # the columns of zeros and ones that labels are the names of
    columns: tuple[str, ...] = ()  # all but that of paths: what the images' cells are
    read_as: tuple[str, ...] = ()  # those that labels and splits were read from
    also_in: Mapping[str, frozenset[str]] = field(default_factory=dict)  # other splits of files listed twice


def read_listing(sheet: Sheet, folder: Path, source: str, asked: Mapping[str, str]) -> Listing:
    """The images of a table whose paths are relative to `folder`.

    Classes are in the order of a column "label" of indices or of columns named like them, else sorted. `asked` names
    columns by what they are. Raises DataError where there is no column of paths.
    """
    columns = columns_of(sheet, asked, source)
    rows = [row for row in sheet.rows if row.get(columns.path)]
    paths, moved = located(cells(rows, columns.path), folder, source)
    labels, said = _labels(rows, columns)
    splits, numbered = columns.split.read(rows)
    named = tuple(name for name in sheet.columns if name and name != columns.path)
    images, repeated, also_in = without_repeats(
        [
            Image(
                relative(path, folder),
                address_of(path) or str(path),
                label,
                split or None,
                error=why_not_here(path),
                cells=tuple(sys.intern(row.get(name, "")) for name in named),
            )
            for path, label, split, row in zip(paths, labels, splits, rows, strict=True)
        ]
    )
    usual = () if columns.are_usual else (f"Read from {source}: {columns.said()}.{columns.way_out}",)
    no_label = _without_label(sheet, columns)
    no_path = len([row for row in sheet.rows if any(row.values())]) - len(rows)
    empty = (f"{no_path:,} rows of {source} have no path, and are left out.",) if no_path else ()
    classes, order = (columns.flags, ()) if columns.flags else class_order(rows, labels, columns.others, columns.label)
    like = [name for name in columns.others if plain(name) in LABELS and not any(name in note for note in order)]
    order = [*order, *other_labels(rows, labels, like, columns.label)]
    return Listing(
        images=tuple(images),
        classes=tuple(classes),
        notes=(
            *sheet.notes,
            *usual,
            *empty,
            *no_label,
            *moved,
            *said,
            *columns.split.notes,
            *numbered,
            *order,
            *repeated,
        ),
        flags=columns.flags,
        columns=named,
        read_as=tuple(filter(None, (columns.label, *columns.flags, *columns.split.columns))),
        also_in=also_in,
    )


def label_names(images: Iterable[Image]) -> tuple[str, ...]:
    """The labels that the images have, sorted."""
    return tuple(sorted({name for image in images if image.label for name in image.label.split(DIFFERING)}))


def without_repeats(images: Sequence[Image]) -> tuple[list[Image], tuple[str, ...], dict[str, frozenset[str]]]:
    """Every file once, each with an id of its own, and notes where some were listed twice; by path its other splits.

    One that is listed with different labels has them all, for networks of several labels.
    """
    first: dict[str, Image] = {}
    taken: set[str] = set()
    also_in: dict[str, frozenset[str]] = {}
    for image in images:
        place = os.path.normpath(Path(image.path or image.id).absolute())
        if place in first:
            if first[place].split and image.split and first[place].split != image.split:
                key = first[place].path or first[place].id
                also_in[key] = also_in.get(key, frozenset()) | {image.split}
            first[place] = _with_label_of(first[place], image)
            continue
        new_id, count = PurePosixPath(image.id), 1
        while str(new_id) in taken:  # files of the same name outside the list's folder
            count += 1
            new_id = new_id.with_name(f"{PurePosixPath(image.id).stem}~{count}{new_id.suffix}")
        taken.add(str(new_id))
        first[place] = replace(image, id=str(new_id))
    repeats = len(images) - len(first)
    notes = [f"{repeats} images were listed twice and are taken once."] if repeats else []
    return list(first.values()), (*notes, *_said_of(first.values(), len(also_in))), also_in


def relative(path: Path, root: Path) -> str:
    """The path below root with forward slashes; one that lies outside keeps only its own words, as an address does."""
    address = address_of(path)
    return below(path, root) if address is None else name_at(address)


def below(path: Path, root: Path) -> str:
    """The path below root with forward slashes."""
    text = os.path.relpath(path.absolute(), root.absolute())
    return "/".join(part for part in Path(text).parts if part not in ("..", os.sep))


def _labels(rows: Sequence[Mapping[str, str]], columns: Columns) -> tuple[list[str | None], list[str]]:
    """The label of each row as text ("" for an empty cell of a column of labels), and what is to be said."""
    if columns.label is not None:
        given, missing = _without_missing(cells(rows, columns.label), columns.label)
        return list(whole(given)), missing
    if not columns.flags:
        return [None] * len(rows), []
    sets = flag_labels(rows, columns.flags)
    unknown = sets.count(None)
    said = f"{unknown:,} rows have no label: they hold -1 for one of {listed(columns.flags, 4)}, or nothing at all."
    labels = [None if names is None else JOINT.join(names) or NO_LABEL for names in sets]
    return labels, [said] if unknown else []


def _without_missing(labels: Sequence[str], column: str) -> tuple[list[str], list[str]]:
    """The labels without the words that programs write into empty cells, and what is said of these."""
    words = Counter(label for label in labels if label.lower() in _MISSING)
    said = ", ".join(f"{word!r} ({count:,})" for word, count in words.items())
    kept = ["" if label in words else label for label in labels]
    return kept, [f"What is written as {said} in {column} is read as no label."] if words else []


def _without_label(sheet: Sheet, columns: Columns) -> list[str]:
    others = [name for name in sheet.columns if name and name not in (columns.path, *columns.split.columns)]
    if columns.label or columns.flags or not others:
        return []
    return [
        f"No column is read as the label, but there are: {listed(others)}.  Say which:  --columns label={others[0]}"
    ]


def _with_label_of(first: Image, again: Image) -> Image:
    labels = [label for image in (first, again) for label in (image.label or "").split(DIFFERING) if label]
    return replace(first, label=DIFFERING.join(dict.fromkeys(labels)) or first.label)


def _said_of(images: Iterable[Image], n_splits: int) -> list[str]:
    several = [image for image in images if image.label and DIFFERING in image.label]
    notes = []
    if several:
        are = "image is" if len(several) == 1 else "images are"
        example = f"{several[0].id}: {', '.join((several[0].label or '').split(DIFFERING))}"
        notes.append(
            f"{len(several):,} {are} listed with different labels ({example}): a multi-label network's have "
            "them all, any other's none."
        )
    if n_splits:
        notes.append(f"{n_splits:,} images are listed under several splits: the first counts.")
    return notes
