"""The audit's own rows: the whole command, re-scoring against the bare forward pass, and memory.

.venv/bin/python benchmarks/audit.py --only audit-parts-64 --rounds 5
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from audit_cases import CASES, COMMAND_AIM, COUNTS, DONORS, EPOCHS, MEMORY_AIM, audit_arguments, model_arguments
from bench import Row, measured, write_result
from measure import Run, progress, run, wait_for_quiet
from report import Raw, headline, spread, table_head, table_row, write_summary
from workloads import HERE, Aim

PYTHON = sys.executable
SEEWHY = Path(PYTHON).with_name("seewhy")
WRITE = "from pathlib import Path; from seewhy.planted.folder import write_faces; write_faces(Path({0!r}), **{1!r})"


def write_faces(folder: Path, **options: float) -> Path:
    """Planted faces, made by a process of its own: see `measure.run`."""
    progress(f"{folder.name}: faces")
    run([PYTHON, "-c", WRITE.format(str(folder), options)], folder.parent)
    return folder


def train(data: Path, epochs: int) -> Path:
    """The checkpoint of a network that has learned the faces."""
    home = data.parent / "checkpoints"
    progress("training")
    run([SEEWHY, "train", data, *model_arguments(), "--epochs", str(epochs), "--out", home], data.parent)
    return max(home.rglob("model_*.pt"), key=lambda file: int(file.stem.removeprefix("model_")))


def audit(data: Path, weights: Path, *only: str) -> Run:
    out = data.parent / "audited"
    found = run([SEEWHY, *audit_arguments(data, weights, out, *only)], data.parent)
    shutil.rmtree(out)
    return found


def measure_command(name: str, options: argparse.Namespace, home: Path) -> Raw:
    data = write_faces(home / "faces", n_train=options.images * 2, n_valid=options.images, size=64)
    weights = train(data, options.epochs)
    rounds = []
    for number in range(options.rounds):
        busy, found = wait_for_quiet(), audit(data, weights)
        progress(f"{name} {number + 1}/{options.rounds}: {found.wall_s:.1f} s")
        rounds.append({"wall_s": found.wall_s, "peak_mib": found.peak_mib, "busy_otherwise": max(busy, found.others)})
    return {"rounds": rounds, "images": options.images}


def command_minutes(raw: Raw) -> list[float]:
    return [one["wall_s"] / 60 for one in raw["rounds"]]


def command_lines(name: str, raw: Raw) -> list[str]:
    peak = max(one["peak_mib"] for one in raw["rounds"])
    return [
        *table_head("command", "minutes", "peak MiB"),
        table_row((f"`{' '.join(audit_arguments(Path('DATA'), Path('FILE'), Path('OUT')))}`",
                   spread(command_minutes(raw)), f"{peak:.0f}")),
        "",
        f"- {2 * raw['images']} planted faces of each class to learn from and {raw['images']} held out, 64 px; whole "
        f"process, {len(raw['rounds'])} rounds.",
    ]  # fmt: skip


def measure_parts(name: str, options: argparse.Namespace, home: Path) -> Raw:
    rounds = []
    for number in range(options.rounds):
        busy = wait_for_quiet()
        found = run([PYTHON, HERE / "ours_audit_parts.py", name, "3"], home)
        progress(f"{name} {number + 1}/{options.rounds}")
        rounds.append({**found.said, "busy_otherwise": max(busy, found.others)})
    return {"rounds": rounds}


def parts_shares(raw: Raw) -> dict[str, list[float]]:
    """For each edit the rate of re-scoring as a share of the bare rate, round by round."""
    shares: dict[str, list[float]] = {}
    for one in raw["rounds"]:
        for edit, times in one["seconds"].items():
            shares.setdefault(edit, []).append(median(times["bare"]) / median(times["edited"]))
    return shares


def parts_headlines(name: str, raw: Raw) -> list[Raw]:
    """One line for each group of edits: the slowest of them, round by round."""
    shares, case = parts_shares(raw), CASES[name]
    groups: dict[str, list[list[float]]] = {}
    for edit, values in shares.items():
        groups.setdefault(case.group_of(edit), []).append(values)
    aims = case.aims()
    return [
        headline(aims[group], [min(one) for one in zip(*of, strict=True)], None)
        for group, of in groups.items()
        if group in aims
    ]


def parts_lines(name: str, raw: Raw) -> list[str]:
    images = raw["rounds"][0]["images"]
    lines = table_head("edit", "bare img/s", "edited img/s", "share", "ms an image beyond the bare pass")
    for edit, shares in parts_shares(raw).items():
        bare, edited = (
            median(median(one["seconds"][edit][side]) for one in raw["rounds"]) / images for side in ("bare", "edited")
        )
        beyond = f"{1000 * (edited - bare):.3f}"
        lines.append(table_row((edit, f"{1 / bare:.0f}", f"{1 / edited:.0f}", spread(shares), beyond)))
    case = CASES[name]
    return [
        *lines,
        "",
        f"- {case.words}, batches of {case.batch}, {images} images a timing, {len(raw['rounds'])} rounds, each in a "
        f"process of its own; {raw['rounds'][0]['threads']} threads. Random weights, planted faces.",
    ]


def measure_memory(name: str, options: argparse.Namespace, home: Path) -> Raw:
    homes = {count: home / str(count) for count in options.counts}
    for count, own in homes.items():
        own.mkdir()
        write_faces(own / "faces", n_train=count // 2, n_valid=1, size=64)
    weights = train(homes[min(homes)] / "faces", 1)
    rounds = []
    for number in range(options.rounds):
        busy = wait_for_quiet()
        found = {str(count): audit(own / "faces" / "train", weights, "regions") for count, own in homes.items()}
        progress(f"{name} {number + 1}/{options.rounds}")
        others = max(busy, *(one.others for one in found.values()))
        peaks = {count: one.peak_mib for count, one in found.items()}
        rounds.append({"peak_mib": peaks, "busy_otherwise": others})
    return {"rounds": rounds}


def memory_ratios(raw: Raw) -> list[float]:
    peaks: Sequence[dict[str, float]] = [one["peak_mib"] for one in raw["rounds"]]
    return [one[max(one, key=int)] / one[min(one, key=int)] for one in peaks]


def memory_lines(name: str, raw: Raw) -> list[str]:
    counts = list(raw["rounds"][0]["peak_mib"])
    peaks = [f"{median(one['peak_mib'][count] for one in raw['rounds']):.0f}" for count in counts]
    return [
        *table_head(*(f"MiB, {int(count):,} images" for count in counts), "ratio"),
        table_row((*peaks, spread(memory_ratios(raw)))),
        "",
        f"- Peak of the largest process, {DONORS} donors of each class at most, {len(raw['rounds'])} rounds; 64 px.",
    ]


def one_headline(aim: Aim, values: Sequence[float]) -> list[Raw]:
    return [headline(aim, values, None)]


ROWS = {
    "audit-command": Row(
        "audit-command", measure_command, command_lines, lambda _, raw: one_headline(COMMAND_AIM, command_minutes(raw))
    ),
    **{name: Row(name, measure_parts, parts_lines, parts_headlines) for name in CASES},
    "audit-memory": Row(
        "audit-memory", measure_memory, memory_lines, lambda _, raw: one_headline(MEMORY_AIM, memory_ratios(raw))
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--images", type=int, default=DONORS, help="held-out faces of each class; twice as many to learn"
    )
    parser.add_argument("--counts", type=int, nargs=2, default=COUNTS, help="sizes of the folders of audit-memory")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--only", choices=ROWS, nargs="+", default=list(ROWS))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    for name in options.only:
        write_result(ROWS[name], measured(ROWS[name], options), options.out)
    print(write_summary(options.out))


if __name__ == "__main__":
    main()
