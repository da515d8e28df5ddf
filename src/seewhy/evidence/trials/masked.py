"""The regions of an audit on its images: their masks, which of them are the core, and which cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seewhy.errors import OptionError, listed, nearest
from seewhy.evidence.factors.region_quality import region_quality
from seewhy.evidence.factors.regions import Region, read_masks
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.request import AuditRequest
from seewhy.evidence.trials.sample import Sample, with_masks
from seewhy.run.plan import Plan

CORE = "core"  # the name of the union of several core regions
OTHER_MASKS = "Look at the region's masks; another source may fit:  --regions NAME=FOLDER"


@dataclass(frozen=True)
class RuledOut:
    """Why a factor cannot be tested, and what to do about it."""

    reason: str
    advice: str


def words_with_core(request: AuditRequest) -> list[str | Region]:
    """The regions with those of the core that are not among them."""
    named = list(request.regions)
    known = {one.name if isinstance(one, Region) else one.partition("=")[0].strip() for one in named}
    return [*named, *(one for one in request.core if one not in known and one not in PROPERTIES)]


def core_of(asked: Sequence[str], names: Sequence[str], ruled_out: Mapping[str, RuledOut]) -> tuple[str, ...]:
    """The core regions that can be used. Raises OptionError for a word that is no region and no property."""
    words = [one.partition("=")[0].strip() for one in asked]
    words = ["face" if one == "faces" and "face" in names else one for one in words]
    for word in words:
        if word not in names and word not in PROPERTIES:
            raise OptionError(
                f"The core names {word!r}, which is no region of this audit.  {nearest(word, names)}".rstrip()
                + f"\n  Regions: {listed(names)}"
            )
    return tuple(word for word in words if word in names and word not in ruled_out)


def with_regions(
    plan: Plan, samples: dict[str, Sample], regions: Sequence[Region]
) -> tuple[dict[str, Sample], dict[str, RuledOut], dict[str, tuple[str, ...]]]:
    """The samples with masks, why regions cannot be used, and what their masks make doubtful."""
    ruled_out: dict[str, RuledOut] = {}
    warnings: dict[str, tuple[str, ...]] = {}
    found = {}
    for split, sample in samples.items():
        size = (int(sample.pixels.shape[2]), int(sample.pixels.shape[3]))
        masks = read_masks(regions, plan.table, sample.images, size, plan.classifier.preprocess)
        kept, has = {}, {}
        for region in regions:
            own = masks[region.name]
            labels = [image.label for image in sample.images]
            quality = region_quality(own.levels, own.found, labels, own.reasons)
            if quality.unusable and split == next(iter(samples)):
                ruled_out[region.name] = RuledOut(quality.unusable, OTHER_MASKS)
            if quality.findings:
                warnings[region.name] = (*warnings.get(region.name, ()), *quality.findings)
            is_same = own.levels.stride(0) == 0 if len(own) > 1 else region.fixed
            kept[region.name] = (own.levels[:1] if is_same else own.levels).contiguous()
            if not own.found.all():
                has[region.name] = own.found
        found[split] = with_masks(sample, kept, has)
    return found, ruled_out, warnings


def with_core_masks(sample: Sample, core: Sequence[str]) -> Sample:
    """The sample with the union of several core regions as one."""
    if len(core) < 2:
        return sample
    parts = [sample.masks[name] for name in core]
    union = parts[0].expand(len(sample), -1, -1)
    for part in parts[1:]:
        union = torch.maximum(union, part)
    has = np.logical_and.reduce([sample.found.get(name, np.ones(len(sample), dtype=bool)) for name in core])
    return with_masks(sample, {**sample.masks, CORE: union.contiguous()}, {**sample.found, CORE: has})
