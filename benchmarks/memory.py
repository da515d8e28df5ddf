"""Whether memory grows with the number of images: `seewhy explain` on 1,000 and on 10,000 of them, its peak memory.

    .venv/bin/python benchmarks/memory.py

Peak of the largest process, and of the sum over all processes (shared pages counted once, by PSS). Leaves with status 1
where ten times the images take more than 1.1 times the memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

MOST = 1.1
NET = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
"""


@dataclass(frozen=True)
class Peak:
    """Of one command: MiB of the largest process, MiB of all at once, and seconds."""

    largest: float
    total: float
    seconds: float


def write_images(folder: Path, start: int, stop: int) -> None:
    """Seeded photographs of 64 x 64 pixels, two classes."""
    for number in range(start, stop):
        home = folder / ("cat", "dog")[number % 2]
        home.mkdir(parents=True, exist_ok=True)
        small = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        PIL.Image.fromarray(small).resize((64, 64)).save(home / f"{number:06d}.jpg")


def measure(home: Path, name: str) -> Peak:
    """The peak of one run over home/images into home/<name>."""
    (home / "net.py").write_text(NET)
    words = ["explain", "images", "--model", "net.py:Net", "--out", name, "--no-report"]
    started = time.monotonic()
    largest, total = 0.0, 0.0
    with (home / "said.txt").open("wb") as said:
        process = subprocess.Popen([sys.executable, "-m", "seewhy", *words], cwd=home, stdout=said, stderr=said)
        while process.poll() is None:
            pids = [process.pid, *_children(process.pid)]
            found = [_memory(pid) for pid in pids]
            largest = max([largest, *(rss for rss, _ in found)])
            total = max(total, sum(pss for _, pss in found))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit((home / "said.txt").read_text())
    return Peak(largest / 1024, total / 1024, time.monotonic() - started)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _memory(pid: int) -> tuple[float, float]:
    """KiB of a process: the peak of its resident memory until now, and its share (PSS) now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0.0, 0.0
    return _number(status, "VmHWM:"), _number(rollup, "Pss:")


def _number(text: str, name: str) -> float:
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs=2, default=(1_000, 10_000))
    asked = parser.parse_args()
    peaks, start = [], 0
    os.environ["PYTHONHASHSEED"] = "0"
    print(f"{'images':>8} {'largest process':>16} {'all processes':>14} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as home:
        for count in asked.images:
            write_images(Path(home, "images"), start, count)
            peaks.append(measure(Path(home), f"run{count}"))
            start = count
            one = peaks[-1]
            print(f"{count:8,} {one.largest:12.0f} MiB {one.total:10.0f} MiB {one.seconds:8.1f}", flush=True)
    ratios = (peaks[1].largest / peaks[0].largest, peaks[1].total / peaks[0].total)
    print(f"ratio    {ratios[0]:16.2f} {ratios[1]:14.2f}")
    raise SystemExit(max(ratios) > MOST)


if __name__ == "__main__":
    main()
