"""The rows of large runs, read from their files when they are asked for: few bytes are held for each image."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow.parquet as pq

from seewhy.records import MapKey, MapStat, Outcome
from seewhy.store import tables

FROM = 1_000_000  # images; the rows of fewer are all held
_NUMBERS = ("score_value", "minimum", "maximum", "total", "positive_total")
_WINDOW = 4096  # images within which the maps of a part stand in another order than its images


class StoredOutcomes(Sequence[Outcome]):
    """The rows of records.parquet, equal to those that `read_outcomes` gives.

    The file stays open, so that a new one which takes its place changes nothing here.
    """

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        groups = self._file.metadata
        counts = [groups.row_group(group).num_rows for group in range(groups.num_row_groups)]
        self._starts = np.cumsum([0, *counts])
        self._held: tuple[int, list[Outcome]] = -1, []

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, place: int) -> Outcome: ...
    @overload
    def __getitem__(self, place: slice) -> list[Outcome]: ...
    def __getitem__(self, place: int | slice) -> Outcome | list[Outcome]:
        if isinstance(place, slice):
            return [self[row] for row in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(f"row {place} of {len(self)}")
        row = place % len(self)
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        if self._held[0] != group:
            self._held = group, self._rows(group)
        return self._held[1][row - int(self._starts[group])]

    def __iter__(self) -> Iterator[Outcome]:
        for group in range(len(self._starts) - 1):
            yield from self._rows(group)

    def _rows(self, group: int) -> list[Outcome]:
        return tables.outcomes_in(self._file.read_row_group(group, use_threads=False))


class StoredStats(Mapping[int, MapStat]):
    """The numbers of one key's maps by row, in arrays; `outcomes` knows the images' ids."""

    def __init__(self, key: MapKey, outcomes: Sequence[Outcome]) -> None:
        self.key, self._outcomes = key, outcomes
        self._rows, self._numbers, self._reasons = array("q"), array("d"), array("b")
        self._words: dict[tuple[bool, str | None], int] = {}

    def add(self, row: int, stat: Mapping[str, Any]) -> None:
        """Take in the numbers of a map, of a larger row than before."""
        self._rows.append(row)
        self._numbers.extend(stat[name] for name in _NUMBERS)
        self._reasons.append(self._words.setdefault((stat["empty"], stat["reason"]), len(self._words)))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, int) and self._place(row) is not None

    def __getitem__(self, row: int) -> MapStat:
        place = self._place(row)
        if place is None:
            raise KeyError(row)
        value, low, high, total, positive = self._numbers[place * len(_NUMBERS) : (place + 1) * len(_NUMBERS)]
        empty, reason = list(self._words)[self._reasons[place]]
        return MapStat(self._outcomes[row].image.id, *self.key, value, low, high, total, positive, empty, reason)

    def _place(self, row: int) -> int | None:
        place = int(np.searchsorted(np.frombuffer(self._rows, np.int64), row)) if self._rows else 0
        return place if place < len(self._rows) and self._rows[place] == row else None


def stats_by_key(path: Path, keys: Sequence[MapKey], outcomes: Sequence[Outcome]) -> dict[MapKey, StoredStats]:
    """By key the numbers of map_stats.parquet, whose rows come part by part in the order of `outcomes`."""
    by_key = {key: StoredStats(key, outcomes) for key in keys}
    rows = _Rows(outcomes)
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            stats = file.read_row_group(group, use_threads=False).to_pylist()
            for row, stat in sorted(((rows[stat["id"]], stat) for stat in stats), key=lambda pair: pair[0]):
                by_key[MapKey(stat["method"], stat["layer"], stat["score"])].add(row, stat)
    return by_key


class _Rows:
    """The rows of images by their ids, of those that were read last."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._coming = enumerate(outcome.image.id for outcome in outcomes)
        self._recent: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        while name not in self._recent:
            row, read = next(self._coming, (-1, ""))
            if row < 0:
                raise KeyError(name)
            self._recent[read] = row
            if len(self._recent) > 2 * _WINDOW:
                self._recent = dict(islice(self._recent.items(), _WINDOW, None))
        return self._recent[name]
