"""How far canvases are from what a preprocessing function feeds, on made pictures of several shapes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from seewhy.data.pictures.canvas import canvas_of, network_input
from seewhy.data.pictures.decode import Pixels
from seewhy.records import Preprocess

_SIZES = ((300, 400), (333, 250), (97, 131), (160, 160), (512, 335))  # (height, width): odd rests, small and large


def answers_of(function: Callable[[Any], Any]) -> list[Any]:
    """What a function makes of each made picture; it may draw, and the random states are as before."""
    before, before_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- what the user's code draws from
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return [function(picture.copy()) for picture in _pictures()]
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)  # noqa: NPY002


@dataclass(frozen=True, order=True)
class Difference:
    """By how many of 255 grey levels two inputs differ, on average over the worst picture and at most."""

    mean: float
    most: float


NONE_ALIKE = Difference(math.inf, math.inf)  # other shapes, other types, or numbers that are none


def closest(answers: Sequence[Any], candidates: Iterable[Preprocess]) -> tuple[Preprocess | None, Difference]:
    """The candidate that feeds most nearly what the answers are, and how far it is from that; of equals the first."""
    best, least = None, NONE_ALIKE
    for candidate in candidates:
        difference = _difference(answers, candidate, least)
        if difference < least:
            best, least = candidate, difference
    return best, least


def _difference(answers: Sequence[Any], preprocess: Preprocess, least: Difference) -> Difference:
    level = torch.tensor(preprocess.std).view(-1, 1, 1) * (255 if preprocess.range == "0-1" else 1)
    mean = most = 0.0
    for picture, answer in zip(_pictures(), answers, strict=True):
        canvas, _ = canvas_of(np.asarray(picture), preprocess)
        given = network_input([canvas], preprocess)[0]
        if not isinstance(answer, Tensor) or given.shape != answer.shape or given.dtype != answer.dtype:
            return NONE_ALIKE
        off = ((given - answer) * level).abs()
        if off.isnan().any():
            return NONE_ALIKE
        mean, most = max(mean, float(off.mean())), max(most, float(off.max()))
        if mean > least.mean:
            break
    return Difference(mean, most)


@cache
def _pictures() -> tuple[PIL.Image.Image, ...]:
    """RGB pictures with slopes, edges and noise, another one in each channel, and no symmetry."""
    rng = np.random.default_rng(0)
    return tuple(PIL.Image.fromarray(_pixels(rng, *size)) for size in _SIZES)


def _pixels(rng: np.random.Generator, height: int, width: int) -> Pixels:
    rows, columns = np.mgrid[:height, :width]
    slopes = np.stack([rows / height, columns / width, (rows + 2 * columns) / (height + 2 * width)], axis=2) * 160
    edges = ((rows // 17 + columns // 29) % 3 == 0)[..., None] * np.array([60, 95, 30])
    pixels: Pixels = np.clip(slopes + edges + rng.uniform(0, 35, (height, width, 3)), 0, 255).astype(np.uint8)
    return pixels
