"""What a kind does outside of the core that a case names: what an audit of that core can see of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.planted.audits import regions_of
from benchmarks.planted.cases import Case
from benchmarks.planted.latents import Floats
from benchmarks.planted.networks import inputs_of
from benchmarks.planted.oracle import FRESH, asked
from benchmarks.planted.renderers import RENDERERS, Drawn
from torch import nn


def effects_outside(case: Case, module: nn.Module) -> dict[str, dict[str, float]]:
    """By kind that lies somewhere, what switching it on adds to the first class where the core stays as it was.

    A kind of the whole picture, like blur, has no place: all that it does can be seen.
    """
    recipe, renderer = case.recipe, RENDERERS[case.recipe.renderer]
    fresh = renderer.sample(recipe, "fresh", FRESH // recipe.classes, case.network.seed)
    told = {}
    for kind in fresh.on:
        on, off = (renderer.draw(renderer.switched(fresh, kind, is_on)) for is_on in (True, False))
        if kind not in on.masks:
            continue
        outside = 1 - core_of(case, off)[..., None]
        mixed = off.images + outside * (on.images.astype(np.float32) - off.images)
        change = (
            asked(module, inputs_of(mixed.round().astype(np.uint8)))[:, 0] - asked(module, inputs_of(off.images))[:, 0]
        )
        told[kind] = {"value": float(change.mean()), "error": float(change.std(ddof=1) / np.sqrt(len(change)))}
    return told


def core_of(case: Case, drawn: Drawn) -> Floats:
    """The masks (N, S, S) of the region that the case names as core."""
    regions: dict[str, Any] = regions_of(case, drawn)
    if case.core == "centre":
        return np.asarray(1 - regions["background"])
    return np.asarray(regions[case.part or RENDERERS[case.recipe.renderer].core])
