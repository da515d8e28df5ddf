"""What is said of clusters: how many there are, which class is one alone, and which stand in both splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seewhy.data.tables.clusters import largest
from seewhy.errors import counted, listed
from seewhy.evidence.trials.sample import Sample


def cluster_notes(samples: Mapping[str, Sample], cluster_by: str, classes: Sequence[str]) -> list[str]:
    """The sentences for an audit's notes; [] where images belong to no cluster and none is in both splits."""
    audited, *others = samples.values()
    notes = _units(audited, cluster_by, classes) if cluster_by else []
    return notes + [words for other in others for words in _shared(audited, other)]


def _units(sample: Sample, cluster_by: str, classes: Sequence[str]) -> list[str]:
    name, count = largest(image.cluster for image in sample.images)
    n_units = len(np.unique(sample.clusters))
    notes = [
        f"By {cluster_by} the {counted(len(sample), 'image')} of {sample.split} are {counted(n_units, 'cluster')}, of "
        f"{counted(count, 'image')} at most{f' ({name})' if name else ''}: clusters, not images, are the unit."
    ]
    alone = [
        f"{classes[label]} ({counted(int(members.sum()), 'image')})"
        for label in np.unique(sample.labels)
        if (members := sample.labels == label).sum() > 1 and len(np.unique(sample.clusters[members])) == 1
    ]
    if alone:
        notes.append(
            f"All images of one cluster: {listed(alone, 4)}. What goes with such a class cannot be told from what is "
            f"peculiar to its cluster, so nothing is said of it: add images of other clusters ({cluster_by})."
        )
    return notes


def _shared(audited: Sample, other: Sample) -> list[str]:
    """What is said about images of which the other split holds a near-duplicate, or one of the same cluster."""
    in_both = np.isin(audited.clusters, other.clusters)
    if not (count := int(in_both.sum())):
        return []
    ours, theirs = ({image.cluster for image in sample.images} - {None} for sample in (audited, other))
    both = sorted(name for name in ours & theirs if name is not None)
    of_both = int(sum(image.cluster in set(both) for image in audited.images))
    left = "they are left out of the comparison of both" + (
        ", and none is left: nothing can be said about overfitting." if count == len(audited) else "."
    )
    if not both:
        or_joined = ", or of one cluster with such" if audited.unit == "cluster" else ""
        near = f"are near-duplicates of images of {other.split}{or_joined}"
        said = f"{count} of {len(audited)} images of {audited.split} {near}"
        return [f"{said}; {left}"]
    more = f", and {count - of_both} more by near-duplicates of images of it" if count > of_both else ""
    return [
        f"{len(both)} of {counted(len(ours), 'cluster')} of {audited.split} stand in {other.split}, too "
        f"({listed(both, 3)}): {of_both} of {len(audited)} images{more}; {left}"
    ]
