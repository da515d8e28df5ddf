"""From what the user names (a folder, a CSV, a list, a glob, a tensor, a Dataset) to the ordered image table."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.data.listing import label_names, read_csv, read_lines, relative, without_repeats
from seewhy.errors import DataError, OptionError, listed, nearest
from seewhy.records import Image

_COMMON = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff")
_RARE = (".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga")
SUFFIXES = frozenset((*_COMMON, *_RARE))
_RUN = "manifest.json"  # a folder with it is a run, whose sheet.jpg does not make it a class
SPLITS = ("train", "training", "valid", "validation", "val", "test", "testing", "dev")


@dataclass(frozen=True)
class ImageTable:
    """The ordered list of images, with the class names that their folders or labels suggest.

    `root` is what ids are relative to; `items` holds images that are not files (a tensor or a Dataset), by position.
    """

    images: tuple[Image, ...]
    root: Path | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    items: Any = None
    source: str = ""

    def __len__(self) -> int:
        return len(self.images)


def read_table(source: Any, *, limit: int | None = None, sample: int | None = None, seed: int = 0) -> ImageTable:
    """The image table of a folder, a CSV, a text list, a glob, a file, a list of paths, a tensor or a Dataset.

    Ids and order do not depend on the file system. `limit` takes the first images; `sample` a seeded random choice in
    which every split and class keeps its share. Raises DataError where there are no images.
    """
    if limit is not None and sample is not None:
        raise OptionError("--limit and --sample cannot be given together: the first images, or a random choice?")
    if (number := limit if limit is not None else sample) is not None and number < 1:
        raise OptionError(f"--{'limit' if limit is not None else 'sample'} is {number}, but must be at least 1.")
    table = _storable(_table(source))
    if not table.images:
        raise DataError(f"Found no images in {table.source}.", slug="no-images")
    if limit is not None:
        return replace(table, images=table.images[:limit])
    if sample is not None:
        return replace(table, images=_sampled(table.images, sample, seed))
    return table


def with_labels(table: ImageTable, classes: Sequence[str]) -> ImageTable:
    """The table with every label as one of `classes`; a label that is none of them is dropped, and said.

    A label that is a number counts as a class index, also one that comes with an item of a Dataset without names.
    """
    dropped: Counter[str] = Counter()

    def settled(image: Image) -> Image:
        label = image.label
        if label is None or label in classes:
            return image
        if label.isdecimal() and int(label) < len(classes):
            return replace(image, label=classes[int(label)])
        dropped[label] += 1
        return replace(image, label=None)

    images = tuple(settled(image) for image in table.images)
    notes = table.notes
    if dropped:
        said = ", ".join(f"{label!r} ({count})" for label, count in dropped.most_common(5))
        notes = (*notes, f"Labels that are no class of this network were left out: {said}.")
    names = table.classes if table.items is None or table.classes else tuple(classes)
    return replace(table, images=images, classes=names, notes=notes)


def label_of(value: Any, classes: Sequence[str]) -> str | None:
    """The class name of a label as Datasets have it: a word, or an index as int or tensor; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)) or (isinstance(value, Tensor) and value.numel() == 1):
        index = int(value)
        return classes[index] if 0 <= index < len(classes) else str(index)
    return None


def _table(source: Any) -> ImageTable:
    if isinstance(source, ImageTable):
        return source
    if isinstance(source, (str, Path)):
        return _from_path(source)
    if isinstance(source, Tensor):
        return _from_tensor(source)
    if isinstance(source, (list, tuple)) and all(isinstance(path, (str, Path)) for path in source):
        return _from_list([Path(path) for path in source], "the list")
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return _from_dataset(source)
    raise DataError(
        f"Images are {type(source).__name__}, but must be a folder, a CSV, a list of paths, a glob, "
        "a tensor (N, C, H, W) or a Dataset with a length.",
        slug="no-images",
    )


def _from_path(source: str | Path) -> ImageTable:
    text, path = str(source), Path(source)
    if not text:
        raise DataError("No images were named: the name is empty.", slug="no-images")
    if path.is_dir():
        return _from_folder(path)
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in (".csv", ".tsv"):
            return _from_csv(path)
        if suffix in (".txt", ".lst", ".list"):
            return _from_list(read_lines(path), str(path))
        if suffix == ".zip":
            raise DataError(f"{path} is an archive.  Unpack it first:  seewhy data {path} DEST", slug="no-images")
        return _from_list([path], str(path))
    if any(letter in text for letter in "*?["):
        return _from_list(_matches(text, path.anchor), f"the glob {text}")
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DataError(f"There is no file or folder {text}.  {nearest(path.name, beside)}".rstrip(), slug="no-such-file")


def _matches(pattern: str, anchor: str) -> list[Path]:
    try:
        paths = list(Path(anchor or ".").glob(pattern.removeprefix(anchor)))
    except (ValueError, NotImplementedError):  # like "a**"
        return []
    return sorted(path for path in paths if _is_image_name(path.name) and not path.is_dir())


def _from_folder(root: Path) -> ImageTable:
    unread: list[OSError] = []
    paths = sorted(_walk(root, unread.append), key=lambda path: path.relative_to(root).as_posix())
    if not paths:
        held = listed(sorted(entry.name for entry in root.iterdir())) or "nothing"
        raise DataError(
            f"Found no images in {root}, which holds: {held}.\n  Suffixes read: {listed(sorted(SUFFIXES), 30)}",
            slug="no-images",
        )
    images = [_in_folders(path.relative_to(root).as_posix(), path) for path in paths]
    if any("/" not in image.id for image in images):
        table = _named_by_the_folder(root, images)
    else:
        images = _in_split(images, root.resolve().name)
        table = ImageTable(tuple(images), root, label_names(images), source=str(root))
    if unread:
        names = listed([f"{error.filename} ({error.strerror})" for error in unread], 3)
        table = replace(table, notes=(*table.notes, f"{len(unread)} folders cannot be looked into: {names}."))
    return table


def _in_folders(name: str, path: Path) -> Image:
    """The image of that id, with the split and the label that the folders in it say."""
    folders = name.split("/")[:-1]
    split = folders.pop(0) if folders and folders[0].lower() in SPLITS else None
    return Image(name, str(path), folders[0] if folders else None, split)


def _in_split(images: Sequence[Image], name: str) -> list[Image]:
    """The images with the split that the name of their folder or list says, where they have none of their own."""
    split = name if name.lower() in SPLITS else None
    return [replace(image, split=image.split or split) for image in images]


def _named_by_the_folder(root: Path, images: list[Image]) -> ImageTable:
    """Label and split of a folder that holds images itself, from its own and its sibling folders' names."""
    home = root.resolve()
    if home.name.lower() in SPLITS:
        return ImageTable(tuple(_in_split(images, home.name)), root, source=str(root))
    siblings = sorted(
        entry.name for entry in home.parent.iterdir() if not entry.name.startswith(".") and _holds_image(entry)
    )
    if len(siblings) < 2 or any(image.label for image in images):
        return ImageTable(tuple(replace(image, label=None) for image in images), root, source=str(root))
    images = _in_split([replace(image, label=home.name, split=None) for image in images], home.parent.name)
    note = f"Class {home.name!r} from the folder's name; its siblings give the classes {', '.join(siblings)}."
    return ImageTable(tuple(images), root, tuple(siblings), notes=(note,), source=str(root))


def _from_csv(path: Path) -> ImageTable:
    images, classes, notes = read_csv(path)
    return ImageTable(tuple(_in_split(images, path.stem)), path.parent, classes, notes, source=str(path))


def _from_list(paths: Sequence[Path], source: str) -> ImageTable:
    if not paths:
        raise DataError(f"Found no images in {source}.", slug="no-images")
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    images, notes = without_repeats([Image(relative(path, root), str(path)) for path in paths])
    if all("/" in image.id for image in images):  # they lie in folders below a common one: read those as a folder would
        images = _in_split([_in_folders(image.id, Path(image.path or "")) for image in images], root.name)
    return ImageTable(tuple(images), root, label_names(images), notes, source=source)


def _from_tensor(batch: Tensor) -> ImageTable:
    if batch.ndim == 3:
        batch = batch[None]
    if batch.ndim != 4 or batch.shape[1] not in (1, 3):
        raise DataError(
            f"The tensor has shape {tuple(batch.shape)}, but images are (N, 3, H, W) or (N, 1, H, W).", slug="no-images"
        )
    if not batch.is_floating_point() and batch.dtype != torch.uint8:
        raise DataError(
            f"The tensor is {batch.dtype}, but must be floats (the network's own input) or bytes (uint8 photographs).",
            slug="no-images",
        )
    if batch.is_floating_point() and not torch.isfinite(batch).all():
        raise DataError("The tensor of images holds NaN or infinite values.", slug="no-images")
    return _from_items(batch, "the tensor")


def _from_dataset(dataset: Any) -> ImageTable:
    table = _from_items(dataset, type(dataset).__name__)
    names = getattr(dataset, "classes", None)
    classes = tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()
    targets = getattr(dataset, "targets", None)
    if targets is None or len(targets) != len(table):
        return replace(table, classes=classes)
    images = tuple(
        replace(image, label=label_of(target, classes)) for image, target in zip(table.images, targets, strict=True)
    )
    return replace(table, images=images, classes=classes)


def _from_items(items: Any, source: str) -> ImageTable:
    width = max(5, len(str(len(items))))
    return ImageTable(tuple(Image(f"{number:0{width}d}") for number in range(len(items))), items=items, source=source)


def _sampled(images: Sequence[Image], count: int, seed: int) -> tuple[Image, ...]:
    """A seeded choice in table order; every split and class gets its share, rounded by largest remainder."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        groups[image.split or "", image.label or ""].append(place)
    count = min(count, len(images))
    exact = {key: count * len(places) / len(images) for key, places in groups.items()}
    quota = {key: int(value) for key, value in exact.items()}
    for key in sorted(exact, key=lambda key: (quota[key] - exact[key], key))[: count - sum(quota.values())]:
        quota[key] += 1
    chosen = random.Random(seed)
    kept = [place for key in sorted(groups) for place in chosen.sample(groups[key], quota[key])]
    return tuple(images[place] for place in sorted(kept))


def _walk(root: Path, refused: Callable[[OSError], None] = lambda error: None) -> Iterator[Path]:
    """Every image file below root; linked folders are followed once, and what cannot be looked into is told."""
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True, onerror=refused):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in names:
            if _is_image_name(name):
                yield Path(folder, name)


def _is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _holds_image(folder: Path) -> bool:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:  # also a file
        return False
    return _RUN not in names and any(map(_is_image_name, names))


def _storable(table: ImageTable) -> ImageTable:
    """The table with the bytes that are no UTF-8 in file names written out in ids, labels and splits."""

    def plain(text: str | None) -> str | None:
        return None if text is None else text.encode("utf-8", "backslashreplace").decode()

    images = tuple(
        image
        if image.id == (new_id := plain(image.id))
        else replace(image, id=new_id or "", label=plain(image.label), split=plain(image.split))
        for image in table.images
    )
    return replace(table, images=images, classes=tuple(plain(name) or "" for name in table.classes))
