"""Which pictures of one split are, or nearly are, in another: by their bytes, and by perceptual hashes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seewhy.data.pictures.decode import UnreadableError, file_digest
from seewhy.data.pictures.duplicates import near_pairs
from seewhy.data.pictures.thumbnails import Thumbnail, grey_thumbnail
from seewhy.data.sources.files import size_of
from seewhy.records import Image, Preprocess

# What is compared at most, so that a folder of 100,000 images takes seconds.
MOST_IMAGES, MOST_OTHERS = 1000, 3000  # pictures that are looked at, of both splits
MOST_BYTES = 200_000_000  # of the files that are looked at
MOST_HASHED = 1_000_000_000  # bytes of files of the same size as another


@dataclass(frozen=True)
class Copy:
    """A picture that is also in the other split: byte by byte (`is_same`), or nearly."""

    image: Image
    other: Image
    is_same: bool


@dataclass(frozen=True)
class Copies:
    """The copies of `n_images` among `n_others`, the first of each picture; how many were looked at, not only hashed.

    `n_twins` of the pictures that were looked at nearly are another of their own split: where that is common, pictures
    are alike by nature. `is_whole` says whether all files of the same size were compared byte by byte.
    """

    copies: tuple[Copy, ...]
    n_images: int
    n_others: int
    n_images_seen: int
    n_others_seen: int
    n_twins: int
    is_whole: bool


def find_copies(
    images: Sequence[Image],
    others: Sequence[Image],
    how: Preprocess | None = None,
    digests: Mapping[str, str | None] | None = None,
    seed: int = 0,
) -> Copies:
    """The copies of images among those of another split; `digests` are those of files that were read, by id.

    All are compared byte by byte; of pictures that are compared by their looks there are a seeded choice, and not more
    than MOST_IMAGES and MOST_OTHERS.
    """
    same, is_whole = _same(images, others, dict(digests or {}), seed)
    dice = random.Random(seed)
    some = [images[at] for at in sorted(dice.sample(range(len(images)), min(MOST_IMAGES, len(images))))]
    there = _affordable([others[at] for at in dice.sample(range(len(others)), len(others))])
    here, mine = _seen(some, how)
    among, theirs = _seen(there, how)
    near, twins = dict[str, Copy](), set[int]()
    pairs = near_pairs(mine, np.concatenate([theirs, mine])).tolist() if len(mine) and len(theirs) else []
    for row, column in pairs:
        if column < len(among):
            near.setdefault(here[row].id, Copy(here[row], among[column], is_same=False))
        elif column - len(among) != row:
            twins.add(row)
    found = {**near, **same}
    ordered = tuple(found[image.id] for image in images if image.id in found)
    return Copies(
        copies=ordered,
        n_images=len(images),
        n_others=len(others),
        n_images_seen=len(here),
        n_others_seen=len(among),
        n_twins=len(twins),
        is_whole=is_whole,
    )


def _same(
    images: Sequence[Image], others: Sequence[Image], digests: dict[str, str | None], seed: int
) -> tuple[dict[str, Copy], bool]:
    """The images that are byte by byte another one, by id; and whether all of the same size could be compared."""
    sizes = {image.id: _size_of(image) for image in (*images, *others)}
    mine = {sizes[image.id] for image in images} - {0}
    candidates = [other for other in others if sizes[other.id] in mine]
    known = defaultdict[str, list[Image]](list)
    left, is_whole = MOST_HASHED, True
    for other in random.Random(seed).sample(candidates, len(candidates)):
        if (digest := digests.get(other.id)) is None:
            if left < sizes[other.id]:
                is_whole = False
                continue
            left -= sizes[other.id]
            digest = _digest_of(other)
        if digest:
            known[digest].append(other)
    theirs = {sizes[other.id] for others_of in known.values() for other in others_of}
    found = {}
    for image in images:
        if sizes[image.id] in theirs and (twins := known.get(digests.get(image.id) or _digest_of(image))):
            first = min(twins, key=lambda twin: (twin.label == image.label, twin.id))  # another label says more
            found[image.id] = Copy(image, first, is_same=True)
    return found, is_whole


def _size_of(image: Image) -> int:
    return size_of(image.path or "")


def _digest_of(image: Image) -> str:
    try:
        return file_digest(image.path or "")
    except UnreadableError:
        return ""


def _affordable(images: Sequence[Image]) -> list[Image]:
    """The first of the images, as many as may be looked at."""
    sizes = np.cumsum([_size_of(image) for image in images[:MOST_OTHERS]])
    return list(images[: max(1, int(np.searchsorted(sizes, MOST_BYTES, side="right")))])


def _seen(images: Sequence[Image], how: Preprocess | None) -> tuple[list[Image], NDArray[np.float32]]:
    """The images that can be read, and their thumbnails (N, H, W)."""
    kept, thumbnails = list[Image](), list[Thumbnail]()
    for image in images:
        try:
            thumbnails.append(grey_thumbnail(image.path or "", how))
        except UnreadableError:
            continue
        kept.append(image)
    return kept, np.stack(thumbnails) if thumbnails else np.zeros((0, 1, 1), np.float32)
