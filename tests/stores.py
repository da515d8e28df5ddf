"""An object store in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from seewhy.data.sources import addresses


@contextlib.contextmanager
def empty_store() -> Iterator[MemoryFileSystem]:
    """An object store that is empty, and is so again afterwards."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    addresses._sizes.clear()
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]
