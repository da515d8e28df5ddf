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
| `outside-into-whole`, `outside-into-whole-grown-4`, … | a property | \
the whole picture changed by as much as the classes differ around the core |
| `held NAME` | a factor | the donor's content was put in, and the factor NAME put back as the recipient has it |
| `outside, held NAME`, `outside-into-whole, held NAME` | a property | \
the same with what is exchanged outside of the core |
| `held NAME` | `rim of the` core | all that lies within an eighth of the side from the core, but for the region NAME |
| `donors` | `boxes around the` core | the donor's content was put into the boxes around both cores, drawn larger |
| `donors` | `place of the` core; with `, the other way` | \
the core was moved to where the donor's lies; as far the other way |
| `shrunk-2`, `shrunk-4`, … | a region | the same, with the region drawn back by so many pixels |
| `blur`, `mean`, `in-paint`, `shuffle`, `average` | a factor | its content was taken away |
| `control` | a control region: `area A #NN` | the donor's content was put in; A is its share of the canvas |
| `control blur`, `control mean`, `control in-paint`, `control shuffle` | `area A` | \
the content of a control region was taken away: each image has one of this area, in turn |
| `control grown-4`, … | the core | the donor's content was put into the place of all cores, \
the same in all images, drawn larger by so many pixels |
| `inserted`, `neutral mark` | a mark | the mark was laid over, or the same patch with its pixels shuffled |
"""


OTHERS = """
## Other folders

`seewhy train` writes `checkpoints/NETWORK/`:

| file | what it holds |
| --- | --- |
| `model_0.pt`, `model_1.pt`, … | the weights after each epoch, a state dict |
| `history.csv`, `history.png` | for each epoch and split loss, accuracy and images; the same drawn |
| `state.pt` | what `--resume` goes on from: the optimizer, the history, and what the training is of |
| `watch.csv`, `watch_maps.npz`, … | with `--watch`: what factors do after each epoch; maps of the same few images |

`seewhy data` writes, beside the pictures in `train/` and `valid/` with a folder for each class:

| file | what it holds |
| --- | --- |
| `train.csv`, `valid.csv` | a row for each picture: `id`, `path`, `label` (a number), `label_str`; \
those of an archive stay as they are |
| `truth.csv` | of `planted` alone: how each face was drawn, its shortcut with it |

`seewhy repair` writes `model.pt` (the repaired weights) and `repair.json` (every number), `seewhy compare --out` writes
`comparison.json`; both have a `manifest.json`, and pages in `report/`.
"""


def page() -> str:
    """Every file of a run folder, and every array, key and column in it; then what other folders hold."""
    parts = [HEAD, "## Files\n", *_files(), "\n## Arrays\n", *_arrays()]
    parts += ["\n## findings.json\n", *_keys(schema.FOUND)]
    parts += ["\nOf a finding:\n", *_keys(schema.FINDING)]
    parts += ["\nIts `numbers`, those that it has. An estimate is `value`, `low`, `high` (95 %) and `n`:\n"]
    parts += _keys(schema.NUMBERS)
    for name, columns in schema.TABLES.items():
        parts += [f"\n## {name}\n\nA row is {schema.ROWS[name]}.\n", *_columns(columns)]
        parts += ["\n" + EDITS.rstrip()] if name == "trials.parquet" else []
    return "\n".join([*parts, OTHERS])


def _files() -> list[str]:
    rows = [("file", *COMMANDS, "what it holds")]
    rows += [
        (f"`{name}`", *("yes" if command in commands else "" for command in COMMANDS), words)
        for name, (commands, words) in schema.FILES.items()
    ]
    return _table(rows)


def _keys(keys: dict[str, str]) -> list[str]:
    rows = [(", ".join(f"`{key}`" for key in names.split(", ")), words) for names, words in keys.items()]
    return _table([("key", "meaning"), *rows])


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
