"""`seewhy explain` killed with SIGKILL at random moments and started again, over and over: what is lost, what is left.

    .venv/bin/python benchmarks/kills.py --kills 200

A whole process group dies at a seeded moment; the same command runs again until it finishes. The network writes down
every batch that it sees, so the shards that were computed for nothing are counted, not guessed. Leaves with status 1
where a finished shard was not kept or a finished folder is not, byte for byte, that of an undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

SHARD, WORKERS = 16, 2
MOST_LOST = WORKERS  # each worker computes and writes one shard at a time
MOST_MISSED = 20  # runs that are over before their kill, for each that is not
START_S = 120
NET = '''
import os
import time

from torch import nn


class Net(nn.Module):
    """Writes the number of the first image of each batch, its two darkest pixels, to the file SEEN."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4 * 16 * 16, 2)

    def forward(self, x):
        if len(x) > 2:  # not what planning tries
            high, low = (round(float(x[0, 0, 0, place]) * 255) for place in (0, 1))
            with open(os.environ["SEEN"], "a") as file:
                file.write(f"{high * 256 + low}\\n")
            time.sleep(0.25)
        return self.fc(self.conv(x).relu().flatten(1))
'''


@dataclass
class Losses:
    """What the kills did: shards computed and then not kept, by kill; finished shards that were touched again."""

    kills: int = 0
    runs: int = 0
    missed: int = 0  # the process ended by itself first
    lost: list[int] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{lost} shards {count} times" for lost, count in sorted(Counter(self.lost).items()))
        return (
            f"{self.kills} kills in {self.runs} finished runs ({self.missed} came too late): lost {counts}\n"
            f"finished shards computed or written again: {self.touched or 'none'}\n"
            f"files that differ from an undisturbed run: {self.differing or 'none'}"
        )


def real(*words: str, **ways: Any) -> subprocess.Popen[bytes]:
    """The command as a user starts it."""
    return subprocess.Popen([sys.executable, "-m", "seewhy", *words], **ways)


@dataclass
class Trial:
    """A folder with images and a network; `command` runs in it. `before` makes the run folder ready for the kills.

    `begin` starts what is killed and goes on; the undisturbed run is always a real start.
    """

    home: Path
    command: list[str]
    before: Callable[[Path], None] = lambda run: None
    begin: Callable[..., Any] = real

    @property
    def seen(self) -> list[int]:
        """The shards that the network saw so far, in order."""
        path = self.home / "seen.txt"
        return [int(line) // SHARD for line in path.read_text().split()] if path.exists() else []

    @property
    def n_shards(self) -> int:
        """How many shards the images make."""
        return -(-len(list((self.home / "photos").iterdir())) // SHARD)

    def start(self, run: Path, begin: Callable[..., Any] | None = None) -> Any:
        """The command, in a process group of its own."""
        (self.home / "seen.txt").unlink(missing_ok=True)
        environment = {**os.environ, "SEEN": str(self.home / "seen.txt")}
        words = ["explain", *self.command, "--workers", str(WORKERS), "--no-report", "--out", str(run)]
        with (self.home / "said.txt").open("wb") as said:
            return (begin or self.begin)(
                *words, cwd=self.home, env=environment, stdout=said, stderr=said, start_new_session=True
            )

    def finish(self, run: Path, begin: Callable[..., Any] | None = None) -> float:
        """Run the command to its end; for how many seconds it held the folder."""
        process, held = self.start(run, begin), [0.0]
        while process.poll() is None:
            if _held_by(run, process.pid):
                held.append(time.monotonic())
            time.sleep(0.002)
        if process.wait():
            raise SystemExit((self.home / "said.txt").read_text())
        return held[-1] - held[min(1, len(held) - 1)]


def write_images(folder: Path, numbers: range) -> None:
    """Seeded 32 px photographs named by number; their first two pixels say it too."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        pixels[0, 0], pixels[0, 1] = divmod(number, 256)
        PIL.Image.fromarray(pixels).save(folder / f"{number:05d}.png")


def new_trial(home: Path, images: int, begin: Callable[..., Any] = real) -> Trial:
    """A trial of `images` images in an empty folder."""
    write_images(home / "photos", range(images))
    (home / "net.py").write_text(NET)
    return Trial(home, ["photos", "--model", "net.py:Net", "--layers", "conv"], begin=begin)


def kill_often(trial: Trial, kills: int, seed: int = 0) -> Losses:
    """What `kills` kills did; every run folder that gets finished is compared with an undisturbed one."""
    straight, run = trial.home / "straight", trial.home / "run"
    trial.before(straight)
    trial.finish(straight, real)
    want, moments, losses = tree(straight), random.Random(seed), Losses()
    trial.before(run)
    usual = _finished(trial, run, want, losses)  # as those that are killed are started, which may take less
    while losses.kills < kills:
        if losses.missed > MOST_MISSED * kills:
            raise RuntimeError(f"{losses.missed} of {losses.missed + losses.kills} runs were over before their kill")
        in_time = _killed(trial, run, usual * moments.uniform(0, 1.0), losses)
        if not in_time or len(_parts(run)) == trial.n_shards:  # where all is computed, no later kill loses anything
            _finished(trial, run, want, losses)
    _finished(trial, run, want, losses)
    return losses


def tree(folder: Path) -> dict[str, str]:
    """The hash of every file of a folder by its relative name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def _killed(trial: Trial, run: Path, delay: float, losses: Losses) -> bool:
    """Start, kill after `delay` seconds of holding the folder, count; False where the run was over first."""
    kept = _parts(run)
    process = trial.start(run)
    limit = time.monotonic() + START_S
    while process.poll() is None and not _held_by(run, process.pid) and time.monotonic() < limit:
        time.sleep(0.002)
    with_end = time.monotonic() + delay
    while process.poll() is None and time.monotonic() < with_end:
        time.sleep(0.002)
    if process.poll() is not None:
        if process.returncode:
            raise SystemExit((trial.home / "said.txt").read_text())
        losses.missed += 1
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _wait_for_group(process.pid)
    now, seen = _parts(run), trial.seen
    again = {_shard(name) for name in kept} & set(seen) if now else set()
    losses.touched += [f"shard {shard} computed" for shard in sorted(again)]
    losses.touched += [name for name, state in kept.items() if now and now.get(name) != state]
    losses.lost.append(len(set(seen) - {_shard(name) for name in now}) if not _is_complete(run) else 0)
    losses.kills += 1
    return True


def _finished(trial: Trial, run: Path, want: dict[str, str], losses: Losses) -> float:
    """Run to the end, compare with the undisturbed run, and begin anew; for how many seconds it held the folder."""
    seconds = trial.finish(run)
    found = tree(run)
    losses.differing += sorted(name for name in want.keys() | found.keys() if want.get(name) != found.get(name))
    losses.differing += ["parts/"] * (run / "parts").exists()
    losses.runs += 1
    shutil.rmtree(run)
    trial.before(run)
    return seconds


def _parts(run: Path) -> dict[str, tuple[int, int]]:
    """The finished shards' files with what changes when one is written again."""
    found = (run / "parts").glob("records-*.parquet")
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


def _shard(name: str) -> int:
    return int(name.split("-")[1].split(".")[0])


def _is_complete(run: Path) -> bool:
    path = run / "manifest.json"
    return path.exists() and '"status": "complete"' in path.read_text()


def _held_by(run: Path, pid: int) -> bool:
    """Whether the lock says so; a killed process leaves its own behind."""
    try:
        return (run / ".lock").read_text().startswith(f"process {pid} ")
    except OSError:
        return False


def _wait_for_group(group: int) -> None:
    """Until the workers are gone too; where nobody collects the dead, only for a moment."""
    limit = time.monotonic() + 1
    while time.monotonic() < limit:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--images", type=int, default=184)  # fewer than shards of even work take
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        losses = kill_often(new_trial(Path(home), asked.images), asked.kills, asked.seed)
    print(losses)
    raise SystemExit(bool(losses.touched or losses.differing or max(losses.lost) > MOST_LOST))


if __name__ == "__main__":
    main()
