"""The labels in the items of Datasets, lists and batches: where they are, what they mean, what is said of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from seewhy.data.formats.image_files import has_image_suffix
from seewhy.data.tables.labels import JOINT, NO_LABEL, from_which, number_of
from seewhy.errors import listed

IMAGES = ("image", "images", "img", "pixel_values", "pixels", "picture", "photo", "inputs", "input", "x", "data")
LABELS = ("label", "labels", "target", "targets", "class", "category", "y")
_HOW = (
    "Labels are read of (image, label), or of a dict with image and label: a class name, its number, a row of 0 and 1."
)
_WHOLE_SHARES = 0.01  # from 1, within which the numbers of a row are shares (half precision)


@dataclass(frozen=True)
class ItemReading:
    """What an item holds beside its image: the label, whether it was a row, and words for what is not read."""

    label: str | None = None
    is_row: bool = False
    is_soft: bool = False
    unread: str = ""
    left: str = ""  # of an item of more than two parts


def image_in(item: Any) -> Any:
    """The image of an item: alone, first of its parts, or in a dict."""
    if isinstance(item, Mapping):
        image = entry(item, IMAGES)
        return item if image is None else image
    return item[0] if isinstance(item, (tuple, list)) and item else item


def reading_of(item: Any, classes: Sequence[str], first: int | None = 0) -> ItemReading:
    """What is read of an item beside its image; see `reading_of_label`."""
    if isinstance(item, Mapping):
        return _of_dict(item, classes, first)
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        return ItemReading()
    given = item[1]
    read = _of_dict(given, classes, first) if isinstance(given, Mapping) else reading_of_label(given, classes, first)
    if read.label is not None and len(item) == 2:
        return read
    second = read.unread or _kind(given)
    what = f"({', '.join([_kind(item[0]), second, *map(_kind, item[2:])])})"
    if read.label is None:
        return ItemReading(unread=what if given is not None or len(item) > 2 else "")
    return ItemReading(read.label, read.is_row, read.is_soft, left=what)


def reading_of_label(value: Any, classes: Sequence[str], first: int | None = 0) -> ItemReading:
    """What is read of a label as Datasets have it: a word, a number, a row of zeros and ones or of shares, a list.

    A number is that of a class, which counts from `first`; None: raises DataError for one that shows the count to be
    from 1.
    """
    if isinstance(value, (Tensor, np.ndarray)):
        size = value.numel() if isinstance(value, Tensor) else value.size
        value = value.item() if size == 1 else value.tolist() if value.ndim == 1 else _kind(value)
        if isinstance(value, str) and value.startswith("tensor ("):
            return ItemReading(unread=value)
    if isinstance(value, (list, tuple)) and len(value) != 1:
        return _of_several(list(value), classes, first)
    if isinstance(value, (list, tuple)):
        return reading_of_label(value[0], classes, first)
    if isinstance(value, str):
        number = number_of(value) if classes and value not in classes else None
        label = value if number is None else _numbered(number, classes, first)
        return (
            ItemReading(unread=repr(value)) if has_image_suffix(value) and value not in classes else ItemReading(label)
        )
    if isinstance(value, (bool, int, np.bool_, np.integer)) or _is_whole(value):
        return ItemReading(_numbered(int(value), classes, first))
    return ItemReading(unread="" if value is None else _kind(value))


def label_of(value: Any, classes: Sequence[str], first: int | None = 0) -> str | None:
    """The label alone of `reading_of_label`; None for anything else."""
    return reading_of_label(value, classes, first).label


def notes_of(readings: Sequence[ItemReading], of: str) -> tuple[str, ...]:
    """What is said of labels that are shares, and of what was not read; `of` are the items that were looked at."""
    notes = []
    if soft := sum(read.is_soft for read in readings):
        notes.append(f"The labels of {soft:,} {of} are rows of shares: the class of the largest share is the label.")
    for said, kinds in (
        ("hold no label that can be read", Counter(read.unread for read in readings if read.unread)),
        ("have more parts than two: the second is the label", Counter(read.left for read in readings if read.left)),
    ):
        if kinds:
            like = listed([kind for kind, _ in kinds.most_common(2)])
            notes.append(
                f"{kinds.total():,} {of} {said}, like {like}.  {_HOW}".replace("1 batch hold", "The batch holds")
            )
    return tuple(notes)


def entry(item: Mapping[Any, Any], names: Sequence[str]) -> Any:
    """What a dict has under the first of these names; None where it has none."""
    key = key_in(item, names)
    return None if key is None else item[key]


def key_in(item: Mapping[Any, Any], names: Sequence[str]) -> Any:
    """The key that is called like one of the names, without case."""
    plain = {str(key).lower(): key for key in item}
    return next((plain[name] for name in names if name in plain), None)


def _of_dict(item: Mapping[Any, Any], classes: Sequence[str], first: int | None) -> ItemReading:
    if (key := key_in(item, LABELS)) is not None:
        read = reading_of_label(item[key], classes, first)
        return ItemReading(unread=f"{key} = {read.unread}") if read.unread else read
    image = key_in(item, IMAGES)
    others = [str(key) for key in item if key != image]
    return ItemReading(unread=f"a dict of {listed(map(str, item))}" if others else "")


def _numbered(index: int, classes: Sequence[str], first: int | None) -> str:
    at = index - (first or 0)
    if 0 <= at < len(classes):
        return classes[at]
    if first is None and at == len(classes) > 0:
        raise from_which({index}, classes)
    return f"number {index}" if first and classes else str(index)  # which is not to be shifted again


def _is_whole(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and float(value).is_integer()


def _of_several(values: list[Any], classes: Sequence[str], first: int | None) -> ItemReading:
    """The labels of a row of zeros and ones, of a row of shares, or of a list of names or indices."""
    if not all(isinstance(value, (str, bool, int, float)) for value in values):
        return ItemReading(unread=_kind(values))
    if set(values) <= {0, 1} and len(values) == (len(classes) or len(values)):
        names = [_numbered(at + (first or 0), classes, first or 0) for at, value in enumerate(values) if value]
        return ItemReading(JOINT.join(names) or NO_LABEL, is_row=True)
    read = [reading_of_label(value, classes, first) for value in values]
    if all(one.label is not None for one in read):
        return ItemReading(JOINT.join(one.label or "" for one in read) or NO_LABEL)
    if (at := _largest_share(values, classes)) is not None:
        return ItemReading(_numbered(at + (first or 0), classes, first or 0), is_row=True, is_soft=True)
    return ItemReading(unread=f"a row of {len(values)} numbers: {listed([f'{value:.3g}' for value in values], 3)}")


def _largest_share(values: Sequence[Any], classes: Sequence[str]) -> int | None:
    """The place of the largest of numbers that are shares of a whole, one for each class; None where two are equal."""
    numbers = [value for value in values if isinstance(value, (int, float)) and 0 <= value <= 1]
    if len(numbers) != len(values) or len(values) != (len(classes) or len(values)):
        return None
    most = max(numbers)
    return numbers.index(most) if abs(sum(numbers) - 1) <= _WHOLE_SHARES and numbers.count(most) == 1 else None


def _kind(value: Any) -> str:
    """What a part of an item is, in a few words."""
    if isinstance(value, (Tensor, np.ndarray)):
        return f"tensor {tuple(value.shape)}" if value.ndim else str(value.item())
    if isinstance(value, Mapping):
        return f"dict of {listed(map(str, value), 4)}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    is_plain = value is None or isinstance(value, (str, bool, int, float))
    return repr(value)[:40] if is_plain else type(value).__name__
