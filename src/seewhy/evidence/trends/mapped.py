"""The images of a finished run that have a map, read from its folder without the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from seewhy.errors import StoreError
from seewhy.estimates import Floats, Integers
from seewhy.records import MapKey, Outcome, Preprocess
from seewhy.store import checksums, manifest
from seewhy.store.arrays import read_chunks
from seewhy.store.tables import read_outcomes, read_stats

MOST_CELLS = 16  # of a map, along a side
NO_RESULT, EMPTY = "without a result", "with an empty map"


@dataclass(frozen=True)
class MappedImages:
    """Images with a map: `maps` (N, h, w), at most 16 cells a side, hold the positive part, which sums to 1.

    `rows` are their places in records.parquet, `outcomes` its rows for them; `left_out` counts the other images by
    why they are left out.
    """

    folder: Path
    stored: Mapping[str, Any]
    key: MapKey
    rows: Integers
    outcomes: tuple[Outcome, ...]
    maps: Floats
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def preprocess(self) -> Preprocess | None:
        """How a photograph becomes the canvas; None where a function of the user's does it."""
        stored = self.stored["identity"].get("classifier", {}).get("preprocess")
        if not isinstance(stored, Mapping):
            return None
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return Preprocess(**fields)


def read_mapped(folder: Path) -> MappedImages:
    """The images of a finished run and the first of their maps. Raises StoreError where there is no such run."""
    stored = manifest.read_manifest(folder)
    command = stored["identity"].get("command")
    if stored.get("status") != "complete":
        todo = f"The {command} command that began it goes on from there."
        raise StoreError(f"The run in {folder} is not finished.\n  {todo}", slug="unfinished-run")
    if not (folder / "map_stats.parquet").is_file():
        raise StoreError(
            f"The run in {folder} is of {str(command)!r}, which keeps no maps.\n"
            "  Trends are of the maps of an explain or audit run:  seewhy explain DATA --model … --target predicted",
            slug="no-run",
        )
    checksums.check(folder, stored)
    outcomes, stats = read_outcomes(folder / "records.parquet"), read_stats(folder / "map_stats.parquet")
    key = MapKey(stats[0].method, stats[0].layer, stats[0].score) if stats else MapKey("", "", "")
    empty = {stat.id for stat in stats if stat.empty and MapKey(stat.method, stat.layer, stat.score) == key}
    has = {stat.id for stat in stats}
    why = [NO_RESULT if o.error or o.image.id not in has else EMPTY if o.image.id in empty else "" for o in outcomes]
    maps = _shares(folder, key) if stats else np.zeros((len(outcomes), 1, 1))
    why = [
        words or ("" if total > 0 else EMPTY) for words, total in zip(why, maps.sum(axis=(1, 2)).tolist(), strict=True)
    ]
    rows = np.array([row for row, words in enumerate(why) if not words], dtype=np.int64)
    left_out = dict(Counter(words for words in why if words))
    return MappedImages(
        folder=folder,
        stored=stored,
        key=key,
        rows=rows,
        outcomes=tuple(outcomes[row] for row in rows),
        maps=maps[rows],
        left_out=left_out,
    )


def _shares(folder: Path, key: MapKey) -> Floats:
    """The positive parts of all maps, each summing to 1; 0 where there is none."""
    parts = []
    for _, raw in read_chunks(folder, key):
        kept = torch.from_numpy(raw).double().nan_to_num().clamp(min=0)
        size = min(MOST_CELLS, kept.shape[1]), min(MOST_CELLS, kept.shape[2])
        parts.append(functional.adaptive_avg_pool2d(kept[:, None], size)[:, 0].numpy())
    maps: Floats = np.concatenate(parts)
    total = maps.sum(axis=(1, 2), keepdims=True)
    shares: Floats = np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)
    return shares
