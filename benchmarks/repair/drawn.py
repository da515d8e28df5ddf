"""What a network depends on by drawing: the same faces with a kind off and on, and its accuracy on new faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from benchmarks.planted.latents import Bools, Ints
from benchmarks.planted.networks import Network, inputs_of
from benchmarks.planted.oracle import asked
from benchmarks.planted.renderers import RENDERERS, Latents
from torch import Tensor, nn

FRESH = 200  # new faces of each class, like the old ones, and as many whose kinds go with no label
SWITCHED = 60  # of each class, that are drawn with each kind off and on
KINDS = ("tint", "logo", "frame", "hair", "brightness", "mark")  # which are switched, planted or not


@dataclass(frozen=True)
class Drawings:
    """New faces of one recipe, as inputs: by kind those with it off and on, and faces with their labels.

    `like` are as the old ones, in `fair` ones the kinds go with no label; `on` says by kind which of these have it.
    """

    switched: Mapping[str, tuple[Tensor, Tensor]]
    like: tuple[Tensor, Ints]
    fair: tuple[Tensor, Ints]
    on: Mapping[str, Bools]


def drawings_of(network: Network, fresh: int = FRESH, switched: int = SWITCHED) -> Drawings:
    """Faces that neither the network nor the audit has seen."""
    renderer, recipe = RENDERERS["faces"], network.recipe
    like = renderer.sample(recipe, "fresh", fresh, network.seed)
    fair = renderer.sample(replace(recipe, scenario="clean"), "more", fresh, network.seed)
    some = like.at(slice(2 * switched))
    states = {kind: (_inputs(renderer.switched(some, kind, False)), _inputs(renderer.switched(some, kind, True)))
              for kind in dict.fromkeys((*KINDS, *recipe.kinds))}  # fmt: skip
    return Drawings(states, (_inputs(like), like.labels), (_inputs(fair), fair.labels), dict(fair.on))


def seen(drawings: Drawings, module: nn.Module) -> dict[str, Any]:
    """By kind what switching it on adds to the probability of a fake; accuracy on faces like the old ones, and fair.

    `worst` is by planted kind the accuracy of the worst of the fair faces' four groups of class and kind.
    """
    effects = {kind: _effect(module, *states) for kind, states in drawings.switched.items()}
    (like, labels), (fair, classes) = drawings.like, drawings.fair
    right = _right(module, fair, classes)
    worst = {kind: _worst(right, classes, on) for kind, on in drawings.on.items()}
    told = {"like": float(_right(module, like, labels).mean()), "fair": float(right.mean()), "worst": worst}
    return {"kinds": effects, **told}


def _inputs(faces: Latents) -> Tensor:
    return inputs_of(RENDERERS["faces"].draw(faces).images)


def _effect(module: nn.Module, off: Tensor, on: Tensor) -> dict[str, float]:
    change = asked(module, on)[:, 0] - asked(module, off)[:, 0]
    return {"value": float(change.mean()), "error": float(change.std(ddof=1) / np.sqrt(len(change)))}


def _right(module: nn.Module, inputs: Tensor, labels: Ints) -> Bools:
    return np.asarray(asked(module, inputs).argmax(axis=1) == labels)


def _worst(right: Bools, labels: Ints, on: Bools) -> float:
    """The least accuracy of the groups of class and kind."""
    groups = [(labels == label) & (on == is_on) for label in np.unique(labels) for is_on in (False, True)]
    return min(float(right[group].mean()) for group in groups if group.any())
