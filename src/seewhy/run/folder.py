"""A run folder: new, begun or complete, or an error that says what differs; one process writes to it at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from seewhy.errors import OptionError, StoreError, WorkError, listed
from seewhy.run.identity import RunIdentity, as_begun
from seewhy.run.plan import Plan
from seewhy.store import checksums, manifest

_OPEN_FOLDERS = Path("/proc/self/fd")  # Linux has it


class Identity(Protocol):
    """Everything that decides a run's results."""

    def begun(self) -> dict[str, Any]:
        """As a folder has it while its run goes on."""

    def differing(self, stored: Mapping[str, Any]) -> list[str]:
        """What differs from a stored one, in words; [] where both are one run's."""


class Result(Protocol):
    """What `explain`, `check`, `audit` and `compare` give; `folder` is None where it is in memory alone."""

    def save(self, folder: str | Path) -> Path:
        """Write it to a run folder."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run of a command is kept; all methods but `held` and `written` are for whoever holds it."""

    path: Path
    command: str = ""

    @contextlib.contextmanager
    def held(self, wait: float = 0) -> Iterator[None]:
        """Hold the folder for writing, after so many seconds of waiting at most."""
        with self.written(), manifest.writer(self.path, wait):
            yield

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """What cannot be written says so, and what is finished is kept."""
        try:
            yield
        except OSError as error:
            raise manifest.cannot_write(self.path, error) from error

    def stored(self) -> dict[str, Any] | None:
        """The manifest of the run in it, None where it is new. Raises StoreError where it holds something else."""
        return manifest.find(self.path, self.command)

    def as_begun(self, plan: Plan) -> Plan:
        """The plan with the batch size of the run in the folder, unless another one was asked for."""
        stored = self.stored()
        return plan if stored is None else as_begun(plan, stored["identity"])

    def holding(self, identity: Identity) -> dict[str, Any] | None:
        """The manifest of this very run, None where the folder is new. Raises StoreError where it holds another run."""
        stored = self.stored()
        if stored is None:
            return None
        differences = identity.differing(stored["identity"])
        if differences:
            raise StoreError(
                f"{self.path} holds another run: {listed(differences, 4)}.\n  Name a new folder:  --out {self.path}-2",
                slug="another-run",
            )
        return stored

    def open(self, identity: Identity) -> dict[str, Any] | None:
        """The summary of this very run where it is complete; else None, and the folder is marked as this run's.

        Raises StoreError where it holds another run, with what differs.
        """
        stored = self.holding(identity)
        if stored is None:
            manifest.clear(self.path)
            manifest.begin(self.path, identity.begun())
            return None
        if stored["status"] != "complete":
            return None
        checksums.check(self.path, stored)
        self.remove_parts()
        summary: dict[str, Any] = stored["summary"]
        return summary

    def check_token(self, token: str) -> None:
        """Raise WorkError where the folder is no longer that of the run `token`: removed, or begun anew by another."""
        try:
            same = manifest.token_of(self.path) == token
        except StoreError:
            if (self.path / manifest.NAME).is_file():  # it is there, and cannot be read now
                raise
            same = False
        if not same:
            raise self._replaced()

    def _replaced(self) -> WorkError:
        return WorkError(
            f"{self.path} was removed or begun anew while this run was writing to it; nothing more is written.",
            slug="run-replaced",
        )

    @contextlib.contextmanager
    def watched(self, token: str) -> Iterator[tuple[Path, Callable[[], None]]]:
        """The folder by a name that never stands for another's, and a quick check to be made before each file.

        While it is held open no other folder can have its number; on Linux its name is that of the open folder, below
        which nothing can be written once it is removed, not even by a process that was stopped after the check.
        Raises as `check_token`.
        """
        self.check_token(token)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            number = os.fstat(descriptor).st_ino

            def check() -> None:
                try:
                    same = self.path.stat().st_ino == number
                except FileNotFoundError:
                    same = False
                if not same:  # whatever it says of itself: a finished run has no token that could be compared
                    raise self._replaced()

            self.check_token(token)  # it may have been replaced before it was opened
            opened = _OPEN_FOLDERS / str(descriptor)
            try:
                yield opened if opened.is_dir() else self.path, check
            except OSError:
                check()
                raise
        finally:
            os.close(descriptor)

    def finish(self, identity: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Mark the run as complete, with what every file of it holds; its parts are no longer needed."""
        manifest.finish(self.path, identity, summary, checksums.write(self.path))
        self.remove_parts()

    def copy(self, folder: Path) -> None:
        """Copy the finished run to a folder that is empty or holds the same run already; StoreError where another."""
        if folder.resolve() == self.path.resolve():
            return
        with manifest.writer(folder):
            held = manifest.find(folder)
            if held is not None and held["identity"] != manifest.read_manifest(self.path)["identity"]:
                raise StoreError(
                    f"{folder} holds another run.\n  Name a new folder:  save('{folder}-2')", slug="another-run"
                )
            try:
                shutil.copytree(self.path, folder, ignore=shutil.ignore_patterns(".lock"), dirs_exist_ok=True)
            except OSError as error:
                raise manifest.cannot_write(folder, error) from error

    def remove_parts(self) -> None:
        """Remove what only a run that goes on needs: a loss of power may bring parts back after its end."""
        shutil.rmtree(self.path / "parts", ignore_errors=True)


def folder_of(run: str | Path | Result, function: str) -> Path:
    """The run folder that is named, or that of a result. Raises OptionError where it is in memory alone."""
    if isinstance(run, (str, Path)):
        return Path(run)
    folder: Path | None = getattr(run, "folder", None)
    if folder is None:
        name = type(run).__name__.lower()
        todo = f'Save it first:  seewhy.{function}({name}.save("folder"))'
        todo = todo if hasattr(run, "save") else f'Make it in a folder:  {name}(…, out="folder")'
        raise OptionError(f"This {name} is in memory alone, and {function} reads a run folder.\n  {todo}")
    return Path(folder)


def default_folder(identity: RunIdentity, *, batch_asked: bool) -> Path:
    """runs/<command>-<hash of the options>; with -2, -3, … where that folder holds the same run of other pixels.

    A batch chosen by the free memory of the moment must not name another folder.
    """
    left_out = ["answers", *([] if batch_asked else ["batch_size"])]  # answers differ in their last digits, too
    options = {name: value for name, value in identity.options.items() if name not in left_out}
    base = f"{identity.options['command']}-{manifest.digest_of(manifest.as_json(options), 10)}"
    number, folder = 1, Path("runs") / base
    while _holds_other_images(folder, identity):
        number += 1
        folder = Path("runs") / f"{base}-{number}"
    return folder


def _holds_other_images(folder: Path, identity: RunIdentity) -> bool:
    stored = manifest.read_json(folder / manifest.NAME) if (folder / manifest.NAME).is_file() else {}
    content = stored.get("identity", {}).get("images", {}).get("content")
    return content is not None and content != identity.content
