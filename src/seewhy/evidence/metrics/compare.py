"""`compare_methods`: which method, and which layer, tells most of one classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from seewhy.cam.scores.targets import Target
from seewhy.data.networks.classifier import Classifier
from seewhy.data.pictures.duplicates import joined_groups, near_duplicates
from seewhy.data.tables.clusters import ClusterBy
from seewhy.errors import OptionError, counted
from seewhy.estimates import Floats, Integers
from seewhy.evidence.inference.units import count_units
from seewhy.evidence.metrics.catalogue import PRIMARY
from seewhy.evidence.metrics.comparison import NOTHING, MethodComparison, ranked_rows
from seewhy.evidence.metrics.figures import core_masks, dropped_words, figures_of
from seewhy.evidence.metrics.mapped import Mapped, mapped
from seewhy.evidence.metrics.rescoring import watched
from seewhy.records import Progress
from seewhy.run.methods import MethodName
from seewhy.run.plan import Plan, make_plan
from seewhy.run.progress import chosen_progress

USUAL = ("grad-cam", "hirescam", "layercam", "grad-cam++", "xgrad-cam", "eigen-cam")  # of one pass each
MOST_IMAGES = 60  # unless --limit or --sample says otherwise
_FEW = 20
_SIDE = 64  # pixels, to which images are made smaller to tell near-duplicates


def compare_methods(
    classifier: Classifier | nn.Module,
    images: Any,
    *,
    target: Target = "predicted",
    layers: str | Sequence[str] = "auto",
    method: MethodName | Sequence[MethodName] = USUAL,
    grid: str | None = None,
    core: str = "",
    cluster_by: ClusterBy = None,
    limit: int | None = None,
    sample: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool | Progress = True,
) -> MethodComparison:
    """A ranking of methods and layers for one classifier, by how well their maps tell which pixels the score needs.

    Beside them stand a blob in the centre and a random map, which know nothing of it. The model is left as found.

    Args:
        classifier, images: as in explain
        target: one target for all images; of a class its probability is measured, of others the score itself
        layers, method, grid: as in explain; every method is compared on every layer
        core: the regions that should matter, as in audit: with it come the pointing games
        cluster_by: as in audit: the unit of the intervals
        limit, sample, batch_size, seed: as in explain; without the first two, 60 images by seeded chance
        progress: True: a bar; False: none; or a function of (done, total)

    Returns:
        a MethodComparison.

    Raises:
        as explain does, OptionError for a network that decides for no class, or several targets, and DataError where
        fewer than two images have maps, or none has a mask of the core.

    Example:
        >>> compared = seewhy.compare_methods(classifier, "faces/valid", method=["grad-cam", "eigen-cam"], sample=12)
        >>> print(compared)
        >>> for row in compared:
        ...     print(row.method, row.layer, row.figures["road"], row.verdict)
    """
    plan = comparison_plan(
        classifier, images, target=target, layers=layers, method=method, grid=grid, cluster_by=cluster_by, limit=limit,
        sample=sample, batch_size=batch_size, seed=seed,
    )  # fmt: skip
    with chosen_progress(progress, "Explaining") as update:
        found = mapped(plan, progress=update)
    masks, said = core_masks(core, plan, found) if core else (None, [])
    with chosen_progress(progress, "Comparing ") as update:
        figures = figures_of(found, masks, seed=seed, progress=update)
    said += dropped_words(figures, masks) if masks is not None else []
    clusters = _clusters(found)
    is_probability = plan.scores[0].choose is not None
    nothing = NOTHING if is_probability else 0.0
    rows = ranked_rows(found.columns, figures, clusters=clusters, nothing=nothing, seed=seed)
    return MethodComparison(
        rows=rows,
        n_images=len(found),
        classes=plan.classes,
        notes=(*plan.notes, *said, *_noted(found, clusters, figures)),
        measured=watched(plan),
        is_probability=is_probability,
        left_out=found.left_out,
        core=core,
        clustered=plan.table.cluster_by or ("near-duplicates" if clusters is not None else ""),
        seed=seed,
    )


def comparison_plan(classifier: Classifier | nn.Module, images: Any, **options: Any) -> Plan:
    """The plan of the maps: that of an explanation, of 60 images by seeded chance where no number is asked for.

    Raises OptionError for what cannot be compared.
    """
    plan = make_plan(classifier, images, **options)
    if options.get("limit") is None and options.get("sample") is None and len(plan.table) > MOST_IMAGES:
        count = f"{MOST_IMAGES} of {len(plan.table):,} images"
        plan = make_plan(classifier, images, **{**options, "sample": MOST_IMAGES})
        note = f"A seeded sample: {count} (--sample and --limit take others)."
        plan = replace(plan, notes=(*plan.notes, note))
    if plan.task not in ("classification", "multi-label"):
        raise OptionError(
            f"Methods are compared for classifiers, but this network's output is read as: {plan.task} (--task)."
        )
    if len(plan.scores) > 1 or plan.scores[0].parts:
        raise OptionError("Methods are compared for one target at a time, the same for all images.  Name one.")
    return plan


def _clusters(found: Mapped) -> Integers | None:
    """The number (N,) of each image's cluster: of near-duplicates, and of those of one name. None where all differ."""
    height, width = (min(_SIDE, side) for side in found.plan.canvas)
    greys = (batch.inputs.float().mean(dim=1, keepdim=True).cpu() for batch in found.batches())
    small = torch.cat([adaptive_avg_pool2d(grey, (height, width))[:, 0] for grey in greys])
    groups = near_duplicates(small.double().numpy())
    clusters = joined_groups(groups, [outcome.image.cluster for outcome in found.outcomes])
    return clusters if found.plan.table.cluster_by or count_units(clusters) < len(found) else None


def _noted(found: Mapped, clusters: Integers | None, figures: Mapping[str, Floats]) -> list[str]:
    """What the reader of a ranking has to know of its images."""
    notes = []
    labels = {outcome.image.label for outcome in found.outcomes}
    if len(labels) == 1 and len(found.plan.classes) > 1 and (label := labels.pop()) is not None:
        notes.append(f"All images are of the class {label}: what ranks first for it may not for others.")
    ranked = np.isfinite(figures[PRIMARY]).all(axis=1)
    if lost := int((~ranked).sum()):
        what = f"{lost:,} of {counted(len(found), 'image')}"
        notes.append(f"The ranking is without {what}: the network gave NaN once pixels were taken out.")
    if clusters is not None and not found.plan.table.cluster_by:
        distinct = count_units(clusters)
        notes.append(f"{counted(len(found), 'image')} are {distinct:,} distinct ones: near-duplicates count once.")
    units = int(ranked.sum()) if clusters is None else count_units(clusters[ranked])
    if units < _FEW:
        named = counted(units, "image" if clusters is None else "cluster")
        are = "is" if units == 1 else "are"
        notes.append(f"{named} {are} few: expect intervals that tell little apart, and are too narrow.")
    return notes
