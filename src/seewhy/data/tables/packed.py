"""Many images in little memory: names end to end, and what many share held once."""

from __future__ import annotations

import json
import operator
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from seewhy.records import Image
from seewhy.store import durable

FROM = 10_000  # images; fewer are held as they are
_AT_ONCE = 4096  # made while one looks through all
_ALIGNED = 8  # bytes


class _Kind(NamedTuple):
    """What images share: all but the name, with the path that stands before the name, or the whole one."""

    label: str | None
    split: str | None
    error: str | None
    cluster: str | None
    cells: tuple[str, ...]
    path: str | None
    is_start: bool


class Packed(Sequence[Image]):
    """Images that are made when they are asked for, equal to those that were packed.

    `is_plain` is kept for whoever made them: their names can be stored as they are.
    """

    def __init__(
        self, names: NDArray[np.uint8], ends: NDArray[np.int64], codes: NDArray[np.int32], kinds: Sequence[_Kind]
    ) -> None:
        self.names, self.ends, self.codes, self.kinds = names, ends, codes, kinds
        self.is_plain = False

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Image, ...]: ...
    def __getitem__(self, place: int | slice) -> Image | tuple[Image, ...]:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            return (
                tuple(self._from(start, stop)) if step == 1 else tuple(map(self.__getitem__, range(start, stop, step)))
            )
        if not -len(self) <= place < len(self):
            raise IndexError(f"image {place} of {len(self)}")
        return next(self._from(place % len(self), place % len(self) + 1))

    def __iter__(self) -> Iterator[Image]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self._from(start, min(start + _AT_ONCE, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Packed, tuple)):
            return NotImplemented
        return other is self or (len(self) == len(other) and all(map(operator.eq, self, other)))

    def __hash__(self) -> int:
        return hash((len(self), self[0] if self else None))

    def labels(self) -> list[str]:
        """The labels that are known, image by image."""
        labels = [kind.label for kind in self.kinds]
        return [label for code in self.codes.tolist() if (label := labels[code])]

    def relabelled(self, read: Callable[[str | None], str | None]) -> Packed:
        """The images with the label that `read` gives for each one's; it is asked once for every image."""
        labels = [kind.label for kind in self.kinds]
        found: dict[int, str | None] = {}
        for start in range(0, len(self), _AT_ONCE):
            found |= {code: read(labels[code]) for code in self.codes[start : start + _AT_ONCE].tolist()}
        kinds = [kind._replace(label=found.get(code)) for code, kind in enumerate(self.kinds)]
        return Packed(self.names, self.ends, self.codes, kinds)

    def _from(self, start: int, stop: int) -> Iterator[Image]:
        first = int(self.ends[start - 1]) if start else 0
        ends = self.ends[start:stop].tolist()
        text = self.names[first : ends[-1] if ends else first].tobytes()
        begin = 0
        for end, code in zip(ends, self.codes[start:stop].tolist(), strict=True):
            name = text[begin : end - first].decode("utf-8", "surrogatepass")
            begin, kind = end - first, self.kinds[code]
            path = f"{kind.path}{name}" if kind.is_start else kind.path
            yield Image(name, path, kind.label, kind.split, kind.error, kind.cluster, kind.cells)


def gathered(images: Iterable[Image]) -> Sequence[Image]:
    """The images: a few as a tuple, many packed, without ever holding all of them as they are."""
    if isinstance(images, Packed):
        return images
    remaining = iter(images)
    first = tuple(islice(remaining, FROM))
    return first if len(first) < FROM else _packed(chain(first, remaining))


def labels_of(images: Sequence[Image]) -> list[str]:
    """The labels that are known, image by image."""
    return images.labels() if isinstance(images, Packed) else [image.label for image in images if image.label]


def relabelled(images: Sequence[Image], read: Callable[[str | None], str | None]) -> Sequence[Image]:
    """The images with the label that `read` gives for each one's; it is asked once for every image."""
    if isinstance(images, Packed):
        return images.relabelled(read)
    return gathered(replace(image, label=read(image.label)) for image in images)


def write(images: Sequence[Image], path: Path) -> None:
    """Write the images to a file, and what they share beside it (.json), for `read`; each complete or absent."""
    held = images if isinstance(images, Packed) else _packed(images)
    parts = (held.ends, held.codes, held.names)
    with durable.written(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"sizes": [len(part) for part in parts], "kinds": held.kinds}))
    with durable.written(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            part.tofile(file)
            file.write(bytes(-file.tell() % _ALIGNED))


def read(path: Path) -> Packed:
    """The images in a file; they stay there, and processes of one machine share what they look at."""
    facts = json.loads(path.with_suffix(".json").read_text())
    arrays: list[NDArray[Any]] = []
    at = 0
    for size, kind in zip(facts["sizes"], (np.int64, np.int32, np.uint8), strict=True):
        arrays.append(np.memmap(path, kind, "r", at, (size,)) if size else np.zeros(0, kind))
        at += -(-size * np.dtype(kind).itemsize // _ALIGNED) * _ALIGNED
    ends, codes, names = arrays
    kinds = [_Kind._make(tuple(part) if isinstance(part, list) else part for part in kind) for kind in facts["kinds"]]
    made = Packed(names, ends, codes, kinds)
    made.is_plain = True
    return made


def _packed(images: Iterable[Image]) -> Packed:
    names, ends, codes, kinds = bytearray(), array("q"), array("i"), dict[_Kind, int]()
    for image in images:
        names += image.id.encode("utf-8", "surrogatepass")
        ends.append(len(names))
        codes.append(kinds.setdefault(_kind_of(image), len(kinds)))
    as_arrays = (np.frombuffer(names, np.uint8), np.frombuffer(ends, np.int64), np.frombuffer(codes, np.int32))
    return Packed(*as_arrays, tuple(kinds))


def _kind_of(image: Image) -> _Kind:
    path, is_start = image.path, False
    if path is not None and path.endswith(image.id):
        path, is_start = path[: len(path) - len(image.id)], True
    return _Kind(
        label=image.label,
        split=image.split,
        error=image.error,
        cluster=image.cluster,
        cells=image.cells,
        path=path,
        is_start=is_start,
    )
