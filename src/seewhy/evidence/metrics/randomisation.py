"""Whether maps change with the network: rank correlation with those of ever more randomised copies of it.

Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292 (cascading randomisation).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seewhy.cam.attribute import Subject, attribute
from seewhy.cam.layers.choice import trace
from seewhy.cam.model import as_input
from seewhy.estimates import Floats
from seewhy.evidence.checks.randomised import randomised_stages
from seewhy.evidence.inference.ranks import spearman
from seewhy.evidence.metrics.mapped import Batch, Mapped
from seewhy.records import MapKey


def likeness(maps: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> Floats:
    """Spearman's correlation (N,) of the absolute cells of maps (N, h, w) with those of others.

    Near 0 for a map that shows the network, 1 for one that stays as it is without what the network learned: also for
    one that is even before and after. 0 where one of the two is even: nothing of the order is left. NaN where a map is
    not finite.
    """
    flat, against = (np.abs(each).reshape(len(each), -1).astype(np.float64) for each in (maps, other))
    finite = np.isfinite(flat).all(axis=1) & np.isfinite(against).all(axis=1)
    both_even = (np.ptp(flat, axis=1) == 0) & (np.ptp(against, axis=1) == 0)
    return np.asarray(np.where(finite, np.where(both_even, 1.0, np.nan_to_num(spearman(flat, against))), np.nan))


def randomisation(
    found: Mapped, *, seed: int = 0, step: Callable[[int], None] = lambda images: None
) -> dict[MapKey, Floats]:
    """For every method and layer the likeness (N,) of each image's map with those of randomised copies of the network.

    The mean over copies in which the last layer, a third, two thirds and all of the layers are drawn anew, from the
    output back. What is explained stays the class that the network itself chose. `step` is told of images done.
    """
    plan, model = found.plan, found.plan.classifier.model
    batches = found.batches()
    first = next(batches)
    calls = trace(model, as_input(model, first.inputs[:1]))
    copies = [copy for _, copy in randomised_stages(model, calls, torch.Generator().manual_seed(seed))]
    values = {key: np.full((len(copies), len(found)), np.nan) for key in plan.keys}
    for batch in chain([first], batches):
        for stage, copy in enumerate(copies):
            for key, alike in _likenesses(found, batch, copy).items():
                values[key][stage, batch.rows] = alike
            step(len(batch.inputs))
    return {key: np.asarray(each.mean(axis=0)) if copies else np.ones(len(found)) for key, each in values.items()}


def _likenesses(found: Mapped, batch: Batch, network: nn.Module) -> dict[MapKey, Floats]:
    """By map the likeness (n,) with what another network gives for the same images and classes."""
    plan = found.plan
    methods = {name: plan.method(name) for name in plan.methods}
    subject = Subject([batch.rescore.explained], plan.task, None, torch.tensor(batch.places))
    changed = attribute(network, batch.inputs, plan.layers, methods, subject, seed=plan.seed)
    return {key: likeness(found.maps[key][batch.rows], changed.maps[key].float().cpu().numpy()) for key in plan.keys}
