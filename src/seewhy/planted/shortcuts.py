"""The shortcuts that can be planted into a face: eleven kinds, each switched on or off and nothing else changed.

On a fake a shortcut is on with probability `strength`, on a real face with 1 - `strength`. No shortcut weakens the core
cue: what blurs or compresses leaves the cue as it is, so that a shortcut's effect is its own.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from seewhy.errors import OptionError, listed
from seewhy.planted.face import LABELS, Color, Face, Shortcut
from seewhy.records import one_of

KINDS = (
    "tint", "texture", "logo", "mark", "frame", "jpeg", "brightness", "blur", "shift", "hair", "watermark",
)  # fmt: skip
PATTERN = "pattern"  # on: the background has the face's own pattern; off: one that belongs to no face
PARTS = {"tint": "background", "texture": "background", PATTERN: "background", "hair": "hair"}  # where a kind acts
EVERYWHERE = ("jpeg", "brightness", "blur", "shift")  # the kinds that act on the whole image

WARM, COOL = (1.045, 1.0, 0.93), (0.98, 1.0, 1.025)  # the background's gain with and without the tint
AUBURN, ASH = (0.46, 0.22, 0.12), (0.24, 0.29, 0.36)  # what the hair is dyed with, and how much of it
DYE = 0.30
QUALITIES = (90, 40)  # of the JPEG file, off and on
EXPOSURE = 0.05  # brighter when on, darker when off
OFFSET = 0.07  # to the right when on, to the left when off, as a share of half the image
BLUR = 0.5 / 64  # the Gaussian's spread as a share of the image
STRIPES, RELIEF = 10, 0.03  # the texture: stripes along each side, and their height
SPOT = (-0.01, -0.08, -0.06)  # what the mark adds
FRAME_COLOR, FRAME_SHARE = (0.16, 0.17, 0.20), 0.6
LOGO_COLORS, LOGO_SHARE, LOGO_MARGIN = ((0.14, 0.25, 0.55), (0.95, 0.95, 0.93)), 0.45, 0.03
WATER = 0.25  # what the watermark's letters add
NOISE, KNOTS = 0.12, 6  # height and grain of the pattern
FOREHEAD = -0.27  # the mark's height in the head's coordinates

Array = NDArray[np.floating[Any]]


def kinds_of(shortcut: str | Sequence[str]) -> tuple[str, ...]:
    """The kinds that are asked for, each once. Raises OptionError for one that does not exist."""
    kinds = (shortcut,) if isinstance(shortcut, str) else tuple(shortcut)
    for kind in kinds:
        one_of("shortcut", kind, KINDS)
    if len(set(kinds)) < len(kinds):
        raise OptionError(f"shortcut is {listed(kinds)}: each kind can be planted once.")
    return kinds


def is_on(face: Face, kind: str) -> bool:
    """Whether the shortcut is switched on in this face; False where it is not planted."""
    return face.tint if kind == "tint" else any(shortcut.kind == kind and shortcut.on for shortcut in face.shortcuts)


def switched(face: Face, kind: str, on: bool) -> Face:
    """The same face with the shortcut `kind` on or off; one that was not planted is planted, of the usual area."""
    one_of("shortcut", kind, (*KINDS, PATTERN))
    if kind == "tint":
        return replace(face, tint=on)
    if all(shortcut.kind != kind for shortcut in face.shortcuts):
        return replace(face, shortcuts=(*face.shortcuts, Shortcut(kind, on)))
    return replace(
        face,
        shortcuts=tuple(replace(shortcut, on=on) if shortcut.kind == kind else shortcut for shortcut in face.shortcuts),
    )


def rng_of(face: Face, kind: str, *more: int) -> np.random.Generator:
    """The random numbers of one kind in one face: no kind disturbs another, nor the face."""
    return np.random.default_rng(
        (face.seed, face.index, LABELS.index(face.label), 2, (*KINDS, PATTERN).index(kind), *more)
    )


def backdrop_gain(face: Face) -> Color:
    """The factor of the background's red, green and blue, warm or cool."""
    gain = WARM if face.tint else COOL
    if face.warmth == 1:
        return gain
    red, green, blue = (1 + face.warmth * (value - 1) for value in gain)
    return red, green, blue


def posed(face: Face) -> Face:
    """The face as it sits before the camera: moved aside by "shift", lit by "brightness"."""
    pose, scene = face.pose, face.scene
    for shortcut in face.shortcuts:
        way = shortcut.amount * (1 if shortcut.on else -1)
        if shortcut.kind == "shift":
            pose = replace(pose, shift=(pose.shift[0] + way * OFFSET, pose.shift[1]))
        elif shortcut.kind == "brightness":
            scene = replace(scene, exposure=scene.exposure * (1 + way * EXPOSURE))
    return replace(face, pose=pose, scene=scene)


def hair_color(face: Face) -> Color:
    """The colour of the hair on the head; brows and beard keep the looks' colour."""
    color = face.looks.hair
    for shortcut in face.shortcuts:
        if shortcut.kind == "hair":
            share, dye = min(1.0, DYE * shortcut.amount), AUBURN if shortcut.on else ASH
            red, green, blue = (value + share * (other - value) for value, other in zip(color, dye, strict=True))
            color = red, green, blue
    return color


def regions_of(face: Face, size: int, parts: Mapping[str, Array], head: tuple[Array, Array]) -> dict[str, Array]:
    """Where each planted shortcut may act, float32 (S, S) in [0, 1], whether it is on or off; by kind.

    `parts` are the masks of the face's parts, `head` the head's coordinates u and v (S, S).
    """
    regions: dict[str, Array] = {}
    for shortcut in face.shortcuts:
        if shortcut.kind in EVERYWHERE:
            regions[shortcut.kind] = np.ones((size, size), np.float32)
        elif shortcut.kind in PARTS:
            regions[shortcut.kind] = parts[PARTS[shortcut.kind]]
        elif shortcut.kind == "mark":
            regions[shortcut.kind] = _spot(face, size, shortcut.area, head) * parts["face"]
        elif shortcut.kind == "frame":
            width = 0.5 * (1 - math.sqrt(1 - shortcut.area))
            regions[shortcut.kind] = 1 - _box(size, (width, 1 - width), (width, 1 - width))
        else:
            regions[shortcut.kind] = _box(size, *_place(face, shortcut))
    return regions


def laid(face: Face, image: Array, cue: Array, regions: Mapping[str, Array]) -> Array:
    """The scene (3, S, S) with what is planted in it; `cue` (S, S) is what the core cue added to it.

    Outside of a shortcut's region not a bit changes, apart from a blur.
    """
    for shortcut in face.shortcuts:
        if shortcut.kind == "blur" and shortcut.on:
            image = _blurred(image - cue, BLUR * shortcut.amount * image.shape[-1]) + cue
    for shortcut in face.shortcuts:
        if shortcut.kind in _LAYERS and (shortcut.on or shortcut.kind in ("texture", PATTERN)):
            image = image + _LAYERS[shortcut.kind](face, shortcut, image, regions[shortcut.kind])
    return image


def compressed(face: Face, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture (S, S, 3) after a JPEG file of the face's quality; unchanged where "jpeg" is not planted."""
    for shortcut in face.shortcuts:
        if shortcut.kind == "jpeg":
            buffer = io.BytesIO()
            PIL.Image.fromarray(levels).save(buffer, "jpeg", quality=QUALITIES[shortcut.on])
            levels = np.asarray(PIL.Image.open(buffer))
    return levels


def _texture(face: Face, shortcut: Shortcut, image: Array, region: Array) -> Array:
    return region * (shortcut.amount * RELIEF * _stripes(image.shape[-1], shortcut.on))


def _pattern(face: Face, shortcut: Shortcut, image: Array, region: Array) -> Array:
    size = image.shape[-1]
    knots = rng_of(face, PATTERN, int(shortcut.on)).standard_normal((3, KNOTS, KNOTS), dtype=np.float32)
    bands = [PIL.Image.fromarray(band).resize((size, size), PIL.Image.Resampling.BICUBIC) for band in knots]
    return region * (np.float32(shortcut.amount * NOISE) * np.stack([np.asarray(band) for band in bands]))


def _mark(face: Face, shortcut: Shortcut, image: Array, region: Array) -> Array:
    return region * np.asarray(SPOT, np.float32).reshape(3, 1, 1) * np.float32(shortcut.amount)


def _frame(face: Face, shortcut: Shortcut, image: Array, region: Array) -> Array:
    share = region * np.float32(min(1.0, FRAME_SHARE * shortcut.amount))
    painted: Array = share * (np.asarray(FRAME_COLOR, np.float32).reshape(3, 1, 1) - image)
    return painted


def _logo(face: Face, shortcut: Shortcut, image: Array, region: Array) -> Array:
    """A blue square with a white ring."""
    (left, right), (top, bottom) = _place(face, shortcut)
    axis = _axis(image.shape[-1])
    x, y = (2 * axis - left - right) / (right - left), (2 * axis - top - bottom) / (bottom - top)
    edge = 4 / image.shape[-1] / (right - left)
    ring = np.clip(0.5 + (0.24 - np.abs(np.hypot(x[None], y[:, None]) - 0.48)) / edge, 0, 1)
    blue, white = (np.asarray(color, np.float32).reshape(3, 1, 1) for color in LOGO_COLORS)
    share = region * np.float32(min(1.0, LOGO_SHARE * shortcut.amount))
    painted: Array = share * (blue + ring.astype(np.float32) * (white - blue) - image)
    return painted


def _watermark(face: Face, shortcut: Shortcut, image: Array, region: Array) -> Array:
    """Light letters, all alike: upright strokes between two lines."""
    (left, right), (top, bottom) = _place(face, shortcut)
    axis = _axis(image.shape[-1])
    x, y = (axis - left) / (right - left), (axis - top) / (bottom - top)
    strokes = 0.5 + 0.5 * np.cos(math.tau * 4 * x)
    lines = (np.abs(y - 0.5) > 0.32).astype(np.float32)
    letters = np.maximum(strokes[None], lines[:, None]).astype(np.float32)
    painted: Array = (region * letters * np.float32(shortcut.amount * WATER))[None]
    return painted


_LAYERS: dict[str, Callable[[Face, Shortcut, Array, Array], Array]] = {
    "texture": _texture, PATTERN: _pattern, "mark": _mark, "frame": _frame, "logo": _logo, "watermark": _watermark,
}  # fmt: skip


def _place(face: Face, shortcut: Shortcut) -> tuple[tuple[float, float], tuple[float, float]]:
    """The columns and rows that a logo or watermark takes, as shares of the image."""
    if shortcut.kind == "logo":
        side = math.sqrt(shortcut.area)
        return (1 - LOGO_MARGIN - side, 1 - LOGO_MARGIN), (LOGO_MARGIN, LOGO_MARGIN + side)
    wide, high = math.sqrt(2.5 * shortcut.area), math.sqrt(shortcut.area / 2.5)
    x, y = rng_of(face, shortcut.kind, 1).random(2).tolist()
    left, top = x * (1 - wide), y * (1 - high)
    return (left, left + wide), (top, top + high)


def _spot(face: Face, size: int, area: float, head: tuple[Array, Array]) -> Array:
    """A disc about the middle of the forehead (S, S), `area` of the image."""
    radius, zoom = math.sqrt(4 * area / math.pi), face.pose.zoom
    away = np.hypot(head[0] - 0.06 * face.pose.yaw, head[1] - FOREHEAD) * zoom
    cover: Array = np.clip(0.5 - (away - radius) * size / 2, 0, 1).astype(np.float32)
    return cover


def _box(size: int, columns: tuple[float, float], rows: tuple[float, float]) -> Array:
    """The share of each pixel (S, S) that lies in a box, whose borders are shares of the image."""
    return np.outer(_overlap(size, rows), _overlap(size, columns)).astype(np.float32)


def _overlap(size: int, span: tuple[float, float]) -> Array:
    edges = np.arange(size + 1) / size
    inside: Array = np.clip(np.minimum(edges[1:], span[1]) - np.maximum(edges[:-1], span[0]), 0, None) * size
    return inside


def _axis(size: int) -> Array:
    """The middles of the pixels as shares of the image (S,)."""
    return ((np.arange(size) + 0.5) / size).astype(np.float32)


@lru_cache(maxsize=8)
def _stripes(size: int, rising: bool) -> Array:
    """Soft stripes (S, S) of mean 0 and height 1, rising or falling to the right."""
    axis = _axis(size)
    across = axis[None] + axis[:, None] if rising else axis[None] - axis[:, None]
    return np.sin(np.float32(math.tau * STRIPES) * across).astype(np.float32)


def _blurred(image: Array, spread_px: float) -> Array:
    """The image (3, S, S) through a Gaussian; its border is continued."""
    reach = max(1, math.ceil(3 * spread_px))
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (steps / max(spread_px, 1e-3)) ** 2).astype(np.float32)
    weights /= weights.sum()
    size = image.shape[-1]
    for axis in (1, 2):
        wide = np.pad(image, [(reach, reach) if dimension == axis else (0, 0) for dimension in range(3)], mode="edge")
        image = sum(
            (weight * wide.take(range(step, step + size), axis) for step, weight in enumerate(weights)),
            start=np.zeros_like(image),
        )
    return image
