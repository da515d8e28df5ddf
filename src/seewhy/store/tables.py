"""Parquet tables: written whole under a temporary name, then renamed, so that a file is complete or absent."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seewhy.records import Image, MapStat, Outcome
from seewhy.store import durable
from seewhy.store.schema import MAP_STATS, RECORDS, schema_of

Column = NDArray[Any] | Sequence[Any]
_KINDS, _COLUMNS = ("map_stats", "records"), (MAP_STATS, RECORDS)
_TOKEN = b"run"
_FORM: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
_REPEATED = frozenset(("label", "split", "prediction", "error", "method", "layer", "score", "reason"))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: dict[str, tuple[pa.DataType, str]]) -> None:
    """Write the rows as one parquet file."""
    _replace(path, pa.Table.from_pylist(list(rows), schema=schema_of(columns)))


def merge(parts: Iterable[Path], path: Path, columns: dict[str, tuple[pa.DataType, str]]) -> None:
    """Write the rows of the parts, in the order given, as one parquet file."""
    schema = schema_of(columns)
    with durable.written(path) as temporary, pq.ParquetWriter(temporary, schema, **_FORM) as writer:
        for part in parts:
            writer.write_table(_read(part))


def part(folder: Path, kind: str, index: int) -> Path:
    """Where the rows of one shard wait until all are there; `kind` is "records" or "map_stats"."""
    return folder / "parts" / f"{kind}-{index:06d}.parquet"


def publish(
    folder: Path, index: int, token: str, stats: Iterable[Mapping[str, Any]], records: Iterable[Mapping[str, Any]]
) -> None:
    """Write the rows of one shard as parts of the run `token`, once all that was written of it is on the disk.

    The records come last, so that a shard with records is whole.
    """
    kinds = zip((stats, records), _COLUMNS, strict=True)
    _publish(
        folder, index, token, [pa.Table.from_pylist(list(rows), schema=schema_of(columns)) for rows, columns in kinds]
    )


def is_published(folder: Path, index: int, token: str) -> bool:
    """Whether both tables of a shard are there, can be read, and are parts of the run `token`."""
    return all(is_part(part(folder, kind, index), token) for kind in _KINDS)


def is_part(path: Path, token: str) -> bool:
    """Whether a table is there, is as it was written, and is part of the run `token`."""
    try:
        held = _read(path).schema.metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return bool(held.get(_TOKEN, b"").decode(errors="replace") == token)


def split(folder: Path, token: str, shards: Mapping[int, Sequence[str]]) -> None:
    """Write the merged tables' rows of some shards, named by their images' ids, as parts of the run `token` again."""
    whole = [_read(folder / f"{kind}.parquet") for kind in _KINDS] if shards else []
    for index, ids in shards.items():
        wanted = frozenset(ids)
        masks = [[name in wanted for name in table["id"].to_pylist()] for table in whole]
        rows = [table.filter(pa.array(mask, pa.bool_())) for table, mask in zip(whole, masks, strict=True)]
        _publish(
            folder,
            index,
            token,
            [table.cast(schema_of(columns)) for table, columns in zip(rows, _COLUMNS, strict=True)],
        )


def _publish(folder: Path, index: int, token: str, tables: Sequence[pa.Table]) -> None:
    paths = [part(folder, kind, index) for kind in _KINDS]
    own = secrets.token_hex(4)  # a process that is given up may be at the same shard for another moment
    written = [path.with_name(f"{path.name}.{own}.partial") for path in paths]
    for path, table in zip(written, tables, strict=True):
        pq.write_table(_of_run(table, token), path, **_FORM)
    durable.sync_all(folder)
    for temporary, path in zip(written, paths, strict=True):
        temporary.replace(path)


def _of_run(table: pa.Table, token: str) -> pa.Table:
    return table.replace_schema_metadata({_TOKEN: token}) if token else table


def read_ids(path: Path, count: int) -> list[str]:
    """The ids of the first `count` rows of records.parquet."""
    ids: list[str] = _read(path, ["id"])["id"][:count].to_pylist()
    return ids


def read_drawn(path: Path) -> list[str]:
    """The ids of a part's images that have a result, and so an overlay."""
    table = _read(path, ["id", "error"])
    rows = zip(table["id"].to_pylist(), table["error"].to_pylist(), strict=True)
    return [name for name, error in rows if error is None]


def read_digests(folder: Path) -> dict[str, str | None]:
    """The hash of each image's file by its id, as far as the run has got; None for an image without a result."""
    whole = folder / "records.parquet"
    return digests_in([whole] if whole.exists() else sorted((folder / "parts").glob("records-*.parquet")))


def digests_in(paths: Iterable[Path]) -> dict[str, str | None]:
    """The hash of each image's file by its id, from tables of records; those that cannot be read are left out."""
    digests: dict[str, str | None] = {}
    for path in paths:
        try:
            table = _read(path, ["id", "digest"])
            digests |= zip(table["id"].to_pylist(), table["digest"].to_pylist(), strict=True)
        except (OSError, KeyError, pa.ArrowException):  # lost or damaged: its shard is not finished
            continue
    return digests


def read_outcomes(path: Path) -> list[Outcome]:
    """The rows of records.parquet, in order."""
    return [_outcome(row) for row in _rows(path)]


def read_stats(path: Path) -> list[MapStat]:
    """The rows of map_stats.parquet, in order."""
    return [MapStat(**row) for row in _rows(path)]


def outcomes_in(table: pa.Table) -> list[Outcome]:
    """The outcomes in rows of records.parquet."""
    return [_outcome(row) for row in table.to_pylist()]


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


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The table in a file; no thread is started, because workers may be forked later."""
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        return file.read(columns, use_threads=False)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table, shard by shard; words that are found again and again are held once."""
    words: dict[str, str] = {}
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, use_threads=False).to_pylist():
                yield {
                    name: words.setdefault(value, value) if name in _REPEATED and value is not None else value
                    for name, value in row.items()
                }


def _replace(path: Path, table: pa.Table) -> None:
    with durable.written(path) as temporary:
        pq.write_table(table, temporary, **_FORM)


def write_columns(
    path: Path, columns: Mapping[str, Column], schema: dict[str, tuple[pa.DataType, str]], token: str = ""
) -> None:
    """Write columns of equal length as one parquet file, a part of the run `token`; (N, K) arrays become lists of K."""
    kinds = schema_of(schema)
    arrays = [_array(columns[name], kinds.field(name).type) for name in schema]
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, _of_run(pa.Table.from_arrays(arrays, schema=kinds), token))


def read_columns(path: Path) -> dict[str, Column]:
    """The columns of a table: numbers as arrays, lists of K numbers as (N, K), words as lists."""
    table = _read(path)
    return {name: _values(table[name].combine_chunks()) for name in table.column_names}


def _array(values: Column, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1), kind.value_type))
    return pa.array(values, kind)


def _values(column: pa.Array) -> Column:
    if pa.types.is_list(column.type):
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat.reshape(len(column), -1)) if len(column) else np.zeros((0, 1), flat.dtype)
    if pa.types.is_string(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return np.asarray(column.to_numpy(zero_copy_only=False))
