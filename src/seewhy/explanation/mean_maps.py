"""Mean maps of groups of images, piece by piece, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from seewhy.maps import share

Group = TypeVar("Group", bound=Hashable)


@dataclass(frozen=True)
class MeanMap:
    """The mean of a group's maps in multiples of an even spread (h, w), or None where all are empty.

    `n` maps are in it; `n_empty` empty ones are left out.
    """

    mean: NDArray[np.float32] | None
    n: int
    n_empty: int


def mean_shares(
    chunks: Iterable[tuple[int, NDArray[np.float32]]], groups: Sequence[Group | None], empty: Set[int]
) -> dict[Group, MeanMap]:
    """The mean map of each group in order of appearance; every map counts alike, empty ones not at all.

    `chunks` are raw maps (n, h, w) with the row of the first; `groups` names each row's group, None for none.
    """
    names = list(dict.fromkeys(group for group in groups if group is not None))
    places = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), 2), dtype=np.int64)
    sums: NDArray[np.float64] = np.zeros((len(names), 1, 1))
    for start, maps in chunks:
        used = np.zeros((len(names), len(maps)))
        for at, group in enumerate(groups[start : start + len(maps)]):
            if group is not None:
                is_empty = start + at in empty
                counts[places[group], int(is_empty)] += 1
                used[places[group], at] = not is_empty
        sums = sums + np.tensordot(used, share(torch.from_numpy(maps).double()).nan_to_num().numpy(), 1)
    return {
        name: MeanMap((total / n).astype(np.float32) if n else None, int(n), int(n_empty))
        for name, total, (n, n_empty) in zip(names, sums, counts, strict=True)
    }


def brightest(means: Sequence[NDArray[np.float32]]) -> float:
    """Where a common scale ends: the 99.5th percentile of the mean map that reaches furthest."""
    return max((float(np.quantile(mean, 0.995)) for mean in means), default=1.0)
