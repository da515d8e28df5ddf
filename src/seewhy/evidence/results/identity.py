"""What makes an audit another one: its data, network, factors and options, as plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seewhy.evidence.factors.factor import Factor, Mark, RegionFactor
from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.findings.columns import columns_identity
from seewhy.evidence.findings.follow_up import STAGES
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.budget import as_budget
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.sample import Sample
from seewhy.render.mark import SHUFFLED
from seewhy.run.identity import (
    as_known,
    clusters_identity,
    differing,
    network_identity,
    readers_identity,
)
from seewhy.run.own_code import own_code_digest
from seewhy.run.source import files_digest
from seewhy.store import manifest
from seewhy.version import __version__


@dataclass(frozen=True)
class AuditIdentity:
    """Everything that decides an audit; its images are read before, so that nothing is left to know at its end."""

    options: Mapping[str, Any]

    def begun(self) -> dict[str, Any]:
        """The identity as its folder has it."""
        return manifest.as_json(dict(self.options))

    def is_that_of(self, stored: Mapping[str, Any]) -> bool:
        """Whether a folder with this identity holds this very audit."""
        return not self.differing(stored)

    def differing(self, stored: Mapping[str, Any]) -> list[str]:
        """What differs, by the option that sets it; earlier folders hold a budget as it was typed."""
        stored = {**stored, "budget": as_budget(stored["budget"])} if "budget" in stored else stored
        asked = as_known(self.begun(), stored)
        if {**stored, "factors": _without_ours(stored)} == asked:
            return []
        if not _has_other_images(stored, asked):
            return differing(stored, asked) or _other_parts(stored, asked) or ["of other masks"]
        alike = {**asked, "batch_size": stored.get("batch_size")}  # which follows from the number of images
        return ["of other images", *differing(stored, alike)]


def _has_other_images(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether images differ in number, name, label or content."""
    there, here = (
        {split: {**images, "masks": None} for split, images in identity.get("images", {}).items()}
        for identity in (stored, asked)
    )
    return there != here


def _without_ours(stored: Mapping[str, Any]) -> dict[str, str]:
    """The digests of factors, those of our own properties left out as they are today: the version says it all."""
    return {name: "" if name in PROPERTIES else digest for name, digest in stored.get("factors", {}).items()}


def identity_of(design: AuditDesign) -> dict[str, Any]:
    """What decides the trials and the findings, but for the budget."""
    plan, samples = design.plan, design.samples
    found = () if design.places is None else design.places.names  # which follow from all else
    factors = [factor for factor in design.factors if factor.name not in found]
    return {
        "seewhy": __version__,
        "command": "audit",
        "classifier": plan.classifier_identity,
        **network_identity(plan),
        **readers_identity(plan),
        **({"label": plan.label} if plan.label else {}),
        **clusters_identity(plan),
        "images": {
            split: {
                "count": len(sample),
                "ids": manifest.digest_of([[i.id, i.label, i.split] for i in sample.images]),
                "content": manifest.digest_of(list(sample.digests)) if all(sample.digests) else _hash(sample.pixels),
                "masks": masks_identity(sample, found),
            }
            for split, sample in samples.items()
        },
        "regions": {factor.name: factor.words for factor in factors if factor.region},
        "layers": {layer.asked: str(layer.grid) for layer in plan.layers},
        "method": list(plan.methods),
        "core": list(design.core),
        "factors": {factor.name: factor_digest(factor) for factor in factors},
        "files": {factor.name: files_digest(getattr(factor, "of", factor)) for factor in factors},
        **({"search": True} if SEARCH in design.request.regions else {}),
        "inserts": {mark.name: _digests_of(mark) for mark in design.marks},
        "columns": columns_identity(design),
        "effort": design.request.effort.as_stored(),
        "batch_size": design.plan.batch_size,
        "seed": design.seed,
        "device": plan.classifier.device.type,
        "thresholds": AUDIT_THRESHOLDS,
        "safeguards": [safeguard.name for safeguard in SAFEGUARDS],
        "stages": STAGES,
    }


def masks_identity(sample: Sample, left_out: Collection[str] = ()) -> dict[str, str]:
    """A hash of the masks of each region of a sample."""
    return {name: _hash(mask) for name, mask in sample.masks.items() if name not in left_out}


def factor_digest(factor: Factor) -> str:
    """A hash of what a property or a factor of the user's does; a region's masks say it all, and our own version."""
    of = getattr(factor, "of", factor)
    known = isinstance(factor, RegionFactor) if factor.region else PROPERTIES.get(factor.name) is of
    return "" if known else own_code_digest(of)


def _digests_of(mark: Mark) -> list[str]:
    """What a mark is; its neutral patch follows from it, unless it was named."""
    return [mark.words, _hash(mark.pixels), *([] if mark.against == SHUFFLED else [_hash(mark.patch)])]


def _other_parts(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The parts of an audit that differ, by the option that sets them."""
    names = {"regions": "--regions", "core": "--core", "factors": "--properties", "inserts": "--mark"}
    names |= {
        "search": "--regions search",
        "effort": "--recipients or --donors",
        "columns": "--columns, or what they say",
        "budget": "--budget",
        "files": "the file of a property, or what it imports",
        "thresholds": "the thresholds",
        "safeguards": "the safeguards",
        "stages": "the order of its trials",
    }
    there = {**there, "factors": _without_ours(there)}
    return [word for key, word in names.items() if there.get(key) != asked.get(key)]


def _hash(values: Tensor) -> str:
    return hashlib.blake2b(
        values.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), digest_size=8
    ).hexdigest()
