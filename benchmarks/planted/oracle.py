"""What a network really depends on: the same pictures drawn again with one thing changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from benchmarks.planted.networks import Network, inputs_of
from benchmarks.planted.renderers import RENDERERS, Latents, Renderer
from numpy.typing import NDArray
from torch import nn

FRESH = 200  # pictures, of all classes together, that neither the network nor the audit has seen
MEMORY = 120  # training pictures whose backgrounds are drawn anew
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
    return mean_of(on[:, 0] - off[:, 0])


def probabilities(module: nn.Module, renderer: Renderer, pictures: Latents) -> Floats:
    """The probabilities (N, K) of drawn pictures."""
    return asked(module, inputs_of(renderer.draw(pictures).images))


def asked(module: nn.Module, inputs: torch.Tensor) -> Floats:
    """The probabilities (N, K) of inputs."""
    with torch.no_grad():
        return torch.cat([module(part).double().softmax(dim=1) for part in inputs.split(PART)]).numpy()


def mean_of(values: Floats) -> dict[str, float]:
    return {"value": float(values.mean()), "error": float(values.std(ddof=1) / np.sqrt(len(values)))}


def _of_the_core(module: nn.Module, renderer: Renderer, pictures: Latents) -> dict[str, float]:
    """What the first class's core cue, rather than the next one's, adds to the first class's probability."""
    states = [renderer.with_labels(pictures, np.full(len(pictures), label)) for label in (0, 1)]
    first, other = (probabilities(module, renderer, state)[:, 0] for state in states)
    return mean_of(first - other)


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
        gains.append(mean_of(before - after))
    value = gains[0]["value"] - gains[1]["value"]
    return {"value": value, "error": float(np.hypot(gains[0]["error"], gains[1]["error"])), "seen": gains[0]["value"]}
