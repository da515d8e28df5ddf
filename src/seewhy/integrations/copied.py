"""A finished run, copied to an address of an object store: every file, and the one that says it is whole at last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seewhy.data.sources.addresses import AT_ONCE, files_at, put_at, size_at
from seewhy.errors import DataError, StoreError, WorkError
from seewhy.learn.watch.watched import TABLE
from seewhy.store import checksums, manifest


def write_copy(run: Path, address: str) -> str:
    """Copy the folder of a finished run, and give the address back.

    Its checksums are compared first, and all sizes afterwards; manifest.json is written last, so that a copy which
    was broken off is none. The same call begins it again. Raises StoreError where a whole run lies there, or this one
    is damaged, WorkError where the store does not answer.
    """
    address = address.rstrip("/")
    last = manifest.NAME if (run / manifest.NAME).is_file() else TABLE
    if last in _sizes_at(address):
        raise StoreError(
            f"{address} holds a run already.  Name another address:  --to {address}-2",
            slug="folder-holds-something-else",
        )
    if last == manifest.NAME:
        checksums.check(run, manifest.read_manifest(run))
    ours = {
        path.relative_to(run).as_posix(): path
        for path in sorted(run.rglob("*"))
        if path.is_file() and not path.name.endswith((".partial", ".lock"))
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: put_at(f"{address}/{name}", ours[name]), [name for name in ours if name != last]))
    put_at(f"{address}/{last}", ours[last])
    there = _sizes_at(address)
    if wrong := [name for name, path in ours.items() if there.get(name) != path.stat().st_size]:
        raise WorkError(f"{address} holds other files than were written, as {wrong[0]}.", slug="address-silent")
    return address


def _sizes_at(address: str) -> dict[str, int]:
    """How many bytes each file below an address has; {} where there is nothing."""
    try:
        return {name: size_at(at) for name, at in (files_at(address) or {}).items()}
    except DataError as error:
        if error.slug != "no-such-file":
            raise
        return {}
