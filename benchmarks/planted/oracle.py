"""What a network really depends on: the same pictures drawn again with one thing changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from benchmarks.planted.networks import Network, canvases_of, inputs_of, normal
from benchmarks.planted.renderers import RENDERERS, Latents, Renderer
from numpy.typing import NDArray
from torch import nn

FRESH = 200  # pictures, of all classes together, that neither the network nor the audit has seen
MEMORY = 120  # training pictures whose backgrounds are drawn anew
ROUNDS = 3  # donors that each recipient meets when an effect through a factor is drawn
PART = 128

Floats = NDArray[np.float64]


def effects(network: Network, module: nn.Module) -> dict[str, Any]:
    """By kind what switching it on adds to the probability of the first class; accuracy; what was learned by heart.

    `accuracy` is that on pictures whose kinds go with no label. `memory` is what the background that a picture was
    learned with, rather than another, adds to its own class's probability, beyond what it adds in new pictures.
    """
    recipe, renderer = network.recipe, RENDERERS[network.recipe.renderer]
    fresh = renderer.sample(recipe, "fresh", FRESH // recipe.classes, network.seed)
    kinds = {kind: of_kind(module, renderer, fresh, kind) for kind in fresh.on}
    plain = replace(recipe, scenario="clean") if recipe.scenario in ("planted", "decoy") else recipe
    unbiased = renderer.sample(plain, "more", FRESH // recipe.classes, network.seed)
    right = probabilities(module, renderer, unbiased).argmax(axis=1) == unbiased.labels
    return {
        "kinds": kinds, "accuracy": float(right.mean()),
        "core": _of_the_core(module, renderer, fresh.at(slice(FRESH // 2))),
        "memory": _memory(module, renderer, network),
    }  # fmt: skip


def of_kind(module: nn.Module, renderer: Renderer, pictures: Latents, kind: str) -> dict[str, float]:
    on, off = (probabilities(module, renderer, renderer.switched(pictures, kind, is_on)) for is_on in (True, False))
    return _mean(on[:, 0] - off[:, 0])


def probabilities(module: nn.Module, renderer: Renderer, pictures: Latents) -> Floats:
    """The probabilities (N, K) of drawn pictures."""
    return asked(module, inputs_of(renderer.draw(pictures).images))


def asked(module: nn.Module, inputs: torch.Tensor) -> Floats:
    """The probabilities (N, K) of inputs."""
    with torch.no_grad():
        return torch.cat([module(part).double().softmax(dim=1) for part in inputs.split(PART)]).numpy()


def _mean(values: Floats) -> dict[str, float]:
    return {"value": float(values.mean()), "error": float(values.std(ddof=1) / np.sqrt(len(values)))}


def _of_the_core(module: nn.Module, renderer: Renderer, pictures: Latents) -> dict[str, float]:
    """What the first class's core cue, rather than the next one's, adds to the first class's probability."""
    states = [renderer.with_labels(pictures, np.full(len(pictures), label)) for label in (0, 1)]
    first, other = (probabilities(module, renderer, state)[:, 0] for state in states)
    return _mean(first - other)


def _memory(module: nn.Module, renderer: Renderer, network: Network) -> dict[str, float]:
    recipe = network.recipe
    seen = renderer.sample(recipe, "train", network.n_train, network.seed).at(slice(MEMORY))
    new = renderer.sample(recipe, "fresh", -(-MEMORY // recipe.classes), network.seed).at(slice(MEMORY))
    gains = []
    for pictures in (seen, new):
        rows = np.arange(len(pictures)), pictures.labels
        before, after = (
            probabilities(module, renderer, state)[rows] for state in (pictures, renderer.redrawn(pictures, 7919))
        )
        gains.append(_mean(before - after))
    value = gains[0]["value"] - gains[1]["value"]
    return {"value": value, "error": float(np.hypot(gains[0]["error"], gains[1]["error"])), "seen": gains[0]["value"]}


def through_factors(
    network: Network, module: nn.Module, factors: Sequence[Any], masks_of: Any, images: int
) -> dict[str, dict[str, float]]:
    """By factor, the effect that an audit estimates, as drawing knows it: the audited recipients with new donors.

    Each donor is drawn twice, as a picture of the first class and as one of the second, with everything that goes with
    the label, and nothing else changed. `masks_of` (factor's region, drawn) gives masks (N, S, S). Of two classes only.
    """
    renderer = RENDERERS[network.recipe.renderer]
    recipients = renderer.draw(renderer.sample(network.recipe, "valid", images, network.seed))
    canvases = canvases_of(recipients.images)
    donors = renderer.sample(network.recipe, "fresh", images, network.seed + 1)
    states = []
    for label in (0, 1):
        labels = np.full(len(donors), label)
        states.append(renderer.draw(renderer.aligned(renderer.with_labels(donors, labels), labels)))
    contents = [canvases_of(state.images) for state in states]
    dice = np.random.default_rng((network.seed, 3))
    orders = [dice.permutation(len(donors)) for _ in range(ROUNDS)]
    told = {}
    for factor in factors:
        places, masks = masks_of(factor.region, recipients), [masks_of(factor.region, state) for state in states]
        if factor.region is not None and places is None:
            continue
        taken = [factor.take(content, mask) for content, mask in zip(contents, masks, strict=True)]
        changes = []
        for order in orders:
            first, second = (
                asked(module, normal(factor.put(canvases.clone(), places, content[order])))[:, 0] for content in taken
            )
            changes.append(first - second)
        told[factor.name] = _by_donor(np.concatenate(changes), np.concatenate(orders))
    return told


def _by_donor(changes: Floats, donors: NDArray[np.int64]) -> dict[str, float]:
    """The mean with its error over donors, each of which was met several times."""
    return _mean(np.bincount(donors, changes) / np.bincount(donors))
