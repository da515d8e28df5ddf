"""Images that are no files: those of a tensor, an array, a Dataset, a DataLoader or a batch, with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, Subset

from seewhy.data.labels import label_of, number_of
from seewhy.errors import DataError, listed

_IMAGES = ("image", "images", "img", "pixel_values", "pixels", "picture", "photo", "inputs", "input", "x", "data")
_LABELS = ("label", "labels", "target", "targets", "class", "category", "y")
_FORMS = "a tensor or array (N, C, H, W), PIL images in a list, paths in a list, or a Dataset with a length"


@dataclass(frozen=True)
class Items:
    """Images by position, with the class names and the labels that are known beforehand."""

    held: Any
    classes: tuple[str, ...] = ()
    labels: tuple[str | None, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""


def items_of(source: Any) -> Items:
    """What can be explained of a source that is no path. Raises DataError that says what to give instead."""
    if isinstance(source, PIL.Image.Image):
        return Items([source], source="the picture")
    if isinstance(source, DataLoader):
        return _of_loader(source)
    if isinstance(source, (Tensor, np.ndarray)):
        return Items(_stack(source), source="the tensor" if isinstance(source, Tensor) else "the array")
    if (batch := _batch_in(source)) is not None:
        return _of_batch(*batch)
    if isinstance(source, IterableDataset) or not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        raise DataError(f"Images are {type(source).__name__}, but must be {_places()}.", slug="no-images")
    if isinstance(source, Mapping):
        raise DataError(
            f"The dict has {listed(map(str, source))}, none of which is a batch of images (N, C, H, W).\n"
            f"  Give {_FORMS}, or a dict with one called {listed(_IMAGES[:4])}.",
            slug="no-images",
        )
    return _of_dataset(source)


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


def image_and_label(item: Any, label: str | None, classes: Sequence[str]) -> tuple[Any, str | None]:
    """The image of a Dataset's item (alone, with a label, or in a dict), and its label where none is known."""
    given = None
    if isinstance(item, Mapping):
        image, given = _entry(item, _IMAGES), _entry(item, _LABELS)
        item = item if image is None else image
    elif isinstance(item, (tuple, list)) and item:
        item, given = item[0], item[1] if len(item) > 1 else None
    return _as_readable(item), label or label_of(given, classes)


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


def _of_loader(loader: DataLoader[Any]) -> Items:
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
    items = _of_dataset(dataset) if whole else _some(_of_dataset(dataset), rows or [])
    which = "in its order" if whole else f"{len(rows or []):,} of its {len(dataset):,} rows, those of the sampler"
    note = f"The DataLoader's dataset is read ({which}), without its batches, shuffling and collate_fn."
    return Items(items.held, items.classes, items.labels, (*items.notes, note), type(dataset).__name__)


def _some(items: Items, rows: Sequence[int]) -> Items:
    labels = tuple(items.labels[row] for row in rows) if items.labels else ()
    return Items(Subset(items.held, rows), items.classes, labels, items.notes, items.source)


def _batch_in(source: Any) -> tuple[Any, Any] | None:
    """Images and labels (or None) of a batch: a pair as loaders give it, or a dict with names for both."""
    if isinstance(source, Mapping):
        image = _entry(source, _IMAGES)
        return (image, _entry(source, _LABELS)) if isinstance(image, (Tensor, np.ndarray)) and image.ndim == 4 else None
    if isinstance(source, (tuple, list)) and len(source) == 2:
        images, labels = source
        if isinstance(images, (Tensor, np.ndarray)) and images.ndim == 4 and not isinstance(labels, (str, Mapping)):
            return (images, labels) if hasattr(labels, "__len__") and len(labels) == len(images) else None
    return None


def _of_batch(images: Any, labels: Any) -> Items:
    held = _stack(images)
    names = () if labels is None else tuple(label_of(label, ()) for label in labels)
    return Items(held, labels=names, source="the batch")


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
        advice = "\n  Its channels are last:  images.permute(0, 3, 1, 2)" if last else ""
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
    if batch.is_floating_point() and not torch.isfinite(batch).all():
        raise DataError("The tensor of images holds NaN or infinite values.", slug="no-images")
    return batch


def _of_dataset(dataset: Any) -> Items:
    """A Dataset with its `classes` and `targets`, or what a Hugging Face dataset says of its column of labels."""
    name = type(dataset).__name__
    if isinstance(dataset, Subset):
        return _some(_of_dataset(dataset.dataset), [int(row) for row in dataset.indices])
    names = getattr(dataset, "classes", None)
    targets = getattr(dataset, "targets", None)
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping) and (key := _key(features, _LABELS)) is not None:
        names = names or getattr(features[key], "names", None)
        targets = _column(dataset, key) if targets is None else targets
    classes = tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()
    if targets is None or len(targets) != len(dataset):
        return Items(dataset, classes, source=name)
    read_as = () if _from_one(targets, len(classes)) else classes
    return Items(dataset, classes, tuple(label_of(target, read_as) for target in targets), source=name)


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


def _entry(item: Mapping[Any, Any], names: Sequence[str]) -> Any:
    key = _key(item, names)
    return None if key is None else item[key]


def _key(item: Mapping[Any, Any], names: Sequence[str]) -> Any:
    """The key that is called like one of the names, without case."""
    plain = {str(key).lower(): key for key in item}
    return next((plain[name] for name in names if name in plain), None)
