"""From a classifier, a folder and options to an audit with nothing left to decide: images, factors, jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from shlex import quote
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from seewhy.data.networks.classifier import Classifier
from seewhy.data.sources.folder import read_table
from seewhy.data.tables.clusters import ClusterBy
from seewhy.data.tables.table_columns import check_columns
from seewhy.errors import OptionError, listed
from seewhy.estimates import Floats
from seewhy.evidence.factors.factor import Factor, Mark, PropertyFactor, RegionFactor
from seewhy.evidence.factors.factor_grammar import _properties
from seewhy.evidence.factors.region_grammar import SEARCH, find_regions
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.association import association, values_of
from seewhy.evidence.trials.contrast import MOST_CLASSES, Contrast, contrasts_of
from seewhy.evidence.trials.everywhere import ClassGaps
from seewhy.evidence.trials.masked import (
    CORE,
    OTHER_MASKS,
    RuledOut,
    core_of,
    outside_of_core,
    samples_with_core,
    too_rare,
    with_regions,
    words_with_core,
)
from seewhy.evidence.trials.places import Places
from seewhy.evidence.trials.request import AuditRequest
from seewhy.evidence.trials.sample import Sample, Samples
from seewhy.evidence.trials.schedule import Schedule, Tested, make_schedule
from seewhy.evidence.trials.splits import read_samples
from seewhy.records import Progress
from seewhy.render.mark import against_of, find_mark
from seewhy.run.plan import Plan, make_plan

Named = TypeVar("Named", Factor, Mark)
ROUNDING = 1e-6  # of one of our properties, which all are of the order of 1 or a hundredth
MOST_ALIKE = 0.95  # of the images may share a factor's value
MORE_VARIED = "Leave it out, or add images in which it differs."
NEEDS_CANVAS = RuledOut(
    "the preprocessing is a function or the images are already the network's input, so there is no canvas in 0..1",
    "Give --size, --mean and --std in place of the function; regions are tested all the same.",
)


@dataclass(frozen=True)
class AuditDesign:
    """An audit with nothing left to decide.

    `factors` come by association with the classes, largest first; `associations` are between 0 and 1. `ruled_out` says
    by factor why it cannot be tested, `notes` what had to be decided, `warnings` what a region's masks make doubtful.
    `contrasts` are what every effect is asked about; `everywhere` are the properties that are shown to matter and go
    with the classes in the core as they do around it, each with how unsure the classes' differences are.
    `places` are those that a search found, None before it.
    """

    plan: Plan
    request: AuditRequest
    samples: Samples
    core: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    factors: tuple[Factor, ...]
    marks: tuple[Mark, ...]
    schedule: Schedule
    associations: dict[str, float]
    ruled_out: dict[str, RuledOut]
    warnings: dict[str, tuple[str, ...]]
    seed: int
    budget: int | None
    everywhere: Mapping[str, ClassGaps] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)
    values: Mapping[str, Floats] = field(default_factory=dict, compare=False)  # (M, D) of the audited images, by factor
    all_labels: Callable[[], Plan] | None = field(default=None, compare=False)  # of which one is audited
    places: Places | None = None

    @property
    def audited(self) -> Sample:
        """The sample that findings are about."""
        return self.samples.audited

    @property
    def core_regions(self) -> tuple[str, ...]:
        """The regions named as core; of several their union, as one."""
        return self.samples.core

    @property
    def sought_at_rim(self) -> frozenset[str]:
        """The places that lie near the core, and were looked for there."""
        return frozenset() if self.places is None else self.places.at_rim

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.plan.classes

    @property
    def budget_left(self) -> int | None:
        """The trials of the budget that the search for places left."""
        spent = 0 if self.places is None else self.places.n_trials
        return None if self.budget is None else self.budget - spent


def scheduled(design: AuditDesign, budget: int | None) -> AuditDesign:
    """The design with at most `budget` trials, those of the search for places among them."""
    design = replace(design, budget=budget)
    factors = design.factors if _has_donors(design.audited) else ()
    found = frozenset(() if design.places is None else design.places.names)
    tested = Tested(factors, design.marks, _spared(design), found)
    schedule = make_schedule(design.samples, tested, design.request.effort, design.budget_left, design.seed)
    return replace(design, schedule=schedule)


def _spared(design: AuditDesign) -> list[frozenset[str]]:
    """The core, and what the user asked for by name: a small budget leaves these out last."""
    usual = AuditRequest()
    typed = {
        factor.name
        for factor in design.factors
        if (design.request.regions != usual.regions if factor.region else design.request.properties != usual.properties)
    }
    found = () if design.places is None else design.places.names
    return [frozenset((*design.core, *design.core_regions)), frozenset((*typed, *found))]


def design_audit(
    classifier: Classifier | nn.Module,
    images: Any,
    request: AuditRequest,
    *,
    label: str | int | None = None,
    cluster_by: ClusterBy = None,
    batch_size: int | None = None,
    layers: str | Sequence[str] = "auto",
    method: str = "auto",
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> AuditDesign:
    """The design of an audit with its first trials; of several labels that of one, `label`.

    `progress` counts images read. Places that nobody named are not searched for yet: that takes trials.

    Raises the SeewhyError that says what to change, before any trial is made.
    """
    if label is not None:
        images = read_table(images)  # which are read once more with all of their labels
    plan = make_plan(
        classifier, images, layers=layers, method=method, limit=limit, sample=sample, batch_size=batch_size, seed=seed,
        label=label, cluster_by=cluster_by,
    )  # fmt: skip
    if len(plan.methods) > 1 or len(plan.layers) > 1:
        raise OptionError("audit lays the maps of one method and one layer beside its findings.  Name one of each.")
    if plan.task == "multi-label":
        raise _names_no_label(plan.classes)
    if plan.task != "classification":
        raise OptionError(f"audit judges classifiers, but this network's output is read as: {plan.task} (--task).")
    check_columns(plan.table, request.columns)
    samples, notes = read_samples(plan, request.effort, seed, progress)
    words = [word for word in words_with_core(request) if word not in ("none", SEARCH)]
    regions = find_regions(words, plan.table) if words else []
    samples, ruled_out, warnings = with_regions(plan, samples, regions)
    usable = [region.name for region in regions if region.name not in ruled_out]
    ruled_out |= too_rare(next(iter(samples.values())), usable)
    core = core_of(request.core, [region.name for region in regions], ruled_out)
    all_samples, said = samples_with_core(samples, core)
    notes += said
    if rare := too_rare(all_samples.audited, all_samples.core):  # where its empty masks are none
        ruled_out, core, all_samples = {**ruled_out, **rare}, (), Samples(samples)
    asked = core_of(request.core, [region.name for region in regions], {})
    notes += [
        f"{name} is named as core, but cannot be used: {why.reason}."
        for name, why in ruled_out.items()
        if name in (*asked, CORE)
    ]
    if all_samples.core:
        parts, regions, too_small = outside_of_core(
            all_samples.by_split, [region for region in regions if region.name not in ruled_out], all_samples.core[0]
        )
        all_samples, ruled_out = replace(all_samples, by_split=parts), ruled_out | too_small
    audited = all_samples.audited
    candidates = _distinct([*_regional(regions, core, ruled_out), *_properties(request.properties)])
    associations, unfit, values = measured(candidates, audited)
    ruled_out |= unfit
    factors = sorted(
        (candidate for candidate in candidates if candidate.name not in unfit),
        key=lambda factor: -round(associations[factor.name], 6),
    )
    marks = _distinct([_mark(spec, audited) for spec in request.marks])
    if both := {factor.name for factor in factors} & {mark.name for mark in marks}:
        raise OptionError(f"A factor and a mark are both called {listed(both)}; give each its own name.", slug="insert")
    design = AuditDesign(
        plan=plan,
        request=request,
        samples=all_samples,
        core=(*core, *(word for word in request.core if word in PROPERTIES)),
        contrasts=_asked_about(plan.classes, audited),
        factors=tuple(factors),
        marks=tuple(marks),
        schedule=Schedule((), request.effort),
        associations=associations,
        ruled_out=ruled_out,
        warnings=warnings,
        seed=seed,
        budget=None,
        notes=(*plan.notes, *notes),
        values=values,
        all_labels=partial(make_plan, classifier, images, limit=limit, sample=sample, seed=seed)
        if label is not None
        else None,
    )
    return scheduled(design, None)


def _names_no_label(labels: Sequence[str]) -> OptionError:
    return OptionError(
        "audit compares classes that exclude each other, but this network gives several labels at once (multi-label): "
        f"{listed(labels, 40)}.\n"
        f'  Audit one of them against its absence:  --label {quote(labels[0])}  (label="{labels[0]}" in Python)',
        slug="audit-task",
    )


def _asked_about(classes: Sequence[str], audited: Sample) -> tuple[Contrast, ...]:
    """The contrasts of the classes that the audited images have; of two classes the first in any case.

    Where only two of more classes are left, each stands against the other.
    """
    present = {classes[index] for index in np.unique(audited.labels)}
    asked = [
        contrast
        for contrast in contrasts_of(classes)
        if contrast.name in present or contrast.is_own_class or len(classes) == 2
    ]
    if len(present) == 2 < len(classes) <= MOST_CLASSES:
        return tuple(replace(contrast, against=next(iter(present - {contrast.name}))) for contrast in asked)
    return tuple(asked)


def _regional(regions: Sequence[Region], core: Sequence[str], ruled_out: Mapping[str, RuledOut]) -> list[Factor]:
    """The regions that can be used; of several core regions their union besides."""
    factors: list[Factor] = [RegionFactor(region) for region in regions if region.name not in ruled_out]
    if len(core) > 1:
        factors.append(RegionFactor(Region(CORE, " + ".join(core), fixed=False, draw=regions[0].draw)))
    return factors


def measured(
    factors: Sequence[Factor], audited: Sample
) -> tuple[dict[str, float], dict[str, RuledOut], dict[str, Floats]]:
    """How far each factor that can be measured goes with the classes, which cannot be tested, and all values (M, D)."""
    associations: dict[str, float] = {}
    of_all: dict[str, Floats] = {}
    blind = (
        [] if audited.preprocess is not None else [factor for factor in factors if not isinstance(factor, RegionFactor)]
    )
    unfit = {factor.name: NEEDS_CANVAS for factor in blind}
    for factor in (factor for factor in factors if factor.name not in unfit):
        values = of_all[factor.name] = values_of(factor, audited)
        has = audited.found.get(factor.region or "", np.ones(len(audited), dtype=bool))
        associations[factor.name] = association(values[has], audited.labels[has])
        if reason := _unfit(factor, values, audited):
            unfit[factor.name] = reason
    return associations, unfit, of_all


def _distinct(factors: Sequence[Named]) -> list[Named]:
    """The factors or marks, none called like another."""
    by_name: dict[str, Named] = {}
    for factor in factors:
        if " + " in factor.name or "#" in factor.name or not factor.name:
            raise OptionError(
                f"A factor is called {factor.name!r}; ' + ' and '#' are kept free.", slug="no-such-factor"
            )
        if by_name.setdefault(factor.name, factor) is not factor:
            raise OptionError(f"Two factors are called {factor.name!r}; give each its own name.", slug="no-such-factor")
    return list(by_name.values())


def _unfit(factor: Factor, table: Floats, sample: Sample) -> RuledOut | None:
    """Why a factor with these values (M, D) cannot be tested on these images; None where it can."""
    if factor.region and (rare := too_rare(sample, [factor.region])):
        return rare[factor.region]
    if not np.isfinite(table).all():
        return RuledOut("its values are not finite", OTHER_MASKS)
    least = ROUNDING if isinstance(factor, PropertyFactor) and PROPERTIES.get(factor.name) is factor.of else 1e-15
    if (np.ptp(table, axis=0) <= np.maximum(1e-6 * np.abs(table).max(axis=0), least)).all():
        return RuledOut("it is the same in every image, so there is nothing to exchange", MORE_VARIED)
    _, counts = np.unique(table.round(9), axis=0, return_counts=True)
    if counts.max() > MOST_ALIKE * len(table):
        same = f"it is the same in {counts.max()} of {len(table)} images"
        return RuledOut(f"{same}, so there is next to nothing to exchange", MORE_VARIED)
    return None


def _has_donors(sample: Sample) -> bool:
    return len(np.unique(sample.labels)) > 1 and sample.partners.size > 0


def _mark(spec: str, sample: Sample) -> Mark:
    name, equals, what = spec.partition("=")
    if not equals:
        raise OptionError(
            f"--mark is {spec!r}, but must look like watermark=text:SAMPLE or logo=logo.png@top-left.", slug="insert"
        )
    size = (int(sample.pixels.shape[2]), int(sample.pixels.shape[3]))
    words, pixels, patch = find_mark(what, size)
    if sample.preprocess is None:
        raise OptionError(f"--mark {name} needs a canvas in 0..1, but {NEEDS_CANVAS.reason}.", slug="insert")
    return Mark(name.strip(), words, torch.from_numpy(pixels), torch.from_numpy(patch), against_of(what))
