"""The three renderers behind one set of functions: faces, objects, cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from benchmarks.planted import cells, faces, latents, objects
from benchmarks.planted.latents import Floats, Ints, Recipe
from numpy.typing import NDArray

CHUNK = 32  # pictures that are drawn at once

Latents = Any  # latents.Latents or faces.Faces: len(), .labels, .at(rows), .on


@dataclass(frozen=True)
class Drawn:
    """Pictures in bytes (N, S, S, 3) and their masks (N, S, S) in [0, 1], by part and kind."""

    images: NDArray[np.uint8]
    masks: dict[str, Floats]


@dataclass(frozen=True)
class Renderer:
    """How a kind of picture is drawn, and drawn again with one thing changed.

    `sample` (recipe, split, count of each class, seed) gives latents; `draw` gives pixels and masks; `switched`
    (latents, kind, on) changes a kind; `with_labels` the core cue; `aligned` (latents, labels) the kinds as chance has
    them for these labels; `redrawn` (latents, seed) the background. `core` is the part that holds the core cue.
    """

    name: str
    kinds: tuple[str, ...]
    parts: tuple[str, ...]
    core: str
    modules: tuple[str, ...]  # the code that decides what is drawn
    sample: Callable[[Recipe, str, int, int], Latents]
    pixels: Callable[[Latents], tuple[NDArray[np.uint8], dict[str, Floats]]]
    switched: Callable[[Latents, str, bool], Latents]
    with_labels: Callable[[Latents, Ints], Latents]
    aligned: Callable[[Latents, Ints], Latents]
    redrawn: Callable[[Latents, int], Latents]
    classes: Callable[[Latents], tuple[str, ...]]

    def draw(self, pictures: Latents) -> Drawn:
        """The pixels and masks of all pictures, in parts that fit the cache."""
        parts = [self.pixels(pictures.at(slice(start, start + CHUNK))) for start in range(0, len(pictures), CHUNK)]
        masks = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
        return Drawn(np.concatenate([part[0] for part in parts]), masks)


def _code(*files: str) -> tuple[str, ...]:
    return tuple(f"benchmarks/planted/{file}.py" for file in files)


def _own(name: str, module: Any) -> Renderer:
    def aligned(pictures: Latents, labels: Ints) -> Latents:
        return replace(latents.aligned(replace(pictures, labels=labels), module.KINDS), labels=pictures.labels)

    return Renderer(
        name, module.KINDS, module.PARTS, module.CORE, _code(name, "planting", "latents"),
        sample=lambda recipe, split, count, seed: latents.sample(recipe, module.KINDS, split, count, seed),
        pixels=module.draw, switched=latents.switched,
        with_labels=lambda pictures, labels: replace(pictures, labels=labels),
        aligned=aligned, redrawn=latents.redrawn, classes=module.forms,
    )  # fmt: skip


RENDERERS = {
    "faces": Renderer(
        "faces", faces.KINDS, faces.PARTS, faces.CORE, (*_code("faces", "latents"), "src/seewhy/planted"),
        faces.sample, faces.draw, faces.switched, faces.with_labels, faces.aligned, faces.redrawn,
        lambda _: ("fake", "real"),
    ),
    "objects": _own("objects", objects),
    "cells": _own("cells", cells),
}  # fmt: skip
