"""What can be planted into a drawn scene, for the renderers of objects and of cells: vectorised over pictures.

A canvas in the making is float32 (N, 3, S, S). Every kind is on or off; what it changes lies in its mask.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import PIL.Image
from benchmarks.planted.latents import KIND_STREAM, Bools, Floats, Latents, chances, generators
from numpy.typing import NDArray

EVERYWHERE = ("blur", "contrast", "saturation", "brightness", "noise", "jpeg", "shift")  # kinds of the whole picture
QUALITIES = (95, 50)  # of the JPEG file, off and on
BLUR = 0.75 / 64  # the Gaussian's spread as a share of the picture
GAINS = {"brightness": 0.07, "contrast": 0.12, "saturation": 0.30}  # more when on, less when off
NOISE = 0.018  # the spread of the camera's noise that is added when on
CAMERA = 0.012  # of the noise that every picture has


def column(values: object) -> Floats:
    """One number for each picture, as (N, 1, 1)."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


def colors(*bands: object) -> Floats:
    """Red, green and blue of each picture, as (N, 3, 1, 1)."""
    return np.stack(np.broadcast_arrays(*(np.asarray(band, np.float32) for band in bands)), -1).reshape(-1, 3, 1, 1)


@lru_cache(maxsize=4)
def axes(size: int) -> tuple[Floats, Floats]:
    """The pixels' places x (1, 1, S) and y (1, S, 1) from -1 to 1."""
    axis = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    return axis[None, None, :], axis[None, :, None]


def cover(distance: Floats, size: int, blur: float = 1.0) -> Floats:
    """The share of each pixel inside a shape, from the signed distance to its border, `blur` pixels soft."""
    return np.clip(0.5 - distance * np.float32(size / (2 * blur)), 0, 1)


def laid(image: Floats, share: Floats, color: Floats | NDArray[np.floating]) -> Floats:
    """The picture with a colour laid over it; `share` (N, S, S)."""
    return image + share[:, None] * (color - image)


@lru_cache(maxsize=16)
def _weights(knots: int, size: int) -> Floats:
    """How far each knot of a grid counts at each pixel (S, knots): smooth between knots."""
    place = np.linspace(0, knots - 1, size)
    away = np.abs(place[:, None] - np.arange(knots)[None])
    share = np.clip(1 - away, 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def smooth(knots: Floats, size: int) -> Floats:
    """Fields (N, S, S) through values on a grid (N, k, k)."""
    weights = _weights(knots.shape[-1], size)
    return weights @ knots @ weights.T


def fields(latents: Latents, knots: Sequence[int]) -> list[Floats]:
    """Random values of the scene on grids of each size, of unit spread: (N, k, k) each."""
    total = sum(count * count for count in knots)
    draws = np.stack([rng.standard_normal(total, dtype=np.float32) for rng in generators(latents.scenes, 1)])
    ends = np.cumsum([count * count for count in knots])
    parts = np.split(draws, ends[:-1], axis=1)
    return [part.reshape(-1, count, count) for part, count in zip(parts, knots, strict=True)]


def is_planted(latents: Latents, kind: str) -> bool:
    return kind in latents.on


def ways(latents: Latents, kind: str) -> Floats:
    """The recipe's amount where a kind is on, less it where off (N, 1, 1); 0 where it is not planted."""
    if kind not in latents.on:
        return np.zeros((len(latents), 1, 1), np.float32)
    return column(np.where(latents.on[kind], 1.0, -1.0) * latents.recipe.amount)


def shown(latents: Latents, kind: str) -> Floats:
    """The recipe's amount where a kind is on, 0 where it is off (N, 1, 1)."""
    return np.maximum(ways(latents, kind), 0)


def places(latents: Latents, kind: str, kinds: Sequence[str], count: int) -> NDArray[np.float64]:
    """Chances of a kind of its own (N, count), beside whether it is on."""
    return chances(latents.keys, KIND_STREAM + kinds.index(kind), count + 1)[:, 1:]


def tinted(background: Floats, latents: Latents, gain: Sequence[float], hint: Floats) -> Floats:
    """The background (N, 3, S, S) with its red, green and blue turned up or down, by "tint" and by a suppressor."""
    way = (ways(latents, "tint") + 4 * column(hint))[:, None]
    return background * (1 + way * np.asarray(gain, np.float32).reshape(1, 3, 1, 1))


def frame_mask(size: int, area: float) -> Floats:
    """The ring along the edges that takes a share of the picture: (1, S, S)."""
    x, y = axes(size)
    return 1 - cover(np.maximum(np.abs(x), np.abs(y)) - math.sqrt(1 - area), size)


def finished(image: Floats, latents: Latents, kinds: Sequence[str]) -> NDArray[np.uint8]:
    """The pictures in bytes (N, S, S, 3), after what acts on the whole picture, and the camera."""
    size = image.shape[-1]
    if is_planted(latents, "blur"):
        rows = latents.on["blur"]
        image = np.where(rows[:, None, None, None], blurred(image, BLUR * latents.recipe.amount * size), image)
    grey = image.mean(axis=1, keepdims=True)
    if is_planted(latents, "saturation"):
        image = grey + (image - grey) * (1 + GAINS["saturation"] * ways(latents, "saturation")[:, None])
    if is_planted(latents, "contrast"):
        middle = image.mean(axis=(1, 2, 3), keepdims=True)
        image = middle + (image - middle) * (1 + GAINS["contrast"] * ways(latents, "contrast")[:, None])
    if is_planted(latents, "brightness"):
        image = image * (1 + GAINS["brightness"] * ways(latents, "brightness")[:, None])
    image = image + CAMERA * _camera(latents, size, 2)
    if is_planted(latents, "noise"):
        stream = KIND_STREAM + len(kinds)
        image = image + NOISE * shown(latents, "noise")[:, None] * _camera(latents, size, stream)
    levels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return compressed(np.ascontiguousarray(levels), latents.on["jpeg"]) if is_planted(latents, "jpeg") else levels


def _camera(latents: Latents, size: int, stream: int) -> Floats:
    noise = [rng.standard_normal((1, size, size), dtype=np.float32) for rng in generators(latents.keys, stream)]
    return np.stack(noise) if noise else np.zeros((0, 1, size, size), np.float32)


def compressed(levels: NDArray[np.uint8], on: Bools) -> NDArray[np.uint8]:
    """The pictures after a JPEG file, of low quality where it is on."""
    read = []
    for picture, is_on in zip(levels, on, strict=True):
        buffer = io.BytesIO()
        PIL.Image.fromarray(picture).save(buffer, "jpeg", quality=QUALITIES[int(is_on)])
        read.append(np.asarray(PIL.Image.open(buffer)))
    return np.stack(read)


def blurred(image: Floats, spread_px: float) -> Floats:
    """The pictures through a Gaussian; their borders are continued."""
    matrix = _gaussian(image.shape[-1], spread_px)
    return matrix @ image @ matrix.T


@lru_cache(maxsize=8)
def _gaussian(size: int, spread_px: float) -> Floats:
    reach = max(1, math.ceil(4 * spread_px))
    matrix = np.zeros((size, size))
    for step in range(-reach, reach + 1):
        rows = np.arange(size)
        np.add.at(matrix, (rows, np.clip(rows + step, 0, size - 1)), math.exp(-0.5 * (step / spread_px) ** 2))
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
