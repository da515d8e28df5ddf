"""One writer at a time, in every process and thread, and words for the others."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seewhy.errors import StoreError
from seewhy.store import manifest

TRIES = """
import sys, time
from pathlib import Path
from seewhy.errors import StoreError
from seewhy.store import manifest
folder, log = Path(sys.argv[1]), open(sys.argv[2], "a", buffering=1)
got = 0
limit = time.monotonic() + 60
while got < 40 and time.monotonic() < limit:
    try:
        with manifest.writer(folder):
            try:
                handle = open(folder / "inside", "x")
            except FileExistsError:
                log.write("overlap\\n")
            else:
                handle.close()
                time.sleep(0.0005)
                (folder / "inside").unlink()
            got += 1
    except StoreError as error:
        if error.slug != "locked":
            log.write(f"{error}\\n")
log.write(f"got {got}\\n")
"""


def test_eight_processes_never_hold_it_at_once(tmp_path: Path) -> None:
    words = [sys.executable, "-c", TRIES, str(tmp_path / "run"), str(tmp_path / "log")]
    processes = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert errors == [""] * 8
    assert (tmp_path / "log").read_text().split("\n")[:-1] == ["got 40"] * 8


def test_whoever_holds_it_may_hold_it_again_and_another_thread_may_not(tmp_path: Path) -> None:
    said: list[str] = []

    def other() -> None:
        with pytest.raises(StoreError, match="is being written by process"), manifest.writer(tmp_path / "run"):
            pass
        said.append("refused")

    with manifest.writer(tmp_path / "run"):
        with manifest.writer(tmp_path / "run"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert said == ["refused"]
    with manifest.writer(tmp_path / "run"):
        pass
