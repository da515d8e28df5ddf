"""How far a factor's values tell the classes apart, before any trial."""

from __future__ import annotations

import numpy as np
import torch

from seewhy.estimates import Floats
from seewhy.evidence.factors.factor import Factor, masks_for
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample


def values_of(factor: Factor, sample: Sample) -> Floats:
    """The factor's values of every image (M, D)."""
    values = []
    for places in torch.arange(len(sample)).split(CHUNK):
        masks = masks_for(factor, sample.masks, places)
        values.append(factor.measure(sample.canvases(places), masks).reshape(len(places), -1).double().cpu())
    return np.asarray(torch.cat(values).numpy())


def association(table: Floats, labels: Ints) -> float:
    """How far a factor's values (M, D) tell the classes apart, 0 to 1, without any classifier.

    The largest share of a value's variance that lies between the classes (the correlation ratio), less what chance
    gives.
    """
    classes, counts = np.unique(labels, return_counts=True)
    total = table.var(axis=0) * len(table)
    if len(classes) < 2 or len(table) <= len(classes) or not (total > 0).any():
        return 0.0
    means = np.stack([table[labels == index].mean(axis=0) for index in classes])
    between = (counts[:, None] * (means - table.mean(axis=0)) ** 2).sum(axis=0)
    share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    by_chance = (len(classes) - 1) / (len(table) - 1)
    return float(max(0.0, (share.max() - by_chance) / (1 - by_chance)))
