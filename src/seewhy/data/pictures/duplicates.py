"""Which images are near duplicates of each other: perceptual hashes that survive re-encoding, and their groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.sparse.csgraph import connected_components

from seewhy.errors import DataError
from seewhy.estimates import Floats, Integers

Booleans = NDArray[np.bool_]
Greys = NDArray[np.floating[Any]]
SIDE, FREQUENCIES = 32, 16
MOST_BITS = 18  # of 255; see near_duplicates
MOST_SHIFT = 2
_BLOCK = 1024
_AT_ONCE = 64  # images
_FLAT = 1e-9


def perceptual_hashes(grey: Greys, *, margin: int = 0, shift: tuple[int, int] = (0, 0)) -> Booleans:
    """The hash of each grey image, (N, H, W) in [0, 1] to (N, 255): is a low frequency above the image's median one?

    The image is averaged to 32 x 32 and the 16 x 16 lowest frequencies of its cosine transform are kept but for the
    constant one, so brightness and gain change nothing (pHash: Zauner 2010, "Implementation and benchmarking of
    perceptual image hash functions", with 255 bits for 63: aligned faces differ little in the lowest 8 x 8). `margin`
    pixels are cut from each side, from a window that is moved by `shift` (right, down), at most `margin`.
    """
    height, width = grey.shape[1:]
    right, down = shift
    if max(abs(right), abs(down)) > margin or min(height, width) <= 2 * margin:
        raise DataError(
            f"Images of {height} x {width} px have no window with a margin of {margin} px that moves by {shift}.",
            slug="hash-window",
        )
    rows, columns = _averaging(height - 2 * margin), _averaging(width - 2 * margin)
    hashes = np.zeros((len(grey), FREQUENCIES**2 - 1), dtype=bool)
    for start in range(0, len(grey), _AT_ONCE):
        some = grey[start : start + _AT_ONCE]
        windows = some[:, margin + down : height - margin + down, margin + right : width - margin + right]
        lowest = fft.dctn(rows @ windows @ columns.T, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES]
        frequencies = lowest.reshape(len(some), -1)[:, 1:]
        frequencies[np.abs(frequencies) < _FLAT] = 0
        hashes[start : start + _AT_ONCE] = frequencies > np.median(frequencies, axis=1, keepdims=True)
    return hashes


def _averaging(length: int) -> Floats:
    """The matrix (32, length) that averages a line of pixels over 32 equal stretches, parts of pixels included."""
    edges = np.linspace(0, length, SIDE + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.clip(overlap, 0, None) * SIDE / length)


def clusters_of(hashes: Booleans, most_bits: int = MOST_BITS) -> Integers:
    """The group of each image (N,), numbered from 0: linked by pairs whose hashes differ in at most `most_bits`.

    `hashes` is (N, B), or (S, N, B) with the hashes of S moved windows, the unmoved first: then two images are a pair
    where any window of one fits the unmoved of the other. Time grows with N squared.
    """
    windows = hashes if hashes.ndim == 3 else hashes[None]
    count = windows.shape[1]
    pairs = list(_pairs(windows, most_bits))
    first, second = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), dtype=np.int64)
    links = sparse.coo_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def _pairs(windows: Booleans, most_bits: int, others: Booleans | None = None) -> Iterator[Integers]:
    """Pairs (2, P) of images, by their moved windows (S, N, B), and others, by their unmoved ones (M, B); of all."""
    signs = windows.astype(np.float32) * 2 - 1
    against = signs[0] if others is None else others.astype(np.float32) * 2 - 1
    bits = signs.shape[2]
    for moved in signs:
        for start in range(0, len(moved), _BLOCK):
            agreeing = moved[start : start + _BLOCK] @ against.T  # bits that agree less those that differ
            rows, columns = np.nonzero(agreeing >= bits - 2 * most_bits)
            yield np.stack([rows + start, columns]).astype(np.int64)


def near_pairs(grey: Greys, others: Greys, *, most_bits: int = MOST_BITS, most_shift: int = MOST_SHIFT) -> Integers:
    """The pairs (P, 2) of a grey image (N, H, W) and another (M, H, W) that are near duplicates, in order.

    A pair is what `near_duplicates` links: of these windows of one are moved, of those none.
    """
    margin = most_shift if min(grey.shape[1:]) >= SIDE else 0
    reach = range(-margin, margin + 1)
    moved = [perceptual_hashes(grey, margin=margin, shift=(right, down)) for down in reach for right in reach]
    pairs = list(_pairs(np.stack(moved), most_bits, perceptual_hashes(others, margin=margin)))
    return np.unique(np.concatenate(pairs, axis=1).T, axis=0)


def joined_groups(groups: Integers, names: Sequence[str | None]) -> Integers:
    """The group of each image (N,): those of one of the `groups` (N,), or of one name, are in one; None is no name.

    Groups that no name joins keep their order.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names)) if name is not None}
    named = [place for place, name in enumerate(names) if name is not None]
    first = int(groups.max(initial=-1)) + 1
    nodes = [first + numbers[name] for name in names if name is not None]
    size = first + len(dict.fromkeys(names))
    links = sparse.coo_matrix((np.ones(len(named)), (groups[named], nodes)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][groups], dtype=np.int64)


def near_duplicates(grey: Floats, *, most_bits: int = MOST_BITS, most_shift: int = MOST_SHIFT) -> Integers:
    """The group of near duplicates of each grey image, (N, H, W) in [0, 1] to (N,): all images of an audit at once.

    Joins copies that were encoded anew (JPEG 50 changes at most 16 of the 255 bits), made somewhat smaller or
    brighter, or moved by up to `most_shift` px; other photographs of aligned faces differ in 50 bits or more, drawn
    faces of 64 px in 20 or more. It knows pictures, not persons: two photographs of one person stay apart. Images
    smaller than 32 px are compared without moving.
    """
    margin = most_shift if min(grey.shape[1:]) >= SIDE else 0
    reach = range(-margin, margin + 1)
    moves = [(right, down) for down in reach for right in reach if (down, right) >= (0, 0)]  # others by symmetry
    return clusters_of(np.stack([perceptual_hashes(grey, margin=margin, shift=move) for move in moves]), most_bits)
