"""Files that are complete or absent, also after a loss of power."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A name to write a file under, which takes its place when that is done; what failed leaves nothing."""
    temporary = path.with_name(path.name + ".partial")
    try:
        yield temporary
        replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def replace(temporary: Path, path: Path) -> None:
    """Put a file that is written in the place of another, so that the name never stands for half of it."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring what was written to a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems keep no folders that could be asked for
            raise
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Bring everything that was written below a folder to the disk: at once for the file system that it lies on."""
    if not sys.platform.startswith("linux"):
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
