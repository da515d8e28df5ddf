"""What an inserted mark does to images as they are, from the trials of audits: python marks.py RUN [RUN ...]."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as parquet

EDITS = {"neutral mark": "with the patch", "inserted": "with the mark"}


def main(*runs: str) -> None:
    """A line for each run and label: the mean probability of the first contrast, unedited and with each edit."""
    for run in runs:
        labels = dict(zip(*columns(Path(run) / "records.parquet", "id", "label"), strict=True))
        trials = columns(Path(run) / "trials.parquet", "edit", "recipient", "probabilities_before", "probabilities")
        rows = [(labels[one], edit, was[0], now[0]) for edit, one, was, now in zip(*trials, strict=True)]
        names = sorted(set(labels.values()))
        for name in names if len(names) <= 10 else [None]:
            own = [row for row in rows if row[1] in EDITS and name in (None, row[0])]
            told = {"as they are": [row[2] for row in own]}
            told |= {words: [row[3] for row in own if row[1] == edit] for edit, words in EDITS.items()}
            words = ", ".join(f"{sum(values) / len(values):.3f} {what}" for what, values in told.items())
            print(f"{run}, {name or 'all'}: {words}")


def columns(path: Path, *names: str) -> list[list[object]]:
    """Some columns of a table, as lists."""
    table = parquet.read_table(path, columns=list(names))
    return [table[name].to_pylist() for name in names]


if __name__ == "__main__":
    main(*sys.argv[1:])
