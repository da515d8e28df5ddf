"""Power cut at many moments: snapshots of a file system while commands write to it, each of which must go on.

    .venv/bin/python benchmarks/power.py --snapshots 40

An ext4 file system in a file is mounted, commands run in it, and the file is copied again and again: what a disk holds
when the power goes. Each copy is mounted, the same command runs, and must end in the bytes of an undisturbed run; what
reads as a finished run must be one. Needs the right to mount.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from faults import Case, Runner, differing, is_finished, make_cases, results
from kills import tree

MIB, SOON_S, TRIES = 24, 0.03, 100


@contextlib.contextmanager
def mounted(image: Path, place: Path) -> Iterator[None]:
    """The file system in a file, at a place."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True, capture_output=True)


def new_disk(image: Path) -> None:
    """An empty file system."""
    image.write_bytes(b"")
    with image.open("r+b") as file:
        file.truncate(MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)


def copy_at_once(image: Path, copy: Path) -> None:
    """A copy during which nothing was written: one of several moments is what no disk ever held."""
    for _ in range(TRIES):
        shutil.copyfile(image, copy)
        if filecmp.cmp(image, copy, shallow=False):
            return
    raise SystemExit(f"{image.name} was written to during each of {TRIES} copies")


def cut(runner: Runner, case: Case, home: Path, count: int) -> list[Path]:
    """Copies of the disk during and after a run of the command."""
    image, place, copies = home / "disk.img", home / "runs", []
    new_disk(image)
    with mounted(image, place):
        start = time.monotonic()
        runner.start(case)
        pause = SOON_S
        while len(copies) < count:
            copy = home / f"cut-{len(copies)}.img"
            copy_at_once(image, copy)
            copies.append(copy)
            time.sleep(pause)
            pause *= 1.03  # more of them while the run goes on
        status, said, _ = runner.finish()
        if status:
            raise SystemExit(said)
        print(f"{len(copies)} copies in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
    return copies


def failures_of(runner: Runner, case: Case, home: Path, count: int) -> list[str]:
    """What is wrong after a cut."""
    image, place, failures = home / "disk.img", home / "runs", []
    new_disk(image)
    with mounted(image, place):
        if runner(case)[0]:
            raise SystemExit("the command fails on an undisturbed disk")
        want, shown = tree(case.run), results(case.run)
    for number, copy in enumerate(cut(runner, case, home, count)):
        with mounted(copy, place):
            if is_finished(case) and (others := differing(results(case.run), shown)):
                failures.append(f"cut {number}: complete, but not the bytes of an undisturbed run: {others}")
            status, said, _ = runner(case)
            if status:
                failures.append(f"cut {number}: the same command fails: {said[-300:]!r}")
            elif others := differing(tree(case.run), want):
                failures.append(f"cut {number}: other bytes afterwards: {others}")
        copy.unlink()
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=int, default=40, help="of each command")
    parser.add_argument("--only", nargs="*", default=["explain", "explain, workers", "audit", "train"])
    asked = parser.parse_args()
    every: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cases, runner = make_cases(home), Runner(home, None)
        try:
            for name in asked.only:
                every[name] = failures_of(runner, cases[name], home, asked.snapshots)
        finally:
            runner.close()
    for name, failures in every.items():
        print(f"{name}: {asked.snapshots} cuts, {len(failures)} failures", *failures, sep="\n  ")
    raise SystemExit(any(every.values()))


if __name__ == "__main__":
    main()
