"""What a run is: manifest.json with everything that decides its results, and who may write to its folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from seewhy.errors import StoreError, WorkError, listed
from seewhy.store import durable

NAME, LOCK = "manifest.json", ".lock"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_holders: dict[Path, int] = {}  # the folders that this process holds, and in which thread


_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)")  # also as a Path writes it; C:/ is a drive
_FETCHED = {  # how a folder gets here from a store, by the scheme of its addresses
    "s3": "aws s3 sync {there} {here}",
    "gs": "gcloud storage rsync -r {there} {here}",
    "az": "azcopy copy {there} {here} --recursive",
}


def subject_of(stored: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two runs speak of one classifier: its network, weights, code and preprocessing, not its path."""
    identity = stored["identity"]
    classifier = identity.get("classifier", {})
    return (*(classifier.get(name) for name in ("weights", "network", "preprocess")), identity.get("code"))


def refuse_address(folder: Path) -> None:
    """Raise StoreError where a run folder is the address of an object store: it would become a folder called s3:."""
    if (match := _ADDRESS.fullmatch(str(folder))) is None or folder.exists():
        return
    there = f"{match[1]}://{match[2]}"
    here = f"runs/{match[2].rstrip('/').rpartition('/')[2] or 'run'}"
    way = _FETCHED.get(match[1].lower(), "with the store's own tool")
    raise StoreError(
        f"{there} is an address, and a run folder lies in a file system: that a killed run goes on, and that no two "
        "write at once, needs whole renames and locks, which object stores have not.\n"
        f"  Write it here, then copy it:  --out {here}, then  seewhy export {here} --to {there}\n"
        f"  To read one that lies there, copy it here first:  {way.format(here=here, there=there)}",
        slug="run-address",
    )


def digest_of(value: Any, length: int = 16) -> str:
    """A hash of plain values, the same on every machine: `length` hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=length // 2).hexdigest()


def digest_of_rows(rows: Iterable[Any], length: int = 16) -> str:
    """The same as `digest_of` of the list of the rows, which is never held as a whole."""
    digest, before = hashlib.blake2b(digest_size=length // 2), "["
    for row in rows:
        digest.update((before + json.dumps(row, sort_keys=True, separators=(",", ":"), default=str)).encode())
        before = ","
    digest.update(b"[]" if before == "[" else b"]")
    return digest.hexdigest()


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """The values as they come back from a JSON file: lists for tuples, words for the rest."""
    content: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return content


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, complete or absent."""
    with durable.written(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises StoreError where it cannot be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read: {error}", slug="no-run") from error
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder. Raises StoreError where there is none."""
    refuse_address(folder)
    path = folder / NAME
    if not path.is_file():
        held = f" (it holds: {listed(sorted(entry.name for entry in folder.iterdir()))})" if folder.is_dir() else ""
        raise StoreError(f"{folder} is no run folder: it has no {NAME}{held}.", slug="no-run")
    content = read_json(path)
    status = content.get("status") if isinstance(content, dict) else None
    if status not in ("running", "complete") or not isinstance(content.get("identity"), dict):
        raise StoreError(f"{path} is not a seewhy manifest.", slug="no-run")
    sealed = content.pop("digest", None)  # absent where an older version wrote it
    if sealed is not None and sealed != digest_of(content):
        raise StoreError(
            f"{path} is damaged: it does not say what was written.\n  Make the run again in a new folder:  --out "
            f"{folder}-2",
            slug="damaged-run",
        )
    return content


def _write(folder: Path, content: dict[str, Any]) -> None:
    """Write the manifest with a hash of itself."""
    content = as_json(content)
    write_json(folder / NAME, {**content, "digest": digest_of(content)})


def find(folder: Path, command: str = "") -> dict[str, Any] | None:
    """The manifest of the run in this folder; None where the folder is empty or not there.

    Raises StoreError when the folder holds something else, a run of another command than this one, or is an address.
    """
    refuse_address(folder)
    ours = (LOCK, f"{NAME}.partial")  # all that a run killed in its first moment leaves
    held = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours) if folder.exists() else []
    if NAME in held and not (folder / NAME).read_bytes().strip(b"\0"):
        return None  # a loss of power took what it said: whose parts those are is not known
    if held and NAME not in held:
        raise StoreError(
            f"{folder} holds something else ({listed(held)}), not a run.\n  Name a new folder:  --out {folder}-2",
            slug="folder-holds-something-else",
        )
    stored = read_manifest(folder) if held else None
    there = command if stored is None else stored["identity"].get("command", command)
    if command and there != command:
        raise StoreError(
            f"{folder} holds another run: command: {there} there, {command} asked.\n"
            f"  Name a new folder:  --out {folder}-2",
            slug="another-run",
        )
    return stored


def clear(folder: Path) -> None:
    """Remove what a run left whose manifest is lost, so that none of it can be taken for another run's."""
    for name in ("parts", "maps.zarr", "overlays", "pictures", "report"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("records", "map_stats", "trials", "image_effects", "donor_effects", "map_shares"):
        (folder / f"{name}.parquet").unlink(missing_ok=True)
    (folder / "places.json").unlink(missing_ok=True)


def begin(folder: Path, identity: Mapping[str, Any], **more: Any) -> None:
    """Mark the folder as that of a run with work left to do; `more` stands beside its identity, until it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, {"identity": identity, "status": "running", "token": secrets.token_hex(8), **more})


def note(folder: Path, **more: Any) -> None:
    """Keep more beside the identity of the run in the folder."""
    stored = read_manifest(folder)
    if any(stored.get(name) != value for name, value in more.items()):
        _write(folder, {**stored, **more})


def token_of(folder: Path) -> str:
    """What tells the parts of a run that is going on from those of another one in the same folder; "" where none does.

    Raises StoreError where there is no run.
    """
    return str(read_manifest(folder).get("token", ""))


def cannot_write(folder: Path, error: OSError) -> WorkError:
    """The error for a folder that could not be written to."""
    why = os.strerror(error.errno) if error.errno else error  # some libraries put words of their own around it
    return WorkError(
        f"Writing to {folder} failed: {why}.\n  What is finished is kept; the same command goes on from there.",
        slug="cannot-write",
    )


def finish(folder: Path, identity: Mapping[str, Any], summary: Mapping[str, Any], files: str = "") -> None:
    """Mark the run as complete, with its counts and the hash of its list of files, once all of it is on the disk."""
    durable.sync_all(folder)
    listing = {"files": files} if files else {}
    stored = read_manifest(folder) if (folder / NAME).is_file() else {}
    typed = {"typed": stored["typed"]} if "typed" in stored else {}  # by which parts of it were made
    _write(folder, {"identity": identity, "status": "complete", "summary": summary, **listing, **typed})


def note_typed(folder: Path, typed: str) -> None:
    """Keep the command line that makes the run in its manifest, for people: it decides nothing."""
    try:
        note(folder, typed=typed)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise


@contextlib.contextmanager
def writer(folder: Path, wait: float = 0) -> Iterator[None]:
    """Hold the folder for writing; whoever holds it may hold it again.

    Raises StoreError that names who holds it, after so many seconds of waiting.
    """
    refuse_address(folder)
    name = folder.absolute()
    if _holders.get(name) == threading.get_ident():
        yield
        return
    lock = filelock.FileLock(folder / LOCK, timeout=wait, thread_local=False)
    is_writable = True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        while _is_gone(lock):  # its last holder removed it between our opening and locking it
            lock.release()
            lock.acquire()
    except filelock.Timeout as error:
        holder = _words_in(folder / LOCK) or "another process"
        raise StoreError(
            f"{folder} is being written by {holder}.  Wait for it, or name another --out.", slug="locked"
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise cannot_write(folder, error) from error
        if error.errno not in _READ_ONLY or not _is_complete(folder):
            raise StoreError(f"{folder} cannot be written: {error.strerror or error}", slug="cannot-write") from error
        is_writable = False  # a finished run on a disk that is only read: nothing is left to write
    if not is_writable:
        yield
        return
    _holders[name] = threading.get_ident()
    try:
        with contextlib.suppress(OSError):  # of a full disk: it names the holder, and is no more than a help
            (folder / LOCK).write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        _holders.pop(name, None)
        with contextlib.suppress(OSError):  # while it is held, and only where the next holder can see that it is gone
            if _descriptor(lock) is not None:
                (folder / LOCK).unlink()
        lock.release()


def _descriptor(lock: filelock.BaseFileLock) -> int | None:
    """The open file of a lock that is held; None where filelock does not say."""
    return getattr(getattr(lock, "_context", None), "lock_file_fd", None)


def _is_gone(lock: filelock.BaseFileLock) -> bool:
    """Whether the file that is locked no longer is the one of that name."""
    descriptor = _descriptor(lock)
    try:
        return descriptor is not None and not os.path.samestat(os.fstat(descriptor), Path(lock.lock_file).stat())
    except FileNotFoundError:
        return True


def _is_complete(folder: Path) -> bool:
    try:
        return read_manifest(folder).get("status") == "complete"
    except StoreError:
        return False


def _words_in(path: Path) -> str:
    """The text of a file that may be gone."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
