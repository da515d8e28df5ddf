"""Lists of images in files: a CSV with its columns, or a text with one path a line."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

from seewhy.errors import DataError, listed
from seewhy.records import Image

_PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "name")
_LABEL_COLUMNS = ("label_str", "label_name", "class_name", "label", "class", "target", "category")


def read_csv(path: Path) -> tuple[list[Image], tuple[str, ...], tuple[str, ...]]:
    """The images of a CSV or TSV, the class names, and notes.

    Paths are relative to the file; classes are in the order of a column "label" of indices, else sorted. Raises
    DataError where there is no column of paths.
    """
    rows, columns = _rows(path)
    where = next((columns[name] for name in _PATH_COLUMNS if name in columns), None)
    if where is None:
        raise DataError(
            f"{path} has no column of paths, but: {listed(columns)}.\n  Name it one of: {listed(_PATH_COLUMNS, 20)}",
            slug="csv",
        )
    what = next((columns[name] for name in _LABEL_COLUMNS if name in columns), None)
    images: list[Image] = []
    order: dict[str, int] = {}
    for row in rows:
        if not (name := _cell(row, where)):
            continue
        file, label = _near(Path(name), path.parent), _cell(row, what) or None
        images.append(Image(relative(file, path.parent), str(file), label, _cell(row, columns.get("split")) or None))
        if label is not None and (index := _cell(row, columns.get("label"))).isdecimal():
            order[label] = int(index)
    images, notes = without_repeats(images)
    classes = label_names(images)
    if len(set(order.values())) == len(order) == len(classes):
        classes = tuple(sorted(classes, key=order.__getitem__))
    return images, classes, notes


def read_lines(path: Path) -> list[Path]:
    """The paths in a text, one a line and relative to the text."""
    lines = [line.strip() for line in _read_text(path).split("\n")]
    return [_near(Path(line), path.parent) for line in lines if line]


def label_names(images: Iterable[Image]) -> tuple[str, ...]:
    """The labels that the images have, sorted."""
    return tuple(sorted({image.label for image in images if image.label is not None}))


def without_repeats(images: Sequence[Image]) -> tuple[list[Image], tuple[str, ...]]:
    """Every file once, each with an id of its own, and a note where one was listed twice."""
    first: dict[str, Image] = {}
    taken: set[str] = set()
    for image in images:
        place = os.path.normpath(Path(image.path or image.id).absolute())
        if place in first:
            continue
        new_id, count = PurePosixPath(image.id), 1
        while str(new_id) in taken:  # files of the same name outside the list's folder
            count += 1
            new_id = new_id.with_name(f"{PurePosixPath(image.id).stem}~{count}{new_id.suffix}")
        taken.add(str(new_id))
        first[place] = replace(image, id=str(new_id))
    repeats = len(images) - len(first)
    return list(first.values()), ((f"{repeats} images were listed twice and are taken once.",) if repeats else ())


def relative(path: Path, root: Path) -> str:
    """The path below root with forward slashes; one that lies outside keeps only its own words."""
    text = os.path.relpath(path.absolute(), root.absolute())
    return "/".join(part for part in Path(text).parts if part not in ("..", os.sep))


def _rows(path: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The rows of a table, and its columns by their names in small letters."""
    text = StringIO(_read_text(path), newline="")
    reader = csv.DictReader(text, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{path} cannot be read: {error}", slug="csv") from error
    return rows, {str(name).strip().lower(): name for name in reader.fieldnames or () if name}


def _cell(row: dict[str, Any], column: str | None) -> str:
    return (row[column] or "").strip() if column else ""


def _near(path: Path, folder: Path) -> Path:
    """A relative path as seen from the list's folder, or from here if it exists only here."""
    beside = folder / path
    return path if not beside.exists() and path.exists() else beside


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if "\0" in text:  # no name holds one, and what reads it may stop there
            line = text[: text.index("\0")].count("\n") + 1
            raise DataError(f"{path} holds a NUL byte in line {line}: it is no plain text, or damaged.", slug="csv")
        return text
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: it must be UTF-8 text ({error}).", slug="csv") from error
