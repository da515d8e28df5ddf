"""Where a repair is kept: the networks of its arms while it goes on, then model.pt and repair.json."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seewhy.data.gated import with_gates
from seewhy.evidence.results.identity import identity_of
from seewhy.evidence.trials.design import AuditDesign
from seewhy.learn.checkpoints import on_cpu
from seewhy.learn.history import place
from seewhy.learn.repaired import Repair
from seewhy.run.folder import RunFolder
from seewhy.run.machine import environment
from seewhy.store import checksums, manifest
from seewhy.version import __version__

MODEL, FOUND = "model.pt", "repair.json"


@dataclass(frozen=True)
class RepairFolder:
    """The folder of one repair; None: nothing is written. `options` and the audit decide the result."""

    folder: Path | None
    design: AuditDesign
    options: Mapping[str, Any]

    @cached_property
    def _identity(self) -> _RepairIdentity:
        audited = manifest.digest_of(manifest.as_json(identity_of(self.design)))
        options = manifest.as_json(dict(self.options))
        return _RepairIdentity({"seewhy": __version__, "command": "repair", "audit": audited, **options})

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for writing."""
        with contextlib.nullcontext() if self.folder is None else RunFolder(self.folder).held():
            yield

    def stored(self) -> dict[str, Any] | None:
        """The summary of this very repair, where the folder holds it complete. Raises StoreError for another run's."""
        stored = None if self.folder is None else RunFolder(self.folder).holding(self._identity)
        if self.folder is None or stored is None or stored["status"] != "complete":
            return None
        checksums.check(self.folder, stored)
        return manifest.read_json(self.folder / FOUND)

    def begin(self) -> None:
        """Mark the folder as this repair's. Raises StoreError where it is another's."""
        if self.folder is not None:
            RunFolder(self.folder).open(self._identity)
            (self.folder / "parts").mkdir(exist_ok=True)

    def network(self, name: str, like: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
        """The network of an arm, as an earlier try made it, else made now and kept."""
        if self.folder is None:
            return make()
        path = self.folder / "parts" / f"{name}.pt"
        if path.is_file():
            state = torch.load(path, map_location="cpu", weights_only=True)
            known = with_gates(copy.deepcopy(like), state)
            known.load_state_dict(state)
            return known.eval()
        network = make()
        place(path, lambda file: torch.save(on_cpu(network.state_dict()), file))
        return network

    def finish(self, found: Repair) -> None:
        """Write the repaired network and the proof, and mark the repair as complete."""
        if self.folder is None:
            return
        folder, repaired = self.folder, found.network
        if repaired is not None:
            place(folder / MODEL, lambda file: torch.save(on_cpu(repaired.state_dict()), file))
        manifest.write_json(folder / FOUND, found.summary())
        network = type(self.design.plan.classifier.model).__name__
        told = {"proved": found.is_proved, "headline": found.headline, "network": network}
        RunFolder(folder).finish(
            self._identity.begun(), {**told, "environment": environment(self.design.plan.classifier.device)}
        )


@dataclass(frozen=True)
class _RepairIdentity:
    """What decides a repair: the audit's own identity, the factor, and the options."""

    options: Mapping[str, Any]

    def begun(self) -> dict[str, Any]:
        """As its folder has it."""
        return manifest.as_json(dict(self.options))

    def differing(self, stored: Mapping[str, Any]) -> list[str]:
        """What differs from a stored one, by name."""
        asked = self.begun()
        return [name for name in asked if stored.get(name) != asked[name]]
