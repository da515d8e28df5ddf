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

from seewhy.errors import StoreError, WorkError, listed

NAME = "manifest.json"


def digest_of(value: Any, length: int = 16) -> str:
    """A hash of plain values, the same on every machine: `length` hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=length // 2).hexdigest()


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """The values as they come back from a JSON file: lists for tuples, words for the rest."""
    content: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return content


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, complete or absent."""
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises StoreError where it cannot be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise StoreError(f"{path} cannot be read: {error}", slug="no-run") from error
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder. Raises StoreError where there is none."""
    path = folder / NAME
    if not path.is_file():
        held = f" (it holds: {listed(sorted(entry.name for entry in folder.iterdir()))})" if folder.is_dir() else ""
        raise StoreError(f"{folder} is no run folder: it has no {NAME}{held}.", slug="no-run")
    content = read_json(path)
    if not isinstance(content, dict) or "identity" not in content:
        raise StoreError(f"{path} is not a seewhy manifest.", slug="no-run")
    return content


def find(folder: Path) -> dict[str, Any] | None:
    """The manifest of the run in this folder; None where the folder is empty or not there.

    Raises StoreError when the folder holds something else.
    """
    ours = (".lock", f"{NAME}.partial")  # all that a run killed in its first moment leaves
    held = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours) if folder.exists() else []
    if held and NAME not in held:
        raise StoreError(
            f"{folder} holds something else ({listed(held)}), not a run.\n  Name a new folder:  --out {folder}-2",
            slug="folder-holds-something-else",
        )
    return read_manifest(folder) if held else None


def begin(folder: Path, identity: Mapping[str, Any]) -> None:
    """Mark the folder as that of a run with work left to do."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / NAME, {"identity": identity, "status": "running"})


def cannot_write(folder: Path, error: OSError) -> WorkError:
    """The error for a folder that could not be written to."""
    why = os.strerror(error.errno) if error.errno else error  # some libraries put words of their own around it
    return WorkError(
        f"Writing to {folder} failed: {why}.\n  What is finished is kept; the same command goes on from there.",
        slug="cannot-write",
    )


def finish(folder: Path, identity: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Mark the run as complete, with its counts."""
    write_json(folder / NAME, {"identity": identity, "status": "complete", "summary": summary})


def note_typed(folder: Path, typed: str) -> None:
    """Keep the command line that makes the run in its manifest, for people: it decides nothing."""
    stored = read_manifest(folder)
    if stored.get("typed") != typed:
        write_json(folder / NAME, {**stored, "typed": typed})


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
