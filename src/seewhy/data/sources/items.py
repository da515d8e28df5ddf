"""Images that are no files: those of a tensor, an array, a Dataset, a DataLoader or a batch, with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)

from seewhy.cam.model import untouched
from seewhy.data.tables.folder_names import is_split_name
from seewhy.data.tables.item_labels import (
    IMAGES,
    LABELS,
    ItemReading,
    entry,
    image_in,
    key_in,
    label_of,
    notes_of,
    reading_of,
    reading_of_label,
)
from seewhy.data.tables.labels import JOINT, number_of
from seewhy.errors import DataError, listed

LOOKED_AT = 32  # items of a Dataset whose labels are read beforehand, spread over it
_FORMS = "a tensor or array (N, C, H, W), PIL images in a list, paths in a list, or a Dataset with a length"


@dataclass(frozen=True)
class Items:
    """Images by position, with the class names and the labels that are known beforehand.

    `read_as` are the names of numbers in them; `seen` is what some items hold where no label is known beforehand.
    """

    held: Any
    classes: tuple[str, ...] = ()
    labels: tuple[str | None, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""
    read_as: tuple[str, ...] = ()
    seen: tuple[ItemReading, ...] = ()
    splits: tuple[str, ...] = ()  # of what was given by split


def items_of(source: Any, first: int | None = None) -> Items:
    """What can be explained of a source that is no path; numbers of classes count from `first`.

    Raises DataError that says what to give instead.
    """
    items = _items_of(source, first or 0)
    if not isinstance(items.held, Tensor):
        return _looked_into(items, first or 0)
    return replace(items, held=readable(items.held))


def readable(stack: Tensor) -> Tensor | list[Tensor]:
    """A stack of images as it is; in a list where some hold NaN or infinite values: those are rows with their reason.

    Of a stack every image is taken for the network's input, unseen.
    """
    return stack if not stack.is_floating_point() or bool(torch.isfinite(stack).all()) else list(stack)


def _items_of(source: Any, first: int) -> Items:
    if isinstance(source, PIL.Image.Image):
        return Items([source], source="the picture")
    if isinstance(source, DataLoader):
        return _of_loader(source, first)
    if isinstance(source, (Tensor, np.ndarray)):
        name = "the tensor" if isinstance(source, Tensor) else "the array"
        return Items(_stack(source), notes=_taken_as(source), source=name)
    if (batch := _batch_in(source)) is not None:
        return _of_batch(*batch, first)
    if isinstance(source, IterableDataset) or not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        first_of = "\n  Of a stream give the first images:  list(dataset.take(1000))" if hasattr(source, "take") else ""
        raise DataError(f"Images are {type(source).__name__}, but must be {_places()}.{first_of}", slug="no-images")
    if isinstance(source, Mapping) and source and all(is_split_name(str(name)) for name in source):
        return _of_splits(source, first)
    if isinstance(source, Mapping):
        raise DataError(
            f"The dict has {listed(map(str, source))}, none of which is a batch of images (N, C, H, W).\n"
            f"  Give {_FORMS}, or a dict with one called {listed(IMAGES[:4])}.",
            slug="no-images",
        )
    return _of_dataset(source, first)


def paths_in(source: Any) -> list[Path] | None:
    """The paths in a list, an array or a column of words; None where the source holds something else."""
    if not isinstance(source, (list, tuple)):
        as_list = getattr(source, "tolist", None) or getattr(source, "to_list", None)
        if as_list is None or getattr(source, "ndim", 1) != 1 or len(source) == 0:
            return None
        source = as_list()
    return [Path(path) for path in source] if all(isinstance(path, (str, Path)) for path in source) else None


def are_rows(source: Any) -> bool:
    """Whether rows of a table were made in Python: dicts of words and numbers, with a word at least."""
    if not isinstance(source, (list, tuple)) or not source or not all(isinstance(row, Mapping) for row in source):
        return False
    cells = list(source[0].values())
    plain = all(cell is None or isinstance(cell, (str, Path, int, float, np.generic)) for cell in cells)
    return plain and any(isinstance(cell, (str, Path)) for cell in cells)


def image_and_label(
    item: Any, label: str | None, classes: Sequence[str], first: int | None = None
) -> tuple[Any, str | None]:
    """The image of a Dataset's item (alone, with a label, or in a dict), and its own label, else the one known.

    Raises DataError where that is a number that shows the count to be from 1, and nobody said the `first`.
    """
    own = reading_of(item, classes, first if label is None else first or 0).label
    if own and label and _parts(own) != _parts(label) and (label in classes or number_of(label) is None):
        raise DataError(
            f"An item of the Dataset holds the label {own}, and its `targets` say {label}, though the first agree.\n"
            "  Make them the same, or take `targets` away: what the items hold counts then.",
            slug="label-twice",
        )
    return _as_readable(image_in(item)), label if own is None else own


def _parts(label: str) -> set[str]:
    return set(label.casefold().split(JOINT))


def _as_readable(image: Any) -> Any:
    """An array as what is read: floats (C, H, W) as a tensor, grey bytes and those with alpha as a picture."""
    if not isinstance(image, np.ndarray):
        return image
    if np.issubdtype(image.dtype, np.floating) and image.ndim == 3:
        return torch.from_numpy(np.ascontiguousarray(image)).float()
    if image.dtype == np.uint8 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 4))):
        return PIL.Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    return image


def _places() -> str:
    return f"a folder, a CSV, a list of paths, a glob, {_FORMS}"


def _of_loader(loader: DataLoader[Any], first: int) -> Items:
    """A loader's dataset, in its own order; of a sampler of some rows those."""
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise DataError(
            f"The DataLoader's dataset is {type(dataset).__name__}, which has no length.\n"
            "  Give its batches as one:  images=torch.cat([batch[0] for batch in loader])",
            slug="no-images",
        )
    rows = None
    if not isinstance(loader.sampler, (SequentialSampler, RandomSampler)):
        rows = sorted({int(row) for row in loader.sampler})
    whole = rows is None or len(rows) == len(dataset)
    items = _of_dataset(dataset, first) if whole else _some(_of_dataset(dataset, first), rows or [])
    which = "in its order" if whole else f"{len(rows or []):,} of its {len(dataset):,} rows, those of the sampler"
    note = f"The DataLoader's dataset is read ({which}), without its batches, shuffling and collate_fn."
    return replace(items, notes=(*items.notes, note), source=type(dataset).__name__)


def _of_splits(source: Mapping[str, Any], first: int) -> Items:
    """Datasets by split, as a DatasetDict of Hugging Face has them, one after the other, with one set of names."""
    parts = {str(name): _items_of(held, first) for name, held in source.items()}
    names = {part.classes for part in parts.values()}
    if len(names) > 1:
        raise DataError(
            f"The splits {listed(parts)} have different class names: {listed([listed(one, 4) for one in names], 3)}.\n"
            "  Give one of them, or the same names to all.",
            slug="no-images",
        )
    columns = [part.labels or (None,) * len(part.held) for part in parts.values()]
    labels = tuple(label for column in columns for label in column)
    held: ConcatDataset[Any] = ConcatDataset([part.held for part in parts.values()])
    splits = tuple(name for name, part in parts.items() for _ in range(len(part.held)))
    notes = tuple(note for part in parts.values() for note in part.notes)
    one = next(iter(parts.values()))
    known = labels if any(labels) else ()
    return Items(held, one.classes, known, notes, ", ".join(parts), one.read_as, splits=splits)


def _some(items: Items, rows: Sequence[int]) -> Items:
    labels = tuple(items.labels[row] for row in rows) if items.labels else ()
    return replace(items, held=Subset(items.held, rows), labels=labels)


def _batch_in(source: Any) -> tuple[Any, Any, tuple[str, ...]] | None:
    """Images, labels (or None) and notes of a batch: a pair as loaders give it, or a dict with names for both."""
    if isinstance(source, Mapping):
        image = entry(source, IMAGES)
        read = reading_of({**source, key: 0} if (key := key_in(source, LABELS)) is not None else source, ())
        notes = notes_of([read], "batch") if image is not None else ()
        is_batch = isinstance(image, (Tensor, np.ndarray)) and image.ndim == 4
        return (image, entry(source, LABELS), notes) if is_batch else None
    if isinstance(source, (tuple, list)) and len(source) == 2:
        images, labels = source
        if isinstance(images, (Tensor, np.ndarray)) and images.ndim == 4 and not isinstance(labels, (str, Mapping)):
            return (images, labels, ()) if hasattr(labels, "__len__") and len(labels) == len(images) else None
    return None


def _of_batch(images: Any, labels: Any, notes: tuple[str, ...], first: int) -> Items:
    held = _stack(images)
    read = [] if labels is None else [reading_of_label(label, (), first) for label in labels]
    notes = (*notes, *_taken_as(images), *notes_of(read, "images of the batch"))
    return Items(held, labels=tuple(one.label for one in read), notes=notes, source="the batch")


def _stack(values: Tensor | np.ndarray[Any, Any]) -> Any:
    """A stack of images: floats (N, C, H, W) are the network's input, bytes are photographs, channels first or last."""
    batch = torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    batch = batch.float() if batch.dtype == torch.float64 and isinstance(values, np.ndarray) else batch
    shape, as_bytes = tuple(batch.shape), batch.dtype == torch.uint8
    if batch.ndim == 3 and as_bytes and shape[0] not in (1, 3) and shape[2] not in (1, 3, 4):
        batch = batch[:, None]  # grey photographs (N, H, W)
    elif batch.ndim == 3:
        batch = batch[None]
    last = batch.ndim == 4 and batch.shape[3] in (1, 3, 4) and batch.shape[1] not in (1, 3, batch.shape[3])
    if last and as_bytes:
        batch = batch[..., :3].permute(0, 3, 1, 2).contiguous()
    elif last or batch.ndim != 4 or (as_bytes and batch.shape[1] not in (1, 3)):
        advice = f"\n  Its channels are last:  {_first(values)}" if last else ""
        advice = "\n  One grey picture is  images[None]" if len(shape) == 2 and as_bytes else advice
        advice = "\n  Volumes (N, C, T, H, W) are for seewhy.explain alone." if len(shape) == 5 else advice
        raise DataError(
            f"The tensor has shape {shape}, but images are floats (N, C, H, W), or bytes (N, 3, H, W) or (N, 1, H, W)."
            f"{advice}",
            slug="no-images",
        )
    if not batch.is_floating_point() and not as_bytes:
        raise DataError(
            f"The tensor is {batch.dtype}, but must be floats (the network's own input) or bytes (uint8 photographs).",
            slug="no-images",
        )
    return batch


def _taken_as(values: Tensor | np.ndarray[Any, Any]) -> tuple[str, ...]:
    """What a stack was taken as, where its shape may mean something else, and what to type if it does."""
    shape = tuple(values.shape)
    if values.dtype not in (torch.uint8, np.uint8) or len(shape) not in (3, 4):
        return ()
    first, last = shape[-3], shape[-1]
    said = f"Images of the shape {shape} are taken as "
    if first == 3 and last in (1, 3, 4):
        what = "one picture" if len(shape) == 3 else f"{shape[0]} pictures"
        return (f"{said}{what} of {shape[-2]} x {last} pixels, channels first. If they are last:  {_first(values)}",)
    if len(shape) == 4:
        return ()
    if first == 3:
        return (f"{said}one picture in colours, channels first. If they are three grey ones:  images[:, None]",)
    if first == 4:
        return (f"{said}four grey pictures. If it is one in colours, with alpha, channels first:  images[:3]",)
    return ()


def _first(values: Tensor | np.ndarray[Any, Any]) -> str:
    """How channels that are last come first."""
    turn = "permute" if isinstance(values, Tensor) else "transpose"
    return f"images.{turn}(2, 0, 1)" if values.ndim == 3 else f"images.{turn}(0, 3, 1, 2)"


def _of_dataset(dataset: Any, first: int) -> Items:
    """A Dataset with its `classes` and `targets`, or what a Hugging Face dataset says of its column of labels."""
    name = type(dataset).__name__
    if isinstance(dataset, Subset):
        return _some(_of_dataset(dataset.dataset, first), [int(row) for row in dataset.indices])
    names = _names(dataset)
    targets = getattr(dataset, "targets", None)
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping) and (key := key_in(features, LABELS)) is not None:
        names = names or getattr(features[key], "names", None)
        targets = _column(dataset, key) if targets is None else targets
    classes = tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()
    if targets is None or len(targets) != len(dataset):
        return Items(dataset, classes, source=name, read_as=classes)
    given, notes = _transformed(dataset, targets)
    classes = () if notes else classes
    read_as = () if not first and _from_one(given, len(classes)) else classes
    read = [reading_of_label(target, read_as, first) for target in given]
    notes = (*notes, *notes_of(read, "of the `targets`"))
    return Items(dataset, classes, tuple(one.label for one in read), notes, name, read_as)


def _transformed(dataset: Any, targets: Any) -> tuple[Any, tuple[str, ...]]:
    """The targets as the `target_transform` of torchvision's Datasets makes them, and what is said of others."""
    change = getattr(dataset, "target_transform", None)
    if not callable(change):
        return targets, ()
    try:
        changed = [change(target) for target in targets]
    except Exception:  # noqa: BLE001 -- the user's own code may raise anything; the items then say what it makes
        return targets, ()
    if [label_of(target, ()) for target in changed] == [label_of(target, ()) for target in targets]:
        return targets, ()
    said = "Labels are what the Dataset's `target_transform` makes of its `targets`, whose names they have no more."
    return changed, (f"{said}  Name the classes:  --classes",)


def _looked_into(items: Items, first: int) -> Items:
    """The items with the labels that they hold themselves, which count where `targets` are others.

    All are looked at where they are in memory anyway, else some.
    """
    count, in_memory = len(items.held), is_in_memory(items.held)
    rows = range(count) if in_memory else _spread(count)
    of = "items" if len(rows) == count else f"of {len(rows)} items looked at"
    if items.labels:
        read = _readings(items.held, rows, items.read_as, first)
        known = items.labels
        other = [row for row, one in read.items() if one.label and known[row] and one.label != known[row]]
        if not other:
            return items
        said = _differing(len(other), of, other[0], read[other[0]].label, known[other[0]])
        items = replace(items, classes=(), labels=(), notes=(*items.notes, said))
    read = _readings(items.held, rows, (), first)
    items = replace(items, notes=(*items.notes, *notes_of(list(read.values()), of)))
    if not in_memory:
        return replace(items, seen=tuple(read.values()))
    labels = tuple(read[row].label if row in read else None for row in rows)
    read_as = () if not first and _from_one(labels, len(items.classes)) else items.classes
    labels = tuple(None if label is None else label_of(label, read_as, first) for label in labels)
    return replace(items, labels=labels if any(labels) else ())


def _differing(count: int, of: str, row: int, own: str | None, known: str | None) -> str:
    return (
        f"The labels of {count:,} {of} differ from the Dataset's `targets` (item {row} has {own}, there it is {known}):"
        " those of the items count, and its `classes` are not their names.  Name them:  --classes"
    )


def _readings(held: Any, rows: Sequence[int], classes: Sequence[str], first: int) -> dict[int, ItemReading]:
    """What these items hold beside their images, by row; an item that fails is left to be told by its own row."""
    read = {}
    with untouched(nn.Identity()):  # which puts the random states back
        for row in rows:
            try:
                item = held[row]
            except (Exception, SystemExit):  # noqa: BLE001 -- a Dataset's own code may raise anything
                continue
            read[row] = reading_of(item, classes, first)
    return read


def is_in_memory(held: Any) -> bool:
    """Whether asking for every item costs nothing."""
    inner = held.dataset if isinstance(held, Subset) else held
    return is_in_memory(inner) if isinstance(inner, Subset) else isinstance(inner, (Tensor, list, tuple, TensorDataset))


def _spread(count: int) -> Sequence[int]:
    if count <= LOOKED_AT:
        return range(count)
    return [round(step * (count - 1) / (LOOKED_AT - 1)) for step in range(LOOKED_AT)]


def _names(dataset: Any) -> Any:
    """The class names of a Dataset: its `classes`, or what it maps to the numbers 0 to K-1."""
    for names in (getattr(dataset, name, None) for name in ("classes", "class_to_idx")):
        if isinstance(names, Mapping) and sorted(map(str, names.values())) == sorted(map(str, range(len(names)))):
            return sorted(names, key=lambda name: int(names[name]))
        if isinstance(names, (list, tuple)):
            return names
    return None


def _column(dataset: Any, key: str) -> Any:
    """A column of a Hugging Face dataset; None where it gives none."""
    try:
        return dataset[key]
    except Exception:  # noqa: BLE001 -- the dataset's own code may raise anything; labels then come with the items
        return None


def _from_one(targets: Any, count: int) -> bool:
    """Whether labels are numbers that do not fit `count` classes from 0, and do from 1: it is asked then."""
    numbers = {number_of(label_of(target, ()) or "") for target in targets}
    known = {number for number in numbers if number is not None}
    return known == numbers != set() and min(known) > 0 and max(known) == count
