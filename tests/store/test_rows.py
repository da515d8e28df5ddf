"""Rows that stay in their files are those that are read at once, whichever way they are asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from seewhy.records import Image, MapKey, MapStat, Outcome
from seewhy.store import rows, tables
from seewhy.store.schema import MAP_STATS, RECORDS

KEYS = [MapKey("grad-cam", "conv1", "cat"), MapKey("grad-cam", "conv2", "cat")]
PARTS = [5, 1, 7, 3]  # images
UNREADABLE = {5, 9}  # the second part has no map at all


def outcome(row: int) -> Outcome:
    image = Image(f"größe/{row} '.png", f"/data/größe/{row} '.png", None if row % 5 == 0 else "cat", "valid")
    if row in UNREADABLE:
        return Outcome(image, error="truncated")
    return Outcome(image, 32, 16 + row, f"{row:032x}", "cat", 0.5 + row / 64, bool(row % 2), (0.25 * row, -1.0))


def stats_of(outcomes: Sequence[Outcome]) -> list[MapStat]:
    """The numbers of the maps of a part, of one layer after the other, in no order of the images."""
    made = []
    for key in KEYS:
        shuffled = random.Random(len(outcomes)).sample(outcomes, len(outcomes))
        for one in shuffled:
            if one.error is None:
                number = len(one.image.id) + 0.1 * len(made) + one.logits[0]
                is_empty = number > 14
                made.append(
                    MapStat(
                        one.image.id,
                        *key,
                        number,
                        -number,
                        number / 3,
                        0.0,
                        1e-300,
                        is_empty,
                        "all zero" * is_empty or None,
                    )
                )
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    start = 0
    for index, size in enumerate(PARTS):
        outcomes = [outcome(row) for row in range(start, start + size)]
        records, stats = map(tables.record_row, outcomes), map(tables.stat_row, stats_of(outcomes))
        tables.publish(tmp_path, index, "token", stats, records)
        start += size
    for kind, columns in (("records", RECORDS), ("map_stats", MAP_STATS)):
        parts = [tables.part(tmp_path, kind, index) for index in range(len(PARTS))]
        tables.merge(parts, tmp_path / f"{kind}.parquet", columns)
    return tmp_path


def test_outcomes_are_those_that_are_read_at_once(folder: Path) -> None:
    held = tables.read_outcomes(folder / "records.parquet")
    stored = rows.StoredOutcomes(folder / "records.parquet")
    assert list(stored) == held == [outcome(row) for row in range(sum(PARTS))]
    assert len(stored) == len(held)
    order = random.Random(0).sample(range(-len(held), len(held)), 2 * len(held))
    assert [stored[row] for row in order] == [held[row] for row in order]
    for part in (slice(None), slice(3, 9), slice(-2, None), slice(12, 2, -3), slice(4, 4)):
        assert stored[part] == held[part]
    assert stored.index(held[11]) == 11
    for beyond in (len(held), -len(held) - 1):
        with pytest.raises(IndexError):
            stored[beyond]


def test_outcomes_stay_those_of_the_file_that_was_opened(folder: Path) -> None:
    stored = rows.StoredOutcomes(folder / "records.parquet")
    tables.write_rows(folder / "records.parquet", [tables.record_row(outcome(3))], RECORDS)
    assert list(stored) == [outcome(row) for row in range(sum(PARTS))]


def test_numbers_of_maps_are_those_that_are_read_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_WINDOW", max(PARTS))
    outcomes = rows.StoredOutcomes(folder / "records.parquet")
    by_key = rows.stats_by_key(folder / "map_stats.parquet", KEYS, outcomes)
    places = {one.image.id: row for row, one in enumerate(outcomes)}
    held: dict[MapKey, dict[int, MapStat]] = {key: {} for key in KEYS}
    for stat in tables.read_stats(folder / "map_stats.parquet"):
        held[MapKey(stat.method, stat.layer, stat.score)][places[stat.id]] = stat
    assert {key: dict(stats) for key, stats in by_key.items()} == held
    for key in KEYS:
        assert list(by_key[key]) == sorted(held[key])
        assert [row in by_key[key] for row in range(sum(PARTS) + 1)] == [
            row < sum(PARTS) and row not in UNREADABLE for row in range(sum(PARTS) + 1)
        ]
        assert by_key[key].get(5) is None
        assert by_key[key].get(6) == held[key][6]
    assert any(stat.empty for stat in by_key[KEYS[0]].values())


def test_a_map_of_no_image_is_an_error(folder: Path) -> None:
    with pytest.raises(KeyError, match="größe"):
        rows.stats_by_key(folder / "map_stats.parquet", KEYS, [outcome(0)])
