"""From a classifier, a folder and options to an audit with nothing left to decide: images, factors, jobs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from seewhy.data.classifier import Classifier
from seewhy.errors import DataError, OptionError, listed, nearest
from seewhy.estimates import Floats
from seewhy.evidence.factors.factor import Factor, Mark, RegionFactor
from seewhy.evidence.factors.factor_grammar import _properties
from seewhy.evidence.factors.region_grammar import find_regions
from seewhy.evidence.factors.region_quality import region_quality
from seewhy.evidence.factors.regions import Region, read_masks
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.thresholds import LEAST_IMAGES
from seewhy.evidence.trials.association import association, values_of
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.request import AuditRequest, Effort
from seewhy.evidence.trials.sample import MOST_CLASSES, Sample, Samples, load_sample, with_clusters, with_masks
from seewhy.evidence.trials.schedule import Schedule, make_schedule
from seewhy.records import Image, Progress
from seewhy.render.mark import find_mark
from seewhy.run.plan import Plan, make_plan

CORE = "core"
ROLES = {
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "testing": "test",
}
Named = TypeVar("Named", Factor, Mark)
MOST_ALIKE = 0.95  # of the images may share a factor's value
NO_CANVAS = (
    "the preprocessing is a function or the images are already the network's input, so there is no canvas in 0..1"
)


@dataclass(frozen=True)
class AuditDesign:
    """An audit with nothing left to decide.

    `factors` come by association with the classes, largest first; `associations` are between 0 and 1. `ruled_out` says
    by factor why it cannot be tested, `notes` what had to be decided, `warnings` what a region's masks make doubtful.
    """

    plan: Plan
    request: AuditRequest
    samples: Samples
    core: tuple[str, ...]
    factors: tuple[Factor, ...]
    marks: tuple[Mark, ...]
    schedule: Schedule
    associations: dict[str, float]
    ruled_out: dict[str, str]
    warnings: dict[str, tuple[str, ...]]
    seed: int
    budget: int | None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def audited(self) -> Sample:
        """The sample that findings are about."""
        return self.samples.audited

    @property
    def core_regions(self) -> tuple[str, ...]:
        """The regions named as core; of several their union, as one."""
        return self.samples.core

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.plan.classes


def scheduled(design: AuditDesign, budget: int | None) -> AuditDesign:
    """The design with at most `budget` trials."""
    factors = design.factors if _has_donors(design.audited) else ()
    schedule = make_schedule(design.samples, factors, design.marks, design.request.effort, budget, design.seed)
    return replace(design, schedule=schedule, budget=budget)


def design_audit(
    classifier: Classifier | nn.Module,
    data: Any,
    request: AuditRequest,
    *,
    batch_size: int | None = None,
    layers: str | Sequence[str] = "auto",
    method: str = "auto",
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> AuditDesign:
    """The design of an audit. Raises the SeewhyError that says what to change, before any trial is made."""
    plan = make_plan(
        classifier, data, layers=layers, method=method, limit=limit, sample=sample, batch_size=batch_size, seed=seed
    )
    if plan.task != "classification":
        raise OptionError(f"audit judges classifiers, but this network's output is read as: {plan.task} (--task).")
    samples, notes = _samples(plan, request.effort, seed, progress)
    audited = next(iter(samples.values()))
    words = [one for one in _with_core(request) if one != "none"]
    regions = find_regions(words, plan.table) if words else []
    samples, ruled_out, warnings = _with_regions(plan, samples, regions)
    core = _core_of(request.core, [region.name for region in regions], ruled_out)
    notes += [
        f"{name} is named as core, but cannot be used: {why}."
        for name, why in ruled_out.items()
        if name in request.core
    ]
    samples = {split: _with_core_masks(one, core) for split, one in samples.items()}
    audited = samples[audited.split]
    regional: list[Factor] = [RegionFactor(region) for region in regions if region.name not in ruled_out]
    if len(core) > 1:
        source = " + ".join(core)
        regional.append(RegionFactor(Region(CORE, source, fixed=False, draw=regions[0].draw)))
    properties = _properties(request.properties)
    if audited.preprocess is None:
        ruled_out |= {one.name: NO_CANVAS for one in properties}
        properties = []
    factors, associations = [], {}
    for factor in _distinct([*regional, *properties]):
        table = values_of(factor, audited)
        has = audited.found.get(factor.region or "", np.ones(len(audited), dtype=bool))
        associations[factor.name] = association(table[has], audited.labels[has])
        if reason := _unfit(factor, table, audited):
            ruled_out[factor.name] = reason
        else:
            factors.append(factor)
    factors.sort(key=lambda one: -associations[one.name])
    core_region = (CORE,) if len(core) > 1 else core
    marks = _distinct([_mark(spec, audited) for spec in request.marks])
    if both := {one.name for one in factors} & {one.name for one in marks}:
        raise OptionError(f"A factor and a mark are both called {listed(both)}; give each its own name.", slug="insert")
    named = (*core, *(word for word in request.core if word in PROPERTIES))
    design = AuditDesign(
        plan=plan,
        request=request,
        samples=Samples(samples, core_region),
        core=named,
        factors=tuple(factors),
        marks=tuple(marks),
        schedule=Schedule((), request.effort),
        associations=associations,
        ruled_out=ruled_out,
        warnings=warnings,
        seed=seed,
        budget=None,
        notes=(*plan.notes, *notes),
    )
    return scheduled(design, None)


def _samples(plan: Plan, effort: Effort, seed: int, progress: Progress) -> tuple[dict[str, Sample], list[str]]:
    """The images of valid and of train, valid first; what was decided about splits."""
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in plan.table.images:
        if image.label is not None or plan.table.items is not None:
            word = (image.split or "no split").lower()
            groups[ROLES.get(word, word)].append(image)
    if not groups:
        raise DataError(
            "No image has a label that is a class of this network, and an audit compares classes.\n"
            "  Use class folders (valid/cat, valid/dog) or a CSV with a column 'label'; --classes names the logits.",
            slug="no-labels",
        )
    notes = []
    audited = next((name for name in ("valid", "test") if name in groups), None)
    if audited is not None:
        chosen = {audited: groups[audited]} | ({"train": groups["train"]} if "train" in groups else {})
    else:
        split, images = max(groups.items(), key=lambda one: len(one[1]))
        chosen = {split: images}
        why = "what it shows may be memorised" if split == "train" else "nothing can be said about overfitting"
        notes.append(f"There is no valid split: the {len(images):,} images of {split!r} are audited; {why}.")
    if audited is not None and "train" not in chosen:
        notes.append("There is no train split, so nothing can be said about overfitting.")
    left = {split: len(images) for split, images in groups.items() if split not in chosen}
    notes += [f"{count} images of {split!r} were not used." for split, count in left.items()]
    sampled = {split: _chosen(images, effort, len(plan.classes), seed) for split, images in chosen.items()}
    total, done = sum(map(len, sampled.values())), 0
    found = {}
    for split, images in sampled.items():
        sample = load_sample(plan.table, images, split, plan.classifier, _further(progress, done, total))
        done += len(images)
        if not len(sample):
            first = f"\n  {sample.unreadable[0][0].id}: {sample.unreadable[0][1]}" if sample.unreadable else ""
            raise DataError(f"No labelled image of {split!r} can be read.{first}", slug="no-images")
        found[split] = sample
    found = with_clusters(found)
    notes += _shared(found)
    return {split: with_partners(one, effort.recipients, effort.uses, seed) for split, one in found.items()}, notes


def _shared(samples: dict[str, Sample]) -> list[str]:
    """What is said about images that one split shares with the other."""
    if len(samples) < 2:
        return []
    (name, audited), (other, train) = samples.items()
    count = int(np.isin(audited.clusters, train.clusters).sum())
    said = f"{count} of {len(audited)} images of {name} are near-duplicates of images of {other}"
    return [f"{said}; they are left out of the comparison of both."] if count else []


def _further(progress: Progress, done: int, total: int) -> Progress:
    return lambda at, _: progress(done + at, total)


def _chosen(images: Sequence[Image], effort: Effort, n_classes: int, seed: int) -> list[Image]:
    """A seeded choice of at most `donors` images of each class, in table order; of many classes fewer of each."""
    most = effort.donors if n_classes <= MOST_CLASSES else max(2, 2 * effort.donors // n_classes)
    groups: dict[str, list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        groups[image.label or ""].append(place)
    if "" in groups:  # items whose labels come with them
        most = max(most * n_classes, effort.recipients)
    dice = random.Random(seed)
    kept = [place for own in groups.values() for place in dice.sample(own, min(most, len(own)))]
    return [images[place] for place in sorted(kept)]


def _with_core(request: AuditRequest) -> list[str | Region]:
    """The regions with those of the core that are not among them."""
    named = list(request.regions)
    known = {one.name if isinstance(one, Region) else one.partition("=")[0].strip() for one in named}
    return [*named, *(one for one in request.core if one not in known and one not in PROPERTIES)]


def _core_of(asked: Sequence[str], names: Sequence[str], ruled_out: dict[str, str]) -> tuple[str, ...]:
    words = [one.partition("=")[0].strip() for one in asked]
    words = ["face" if one == "faces" and "face" in names else one for one in words]
    for word in words:
        if word not in names and word not in PROPERTIES:
            raise OptionError(
                f"The core names {word!r}, which is no region of this audit.  {nearest(word, names)}".rstrip()
                + f"\n  Regions: {listed(names)}"
            )
    return tuple(word for word in words if word in names and word not in ruled_out)


def _with_regions(
    plan: Plan, samples: dict[str, Sample], regions: Sequence[Region]
) -> tuple[dict[str, Sample], dict[str, str], dict[str, tuple[str, ...]]]:
    """The samples with masks, why regions cannot be used, and what their masks make doubtful."""
    ruled_out: dict[str, str] = {}
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
                ruled_out[region.name] = quality.unusable
            if quality.findings:
                warnings[region.name] = (*warnings.get(region.name, ()), *quality.findings)
            is_same = own.levels.stride(0) == 0 if len(own) > 1 else region.fixed
            kept[region.name] = (own.levels[:1] if is_same else own.levels).contiguous()
            if not own.found.all():
                has[region.name] = own.found
        found[split] = with_masks(sample, kept, has)
    return found, ruled_out, warnings


def _with_core_masks(sample: Sample, core: Sequence[str]) -> Sample:
    """The sample with the union of several core regions as one."""
    if len(core) < 2:
        return sample
    parts = [sample.masks[name] for name in core]
    union = parts[0].expand(len(sample), -1, -1)
    for part in parts[1:]:
        union = torch.maximum(union, part)
    has = np.logical_and.reduce([sample.found.get(name, np.ones(len(sample), dtype=bool)) for name in core])
    return with_masks(sample, {**sample.masks, CORE: union.contiguous()}, {**sample.found, CORE: has})


def _distinct(factors: Sequence[Named]) -> list[Named]:
    """The factors or marks, none called like another."""
    found: dict[str, Named] = {}
    for one in factors:
        if " + " in one.name or "#" in one.name or not one.name:
            raise OptionError(f"A factor is called {one.name!r}; ' + ' and '#' are kept free.", slug="no-such-factor")
        if found.setdefault(one.name, one) is not one:
            raise OptionError(f"Two factors are called {one.name!r}; give each its own name.", slug="no-such-factor")
    return list(found.values())


def _unfit(factor: Factor, table: Floats, sample: Sample) -> str:
    """Why a factor with these values (M, D) cannot be tested on these images, or ""."""
    has = sample.found.get(factor.region or "")
    for index in np.unique(sample.labels):
        own = sample.labels == index
        count = int((own if has is None else own & has).sum())
        if factor.region and count < min(LEAST_IMAGES, int(own.sum())):
            return f"only {count} of {int(own.sum())} images of one class have this region"
    if not np.isfinite(table).all():
        return "its values are not finite"
    if (np.ptp(table, axis=0) <= 1e-6 * np.maximum(np.abs(table).max(axis=0), 1e-9)).all():
        return "it is the same in every image, so there is nothing to exchange"
    _, counts = np.unique(table.round(9), axis=0, return_counts=True)
    if counts.max() > MOST_ALIKE * len(table):
        return f"it is the same in {counts.max()} of {len(table)} images, so there is next to nothing to exchange"
    return ""


def _has_donors(sample: Sample) -> bool:
    return len(np.unique(sample.labels)) > 1 and sample.partners.size > 0


def _mark(spec: str, sample: Sample) -> Mark:
    name, equals, what = spec.partition("=")
    if not equals:
        raise OptionError(
            f"--insert is {spec!r}, but must look like watermark=text:SAMPLE or logo=logo.png@top-left.", slug="insert"
        )
    size = (int(sample.pixels.shape[2]), int(sample.pixels.shape[3]))
    words, pixels, patch = find_mark(what, size)
    if sample.preprocess is None:
        raise OptionError(f"--insert {name} needs a canvas in 0..1, but {NO_CANVAS}.", slug="insert")
    return Mark(name.strip(), words, torch.from_numpy(pixels), torch.from_numpy(patch))
