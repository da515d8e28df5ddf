"""What a run is: manifest.json with everything that decides its results, and who may write to its folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from seewhy.errors import StoreError, listed

NAME = "manifest.json"


def digest_of(value: Any, length: int = 16) -> str:
    """A hash of plain values, the same on every machine: `length` hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=length // 2).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, complete or absent."""
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder. Raises StoreError where there is none."""
    path = folder / NAME
    if not path.is_file():
        held = f" (it holds: {listed(sorted(one.name for one in folder.iterdir()))})" if folder.is_dir() else ""
        raise StoreError(f"{folder} is no run folder: it has no {NAME}{held}.", slug="no-run")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise StoreError(f"{path} cannot be read: {error}", slug="no-run") from error
    if not isinstance(found, dict) or "identity" not in found:
        raise StoreError(f"{path} is not a seewhy manifest.", slug="no-run")
    return found


def claim(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the run in this folder is finished; the folder is made or found fit for this run.

    Raises StoreError when the folder holds something else, or a run of other options (naming what differs).
    """
    ours = (".lock", f"{NAME}.partial")  # all that a run killed in its first moment leaves
    if not folder.exists() or not any(one.name not in ours for one in folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / NAME, {"identity": identity, "status": "running"})
        return False
    if not (folder / NAME).exists():
        held = listed(sorted(one.name for one in folder.iterdir() if one.name not in ours))
        raise StoreError(
            f"{folder} holds something else ({held}), not a run.\n  Name a new folder:  --out {folder}-2",
            slug="folder-holds-something-else",
        )
    found = read_manifest(folder)
    changed = _differences(found["identity"], json.loads(json.dumps(identity, default=str)))
    if changed:
        lines = "\n".join(f"  {line}" for line in changed[:10])
        raise StoreError(
            f"{folder} holds another run; these differ:\n{lines}\n  Name a new folder:  --out {folder}-2",
            slug="another-run",
        )
    return bool(found["status"] == "complete")


def finish(folder: Path, identity: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Mark the run as complete, with its counts."""
    write_json(folder / NAME, {"identity": identity, "status": "complete", "summary": summary})


@contextlib.contextmanager
def writer(folder: Path) -> Iterator[None]:
    """Hold the folder for writing. Raises StoreError that names the process which holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", blocking=False)
        lock.acquire()
    except filelock.Timeout as error:
        holder = (folder / ".lock").read_text(errors="replace").strip() or "another process"
        raise StoreError(
            f"{folder} is being written by {holder}.  Wait for it, or name another --out.", slug="locked"
        ) from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}", slug="cannot-write") from error
    try:
        (folder / ".lock").write_text(f"process {os.getpid()}")
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):
            (folder / ".lock").unlink()


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if old == new else [f"{path}: {_short(old)} there, {_short(new)} asked"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
