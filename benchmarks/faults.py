"""Every call that writes to a run folder made to fail, or the last before an end: is anything lost, or wrong?

    .venv/bin/python benchmarks/faults.py                        all commands, every call
    .venv/bin/python benchmarks/faults.py --only explain --every 20
    .venv/bin/python benchmarks/faults.py --only audit --in-turn     every call, with one kind of fault each
    .venv/bin/python benchmarks/faults.py --power                    the power cut at every call

A shim around the C library counts the opens, writes, renames, new folders and syncs below the run folder, and lets the
n-th fail (a full disk, an error of the disk) or kills all processes there. With `--power` the folder then holds what
the syncs made sure of, and of the rest nothing, the names, or each by chance (disk.py). After each: words and a status,
nothing that reads as a finished run and is none, and the same command ends in the bytes of an undisturbed run. Needs a
C compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import PIL.Image
from disk import CUTS, Disk
from kills import tree
from nursery import Child, Nursery

HERE = Path(__file__).parent
FAULTS = {"full disk": ("28", False), "error of the disk": ("5", True), "killed": ("0", True)}  # errno, once
ENDS = ("killed", *CUTS)  # of all processes, whose last words nobody reads
LIMIT_S = 120
NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


@dataclass
class Case:
    """A command whose results lie in `run`; `before` makes ready what it works on."""

    words: list[str]
    run: Path
    before: Callable[[], None] = lambda: None
    finishes: bool = True  # whether the command is what makes the run complete
    ends: tuple[list[str], ...] = ()  # the commands after it, whose bytes are compared where its own hold a token


@dataclass
class Tally:
    """What came of the faults: attempts by kind of fault, and everything that went wrong."""

    attempts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Runner:
    """Runs commands in forked processes, under the shim where there is one."""

    def __init__(self, home: Path, library: Path | None) -> None:
        self.home, self.count, self.disk = home, home / "count", Disk(home / "shadow")
        self.watched = {"LD_PRELOAD": str(library)} if library else {}
        self.nursery = Nursery({**os.environ, **self.watched})
        self.child: Child | None = None

    def start(self, case: Case, at: int | None = None, fault: str = "") -> None:
        """Begin a command; `finish` waits for it."""
        self.count.unlink(missing_ok=True)
        environment = {"FAULT_ROOT": str(case.run), "FAULT_COUNT": str(self.count)}
        if at is not None:
            error, once = FAULTS["killed" if fault in ENDS else fault]
            environment |= {"FAULT_AT": str(at), "FAULT_WITH": error} | ({"FAULT_ONCE": "1"} if once else {})
        if fault in CUTS:
            self.disk.begin(case.run)
            environment["FAULT_SHADOW"] = str(self.disk.shadow)
        with (self.home / "said.txt").open("w") as said:
            everything = {**os.environ, **self.watched, **environment}
            self.child = self.nursery.start(case.words, self.home, everything, said, said, start_new_session=True)

    def finish(self) -> tuple[int, str, int]:
        """The status, what was said, and how many calls were counted."""
        if self.child is None:
            raise RuntimeError("nothing was begun")
        status = self.child.wait()
        said = (self.home / "said.txt").read_text(errors="replace")
        return status, said, self.count.stat().st_size if self.count.exists() else 0

    def __call__(self, case: Case, at: int | None = None, fault: str = "") -> tuple[int, str, int]:
        """A command from begin to end."""
        self.start(case, at, fault)
        return self.finish()

    def close(self) -> None:
        self.nursery.close()


def compiled(home: Path) -> Path:
    """The shim."""
    library = home / "faults.so"
    words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "faults.c"), "-ldl"]
    subprocess.run(words, check=True)
    return library


def make_cases(home: Path) -> dict[str, Case]:
    """Small runs of every command, in a folder of their own."""
    (home / "net.py").write_text(NET)
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        if number % 2:
            pixels[:8] = pixels[:8] // 2 + 120
        folder = home / "data" / ("train", "valid")[number // 20] / ("a", "b")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    about = ["--model", f"{home}/net.py:Net", "--no-report"]
    run = home / "runs" / "run"
    explain = ["explain", f"{home}/data/valid", *about, "--layers", "conv", "--batch-size", "8", "--out", str(run)]

    def copied(name: str) -> Callable[[], None]:
        return lambda: shutil.copytree(home / name, run) and None

    shards = [[*explain, "--shard", f"{number}/2"] for number in (1, 2)]
    return {
        "explain": Case([*explain, "--workers", "1"], run),
        "explain, workers": Case([*explain, "--workers", "2"], run),
        "check": Case(["check", f"{home}/data/valid", *about, "--layers", "conv", "--out", str(run)], run),
        "audit": Case(
            ["audit", f"{home}/data", *about, "--regions", "grid:1x2", "--properties", "none", "--budget", "400",
             "--workers", "1", "--out", str(run)], run
        ),
        "report": Case(["report", str(run)], run, copied("done"), finishes=False),
        "shard": Case(shards[0], run, finishes=False, ends=(shards[1], ["merge", str(run)])),
        "shard, the other": Case(shards[1], run, finishes=False),
        "merge": Case(["merge", str(run)], run, copied("shards")),
        "train": Case(
            ["train", f"{home}/data", "--model", f"{home}/net.py:Net", "--epochs", "2", "--resume", "--out", str(run)],
            run,
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class Calls:
    """Which calls are made to fail: every `every`-th, or the `last` ones; each kind at all of them, or `in_turn`."""

    every: int = 1
    in_turn: bool = False
    last: int | None = None

    def of(self, count: int, place: int, kinds: int) -> range:
        """The calls, counted from 1, for the kind at `place` of so many."""
        first = 1 if self.last is None else max(1, count + 1 - self.last)
        if self.in_turn:
            return range(first + place * self.every, count + 1, kinds * self.every)
        return range(first, count + 1, self.every)


def tried(runner: Runner, name: str, case: Case, asked: Calls, kinds: list[str], tally: Tally) -> int:
    """The calls of a command under each kind of fault; how many calls it makes."""
    fresh(case)
    status, said, calls = runner(case)
    if status:
        raise SystemExit(f"{name} fails without a fault:\n{said}")
    whole, shown = completed(runner, case)[2], results(case.run)
    for place, kind in enumerate(kinds):
        for at in asked.of(calls, place, len(kinds)):
            fresh(case)
            status, said, _ = runner(case, at, kind)
            tally.attempts[f"{name}: {kind}"] += 1
            if kind in CUTS:
                runner.disk.cut(case.run, kind, at)
            problems = [] if kind in ENDS else wrongly_said(case, status, said, shown, whole)
            if case.finishes and is_finished(case) and (others := differing(results(case.run), shown)):
                problems.append(f"reads as finished, but not the bytes of an undisturbed run: {others}")
            again, said, have = completed(runner, case)
            if again:
                problems.append(f"the same command fails: {said[-300:]!r}")
            elif have != whole:
                problems.append(f"other bytes afterwards: {differing(have, whole)}")
            tally.failures += [f"{name}, call {at} of {calls}, {kind}: {problem}" for problem in problems]
    return calls


def wrongly_said(case: Case, status: int, said: str, shown: dict[str, str], whole: dict[str, str]) -> list[str]:
    """What is wrong with the words and the status of a command of which a call failed."""
    problems = []
    if "Traceback" in said or "Unexpected" in said:
        problems.append(f"no words: {said[-300:]!r}")
    if status == 0 and not case.ends:
        if others := differing(results(case.run), shown):
            problems.append(f"status 0, but not the bytes of an undisturbed run: {others}")
        elif "could not be written" not in said and (others := differing(tree(case.run), whole)):
            problems.append(f"status 0, and no word of what is missing: {others}")
    return problems


def fresh(case: Case) -> None:
    shutil.rmtree(case.run, ignore_errors=True)
    case.run.parent.mkdir(parents=True, exist_ok=True)
    case.before()


def completed(runner: Runner, case: Case) -> tuple[int, str, dict[str, str]]:
    """The status of the command and of those after it, what was said, and the hashes of what is there at last."""
    for words in (case.words, *case.ends):
        status, said, _ = runner(replace(case, words=words))
        if status:
            break
    return status, said, tree(case.run)


def differing(have: dict[str, str], want: dict[str, str]) -> list[str]:
    """The first names of the files that are not the same, or are in one alone."""
    return sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))[:4]


def results(run: Path) -> dict[str, str]:
    """The hashes of what a finished run shows, without what the same command removes or adds.

    A cut may leave parts and a file that was being written; pages, and the command line for people, come after the end.
    """
    held = tree(run)
    if (run / "manifest.json").is_file():
        said = json.loads((run / "manifest.json").read_text())
        held["manifest.json"] = repr({name: said[name] for name in said if name not in ("typed", "digest")})
    later = ("parts", "report", "report.partial")
    return {name: held[name] for name in held if name.split("/")[0] not in later and not name.endswith(".partial")}


def is_finished(case: Case) -> bool:
    """Whether the folder says of itself that the run is complete."""
    manifest = case.run / "manifest.json"
    return manifest.exists() and b'"status": "complete"' in manifest.read_bytes()


def run_all(home: Path, only: list[str], kinds: list[str], asked: Calls) -> tuple[Tally, dict[str, int]]:
    """The tally over the commands named, and how many calls each makes."""
    runner, cases, tally, calls = Runner(home, compiled(home)), make_cases(home), Tally(), {}
    try:
        for name, others in {"done": ["explain"], "shards": ["shard", "shard, the other"]}.items():
            shutil.rmtree(cases["explain"].run, ignore_errors=True)
            for other in others:
                status, said, _ = runner(cases[other])
                if status:
                    raise SystemExit(said)
            shutil.copytree(cases["explain"].run, home / name)
        for name in only or cases:
            calls[name] = tried(runner, name, cases[name], asked, kinds, tally)
            print(f"{name}: {calls[name]} calls, {len(tally.failures)} failures so far", file=sys.stderr, flush=True)
    finally:
        runner.close()
    return tally, calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--in-turn", action="store_true")
    parser.add_argument("--last", type=int, help="only so many calls before the end")
    parser.add_argument("--kinds", nargs="*", choices=[*FAULTS, *CUTS])
    parser.add_argument("--power", action="store_true", help="the kinds of disk after a cut")
    asked = parser.parse_args()
    kinds = asked.kinds or list(CUTS if asked.power else FAULTS)
    with tempfile.TemporaryDirectory() as home:
        tally, calls = run_all(Path(home), asked.only, kinds, Calls(asked.every, asked.in_turn, asked.last))
    print("| command and fault | calls | attempts | failures |\n| --- | --- | --- | --- |")
    for name, count in tally.attempts.items():
        command = name.rpartition(": ")[0]
        kind = name.rpartition(": ")[2]
        failed = sum(line.startswith(f"{command}, call") and f", {kind}: " in line for line in tally.failures)
        print(f"| {name} | {calls[command]} | {count} | {failed} |")
    print("\n".join(tally.failures))
    raise SystemExit(bool(tally.failures))


if __name__ == "__main__":
    main()
