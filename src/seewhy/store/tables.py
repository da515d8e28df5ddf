"""Parquet tables: written whole under a temporary name, then renamed, so that a file is complete or absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seewhy.records import Image, MapStat, Outcome
from seewhy.store.schema import MAP_STATS, RECORDS, schema_of


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: dict[str, tuple[pa.DataType, str]]) -> None:
    """Write the rows as one parquet file."""
    _replace(path, pa.Table.from_pylist(list(rows), schema=schema_of(columns)))


def merge(parts: Iterable[Path], path: Path, columns: dict[str, tuple[pa.DataType, str]]) -> None:
    """Write the rows of the parts, in the order given, as one parquet file."""
    schema = schema_of(columns)
    temporary = path.with_name(path.name + ".partial")
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.ParquetFile(part).read())
    temporary.replace(path)


def read_outcomes(path: Path) -> list[Outcome]:
    """The rows of records.parquet, in order."""
    return [_outcome(row) for row in pq.read_table(path).to_pylist()]


def read_stats(path: Path) -> list[MapStat]:
    """The rows of map_stats.parquet, in order."""
    return [MapStat(**row) for row in pq.read_table(path).to_pylist()]


def record_row(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a row of records.parquet."""
    row = {name: getattr(outcome, name) for name in RECORDS if name not in ("id", "path", "label", "split", "error")}
    image = outcome.image
    return {
        **row,
        "id": image.id,
        "path": image.path and image.path.encode("utf-8", "backslashreplace").decode(),  # names can be any bytes
        "label": image.label,
        "split": image.split,
        "error": outcome.error,
    }


def stat_row(stat: MapStat) -> dict[str, Any]:
    """A map's numbers as a row of map_stats.parquet."""
    return {name: getattr(stat, name) for name in MAP_STATS}


def _outcome(row: dict[str, Any]) -> Outcome:
    image = Image(*(row.pop(name) for name in ("id", "path", "label", "split")))
    return Outcome(image, **{**row, "logits": tuple(row["logits"] or ())})


def _replace(path: Path, table: pa.Table) -> None:
    temporary = path.with_name(path.name + ".partial")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)
