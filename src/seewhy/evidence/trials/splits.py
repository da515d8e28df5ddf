"""Which images of which split are audited: valid beside train where there are both, a seeded choice of each class."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from seewhy.data.tables.folder_names import role_of
from seewhy.errors import DataError, counted, listed
from seewhy.evidence.thresholds import LEAST_IMAGES
from seewhy.evidence.trials.clusters import cluster_notes
from seewhy.evidence.trials.contrast import MOST_CLASSES
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.request import Effort
from seewhy.evidence.trials.sample import Sample, load_sample, one_of_each, with_clusters
from seewhy.records import Image, Progress
from seewhy.run.plan import Plan


def read_samples(plan: Plan, effort: Effort, seed: int, progress: Progress) -> tuple[dict[str, Sample], list[str]]:
    """The images of valid and of train, valid first; what was decided about splits.

    They are taken in the order of their names, so that the rows of a table give the same audit in any order.
    """
    groups: dict[str, list[Image]] = defaultdict(list)
    images = plan.table.images if plan.table.items is not None else sorted(plan.table.images, key=lambda each: each.id)
    for image in images:
        if image.label is not None or plan.table.items is not None:
            groups[role_of(image.split)].append(image)
    if not groups:
        strange = listed(plan.table.strange, 6)
        told = f"  Labels: {strange}.  Classes: {listed(plan.classes, 6)}.\n" if strange else ""
        todo = (
            "Call the classes as the labels do, in the network's order:  --classes NAMES"
            if strange
            else "Use class folders (valid/cat, valid/dog) or a CSV with a column 'label'; --classes names the logits."
        )
        raise DataError(
            f"No image has a label that is a class of this network, and an audit compares classes.\n{told}  {todo}",
            slug="no-labels",
        )
    notes = []
    audited = next((name for name in ("valid", "test") if name in groups), None)
    if audited is not None:
        chosen = {audited: groups[audited]} | ({"train": groups["train"]} if "train" in groups else {})
    else:
        split, members = max(groups.items(), key=lambda item: len(item[1]))
        chosen = {split: members}
        why = "what it shows may be memorised" if split == "train" else "nothing can be said about overfitting"
        notes.append(f"There is no valid split: the {len(members):,} images of {split!r} are audited; {why}.")
    if audited is not None and "train" not in chosen:
        notes.append("There is no train split, so nothing can be said about overfitting.")
    left = {split: len(images) for split, images in groups.items() if split not in chosen}
    notes += [f"Not used: {counted(count, 'image')} of {split!r}." for split, count in left.items()]
    sampled = {split: _chosen(images, effort, len(plan.classes), seed) for split, images in chosen.items()}
    total, done = sum(map(len, sampled.values())), 0
    samples = {}
    for split, images in sampled.items():
        sample = load_sample(plan.table, images, split, plan.classifier, _further(progress, done, total))
        done += len(images)
        if not len(sample):
            first = f"\n  {sample.unreadable[0][0].id}: {sample.unreadable[0][1]}" if sample.unreadable else ""
            raise DataError(f"No labelled image of {split!r} can be read.{first}", slug="no-images")
        samples[split] = sample
    samples = with_clusters(samples)
    notes += cluster_notes(samples, plan.table.cluster_by, plan.classes)
    for leave_out in (without_small_classes, of_common_classes):
        samples, said = leave_out(samples, plan.classes)
        notes += said
    return {
        split: with_partners(sample, effort.recipients, effort.uses, seed) for split, sample in samples.items()
    }, notes


def without_small_classes(samples: Mapping[str, Sample], classes: Sequence[str]) -> tuple[dict[str, Sample], list[str]]:
    """The samples without classes of too few images for donors, which would leave every class open; what is said of it.

    They are left out where most images are of the other classes, two at least. Where only the image's own class is
    asked about, nothing has to be.
    """
    audited = next(iter(samples.values()))
    counts = audited.unit_counts
    small, rest = np.flatnonzero((counts > 0) & (counts < LEAST_IMAGES)), np.flatnonzero(counts >= LEAST_IMAGES)
    is_small = np.isin(audited.labels, small)
    if not len(small) or len(rest) < 2 or 2 * is_small.sum() > len(audited) or len(classes) > MOST_CLASSES:
        return dict(samples), []
    unit = "cluster" if audited.unit == "cluster" else "distinct image"
    named = listed([f"{classes[label]} ({counted(int(counts[label]), unit)})" for label in small.tolist()], 6)
    others = listed([classes[label] for label in rest.tolist()], 10)
    words = (
        f"Left out: {named}, since nothing can be said of a class of fewer than {LEAST_IMAGES} {unit}s of "
        f"{audited.split}. The audit is of the other {len(rest)} classes: {others}."
    )
    reason = f"its class has fewer than {LEAST_IMAGES} {unit}s of {audited.split}, too few to exchange anything"
    return {split: sample.without(np.isin(sample.labels, small), reason) for split, sample in samples.items()}, [words]


def of_common_classes(samples: Mapping[str, Sample], classes: Sequence[str]) -> tuple[dict[str, Sample], list[str]]:
    """The samples with the classes of the audited one alone, so that both can be compared; what is said of it.

    A split that lacks one of these classes is no comparison, unless only the image's own class is asked about.
    """
    (split, audited), *others = samples.items()
    kept, notes = {split: audited}, list[str]()
    for name, sample in others:
        more = np.setdiff1d(sample.labels, audited.labels).tolist()
        fewer = np.setdiff1d(audited.labels, sample.labels).tolist()
        if fewer and len(classes) <= MOST_CLASSES:
            lacking = listed([classes[label] for label in fewer], 6)
            notes.append(f"{name} has no image of {lacking}, so nothing can be said about overfitting.")
            continue
        if len(more) == len(np.unique(sample.labels)):
            notes.append(f"{name} has no image of a class that {split} has, so nothing can be said about overfitting.")
            continue
        if more:
            lacking = listed([classes[label] for label in more], 6)
            notes.append(f"Left out of {name}: {lacking}, of which {split} has no image.")
            sample = sample.without(np.isin(sample.labels, more), f"{split} has no image of its class")
        kept[name] = sample
    return kept, notes


def _further(progress: Progress, done: int, total: int) -> Progress:
    return lambda at, _: progress(done + at, total)


def _chosen(images: Sequence[Image], effort: Effort, n_classes: int, seed: int) -> list[Image]:
    """A seeded choice of at most `donors` images of each class, in table order; of many classes fewer of each.

    Of clusters that are named as many as can be are in it.
    """
    most = effort.donors if n_classes <= MOST_CLASSES else max(2, 2 * effort.donors // n_classes)
    groups: dict[str, list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        groups[image.label or ""].append(place)
    if "" in groups:  # items whose labels come with them
        most = max(most * n_classes, effort.recipients)
    dice = random.Random(seed)
    kept = [place for places in groups.values() for place in _drawn(images, places, most, dice)]
    return [images[place] for place in sorted(kept)]


def _drawn(images: Sequence[Image], places: Sequence[int], most: int, dice: random.Random) -> list[int]:
    if len(places) <= most or not any(images[place].cluster for place in places):
        return dice.sample(places, min(most, len(places)))
    shuffled = dice.sample(places, len(places))
    names = [images[place].cluster or f"#{place}" for place in shuffled]
    clusters = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return [shuffled[at] for at in one_of_each(np.arange(len(shuffled)), clusters)[:most].tolist()]
