"""Parquet tables from and to columns, for tables of very many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seewhy.store.schema import schema_of

Column = NDArray[Any] | Sequence[Any]


def write_columns(path: Path, columns: Mapping[str, Column], schema: dict[str, tuple[pa.DataType, str]]) -> None:
    """Write columns of equal length as one parquet file; (N, K) arrays become lists of K numbers."""
    kinds = schema_of(schema)
    arrays = [_array(columns[name], kinds.field(name).type) for name in schema]
    temporary = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(arrays, schema=kinds), temporary, compression="zstd")
    temporary.replace(path)


def read_columns(path: Path) -> dict[str, Column]:
    """The columns of a table: numbers as arrays, lists of K numbers as (N, K), words as lists."""
    with pq.ParquetFile(path, pre_buffer=False) as file:  # no thread: workers may be forked later
        table = file.read(use_threads=False)
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
