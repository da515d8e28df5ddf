"""A folder of images as a table: labels and splits from the names of folders, its own and its siblings'."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from seewhy.data.formats.image_files import RUN, SUFFIXES, holds_image, is_of_a_system, left_out, walk
from seewhy.data.formats.next_steps import steps_for
from seewhy.data.sources.listing import label_names
from seewhy.data.tables.folder_names import Placement, is_split_name, placed
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, listed
from seewhy.records import Image


def table_of_folder(root: Path) -> ImageTable:
    """The table of a folder with all below it. Raises DataError where it holds no image, with what it holds."""
    unread: list[OSError] = []
    others: Counter[str] = Counter()
    start = str(root / "x")[:-1]
    names = sorted(str(path)[len(start) :].replace(os.sep, "/") for path in walk(root, unread.append, others))
    if not names:
        held = listed(sorted(entry.name for entry in root.iterdir())) or "nothing"
        steps = "".join(f"\n  {step}" for step in steps_for(others))
        raise DataError(
            f"Found no images in {root}, which holds: {held}.\n  Suffixes read: {listed(sorted(SUFFIXES), 30)}{steps}",
            slug="no-images",
        )
    images = [Image(name, start + name.replace("/", os.sep)) for name in names]
    del names
    inside, beside = inside_and_beside(images)
    if inside:
        table = of_class_folders(str(root), root.resolve().name, inside, beside, root)
    else:
        table = _named_by_the_folder(root, images)
    return replace(table, notes=(*table.notes, *left_out(table.empty, unread, others)))


def inside_and_beside(images: list[Image]) -> tuple[list[Image], list[Image]]:
    """The images in class folders, and the few that lie beside these; all are beside where there are none."""
    beside = [image for image in images if "/" not in image.id]
    inside = [image for image in images if "/" in image.id]
    if len({image.id.partition("/")[0] for image in inside}) < 2 or len(beside) >= len(inside):
        return ([], images) if beside else (inside, [])
    return inside, beside


def of_class_folders(
    source: str, name: str, inside: Sequence[Image], beside: Sequence[Image], root: Path | None = None
) -> ImageTable:
    """The table of images in class folders; the few `beside` these have no class. None as `root`: it lies elsewhere."""
    placed_images, placement = in_folders(inside)
    images = in_split(placed_images, name)
    has_labels = any(image.label for image in images)
    empty = _empty_classes(root, placement) if root is not None and has_labels else ()
    notes = list(placement.notes)
    if beside:
        notes.append(f"Images beside the class folders have no class: {listed([image.id for image in beside], 4)}.")
    together = sorted([*images, *beside], key=lambda image: image.id)
    return ImageTable(
        tuple(together),
        root,
        label_names(images),
        tuple(notes),
        source=source,
        empty=empty,
        either=placement.either,
    )


def _empty_classes(root: Path, placement: Placement) -> tuple[str, ...]:
    """The names of folders beside class folders in which no image lies, and no run."""
    labels = {label for label, _ in placement.places}
    empty = set()
    for home in placement.homes:
        for entry in os.scandir(root.joinpath(*home)):
            if entry.is_dir() and entry.name not in labels and not is_of_a_system(entry.name):
                inner = Path(entry.path)
                if not (inner / RUN).exists() and next(walk(inner), None) is None:
                    empty.add(entry.name)
    return tuple(sorted(empty))


def in_folders(images: Sequence[Image]) -> tuple[list[Image], Placement]:
    """The images with the label and split that the folders in their ids say; each lies in one at least."""
    placement = placed([tuple(image.id.split("/")[:-1]) for image in images])
    together = zip(images, placement.places, strict=True)
    return [replace(image, label=label, split=split) for image, (label, split) in together], placement


def in_split(images: Iterable[Image], name: str) -> list[Image]:
    """The images with the split that the name of their folder or list says, where they have none of their own."""
    split = name if is_split_name(name) else None
    return list(images) if split is None else [replace(image, split=image.split or split) for image in images]


def _named_by_the_folder(root: Path, images: list[Image]) -> ImageTable:
    """Label and split of a folder that holds images itself, from its own and its sibling folders' names."""
    home = root.resolve()
    siblings = sorted(
        entry.name for entry in home.parent.iterdir() if not is_of_a_system(entry.name) and holds_image(entry)
    )
    if len(siblings) < 2 or all(map(is_split_name, siblings)):
        return ImageTable(tuple(in_split(images, home.name)), root, source=str(root))
    if any("/" in image.id for image in images):
        return ImageTable(tuple(images), root, source=str(root))
    images = in_split([replace(image, label=home.name) for image in images], home.parent.name)
    note = f"Class {home.name!r} from the folder's name; its siblings give the classes {', '.join(siblings)}."
    return ImageTable(tuple(images), root, tuple(siblings), notes=(note,), source=str(root))
