"""Which portions of a run are being worked on, by processes on any machine that share its folder.

Whoever claims a portion, or looks who does, holds the folder meanwhile; the claim itself lasts as long as its process.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from seewhy.errors import StoreError, listed


@contextlib.contextmanager
def claimed(folder: Path, number: int, count: int) -> Iterator[None]:
    """Claim portion `number` of `count`. Raises StoreError that names the process which has it."""
    path = _path(folder, number, count)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StoreError(
            f"Shard {number}/{count} of {folder} is being done by {_holder(path)}.  Wait for it, or end it.",
            slug="locked",
        ) from error
    try:
        with contextlib.suppress(OSError):  # of a full disk: it names the holder, and is no more than a help
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def at_work(folder: Path, count: int) -> dict[int, str]:
    """The portions of `count` that are claimed now, by number, and by whom."""
    busy = {}
    for number in range(1, count + 1):
        path = _path(folder, number, count)
        if not path.exists():
            continue
        lock = filelock.FileLock(path, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            busy[number] = _holder(path)
        else:
            lock.release()
    return busy


def check_free(folder: Path, count: int) -> None:
    """Raise StoreError where any portion of `count` is claimed: they write to the folder without holding it."""
    if busy := at_work(folder, count):
        named = listed([f"{number}/{count} by {holder}" for number, holder in busy.items()], 3)
        raise StoreError(
            f"{folder} is being written with --shard ({named}).\n  Wait for them, then:  seewhy merge {folder}",
            slug="locked",
        )


def _path(folder: Path, number: int, count: int) -> Path:
    return folder / "parts" / f"shard-{number}-of-{count}.lock"


def _holder(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip() or "another process"
    except OSError:
        return "another process"
