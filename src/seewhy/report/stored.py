"""A finished run as it lies on disk: what the pages are made of, read without the network."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError, listed, nearest
from seewhy.estimates import Estimate
from seewhy.records import MapKey, MapStat, Outcome, Preprocess
from seewhy.store import checksums, manifest
from seewhy.store.tables import Column, read_columns, read_outcomes, read_stats

COMMANDS = ("explain", "check", "audit")
WITH_PAGES = (*COMMANDS, "repair", "compare")
FOUND = {"audit": "findings.json", "repair": "repair.json", "compare": "comparison.json"}


@dataclass(frozen=True)
class StoredRun:
    """One finished run: `outcomes` in table order, `stats` by map and row, `found` what the command has to say.

    `found` is findings.json of an audit, repair.json, comparison.json, and the manifest's summary of the others.
    """

    folder: Path
    command: str
    manifest: Mapping[str, Any]
    outcomes: Sequence[Outcome]
    found: Mapping[str, Any]
    stats: Mapping[MapKey, Mapping[int, MapStat]] = field(default_factory=dict)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides the result."""
        identity: Mapping[str, Any] = self.manifest["identity"]
        return identity

    @property
    def classifier(self) -> Mapping[str, Any]:
        """The classifier's part of the identity."""
        classifier: Mapping[str, Any] = self.identity.get("classifier", {})
        return classifier

    @property
    def typed(self) -> str | None:
        """The command line that made the run; None for one made in Python."""
        return self.manifest.get("typed")

    @property
    def keys(self) -> tuple[MapKey, ...]:
        """The maps of each image."""
        return tuple(self.stats)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the logits, as far as the run knows them."""
        named = self.found.get("classes") or self.classifier.get("classes") or ()
        seen = [outcome.prediction for outcome in self.outcomes] + [outcome.image.label for outcome in self.outcomes]
        return tuple(named) or tuple(sorted({name for name in seen if name is not None}))

    @property
    def preprocess(self) -> Preprocess | None:
        """How a photograph becomes the canvas; None where a function of the user's does it."""
        stored = self.classifier.get("preprocess")
        if not isinstance(stored, Mapping):
            return None
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return Preprocess(**fields)

    def rows(self) -> dict[str, int]:
        """The row of each image by its id."""
        return {outcome.image.id: row for row, outcome in enumerate(self.outcomes)}

    def table(self, name: str) -> dict[str, Column]:
        """The columns of another parquet table of the run; empty where it has none."""
        path = self.folder / f"{name}.parquet"
        return read_columns(path) if path.exists() else {}


def read_run(folder: Path, commands: Sequence[str] = COMMANDS) -> StoredRun:
    """The run of one of these commands in a folder. Raises StoreError where there is none, or none that is finished."""
    if folder.name == "report" and (folder.parent / manifest.NAME).exists():
        folder = folder.parent
    stored = manifest.read_manifest(_there(folder))
    command = str(stored["identity"].get("command"))
    if stored.get("status") != "complete" or command not in commands:
        if command not in commands:
            network = f"\n  Audit its network:  seewhy audit … --weights {folder / 'model.pt'}"
            raise StoreError(
                f"The run in {folder} is of {command!r}, and not of {listed(commands)}."
                + (network if command == "repair" else ""),
                slug="unfinished-run",
            )
        todo = f"The {command} command that began it goes on from there."
        raise StoreError(f"The run in {folder} is not finished.\n  {todo}", slug="unfinished-run")
    checksums.check(folder, stored)
    records, numbers = folder / "records.parquet", folder / "map_stats.parquet"
    outcomes = read_outcomes(records) if records.exists() else []
    name = FOUND.get(command)
    result = manifest.read_json(folder / name) if name else stored.get("summary", {})
    read = StoredRun(folder, command, stored, outcomes, result)
    return StoredRun(folder, command, stored, outcomes, result, _by_map(read, numbers) if numbers.exists() else {})


def estimate_of(stored: Mapping[str, Any]) -> Estimate:
    """A stored value with its interval; what has no end reaches as far as shares do."""
    low, high = (end if (end := stored[name]) is not None else limit for name, limit in (("low", -1.0), ("high", 1.0)))
    value = math.nan if stored["value"] is None else float(stored["value"])
    count = stored.get("n")
    return Estimate(value, float(low), float(high), count if isinstance(count, int) else 0)


def beside(stored: StoredRun, command: str) -> StoredRun | None:
    """The finished run of another command about the same classifier that lies beside this one, the newest."""
    subject = manifest.subject_of(stored.manifest)
    pool = [path.parent for path in stored.folder.resolve().parent.glob(f"*/{manifest.NAME}")]
    for path in sorted(pool, key=lambda folder: ((folder / manifest.NAME).stat().st_mtime, folder.name), reverse=True):
        try:
            other = manifest.read_manifest(path)
            is_asked = other["identity"].get("command") == command and other.get("status") == "complete"
            if is_asked and path != stored.folder.resolve() and manifest.subject_of(other) == subject:
                return read_run(path)
        except (StoreError, AttributeError, TypeError, OSError, ValueError):  # a neighbour that is broken is none
            continue
    return None


def _there(folder: Path) -> Path:
    if folder.is_dir():
        return folder
    manifest.refuse_address(folder)
    if folder.exists():
        raise StoreError(f"{folder} is a file, where a run folder is needed.", slug="no-run")
    around = folder.parent if folder.parent.is_dir() else Path()
    runs = [str(path.parent) for path in [*around.glob(f"*/{manifest.NAME}"), *Path("runs").glob(f"*/{manifest.NAME}")]]
    close = nearest(str(folder), runs) or (f"Runs here: {listed(sorted(set(runs)), 4)}." if runs else "")
    raise StoreError(f"There is no run folder {folder}.  {close}".rstrip(), slug="no-run")


def _by_map(stored: StoredRun, path: Path) -> dict[MapKey, dict[int, MapStat]]:
    rows, stats = stored.rows(), defaultdict[MapKey, dict[int, MapStat]](dict)
    for stat in read_stats(path):
        if stat.id in rows:
            stats[MapKey(stat.method, stat.layer, stat.score)][rows[stat.id]] = stat
    return dict(stats)


@dataclass(frozen=True)
class FolderView:
    """What a page says that is made of one folder alone."""

    stored: StoredRun

    @property
    def found(self) -> Mapping[str, Any]:
        """The result as its file of plain values has it."""
        return self.stored.found

    @property
    def command(self) -> str:
        """The command that made it."""
        return self.stored.command
