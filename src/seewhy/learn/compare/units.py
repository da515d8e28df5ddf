"""Which images of two runs are one unit: of one named cluster, as far as their folders say."""

from __future__ import annotations

import math

import numpy as np

from seewhy.data.tables.clusters import NAMES, clustered
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import OptionError
from seewhy.estimates import Integers
from seewhy.evidence.inference.units import units_of
from seewhy.learn.compare.matching import Matching
from seewhy.report.stored import StoredRun

UNKNOWN = (
    "Accuracy counts each image by itself, since which images are one unit (near-duplicates, clusters) is not in the "
    "folders: its interval may be too narrow, and its p-value too small."
)


def audited_split(run: StoredRun) -> str:
    """The split that an audit's findings are about: valid, else test, else the only one."""
    splits = run.found["splits"]
    return next((name for name in ("valid", "test") if name in splits), next(iter(splits)))


def clusters_of(first: StoredRun, second: StoredRun, matching: Matching) -> tuple[Integers, list[str]]:
    """The cluster of each image in both runs (N,), by the first run that says it, and what is to be said of them.

    Folders keep what clusters are by and not the clusters: a pattern over names tells them again, a column does not.
    """
    for at, run in enumerate((first, second)):
        rule = str(run.identity.get("cluster_by") or "")
        if rule.startswith(NAMES):
            names = _by_names(run, rule)
            return units_of([names[pair[at]] for pair in matching.pairs], len(matching.pairs)), []
    is_unknown = any(run.identity.get("cluster_by") or _has_near_duplicates(run) for run in (first, second))
    return np.arange(len(matching.pairs)), [UNKNOWN] if is_unknown else []


def _by_names(run: StoredRun, rule: str) -> list[str | None]:
    images = tuple(outcome.image for outcome in run.outcomes)
    try:
        return [image.cluster for image in clustered(ImageTable(images), rule).images]
    except OptionError:  # it fits no name of these images, or makes one cluster of all
        return [None] * len(images)


def _has_near_duplicates(run: StoredRun) -> bool:
    """Whether images that an audit judges by are fewer clusters; of other runs that is not known, and not said."""
    distinct = run.found.get("distinct", {})
    if not distinct:
        return False
    split = audited_split(run)
    return bool(distinct.get(split, math.inf) < run.found["splits"][split])
