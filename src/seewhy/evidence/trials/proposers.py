"""The half of the images that proposes places: which images are in it, and whether they are enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.trials.sample import Ints, Sample

LEAST_EACH = 20  # units of each class in the half that proposes


def is_enough(audited: Sample, seed: int) -> bool:
    """Whether half of the images are enough to propose places: 20 clusters, or distinct images, of each class."""
    counts = _units_that_propose(audited, seed)
    return len(counts) > 1 and int(counts.min()) >= LEAST_EACH


def _units_that_propose(audited: Sample, seed: int) -> Ints:
    """How many clusters of each class that there is are in the half that proposes; one may be of several classes."""
    units = np.stack([audited.labels, audited.clusters], axis=1)[half_of(audited, seed)]
    counts = np.bincount(np.unique(units, axis=0)[:, 0], minlength=len(audited.counts))
    return np.asarray(counts[audited.counts > 0])


def too_few(audited: Sample, seed: int) -> str:
    """Why nothing is searched for, where the half that proposes is too small."""
    counts, units = _units_that_propose(audited, seed), "clusters" if audited.unit == "cluster" else "distinct images"
    if len(counts) < 2:
        return "No place was searched for: that takes images of two classes at least."
    return (
        f"No place was searched for: half of the images propose places, and that takes {LEAST_EACH} {units} of each "
        f"class among them; of one there are {int(counts.min())}."
    )


def half_of(sample: Sample, seed: int) -> NDArray[np.bool_]:
    """Half of the images (M,), of every class alike; all of a cluster are in it, or none."""
    rng = np.random.default_rng((seed, len(SEARCH), *SEARCH.encode()))
    chosen = np.zeros(len(sample), dtype=bool)
    decided: dict[int, bool] = {}
    for index in np.unique(sample.labels):
        clusters = np.unique(sample.clusters[sample.labels == index])
        turn = 0
        for cluster in rng.permutation(clusters):
            if cluster not in decided:
                decided[cluster] = turn % 2 == 0
                turn += 1
        rows = np.flatnonzero(sample.labels == index)
        chosen[rows] = [decided[cluster] for cluster in sample.clusters[rows]]
    return chosen


def part_of(sample: Sample, rows: Ints) -> Sample:
    """Some images of a sample."""
    places = torch.from_numpy(rows)
    return replace(
        sample,
        images=tuple(sample.images[row] for row in rows),
        labels=sample.labels[rows],
        pixels=sample.pixels[places],
        clusters=np.unique(sample.clusters[rows], return_inverse=True)[1],
        masks={name: mask if len(mask) == 1 else mask[places] for name, mask in sample.masks.items()},
        found={name: has[rows] for name, has in sample.found.items()},
        corners={name: at[places] for name, at in sample.corners.items()},
    )
