"""Whole processes with their wall time and peak memory, and what the machine is and does. Stays small: see `run`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

QUIET = 0.7  # cores busy with something else
PACKAGES = (
    "seewhy",
    "torch",
    "numpy",
    "pillow",
    "grad-cam",
    "torchcam",
    "captum",
    "torchvision",
    "opencv-python-headless",
)
TUNING = ("OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "MALLOC_", "THP_", "GLIBC_TUNABLES", "LD_PRELOAD")


@dataclass(frozen=True)
class Run:
    """One finished process: wall time, peak memory of the largest process in it, and what it printed.

    `others` is how many cores something else kept busy meanwhile.
    """

    wall_s: float
    peak_mib: float
    others: float
    said: dict[str, Any]


def run(command: list[str | Path], cwd: Path) -> Run:
    """Run a command with default threads and allocator. Leaves the benchmark where it fails.

    Bytecode is kept, as an installed package keeps it: where PYTHONDONTWRITEBYTECODE is set, an editable install is
    compiled anew at each start, which no user's is.

    `wait4` gives the larger of the process and its own finished children, so forked workers are in it. A child's peak
    starts at its parent's size, so nothing that measures may import torch.
    """
    left_out = (*TUNING, "PYTHONDONTWRITEBYTECODE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before, start = _ticks(), time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s, after = time.perf_counter() - start, _ticks()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}\nleft with {process.returncode}:\n{err.read().decode()}")
        last = (out.read().decode().strip().splitlines() or [""])[-1]
    peak_mib = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    busy_s = (after[0] - before[0]) / os.sysconf("SC_CLK_TCK")
    others = max(0.0, busy_s - usage.ru_utime - usage.ru_stime) / wall_s
    return Run(wall_s, peak_mib, others, json.loads(last) if last.startswith("{") else {})


def busy_cores(seconds: float = 1.0) -> float:
    """How many cores are busy now; the load average would still hold our own last run."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    return (after[0] - before[0]) / max(after[1] - before[1], 1) * (os.cpu_count() or 1)


def wait_for_quiet(most_s: float = 60) -> float:
    """The cores busy with something else, after up to a minute of waiting for them to calm down."""
    start = time.monotonic()
    while (busy := busy_cores()) > QUIET and time.monotonic() - start < most_s:
        progress(f"{busy:.1f} cores are busy with something else; waiting")
        time.sleep(4)
    return busy


def machine() -> str:
    """One paragraph on the hardware and the versions."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, {versions}"


def load() -> str:
    """The load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ticks() -> tuple[int, int]:
    """Clock ticks of all cores since the machine started: busy (time stolen by its host included), and all. Linux."""
    ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
