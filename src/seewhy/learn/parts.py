"""Parts of a sample: its images cut into halves that share no cluster, and what is measured on a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seewhy.data.tables.folder_names import role_of
from seewhy.errors import DataError, counted, listed
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.thresholds import LEAST_IMAGES
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.design import AuditDesign, design_audit, scheduled
from seewhy.evidence.trials.request import Effort
from seewhy.evidence.trials.sample import Ints, Sample, Samples
from seewhy.evidence.trials.searching import in_all_images, with_places
from seewhy.learn.measure import Measure

ALL = 10**9  # donors: as many as there are
LEAST_CLUSTERS = 2  # of each class in each half


def halves_of(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """Two halves, every class alike in both, that share no cluster: what is chosen by one is proved by the other.

    A class of one cluster goes where there are fewer images.
    """
    rng = np.random.default_rng((seed, 2, len(sample)))
    counts = np.zeros((2, int(sample.labels.max(initial=0)) + 1), dtype=np.int64)
    half = np.zeros(len(sample), dtype=np.int64)
    of_each = np.bincount(sample.labels, minlength=counts.shape[1])
    for cluster in rng.permutation(np.unique(sample.clusters)):
        members = np.flatnonzero(sample.clusters == cluster)
        held = np.bincount(sample.labels[members], minlength=counts.shape[1])
        is_alone = bool((held == of_each)[held > 0].all())
        there = counts.sum(axis=1) if is_alone else counts @ held
        emptier = int(there[1] < there[0])
        half[members] = emptier
        counts[emptier] += held
    first, second = (sample.part(np.flatnonzero(half == which)) for which in (0, 1))
    return first, second


def refuse_small_halves(halves: Sequence[Sample], design: AuditDesign, asked: str, *, is_mark: bool = False) -> None:
    """Raise DataError where the asked class, or all others, have fewer than two clusters in a half.

    A mark is laid over each image by itself, so that of all classes together as many are needed as an effect takes.
    """
    if is_mark and min(len(np.unique(half.clusters)) for half in halves) >= LEAST_IMAGES:
        return
    counts = {
        name: [len(np.unique(half.clusters[half.labels == index])) for half in halves]
        for index, name in enumerate(design.classes)
        if any((half.labels == index).any() for half in halves)
    }
    enough = {name for name, pair in counts.items() if min(pair) >= LEAST_CLUSTERS}
    if len(enough) > 1 and (asked in enough or asked not in counts):
        return
    told = listed([f"{first} and {second} of {name}" for name, (first, second) in counts.items()], 8)
    raise DataError(
        f"A repair is chosen on one half of {halves[0].split} and proved on the other. They share no cluster of images "
        f"(near-duplicates, or one of --cluster-by), and each needs {LEAST_CLUSTERS} of a class; there are {told}.\n"
        "  Add images and audit again. Where clusters are of one class each, audit again without --cluster-by.",
        slug="small-halves",
    )


def measure_on(
    design: AuditDesign,
    sample: Sample,
    factors: Sequence[Factor],
    marks: Sequence[Mark] = (),
    *,
    recipients: int,
    uses: int,
    seed: int,
) -> Measure:
    """The measure of some of a design's factors and marks on a sample.

    Each recipient meets `uses` donors of every class; of a mark twice as many images are edited.
    """
    dealt = with_partners(sample, recipients, uses, seed)
    effort = Effort(recipients, ALL, uses=uses, controls=0, pairs=0)
    asked = replace(
        design,
        samples=Samples({sample.split: dealt}, design.samples.core),
        request=replace(design.request, effort=effort),
        factors=tuple(factors),
        marks=tuple(marks),
        seed=seed,
    )
    return Measure(scheduled(asked, None))


def with_all_images(design: AuditDesign) -> AuditDesign:
    """The design with every image of its splits, not only those that an audit of so many donors takes."""
    effort = Effort(design.request.effort.recipients, ALL, controls=0, pairs=0)
    request = replace(design.request, effort=effort, marks=(), columns=("none",), as_given=True)
    plan = design.plan
    anew = design_audit(plan.classifier, plan.table, request, batch_size=plan.batch_size, seed=design.seed)
    if design.places is not None:
        anew = with_places(anew, in_all_images(anew, design.places))
    return replace(anew, marks=design.marks)


def train_of(design: AuditDesign, instead: Sample | None = None) -> Sample:
    """The images of train, or `instead`. Raises DataError where there are none beside those that are judged."""
    train = next((sample for split, sample in design.samples.items() if role_of(split) == "train"), None)
    if train is None or train is design.audited:
        if instead is not None:
            return instead
        raise DataError(
            "A repair learns from train and is proved on valid, and these images have no such two splits.\n"
            "  Put them below train/ and valid/, and audit again.",
            slug="no-split",
        )
    return train


def apart_from(train: Sample, judged: Sample) -> Sample:
    """The images of train in no cluster with one that chooses or proves, which would be known by heart.

    Raises DataError where a class has none left.
    """
    is_shared = np.isin(train.clusters, judged.clusters)
    if not is_shared.any():
        return train
    kept = train.part(np.flatnonzero(~is_shared))
    gone = [str(train.images[at].label) for at in _first_of_each(train.labels) if train.labels[at] not in kept.labels]
    if gone:
        raise DataError(
            f"{int(is_shared.sum()):,} of {counted(len(train), 'image')} of train stand in {judged.split}, too: as "
            "near-duplicates, or in one cluster of --cluster-by with images there. A repair must not be proved on what "
            f"it has learned, and without them none is left to learn {listed(gone, 4)} from.\n"
            "  Split the images so that train shares none, and audit again.",
            slug="no-split",
        )
    return kept


def _first_of_each(labels: Ints) -> list[int]:
    """The place of the first image of each class."""
    places: list[int] = np.unique(labels, return_index=True)[1].tolist()
    return places
