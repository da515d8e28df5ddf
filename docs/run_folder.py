"""The text of docs/run-folder.md, made of the schema; generate.py writes it."""

from __future__ import annotations

import pyarrow as pa

from seewhy.store import schema

COMMANDS = ("explain", "check", "audit")
HEAD = """# The run folder

Made from `src/seewhy/store/schema.py`: `make docs`.

A run of `explain`, `check` or `audit` is one folder: tables in Parquet, maps in Zarr (format 3). Both are read
without seewhy:

```python
import pandas
import zarr

records = pandas.read_parquet("runs/explain/records.parquet")
maps = zarr.open_array("runs/explain/maps.zarr", path="hirescam/conv4/fake", mode="r")
print(records.prediction[0], maps[0].max())  # row i of the table is map i
```

A file is complete or absent. While a run is under way, finished pieces wait in `parts/`, and `.lock` names the
process that writes; the same command goes on from there. For the words, see the [glossary](glossary.md).
"""
EDITS = """What `edit` says of a trial:

| `edit` | `factor` | what was done |
| --- | --- | --- |
| `donors` | a factor, or two joined by ` + ` | the donor's content was put in |
| `outside` | a factor | the same, but nothing inside of the core was changed, or measured there |
| `outside-grown-4`, … | a factor | the same outside of the core, drawn larger by so many pixels |
| `outside-into-whole`, … | a property | the whole picture changed by as much as the classes differ around the core |
| `held NAME` | a factor | the donor's content was put in, and the factor NAME put back as the recipient has it |
| `outside, held NAME`, … | a property | the same with what is exchanged outside of the core |
| `held NAME` | `rim of the` core | all that lies within an eighth of the side from the core, but for the region NAME |
| `shrunk-2`, `shrunk-4`, … | a region | the same, with the region drawn back by so many pixels |
| `blur`, `mean`, `in-paint`, `shuffle`, `average` | a factor | its content was taken away |
| `control` | a control region, `area A #NN` | the donor's content was put in |
| `control blur`, … | a control region | its content was taken away |
| `inserted`, `neutral mark` | a mark | the mark was laid over, or the same patch with its pixels shuffled |
"""


def page() -> str:
    """Every file of a run folder, and every array and column in it."""
    parts = [HEAD, "## Files\n", *_files(), "\n## Arrays\n", *_arrays()]
    for name, columns in schema.TABLES.items():
        parts += [f"\n## {name}\n\nA row is {schema.ROWS[name]}.\n", *_columns(columns)]
        parts += ["\n" + EDITS.rstrip()] if name == "trials.parquet" else []
    return "\n".join([*parts, ""])


def _files() -> list[str]:
    rows = [("file", *COMMANDS, "what it holds")]
    rows += [
        (f"`{name}`", *("yes" if command in commands else "" for command in COMMANDS), words)
        for name, (commands, words) in schema.FILES.items()
    ]
    return _table(rows)


def _arrays() -> list[str]:
    rows = [("array", "type", "shape", "unit", "meaning")]
    return _table([*rows, *((f"`{name}`", *words) for name, words in schema.ARRAYS.items())])


def _columns(columns: dict[str, tuple[pa.DataType, str]]) -> list[str]:
    rows = [("column", "type", "unit", "meaning")]
    rows += [(f"`{name}`", _type(kind), schema.UNITS.get(name, ""), words) for name, (kind, words) in columns.items()]
    return _table(rows)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]]


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    return {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
