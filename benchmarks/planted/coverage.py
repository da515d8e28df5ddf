"""Whether an audit's intervals hold the truth: each effect that it estimates, by drawing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.planted.audits import asked as asked_of
from benchmarks.planted.audits import masks_at
from benchmarks.planted.cases import Case
from benchmarks.planted.networks import canvases_of, normal
from benchmarks.planted.oracle import Floats, asked, mean_of
from benchmarks.planted.renderers import RENDERERS
from numpy.typing import NDArray
from torch import nn

from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.trials.design import design_audit
from seewhy.evidence.trials.request import request

ROUNDS = 3  # donors that each recipient meets

Effects = dict[str, dict[str, float]]


def drawn_effects(case: Case, module: nn.Module) -> Effects:
    """By factor of a case's audit, the effect that it estimates, as drawing knows it. Of two classes only."""
    with tempfile.TemporaryDirectory() as home:
        classifier, options = asked_of(case, module, Path(home))
        factors = design_audit(classifier, home, request(**options)).factors
    return through_factors(case, module, factors)


def through_factors(case: Case, module: nn.Module, factors: Sequence[Factor]) -> Effects:
    """By factor what its content does: the audited pictures as recipients, with new donors.

    Each donor is drawn twice, as a picture of the first class and as one of the second, with everything that goes with
    the label, and nothing else changed.
    """
    renderer, seed = RENDERERS[case.recipe.renderer], case.network.seed
    recipients = renderer.draw(renderer.sample(case.recipe, "valid", case.images, seed))
    donors = renderer.sample(case.recipe, "fresh", case.images, seed + 1)
    states = []
    for label in (0, 1):
        labels = np.full(len(donors), label)
        states.append(renderer.draw(renderer.aligned(renderer.with_labels(donors, labels), labels)))
    canvases, contents = canvases_of(recipients.images), [canvases_of(state.images) for state in states]
    dice = np.random.default_rng((seed, 3))
    orders = [dice.permutation(len(donors)) for _ in range(ROUNDS)]
    told: Effects = {}
    for factor in factors:
        places, masks = masks_at(case, factor, recipients), [masks_at(case, factor, state) for state in states]
        if factor.region is not None and places is None:
            continue
        taken = [factor.take(content, mask) for content, mask in zip(contents, masks, strict=True)]
        changes = []
        for order in orders:
            first, second = (_probabilities(module, factor, canvases, places, content[order]) for content in taken)
            changes.append(first - second)
        told[factor.name] = _by_donor(np.concatenate(changes), np.concatenate(orders))
    return told


def _probabilities(
    module: nn.Module, factor: Factor, canvases: torch.Tensor, places: Any, content: torch.Tensor
) -> Floats:
    """The first class's probabilities (N,) with the donors' content put in."""
    return asked(module, normal(factor.put(canvases.clone(), places, content)))[:, 0]


def _by_donor(changes: Floats, donors: NDArray[np.int64]) -> dict[str, float]:
    """The mean with its error over donors, each of which was met several times."""
    return mean_of(np.bincount(donors, changes) / np.bincount(donors))
