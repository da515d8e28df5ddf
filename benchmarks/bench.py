"""seewhy beside other CAM packages: whole processes in turn, paired ratios, and a gate that all made the same maps.

.venv/bin/python benchmarks/bench.py --only resnet50-batched --rounds 5
.venv/bin/python benchmarks/bench.py --summary     only the table over all results
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from calls import (
    CALLS,
    call_headlines,
    call_lines,
    measure_call,
    measure_neighbour,
    neighbour_headlines,
    neighbour_lines,
)
from cases import CASES
from compute_rows import compute_headlines, compute_lines, measure_compute
from dropin_cases import DROPIN
from dropin_rows import dropin_headlines, dropin_lines, measure_dropin
from measure import QUIET, busy_cores, load, machine, progress
from pairs import measure_pair, pair_headlines, pair_lines
from report import Raw, write_summary
from stamps import COMPAT, EVERYTHING, EXPLAIN, MAPS, stamp
from startup import measure_startup, startup_headlines, startup_lines
from tensors import (
    bare_headlines,
    bare_lines,
    batched_headlines,
    batched_lines,
    measure_bare,
    measure_batched,
    measure_memory,
    memory_headlines,
    memory_lines,
)
from workloads import HERE, WORKLOADS, Workload


@dataclass(frozen=True)
class Row:
    """One result: how it is measured, and what is written of it."""

    name: str
    measure: Callable[[str, argparse.Namespace, Path], Raw]
    lines: Callable[[str, Raw], list[str]]
    headlines: Callable[[str, Raw], list[Raw]]
    code: tuple[str, ...] = EVERYTHING  # the parts of the source that it measures


def pair_row(workload: Workload, count: int, name: str) -> Row:
    def measure(name: str, options: argparse.Namespace, home: Path) -> Raw:
        return measure_pair(workload, count, options.data, options.rounds, home)

    return Row(name, measure, pair_lines, pair_headlines, EXPLAIN)


def pair_rows(workload: Workload, images: int | None) -> list[Row]:
    """One row, or one for every usual number of images where there are several."""
    if workload.name.startswith("resnet50"):
        return [pair_row(workload, min(images or 200, *workload.images), workload.name)]
    counts = [images] if images else workload.images
    return [pair_row(workload, count, f"{workload.name}-{count}") for count in counts]


def compute_rows(name: str, images: int | None) -> list[Row]:
    return [Row(name, measure_compute, compute_lines, compute_headlines, MAPS)]


def call_rows(name: str, images: int | None) -> list[Row]:
    return [Row(name, measure_call, call_lines, call_headlines, EXPLAIN)]


def dropin_rows(name: str, images: int | None) -> list[Row]:
    return [Row(name, measure_dropin, dropin_lines, dropin_headlines, COMPAT)]


ROWS: dict[str, Callable[[int | None], list[Row]]] = {
    **{name: partial(pair_rows, workload) for name, workload in WORKLOADS.items()},
    "resnet50-batched": lambda _: [Row("resnet50-batched", measure_batched, batched_lines, batched_headlines, MAPS)],
    "bare": lambda _: [Row("bare", measure_bare, bare_lines, bare_headlines, MAPS)],
    "memory16": lambda _: [Row("memory16", measure_memory, memory_lines, memory_headlines, EXPLAIN)],
    **{name: partial(compute_rows, name) for name in CASES},
    **{name: partial(call_rows, name) for name in CALLS},
    **{name: partial(dropin_rows, name) for name in DROPIN},
    "neighbour": lambda _: [Row("neighbour", measure_neighbour, neighbour_lines, neighbour_headlines)],
    "startup": lambda _: [Row("startup", measure_startup, startup_lines, startup_headlines)],
}


def measured(row: Row, options: argparse.Namespace) -> Raw:
    """The raw numbers of a row, with the state of the machine."""
    before, busy = load(), busy_cores()
    progress(f"{row.name}: load {before}, {busy:.1f} cores busy")
    with tempfile.TemporaryDirectory() as home:
        raw = row.measure(row.name, options, Path(home))
    noisy = any(one["busy_otherwise"] > QUIET for one in raw["rounds"])
    state = {
        "code": stamp(row.code),
        "machine": machine(),
        "load": [before, load()],
        "busy_first": busy,
        "noisy": noisy,
    }
    return {**state, "headlines": row.headlines(row.name, raw), **raw}


def passed(raw: Raw) -> bool:
    gates = [raw["gate"]] if "gate" in raw else list(raw.get("gates", {}).values())
    return all(one["passed"] for one in gates) and not raw.get("help_imports_torch")


def write_result(row: Row, raw: Raw, out: Path) -> None:
    """The table on the screen and in OUT/<name>.md, the raw numbers in OUT/<name>.json."""
    busy = [one["busy_otherwise"] for one in raw["rounds"]]
    noisy = sum(one > QUIET for one in busy)
    state = f"NOISY: {noisy} of {len(busy)} rounds" if noisy else "Quiet: no round"
    about = [
        f"- {state} with more than {QUIET} cores busy otherwise, before or meanwhile (at most {max(busy):.1f}).",
        f"- Load {raw['load'][0]} before, {raw['load'][1]} after; {raw['busy_first']:.1f} cores busy at the start.",
        f"- {raw['machine']}",
    ]
    text = "\n".join([*row.lines(row.name, raw), *about]) + "\n"
    print(text, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{row.name}.md").write_text(text, encoding="utf-8")
    (out / f"{row.name}.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="another number of images; the resnet50 pairs take at most 200")
    parser.add_argument("--only", choices=ROWS, nargs="+", default=list(ROWS))
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    options.data = options.data.resolve()
    right = True
    for row in [row for name in options.only for row in ROWS[name](options.images)] if not options.summary else []:
        raw = measured(row, options)
        write_result(row, raw, options.out)
        right &= passed(raw)
    print(write_summary(options.out))
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
