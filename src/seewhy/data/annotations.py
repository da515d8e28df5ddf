"""Masks drawn from annotations: polygons and boxes of COCO files and of folders of YOLO's text files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.data.masks import Levels, Reader, catalogue_of
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import Loaded
from seewhy.errors import DataError, OptionError, listed, nearest
from seewhy.records import Image

Points = NDArray[np.float64]  # (corners, 2) of x and y


def inside_polygon(points: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels (height, width) have their centre in the polygon, by the even-odd rule; points in pixels."""
    height, width = size
    rows = np.arange(height) + 0.5
    (x0, y0), (x1, y1) = points.T[:, :, None], np.roll(points, -1, axis=0).T[:, :, None]
    edges, lines = np.nonzero((y0 <= rows) != (y1 <= rows))  # each edge with each row that it crosses
    share = (rows[lines] - y0[edges, 0]) / (y1 - y0)[edges, 0]
    crossings = x0[edges, 0] + share * (x1 - x0)[edges, 0]
    turns = np.zeros((height, width + 1), dtype=bool)
    np.logical_xor.at(turns, (lines, np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)), True)
    return np.logical_xor.accumulate(turns, axis=1)[:, :width]


def box_corners(left: float, top: float, width: float, height: float) -> Points:
    """The four corners of a box."""
    right, bottom = left + width, top + height
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def draw(polygons: Iterable[Points], size: tuple[int, int]) -> Levels:
    """The mask (height, width) of everything that lies in any of the polygons, whose points are in pixels."""
    inside = np.zeros(size, dtype=bool)
    for points in polygons:
        inside |= inside_polygon(points, size)
    return np.where(inside, np.uint8(255), np.uint8(0))


# YOLO: one text file an image, one object a line


def yolo_files(folder: Path, category: str | None, images: Sequence[Image]) -> Reader:
    """The reader of a folder's text files, of one class number or of all; an empty file is an image without objects.

    Raises DataError where no image has a file in it.
    """
    if category is not None and not category.isdecimal():
        raise OptionError(f"{folder}#{category}: the text files name classes by number, like {folder}#0.")
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.txt"))]
    catalogue = catalogue_of(names, images, folder)

    def read(image: Image, loaded: Loaded) -> Levels:
        height, width = loaded.size
        objects = read_yolo(folder / catalogue.name_for(image), category)
        return draw([points * (width, height) for points in objects], loaded.size)

    return read


def read_yolo(path: Path, category: str | None = None) -> list[Points]:
    """The objects of a text file in shares of the picture: boxes "class cx cy w h", or polygons "class x y x y x y …".

    A box may end with its confidence. Raises UnreadableError with the line that is neither.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path.name} cannot be read ({type(error).__name__})") from error
    polygons = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or (category is not None and words[0] != category):
            continue
        try:
            polygons.append(_yolo_object([float(word) for word in words[1:]]))
        except ValueError as error:
            raise UnreadableError(f"{path.name}, line {number} {error}") from error
    return polygons


def _yolo_object(values: list[float]) -> Points:
    if not all(-0.5 <= value <= 1.5 for value in values):  # also NaN; a little beyond the edge is usual
        raise ValueError("has numbers outside 0..1")
    if len(values) in (4, 5):
        across, along, width, height = values[:4]
        return box_corners(across - width / 2, along - height / 2, width, height)
    if len(values) >= 6 and len(values) % 2 == 0:
        return np.array(values).reshape(-1, 2)
    raise ValueError(f"has {len(values)} numbers behind its class: 4 are a box, 6 or more in pairs a polygon")


# COCO: one file for all images


@dataclass(frozen=True)
class _Listed:
    """An image of a COCO file: its (height, width) if named, and the objects in it."""

    size: tuple[int, int] | None
    objects: Sequence[dict[str, Any]]


def coco_file(path: Path, category: str | None, images: Sequence[Image]) -> Reader:
    """The reader of a COCO instances file, of one category (by name or number) or of all.

    Raises DataError for another kind of file or one that names none of the images, OptionError for no such category.
    """
    entries = _read_coco(path, category)
    catalogue = catalogue_of(entries, images, path)

    def read(image: Image, loaded: Loaded) -> Levels:
        entry = entries[catalogue.name_for(image)]
        size = entry.size or loaded.size
        inside = np.zeros(size, dtype=bool)
        for annotation in entry.objects:
            try:
                inside |= _coco_object(annotation, size)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                raise UnreadableError(f"{path.name} describes an object that cannot be drawn: {error}") from error
        return np.where(inside, np.uint8(255), np.uint8(0))

    return read


def runs_of(text: str) -> list[int]:
    """The run lengths in COCO's compressed text: 5 bits a letter with a sign, from the fourth on differences.

    pycocotools, maskApi.c, rleFrString.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more letters of this number follow
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def _read_coco(path: Path, category: str | None) -> dict[str, _Listed]:
    try:
        held = json.loads(path.read_bytes())
        wanted = _category(path, held, category)
        objects: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in held["images"]}
        for annotation in held["annotations"]:
            if wanted is None or annotation["category_id"] == wanted:
                objects.setdefault(annotation["image_id"], []).append(annotation)
        return {str(image["file_name"]): _Listed(_size_of(image), objects[image["id"]]) for image in held["images"]}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", slug="no-such-file") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} is no COCO instances file ({type(error).__name__}: {error}).\n"
            '  Such a file holds "images", "annotations" and "categories".',
            slug="no-masks",
        ) from error


def _category(path: Path, held: dict[str, Any], asked: str | None) -> int | None:
    if asked is None:
        return None
    names = {str(category["name"]): int(category["id"]) for category in held.get("categories", ())}
    if asked in names:
        return names[asked]
    if asked.isdecimal() and int(asked) in names.values():
        return int(asked)
    known = f"{nearest(asked, names)}  It has: {listed(names)}".strip()
    raise OptionError(f"{path} has no category {asked!r}.  {known}", slug="no-such-region")


def _size_of(image: dict[str, Any]) -> tuple[int, int] | None:
    height, width = int(image.get("height") or 0), int(image.get("width") or 0)
    return (height, width) if height > 0 and width > 0 else None


def _coco_object(annotation: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        return _from_runs(shape)
    polygons = [np.asarray(flat, dtype=np.float64).reshape(-1, 2) for flat in shape or ()]
    return draw(polygons or [box_corners(*map(float, annotation["bbox"]))], size) > 0


def _from_runs(shape: dict[str, Any]) -> NDArray[np.bool_]:
    """A run-length mask: runs go down the columns, the first one outside."""
    counts = runs_of(shape["counts"]) if isinstance(shape["counts"], str) else shape["counts"]
    height, width = map(int, shape["size"])
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T
