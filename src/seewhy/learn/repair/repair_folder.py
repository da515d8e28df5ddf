"""Where a repair is kept: the networks of its arms while it goes on, then model.pt and repair.json."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seewhy.data.networks.gated import with_gates
from seewhy.data.tables.folder_names import role_of
from seewhy.evidence.results.identity import identity_of, masks_identity
from seewhy.evidence.trials.design import AuditDesign
from seewhy.learn.copies import copied
from seewhy.learn.repair.repaired import Repair
from seewhy.learn.train.checkpoints import on_cpu
from seewhy.learn.train.history import place
from seewhy.run.folder import RunFolder
from seewhy.run.identity import image_digests
from seewhy.run.machine import environment
from seewhy.store import checksums, manifest
from seewhy.version import __version__

MODEL, FOUND = "model.pt", "repair.json"
_CONTENT = ("images", "masks", "cells")  # which differ unseen, and are named first
METHOD = 4  # of the networks that are kept: raised where the same options make others
_WORDS = {
    "images": "of other images",
    "masks": "of other masks",
    "factor": "a repair of other findings",
    "cells": "the column of --groups says other things",
    "tuning": "other --epochs, --batch-size or --rate",
    "method": "an earlier way to make its networks",
}


@dataclass(frozen=True)
class RepairFolder:
    """The folder of one repair; None: nothing is written. `options` and the audit decide the result."""

    folder: Path | None
    design: AuditDesign
    options: Mapping[str, Any]

    @cached_property
    def _identity(self) -> _RepairIdentity:
        """What is known before the masks of all images are drawn; their files are read whole."""
        audited = manifest.digest_of(manifest.as_json(identity_of(self.design)))
        options = manifest.as_json(dict(self.options))
        images = _images_of(self.design, self.options.get("groups"))
        return _RepairIdentity(
            {"seewhy": __version__, "command": "repair", "method": METHOD, "audit": audited, **images, **options}
        )

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

    def begin(self, design: AuditDesign | None = None) -> None:
        """Mark the folder as this repair's. Raises StoreError where it is another's.

        `design` is that with all images, whose masks must be the same; None: they are not compared.
        """
        if self.folder is not None:
            RunFolder(self.folder).open(self._identity if design is None else self._identity.of(design))
            (self.folder / "parts").mkdir(exist_ok=True)

    def network(self, name: str, like: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
        """The network of an arm, as an earlier try made it, else made now and kept."""
        if self.folder is None:
            return make()
        path = self.folder / "parts" / f"{name}.pt"
        if path.is_file():
            state = torch.load(path, map_location="cpu", weights_only=True)
            known = with_gates(copied(like), state)
            known.load_state_dict(state)
            return known.eval()
        network = make()
        place(path, lambda file: torch.save(on_cpu(network.state_dict()), file))
        return network

    def finish(self, found: Repair, design: AuditDesign) -> None:
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
            self._identity.of(design).begun(), {**told, "environment": environment(self.design.plan.classifier.device)}
        )


@dataclass(frozen=True)
class _RepairIdentity:
    """What decides a repair: the audit's own identity, the factor, the options, and all images that it is made of."""

    options: Mapping[str, Any]

    def begun(self) -> dict[str, Any]:
        """As its folder has it."""
        return manifest.as_json(dict(self.options))

    def of(self, design: AuditDesign) -> _RepairIdentity:
        """The same with the masks of a design with all images."""
        masks = {split: masks_identity(sample) for split, sample in design.samples.items()}
        return _RepairIdentity({**self.options, "masks": masks})

    def differing(self, stored: Mapping[str, Any]) -> list[str]:
        """What differs from a stored one, in words."""
        asked = self.begun()
        names = [name for name in asked if stored.get(name) != asked[name]]
        return [_WORDS.get(name, name) for name in sorted(names, key=lambda name: name not in _CONTENT)]


def _images_of(design: AuditDesign, column: str | None) -> dict[str, Any]:
    """What tells all images of the design's splits from others, and what a column says of them."""
    table = design.plan.table
    images = [image for image in table.images if role_of(image.split) in design.samples]
    found: dict[str, Any] = {
        "images": {
            "count": len(images),
            "ids": manifest.digest_of_rows([image.id, image.label, image.split] for image in images),
            "content": manifest.digest_of(sorted(image_digests(design.plan, images).items())),
        }
    }
    if column in table.columns:
        place = table.columns.index(column)
        found["cells"] = manifest.digest_of_rows([image.id, *image.cells[place : place + 1]] for image in images)
    return found
