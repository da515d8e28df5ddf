"""The regions of an audit on its images: their masks, which of them are the core, and which cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from seewhy.errors import OptionError, listed, nearest
from seewhy.evidence.factors.region_quality import region_quality
from seewhy.evidence.factors.regions import Region, read_masks
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.thresholds import LEAST_IMAGES
from seewhy.evidence.trials.request import AuditRequest
from seewhy.evidence.trials.sample import DISJOINT, Sample, Samples, mean_mask, overlap_of, with_masks
from seewhy.run.plan import Plan

ABSENT = 0.9  # of a class's images in which the core is empty, from which on it is not there by nature
LEAST_AREA = 0.01  # of the picture, for what is left of a region outside of the core to be tested
CORE = "core"  # the name of the union of several core regions
OTHER_MASKS = "Look at the region's masks; another source may fit:  --regions NAME=FOLDER"


@dataclass(frozen=True)
class RuledOut:
    """Why a factor cannot be tested, and what to do about it."""

    reason: str
    advice: str


def too_rare(sample: Sample, regions: Sequence[str]) -> dict[str, RuledOut]:
    """Why regions cannot be exchanged that too few images of a class have."""
    rare = {}
    for region in regions:
        has = sample.found.get(region, np.ones(len(sample), dtype=bool))
        for index in np.unique(sample.labels):
            members = sample.labels == index
            count, of_all = int((members & has).sum()), int(members.sum())
            if count < min(LEAST_IMAGES, of_all):
                name = sample.images[int(np.argmax(members))].label
                reason = f"only {count} of {of_all} images of {name} have this region"
                advice = f"{OTHER_MASKS} An image without it has an empty mask, not none." if not count else OTHER_MASKS
                rare[region] = RuledOut(reason, advice)
                break
    return rare


def words_with_core(request: AuditRequest) -> list[str | Region]:
    """The regions with those of the core that are not among them."""
    named = list(request.regions)
    known = {spec.name if isinstance(spec, Region) else str(spec).partition("=")[0].strip() for spec in named}
    return [*named, *(word for word in request.core if word not in known and word not in PROPERTIES)]


def core_of(asked: Sequence[str], names: Sequence[str], ruled_out: Mapping[str, RuledOut]) -> tuple[str, ...]:
    """The core regions that can be used. Raises OptionError for a word that is no region and no property."""
    words = [word.partition("=")[0].strip() for word in asked]
    words = ["face" if word == "faces" and "face" in names else word for word in words]
    for word in words:
        if word not in names and word not in PROPERTIES:
            raise OptionError(
                f"The core names {word!r}, which is no region or property of this audit.  "
                f"{nearest(word, (*names, *PROPERTIES))}".rstrip()
                + f"\n  Regions: {listed(names)}\n  Properties: {listed(PROPERTIES, 20)}"
            )
    return tuple(word for word in words if word in names and word not in ruled_out)


def with_regions(
    plan: Plan, samples: dict[str, Sample], regions: Sequence[Region]
) -> tuple[dict[str, Sample], dict[str, RuledOut], dict[str, tuple[str, ...]]]:
    """The samples with masks, why regions cannot be used, and what their masks make doubtful."""
    ruled_out: dict[str, RuledOut] = {}
    warnings: dict[str, tuple[str, ...]] = {}
    masked = {}
    for split, sample in samples.items():
        size = (int(sample.pixels.shape[2]), int(sample.pixels.shape[3]))
        masks = read_masks(regions, plan.table, sample.images, size, plan.classifier.preprocess)
        kept, has = {}, {}
        for region in regions:
            region_masks = masks[region.name]
            labels = [image.label for image in sample.images]
            quality = region_quality(region_masks.levels, region_masks.found, labels, region_masks.reasons)
            if quality.unusable and split == next(iter(samples)):
                ruled_out[region.name] = RuledOut(quality.unusable, OTHER_MASKS)
            if quality.findings:
                of_split = f"{split}: " if len(samples) > 1 else ""
                told = (f"{of_split}{words}" for words in quality.findings)
                warnings[region.name] = (*warnings.get(region.name, ()), *told)
            is_same = region_masks.levels.stride(0) == 0 if len(region_masks) > 1 else region.fixed
            kept[region.name] = (region_masks.levels[:1] if is_same else region_masks.levels).contiguous()
            if not region_masks.found.all():
                has[region.name] = region_masks.found
        masked[split] = with_masks(sample, kept, has)
    return masked, ruled_out, warnings


def samples_with_core(samples: Mapping[str, Sample], core: Sequence[str]) -> tuple[Samples, list[str]]:
    """The samples with the core, several regions as their union, where it is known; what is said of where it is not."""
    joined = {split: with_core_masks(sample, core) for split, sample in samples.items()}
    if not core:
        return Samples(joined), []
    name = CORE if len(core) > 1 else core[0]
    known = {split: where_core_is_known(sample, name) for split, sample in joined.items()}
    by_split = {split: sample for split, (sample, _) in known.items()}
    return Samples(by_split, (name,)), [words for _, words in known.values() if words]


def where_core_is_known(sample: Sample, core: str) -> tuple[Sample, str]:
    """The sample in which an image with an empty core mask has none, and what is said of it; "" where there is none.

    Nobody knows what lies outside of a core that was not found, so that such an image has no region either that is
    drawn image by image, but for parts of the core. Where the core is empty in nearly all of a class (no lesion in the
    healthy), it is not there by nature, and these images are kept.
    """
    masks = sample.masks[core]
    found = sample.found.get(core, np.ones(len(sample), dtype=bool))
    is_empty = found & ~(masks > 0).flatten(1).any(dim=1).cpu().numpy()
    for label in np.unique(sample.labels):
        members = found & (sample.labels == label)
        if is_empty[members].sum() >= ABSENT * members.sum():
            is_empty[members] = False
    if not is_empty.any():
        return sample, ""
    drawn = [name for name, mask in sample.masks.items() if len(mask) > 1 and not is_part(sample, name, core)]
    everyone = np.ones(len(sample), dtype=bool)
    kept = {name: sample.found.get(name, everyone) & ~is_empty for name in (core, *drawn)}
    words = (
        f"{core} is empty in {int(is_empty.sum())} of {len(sample)} images of {sample.split}: what lies outside of it "
        "is not known there, so they are left out of what is said of it and of regions drawn around it."
    )
    return replace(sample, found={**sample.found, **kept}), words


def outside_of_core(
    samples: Mapping[str, Sample], regions: Sequence[Region], core: str
) -> tuple[dict[str, Sample], list[Region], dict[str, RuledOut]]:
    """The samples and regions where a region that is no part of the core, but shares pixels with it, is without them.

    Why one of which next to nothing is left then cannot be tested.
    """
    parts, ruled_out = dict(samples), dict[str, RuledOut]()
    cut: list[Region] = []
    for region in regions:
        audited = next(iter(samples.values()))
        if (
            region.name == core
            or overlap_of(audited, region.name, core) <= DISJOINT
            or is_part(audited, region.name, core)
        ):
            cut.append(region)
            continue
        parts = {split: _without(sample, region.name, core) for split, sample in parts.items()}
        left = float(mean_mask(next(iter(parts.values())), region.name).mean())
        if left < LEAST_AREA:
            reason = f"it lies in the core, and outside of it {left:.1%} of the picture are left"
            ruled_out[region.name] = RuledOut(reason, "What the core does says it all.")
        else:
            cut.append(replace(region, source=f"{region.source}, outside of {core}", is_cut=True))
    return parts, cut, ruled_out


def is_part(sample: Sample, region: str, core: str) -> bool:
    """Whether a region is smaller than the core and lies in it mostly."""
    smaller = float(mean_mask(sample, region).mean()) < float(mean_mask(sample, core).mean())
    return smaller and overlap_of(sample, region, core) > 1 - DISJOINT


def _without(sample: Sample, region: str, core: str) -> Sample:
    """The sample with a region's masks outside of the core."""
    left = sample.masks[region].float() * (255 - sample.masks[core].float()) / 255
    has = np.ones(len(sample), dtype=bool)
    has = np.logical_and(sample.found.get(region, has), sample.found.get(core, has))
    known = {**sample.found, region: has} if not has.all() else sample.found
    return with_masks(sample, {**sample.masks, region: left.round().byte()}, known)


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
