"""Explain every model of the list with no option given, and write docs/models.md.

python -m tests.sweep.run [--only WORD ...] [--library WORD]: with either, only those models, and no file is written.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

import tests.conftest  # noqa: F401 -- the shim, before torchvision is imported
from tests.sweep.models import Entry, build, entries, pictures
from tests.sweep.places import ELSEWHERE, LITTLE, Row, examine

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def run(entry: Entry) -> Row:
    row = Row(entry.library, entry.model, f"{entry.height} x {entry.width}")
    try:
        # Some random weights spread every change over the whole grid: others, then a large change, which stands out.
        for attempt, strength in enumerate((LITTLE, LITTLE, 1.0)):
            row = examine(build(entry, attempt), pictures(entry.height, entry.width), row, strength=strength)
            if row.reason != ELSEWHERE:
                break
        return row
    except Exception as error:  # noqa: BLE001 -- one model's failure is a row
        return replace(row, reason=f"{type(error).__name__}: {error}".splitlines()[0])


def page(rows: list[Row]) -> str:
    passed = [row for row in rows if not row.reason]
    counts = [
        f"{library} {sum(row.library == library for row in passed)} of {sum(row.library == library for row in rows)}"
        for library in dict.fromkeys(row.library for row in rows)
    ]
    exact, near = sum(row.places.exact for row in rows), sum(row.places.near for row in rows)
    tried = 5 * sum(row.grid is not None for row in rows)
    weak = sum(row.places.near < 4 for row in passed)
    share = f"{exact} were exact and {near} exact or beside"
    return "\n".join(
        [
            "# Models",
            "",
            "Written by `make sweep`: every model with seeded random weights, explained with no option given.",
            "",
            f"**{len(passed)} of {len(rows)}** give a finite map that is not constant, on the right grid: "
            f"{', '.join(counts)}.",
            "",
            "The grid is checked without the inference: pixels are changed a little in five places, and the features "
            "must change most in the same place of the grid or beside it, in four of the five at least. "
            f"Of {tried} places {share}. Networks that spread every change widely "
            f"({weak} of those that passed) pass where the centre of the change follows the place, down and across "
            "(correlations above 0.9). Weights that do neither are drawn anew, twice at most, the last time with a "
            "large change.",
            "",
            "| library | model | input | layer | grid | method | exact, near | follows | seconds |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_line(row) for row in rows),
            "",
        ]
    )


def _line(row: Row) -> str:
    start = f"| {row.library} | {row.model} | {row.size} |"
    failed = f" failed: {row.reason}".replace("|", "\\|") if row.reason else ""
    if row.grid is None:
        return f"{start}{failed} | | | | | |"
    places = f"{row.places.exact}, {row.places.near} | {row.places.follows:.2f}"
    return f"{start} `{row.layer}`{failed} | {row.grid} | {row.method} | {places} | {row.seconds:.1f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--library", default="")
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    rows = []
    for entry in entries():
        wanted = not options.only or any(word in entry.model for word in options.only)
        if not wanted or not entry.library.startswith(options.library):
            continue
        began = time.perf_counter()
        rows.append(run(entry))
        sys.stdout.write(f"{_line(rows[-1])} {time.perf_counter() - began:.0f} s\n")
        sys.stdout.flush()
        gc.collect()
    rows.sort(key=lambda row: (row.library, row.model))
    if not options.only and not options.library:
        options.out.write_text(page(rows), encoding="utf-8")
    failed = [row for row in rows if row.reason]
    sys.stdout.write(f"{len(rows) - len(failed)} of {len(rows)} passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
