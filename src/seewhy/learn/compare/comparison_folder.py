"""Where a comparison is kept: comparison.json, with everything that its pages say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seewhy.learn.compare.map_changes import MapChanges
from seewhy.run.folder import RunFolder
from seewhy.store import manifest
from seewhy.store.plain import plain
from seewhy.version import __version__

NAME = "comparison.json"


def save_comparison(summary: Mapping[str, Any], maps: MapChanges | None, folder: Path) -> Path:
    """Write a comparison's summary with its mean maps; a comparison of the same runs is written over.

    Raises StoreError where the folder holds something else.
    """
    runs = [Path(summary[which]) for which in ("first", "second")]
    identity = _ComparisonIdentity([manifest.digest_of(_identity_of(run)) for run in runs])
    kept = RunFolder(folder, "compare")
    with kept.held():
        kept.open(identity)
        means = None if maps is None else {"first": maps.mean_first, "second": maps.mean_second}
        beside = [os.path.relpath(run.resolve(), folder.resolve()) for run in runs]
        manifest.write_json(folder / NAME, plain({**summary, "mean_maps": means, "beside": beside}))
        kept.finish(identity.begun(), {"headline": summary["headline"]})
    return folder


def _identity_of(run: Path) -> Mapping[str, Any]:
    identity: Mapping[str, Any] = manifest.read_manifest(run)["identity"]
    return identity


class _ComparisonIdentity:
    """What decides a comparison: what both runs are."""

    def __init__(self, runs: list[str]) -> None:
        self.runs = runs

    def begun(self) -> dict[str, Any]:
        """As its folder has it."""
        return {"seewhy": __version__, "command": "compare", "runs": self.runs}

    def differing(self, stored: Mapping[str, Any]) -> list[str]:
        """What differs from a stored one."""
        asked = self.begun()
        return [name for name in asked if stored.get(name) != asked[name]]
