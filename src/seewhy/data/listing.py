"""Lists of images in files: a table with its columns, or a text with one path a line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from seewhy.data.columns import Columns, columns_of, flag_labels
from seewhy.data.labels import DIFFERING, JOINT, NO_LABEL, whole
from seewhy.data.places import located
from seewhy.data.sheet import Sheet, cells
from seewhy.errors import listed
from seewhy.records import Image


@dataclass(frozen=True)
class Listing:
    """The images of a list, the class names in their order, and notes."""

    images: tuple[Image, ...]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_listing(sheet: Sheet, folder: Path, source: str, asked: Mapping[str, str]) -> Listing:
    """The images of a table whose paths are relative to `folder`.

    Classes are in the order of a column "label" of indices or of columns named like them, else sorted. `asked` names
    columns by what they are. Raises DataError where there is no column of paths.
    """
    columns = columns_of(sheet, asked, source)
    rows = [row for row in sheet.rows if row.get(columns.path)]
    paths, moved = located(cells(rows, columns.path), folder, source)
    labels, said = _labels(rows, columns)
    splits, numbered = _splits(rows, columns.split)
    images, repeated = without_repeats(
        [
            Image(relative(path, folder), str(path), label, split or None)
            for path, label, split in zip(paths, labels, splits, strict=True)
        ]
    )
    usual = () if columns.are_usual else (f"Read from {source}: {columns.said()}.",)
    no_label = _without_label(sheet, columns)
    return Listing(
        tuple(images),
        _classes(rows, columns, labels),
        (*sheet.notes, *usual, *no_label, *moved, *said, *numbered, *repeated),
    )


def label_names(images: Iterable[Image]) -> tuple[str, ...]:
    """The labels that the images have, sorted."""
    return tuple(sorted({name for image in images if image.label for name in image.label.split(DIFFERING)}))


def without_repeats(images: Sequence[Image]) -> tuple[list[Image], tuple[str, ...]]:
    """Every file once, each with an id of its own, and notes where some were listed twice.

    One that is listed with different labels has them all, for networks of several labels.
    """
    first: dict[str, Image] = {}
    taken: set[str] = set()
    differing: Counter[str] = Counter()
    for image in images:
        place = os.path.normpath(Path(image.path or image.id).absolute())
        if place in first:
            differing.update(_differing(first[place], image))
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
    return list(first.values()), (*notes, *_said_of(first.values(), differing["split"]))


def relative(path: Path, root: Path) -> str:
    """The path below root with forward slashes; one that lies outside keeps only its own words."""
    text = os.path.relpath(path.absolute(), root.absolute())
    return "/".join(part for part in Path(text).parts if part not in ("..", os.sep))


def _labels(rows: Sequence[Mapping[str, str]], columns: Columns) -> tuple[list[str | None], list[str]]:
    """The label of each row as text ("" for an empty cell of a column of labels), and what is to be said."""
    if columns.label is not None:
        return list(whole(cells(rows, columns.label))), []
    if not columns.flags:
        return [None] * len(rows), []
    sets = flag_labels(rows, columns.flags)
    unknown = sets.count(None)
    said = f"{unknown:,} rows have no label: they hold -1 for one of {listed(columns.flags, 4)}, or nothing at all."
    labels = [None if names is None else JOINT.join(names) or NO_LABEL for names in sets]
    return labels, [said] if unknown else []


def _splits(rows: Sequence[Mapping[str, str]], column: str | None) -> tuple[list[str], list[str]]:
    """The split of each row ("" where there is none); 0, 1 and 2 are train, valid and test, as CelebA has them."""
    splits = list(whole(cells(rows, column))) if column else [""] * len(rows)
    if set(splits) != {"0", "1", "2"}:
        return splits, []
    names = dict(zip("012", ("train", "valid", "test"), strict=True))
    return [names[split] for split in splits], [f"{column} 0, 1 and 2 are read as train, valid and test."]


def _without_label(sheet: Sheet, columns: Columns) -> list[str]:
    others = [name for name in sheet.columns if name and name not in (columns.path, columns.split)]
    if columns.label or columns.flags or not others:
        return []
    return [
        f"No column is read as the label, but there are: {listed(others)}.  Say which:  --columns label={others[0]}"
    ]


def _classes(rows: Sequence[Mapping[str, str]], columns: Columns, labels: Sequence[str | None]) -> tuple[str, ...]:
    """The class names: in the order of their indices or columns, else sorted; numbers as numbers."""
    if columns.flags:
        return columns.flags
    names = sorted({label for label in labels if label})
    if names and all(map(str.isdecimal, whole(names))):
        names = sorted(names, key=lambda name: int(whole([name])[0]))
    numbers = whole(cells(rows, columns.index)) if columns.index else []
    pairs = zip(labels, numbers, strict=False)
    order = {label: int(number) for label, number in pairs if label and number.isdecimal()}
    if len(set(order.values())) == len(order) == len(names):
        names = sorted(names, key=order.__getitem__)
    return tuple(names)


def _differing(first: Image, again: Image) -> list[str]:
    return ["split"] if first.split and again.split and first.split != again.split else []


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
        notes.append(f"{n_splits:,} rows name another split for an image that was listed before: the first counts.")
    return notes
