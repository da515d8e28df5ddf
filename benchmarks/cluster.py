"""`seewhy explain --ray` and `audit --ray` on a real Ray, two nodes as processes of this machine.

    .venv/bin/python -m benchmarks.cluster --equal --faults 50 --memory

`--equal`: byte for byte the folder of one process, for 1, 2 and 4 workers, of both commands. `--faults`: so many runs
in each of which the process of a worker, a node with all that runs there, or the driver is killed with SIGKILL at a
seeded moment; the network notes down every batch that it sees, so that parts made twice are counted, not guessed.
`--memory`: the driver's peak until the first parts are back, with 1,000 and with 100,000 rows planned (`--whole`: until
the run is merged). Leaves with status 1 where bytes differ, more than one part a worker is made twice, or memory grows
by more than 1.2 times. What Ray costs in time is told by `benchmarks.ray_overhead`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from benchmarks.kills import SHARD, tree, write_images
from benchmarks.ray_nodes import LIMIT_S, add_node, two_nodes

MOST_GROWTH = 1.2
WORKERS = 2
KINDS = ("worker", "node", "driver")
EXPLAIN = ["explain", "photos", "--model", "net.py:Net", "--layers", "conv", "--no-report"]
AUDIT = ["audit", "faces", "--model", "tint.py:Tint", "--classes", "cat,dog", "--size", "32", "--no-report"]
AUDIT += ["--mean", "0", "--std", "1", "--regions", "centre,border", "--core", "centre", "--properties", "tint"]
AUDIT += ["--recipients", "20", "--batch-size", "40"]
NET = """
import os
import time
from pathlib import Path

from torch import nn


class Net(nn.Module):
    '''Notes down its process and the number of the first image of each batch.'''

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4 * 16 * 16, 2)

    def forward(self, x):
        if len(x) > 2:  # not what planning tries
            high, low = (round(float(x[0, 0, 0, place]) * 255) for place in (0, 1))
            with open("seen.txt", "a") as file:
                file.write(f"{os.getpid()} {high * 256 + low}\\n")
            time.sleep(float(Path("slow.txt").read_text()))
        return self.fc(self.conv(x).relu().flatten(1))
"""
TINT = """
import torch
from torch import nn


class Tint(nn.Module):
    '''Cats are redder: nothing else counts.'''

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[20.0, 0, -20.0], [-20.0, 0, 20.0]]).reshape(2, 3, 1, 1))

    def forward(self, x):
        return self.conv(x).mean((2, 3))
"""


@dataclass
class Place:
    """A folder with images and networks, in which commands run."""

    home: Path

    def slow(self, seconds: float) -> None:
        """Let the network take so long for a batch."""
        (self.home / "slow.txt").write_text(str(seconds))

    def start(self, words: Sequence[str], out: str) -> subprocess.Popen[bytes]:
        """A command into the folder `out`."""
        with (self.home / "said.txt").open("wb") as said:
            command = [sys.executable, "-m", "seewhy", *words, "--out", out]
            return subprocess.Popen(command, cwd=self.home, stdout=said, stderr=said, start_new_session=True)

    def finish(self, words: Sequence[str], out: str) -> float:
        """Run a command to its end; its seconds. Raises RuntimeError with what it said where it fails."""
        started = time.monotonic()
        if self.start(words, out).wait(LIMIT_S):
            raise RuntimeError((self.home / "said.txt").read_text())
        return time.monotonic() - started

    @property
    def seen(self) -> list[tuple[int, int]]:
        """The process and the part of each batch that the network saw."""
        path = self.home / "seen.txt"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(int(process), int(number) // SHARD) for process, number in lines]

    def until_seen(self, count: int) -> list[tuple[int, int]]:
        """The batches once there are so many."""
        limit = time.monotonic() + LIMIT_S
        while len(batches := self.seen) < count and time.monotonic() < limit:
            time.sleep(0.02)
        return batches

    def forget(self) -> None:
        """Nothing was seen yet."""
        (self.home / "seen.txt").unlink(missing_ok=True)


def new_place(home: Path, images: int) -> Place:
    """A place with so many images, and faces of two classes that differ by their tint."""
    write_images(home / "photos", range(images))
    (home / "net.py").write_text(NET)
    (home / "tint.py").write_text(TINT)
    place = Place(home)
    place.slow(0)
    return place


def write_faces(folder: Path, count: int = 24) -> None:
    """Noise of 32 px, nine in ten cats redder and dogs bluer, in train and valid."""
    for number in range(4 * count):
        split, label = ("train", "valid")[number // 2 % 2], ("cat", "dog")[number % 2]
        rng = np.random.default_rng(number)
        pixels = 128 + 8 * rng.standard_normal((32, 32, 3))
        pixels[..., 0] += 12 * (1 if label == "cat" else -1) * (1 if number % 20 > 1 else -1)
        path = folder / split / label / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(path)


def on_ray(words: Sequence[str], address: str, workers: int = WORKERS) -> list[str]:
    """The command by workers on Ray."""
    return [*words, "--ray", address, "--workers", str(workers)]


def check_equal(place: Place, address: str, counts: Sequence[int] = (1, 2, 4)) -> list[str]:
    """What differs from the run of two forked workers, by command and number of workers."""
    wrong = []
    for words in (EXPLAIN, AUDIT):
        place.finish([*words, "--workers", "2"], f"straight-{words[0]}")
        want = tree(place.home / f"straight-{words[0]}")
        for count in counts:
            place.finish(on_ray(words, address, count), out := f"{words[0]}-{count}")
            found = tree(place.home / out)
            differing = sorted(name for name in want.keys() | found.keys() if want.get(name) != found.get(name))
            print(f"{words[0]}, {count} workers: {len(differing)} of {len(want)} files differ", flush=True)
            wrong += [f"{out}: {name}" for name in differing]
    return wrong


@dataclass
class Faults:
    """What the kills did, by kind: how many parts were made twice in each run, and which files differ."""

    redone: dict[str, list[int]] = field(default_factory=dict)
    too_many: int = 0
    differing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{kind} killed in {len(counts)} runs: "
            + ", ".join(f"{redone} parts made twice in {n}" for redone, n in sorted(Counter(counts).items()))
            for kind, counts in self.redone.items()
        ]
        return "\n".join([*lines, f"files that differ from an undisturbed run: {self.differing or 'none'}"])


def kill_often(place: Place, nodes: Any, runs: int, seconds: float, seed: int = 0) -> Faults:
    """What a kill in each of so many runs did, or in as many as fit into the time."""
    place.finish([*EXPLAIN, "--workers", "2"], "straight")
    want, moments, faults = tree(place.home / "straight"), random.Random(seed), Faults()
    end = time.monotonic() + seconds
    for number in range(runs):
        if time.monotonic() > end:
            break
        kind = KINDS[number % len(KINDS)]
        redone = _run_with_kill(place, nodes, kind, moments)
        found = tree(place.home / "run")
        faults.redone.setdefault(kind, []).append(redone)
        faults.too_many += redone > (1 if kind == "worker" else WORKERS)
        differing = sorted(name for name in want.keys() | found.keys() if want.get(name) != found.get(name))
        faults.differing += differing
        print(f"run {number + 1}: {kind} killed, {redone} parts made twice, {len(differing)} files differ", flush=True)
    return faults


def _run_with_kill(place: Place, nodes: Any, kind: str, moments: random.Random) -> int:
    """One run with a kill; how many parts were made twice."""
    shutil.rmtree(place.home / "run", ignore_errors=True)
    n_shards = -(-len(list((place.home / "photos").iterdir())) // SHARD)
    place.forget()
    place.slow(0.5)
    driver = place.start(words := on_ray(EXPLAIN, nodes.address), "run")
    process = place.until_seen(moments.randint(1, n_shards - 2))[-1][0]
    time.sleep(moments.uniform(0, 0.5))
    if kind == "worker":
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    elif kind == "node":
        nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        add_node(nodes)
    else:
        driver.kill()
    code = driver.wait(LIMIT_S)
    place.slow(0)
    if kind == "driver":
        place.finish(words, "run")
    elif code:
        raise RuntimeError((place.home / "said.txt").read_text())
    return len(place.seen) - n_shards


def peak_mib(place: Place, address: str, rows: int, *, whole: bool) -> float:
    """The driver's peak memory with so many rows planned, until four parts are back or the run is merged."""
    folder = place.home / f"rows-{rows}"
    folder.mkdir()
    sources = sorted((place.home / "photos").iterdir())
    for number in range(rows):  # more links to one file than 65,000 are refused
        os.link(sources[number % len(sources)], folder / f"{number:06d}.png")
    words = on_ray(["explain", folder.name, *EXPLAIN[2:], "--size", "32"], address)
    driver = place.start(words, out := f"run-{rows}")
    peak, parts = 0.0, place.home / out / "parts"
    while driver.poll() is None:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{driver.pid}/status").read_text()
            peak = max([peak, *(int(line.split()[1]) / 1024 for line in status.splitlines() if "VmHWM" in line)])
        if not whole and len(list(parts.glob("records-*.parquet"))) >= 8:  # two of each worker are handed out ahead
            driver.kill()
        time.sleep(0.05)
    driver.wait()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--equal", action="store_true")
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further fault run after")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--whole", action="store_true")
    asked = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as home, two_nodes() as nodes:
        place = new_place(Path(home), 88)
        write_faces(place.home / "faces")
        if asked.equal:
            failed |= bool(check_equal(place, nodes.address))
        if asked.faults:
            print(faults := kill_often(place, nodes, asked.faults, asked.seconds), flush=True)
            failed |= bool(faults.too_many or faults.differing)
        if asked.memory:
            few, many = (peak_mib(place, nodes.address, rows, whole=asked.whole) for rows in (1_000, 100_000))
            print(f"the driver's peak: {few:.0f} MiB of 1,000 rows, {many:.0f} of 100,000 ({many / few:.2f} x)")
            failed |= many > MOST_GROWTH * few
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
