"""The report's row: what writing its pages costs, and how they open, filter, sort and scroll in Chromium from disk.

.venv/bin/python benchmarks/pages.py --images 300 --rounds 3 --out /tmp/results

It has no peer: none writes pages of raw maps. (`report.py` here is what writes the tables of all rows.)
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import Row, measured, write_result
from measure import Run, progress, run, wait_for_quiet
from report import Raw, headline, spread, table_head, table_row, write_summary
from stamps import REPORT
from workloads import HERE, Aim

PYTHON = sys.executable
SEEWHY = Path(PYTHON).with_name("seewhy")
MODEL, SIZE = "seewhy.learn.net:Net", 64
FEWER = 10  # times fewer images in the run that memory is compared with
WEIGHTS = (
    "import sys, torch; from seewhy.learn.net import Net; torch.manual_seed(0); "
    f"torch.save(Net(size={SIZE}).state_dict(), sys.argv[1])"
)
MIB = 2**20


def aims(count: int) -> dict[str, Aim]:
    """What is aimed at, by what is measured; all of it where less is better."""
    what = f"report of {count:,} images"

    def aim(words: str, at_least: float, goal: float, unit: str) -> Aim:
        return Aim(f"{what}: {words}", at_least, goal, unit=unit, lower=True)

    return {
        "seconds": aim("writing it", 60, 30, " s"),
        "memory": aim(f"peak memory of writing it, against {count // FEWER:,} images", 1.1, 1.02, "x"),
        "size": aim("size of the folder", 100, 50, " MiB"),
        "paint": aim("first paint", 1000, 500, " ms"),
        "tiles": aim("first tiles drawn", 2000, 1000, " ms"),
        "filter": aim("a filter, to the tiles drawn", 100, 50, " ms"),
        "sort": aim("a sort, to the tiles drawn", 300, 100, " ms"),
        "nodes": aim("elements in the page", 600, 400, ""),
        "frame": aim("longest frame of a scroll through it", 100, 50, " ms"),
    }


READ: dict[str, Callable[[Raw], float]] = {
    "seconds": lambda one: one["written"]["many"]["wall_s"],
    "memory": lambda one: one["written"]["many"]["peak_mib"] / one["written"]["few"]["peak_mib"],
    "size": lambda one: one["written"]["many"]["size_mib"],
    "paint": lambda one: one["browser"]["opened"]["paint"],
    "tiles": lambda one: one["browser"]["opened"]["drawn"],
    "filter": lambda one: one["browser"]["filter"]["drawn"],
    "sort": lambda one: one["browser"]["sort"]["drawn"],
    "nodes": lambda one: max(one["browser"]["nodes"], one["browser"]["scroll"]["nodes"]),
    "frame": lambda one: one["browser"]["scroll"]["longest"],
}


def measure_report(name: str, options: argparse.Namespace, home: Path) -> Raw:
    """The raw numbers: each round writes both reports anew, and opens the larger one."""
    data, weights = home / "faces", home / "model.pt"
    each = ["--train", str(round(options.images * 0.475)), "--valid", str(round(options.images * 0.025))]
    progress(f"{name}: {options.images:,} faces")
    run([SEEWHY, "data", "planted", data, "--size", str(SIZE), *each], home)
    run([PYTHON, "-c", WEIGHTS, weights], home)
    counts = {"many": options.images, "few": options.images // FEWER}
    for which, count in counts.items():
        progress(f"{name}: explain, {count:,} images")
        run([SEEWHY, *explain_arguments(data, weights, home / which), "--sample", str(count)], home)
    rounds = []
    for number in range(options.rounds):
        rounds.append(one_round({which: home / which for which in counts}))
        progress(f"{name} {number + 1}/{options.rounds}: {READ['seconds'](rounds[-1]):.1f} s")
    return {"rounds": rounds, "images": options.images}


def one_round(runs: dict[str, Path]) -> Raw:
    busy, written = wait_for_quiet(), {}
    for which, folder in runs.items():
        found = write_pages(folder)
        busy = max(busy, found.others)
        report = folder / "report"
        size = sum(path.stat().st_size for path in report.rglob("*") if path.is_file())
        written[which] = {"wall_s": found.wall_s, "peak_mib": found.peak_mib, "size_mib": size / MIB}
    wait_for_quiet()
    # The browser's processes are not children that are waited for: what they keep busy would look like something else.
    shown = run([PYTHON, HERE / "ours_pages.py", runs["many"] / "report"], runs["many"])
    return {"busy_otherwise": busy, "written": written, "browser": shown.said}


def write_pages(folder: Path) -> Run:
    """Write the pages of a run from nothing."""
    shutil.rmtree(folder / "report", ignore_errors=True)
    return run([SEEWHY, "report", folder], folder.parent)


def explain_arguments(data: Path, weights: Path, out: Path) -> list[str]:
    model = ["--model", MODEL, "--model-arg", f"size={SIZE}", "--size", str(SIZE), "--weights", str(weights)]
    return ["explain", str(data), *model, "--out", str(out), "--no-report"]


def values_of(raw: Raw) -> dict[str, list[float]]:
    return {name: [read(one) for one in raw["rounds"]] for name, read in READ.items()}


def report_headlines(name: str, raw: Raw) -> list[Raw]:
    found = aims(raw["images"])
    return [headline(found[what], values, None) for what, values in values_of(raw).items()]


def report_lines(name: str, raw: Raw) -> list[str]:
    rounds, count = raw["rounds"], raw["images"]
    lines = table_head("what", "median [min-max]")
    found = aims(count)
    lines += [
        table_row((found[what].what, spread(values) + found[what].unit)) for what, values in values_of(raw).items()
    ]
    few = [one["written"]["few"] for one in rounds]
    selected = [one["browser"]["filter"]["selected"] for one in rounds]
    last, scroll = rounds[-1]["browser"], [one["browser"]["scroll"] for one in rounds]
    return [
        *lines,
        "",
        f"- {count // FEWER:,} images: {spread([one['wall_s'] for one in few])} s, "
        f"{median(one['peak_mib'] for one in few):.0f} MiB at most, "
        f"{median(one['size_mib'] for one in few):.1f} MiB of files.",
        f"- {count:,} images: {median(one['written']['many']['peak_mib'] for one in rounds):.0f} MiB at most.",
        f"- The filter's own work, without drawing: {spread(selected)} ms; a text filter to the tiles drawn: "
        f"{spread([one['browser']['text']['drawn'] for one in rounds])} ms; a sort by name: "
        f"{spread([one['browser']['sort_names']['drawn'] for one in rounds])} ms.",
        f"- Scroll of {scroll[-1]['frames']:,} frames, half a window each: median "
        f"{spread([one['median'] for one in scroll])} ms, 99th percentile {spread([one['p99'] for one in scroll])} ms.",
        f"- Planted faces of {SIZE} px, a Net of random weights, {len(rounds)} rounds; Chromium {last['browser']}, "
        "headless, 1280 x 900, from disk; each round a browser of its own.",
    ]  # fmt: skip


ROW = Row("report", measure_report, report_lines, report_headlines, REPORT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if shutil.which("chromium") is None:
        raise SystemExit("There is no chromium to open the pages with (apt-get install chromium).")
    write_result(ROW, measured(ROW, options), options.out)
    print(write_summary(options.out))


if __name__ == "__main__":
    main()
