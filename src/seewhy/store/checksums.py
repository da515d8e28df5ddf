"""What the files of a finished run hold: their sizes and hashes, so that damage is seen and never shown as a result."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError, listed
from seewhy.store import manifest

NAME = "files.json"
_NOT_LISTED = (
    "report",
    "trends",
    "parts",
)  # pages and trends are made again at will; parts are gone when a run is finished
_NAMED = 4  # damages in a message


def write(folder: Path) -> str:
    """Write files.json, the size and the hash of every file of the run; gives its own hash, for the manifest."""
    held = {name: _measured(folder / name) for name in _names(folder)}
    manifest.write_json(folder / NAME, held)
    return _digest((folder / NAME).read_bytes())


def damages(folder: Path, stored: Mapping[str, Any], names: Iterable[str] | None = None) -> list[str]:
    """What is wrong with the files of a finished run, in words; [] where all are as they were written.

    `names` looks at these alone, as far as the run has them. A run of a version without checksums has nothing to say.
    """
    if "files" not in stored:
        return []
    if not (folder / NAME).is_file():
        return [f"{NAME} is missing"]
    try:
        text = (folder / NAME).read_bytes()
    except OSError as error:
        return [f"{NAME} cannot be read ({error.strerror or error})"]
    if _digest(text) != stored["files"]:
        return [f"{NAME} has other bytes than were written"]
    listed_files: dict[str, list[Any]] = json.loads(text)
    asked = listed_files if names is None else [name for name in names if name in listed_files]
    return [f"{name} {what}" for name in asked if (what := _damage(folder / name, *listed_files[name]))]


def check(folder: Path, stored: Mapping[str, Any], names: Iterable[str] | None = None) -> None:
    """Raise StoreError where files of a finished run (all, or those named) are not as they were written."""
    if damaged := damages(folder, stored, names):
        raise damaged_run(folder, damaged)


def damaged_run(folder: Path, damaged: list[str]) -> StoreError:
    """The error for a run whose files are not as they were written."""
    count = f"{len(damaged):,} files are" if len(damaged) > 1 else "1 file is"
    return StoreError(
        f"{folder} is damaged; {count} not as written: {listed(damaged, _NAMED)}.\n"
        f"  Make the run again: remove that folder and type its command, or name another:  --out {folder}-2",
        slug="damaged-run",
    )


def _names(folder: Path) -> list[str]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".partial")]
    names = [path.relative_to(folder).as_posix() for path in paths]
    own = (manifest.NAME, manifest.LOCK, NAME)
    return sorted(name for name in names if name not in own and name.partition("/")[0] not in _NOT_LISTED)


def _damage(path: Path, size: int, digest: str) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "is no regular file"
        if path.stat().st_size != size:
            return f"has {path.stat().st_size:,} bytes where {size:,} were written"
        return "" if _digest(path.read_bytes()) == digest else "has other bytes than were written"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _measured(path: Path) -> list[Any]:
    data = path.read_bytes()
    return [len(data), _digest(data)]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
