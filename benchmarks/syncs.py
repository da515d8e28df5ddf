"""What the syncs of a run cost: `seewhy explain` as it is, and with every sync of the C library doing nothing, in turn.

    .venv/bin/python benchmarks/syncs.py --rounds 5

Both write the same bytes, so that the difference in time is what it costs that a run survives a loss of power. Runs on
drawn faces of 256 px with the small network that learns them. Needs a C compiler, and Linux.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from kills import tree
from measure import progress, wait_for_quiet

SEEWHY = Path(sys.executable).with_name("seewhy")
WITHOUT = """
int fsync(int file) { return 0; }
int fdatasync(int file) { return 0; }
int syncfs(int file) { return 0; }
"""
DRAW = (
    "from pathlib import Path; from seewhy.planted.folder import write_faces; "
    "write_faces(Path('faces'), n_train=2, n_valid={}, size=256)"
)


def without_syncs(home: Path) -> Path:
    """A library to load first, under which no sync does anything."""
    (home / "without.c").write_text(WITHOUT)
    words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(home / "without.so"), str(home / "without.c")]
    subprocess.run(words, check=True)
    return home / "without.so"


def explained_s(home: Path, library: Path | None) -> tuple[float, dict[str, str]]:
    """The seconds of one run, and the hashes of the files that it wrote."""
    environment = {**os.environ, **({"LD_PRELOAD": str(library)} if library else {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    out = home / "run"
    words = [SEEWHY, "explain", "faces/valid", "--model", "seewhy.learn.net:Net", "--out", out]
    os.sync()  # what was written before is no part of it
    start = time.perf_counter()
    subprocess.run(words, cwd=home, env=environment, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    written = tree(out)
    shutil.rmtree(out)
    return seconds, written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=400)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:  # on the disk of the repository, not in memory
        home = Path(name)
        subprocess.run([sys.executable, "-c", DRAW.format(asked.images // 2)], cwd=home, check=True)
        library = without_syncs(home)
        explained_s(home, None)
        ratios = []
        for number in range(asked.rounds):
            wait_for_quiet()
            (with_s, files), (without_s, same) = explained_s(home, None), explained_s(home, library)
            if files != same:
                raise SystemExit("other bytes were written without syncs")
            ratios.append(with_s / without_s)
            progress(f"{number + 1}/{asked.rounds}: {with_s:.2f} and {without_s:.2f} s")
    print(
        f"with syncs against without: {median(ratios):.3f} [{min(ratios):.3f}-{max(ratios):.3f}], {asked.images} images"
    )


if __name__ == "__main__":
    main()
