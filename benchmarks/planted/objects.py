"""Objects: one outlined shape, anywhere in a textured scene among smaller things; its form is the core cue."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from benchmarks.planted.latents import Floats, Ints, Latents, chances, core_of
from benchmarks.planted.planting import (
    axes,
    colors,
    column,
    cover,
    fields,
    finished,
    frame_mask,
    is_planted,
    laid,
    places,
    shown,
    smooth,
    tinted,
    ways,
)  # fmt: skip

CORE = "object"
PARTS = ("object", "background")
KINDS = (
    "tint", "texture", "logo", "frame", "stamp", "sticker", "halo", "blur", "jpeg", "brightness", "contrast",
    "saturation", "noise", "shift",
)  # fmt: skip
VARIANTS = ((0, 1, 2, 5, 3, 4), (2, 3, 0, 1, 4, 5), (4, 5, 1, 0, 2, 3))  # the forms of the classes, in their order

LEAST, MOST = 0.1, 1.0  # how clear a form is
NATURAL = 0.9  # of the form that is left where a form is clear
TINT = (-0.05, 0.0, 0.06)
LINES, RELIEF = 9, 0.045  # the texture: lines along each side, upright or level, and their height
YELLOW, LOGO_SHARE = (0.93, 0.80, 0.25), 0.7
PALE, FRAME_SHARE = (0.88, 0.88, 0.84), 0.5
INK, STAMP_SHARE = (0.30, 0.10, 0.35), 0.5
SPOT = (0.20, 0.62, 0.35)
GLOW, GLOW_WIDTH, GLOW_SHARE = ((0.95, 0.60, 0.35), (0.40, 0.65, 0.90)), 0.16, 0.35
OFFSET = 0.12


def forms(latents: Latents) -> tuple[str, ...]:
    """The classes' names."""
    names = ("ring", "cross", "star", "clover", "frame", "moon")
    return tuple(names[form] for form in VARIANTS[latents.recipe.variant % 3][: latents.recipe.classes])


def draw(latents: Latents) -> tuple[np.ndarray, dict[str, Floats]]:
    """The pictures in bytes (N, S, S, 3), and the masks (N, S, S) of parts and kinds."""
    size = latents.recipe.size
    shown_class, clear, hint = core_of(latents, LEAST, MOST)
    image, scene = _scene(latents, size), chances(latents.keys, 0, 12)
    image = tinted(image, latents, TINT, hint)
    if is_planted(latents, "texture"):
        x, y = axes(size)
        upright = np.where(latents.on["texture"][:, None, None], x, y)
        image = image + RELIEF * latents.recipe.amount * np.sin(math.pi * LINES * upright)[:, None]
    order = np.array(VARIANTS[latents.recipe.variant % 3])
    distance, x, y, radius = _distance(latents, scene, order[shown_class], clear)
    masks: dict[str, Floats] = {}
    if is_planted(latents, "halo"):
        masks["halo"] = cover(np.abs(distance - GLOW_WIDTH / 2) - GLOW_WIDTH / 2, size, 1.5)
        colour = np.where(latents.on["halo"][:, None], *(np.array([one]) for one in GLOW)).astype(np.float32)
        image = laid(image, min(1.0, GLOW_SHARE * latents.recipe.amount) * masks["halo"], colour[:, :, None, None])
    solid = cover(distance, size)
    image = laid(image, solid, _paint(scene, distance, y, size))
    masks |= {"object": solid, "background": 1 - solid}
    for kind in ("halo", "tint", "texture"):
        if kind in latents.on:
            masks[kind] = masks["background"] * masks.get(kind, np.float32(1))
    if is_planted(latents, "sticker"):
        spot = math.sqrt(latents.recipe.area * 4 / math.pi)
        masks["sticker"] = solid * cover(np.hypot(x - 0.7, y) * radius - spot, size)
        image = laid(image, np.minimum(shown(latents, "sticker"), 1) * masks["sticker"], colors(*SPOT))
    for kind, layer in _LAYERS.items():
        if is_planted(latents, kind):
            masks[kind], share, colour = layer(latents, size)
            image = laid(image, np.minimum(share * shown(latents, kind), 1) * masks[kind], colors(*colour))
    return finished(image, latents, KINDS), masks


def _scene(latents: Latents, size: int) -> Floats:
    """The ground with its grain, and three smaller things on it."""
    x, y = axes(size)
    coarse, fine, numbers = fields(latents, (6, 17, 6))
    draw = 0.5 + 0.5 * np.tanh(numbers.reshape(len(latents), 36))
    strong = 2.0 if latents.recipe.scenario == "memorised" else 1.0
    value, turn = 0.38 + 0.32 * draw[:, 0], math.tau * draw[:, 1]
    warm, green = 0.08 * (draw[:, 2] - 0.5), 0.06 * (draw[:, 3] - 0.5)
    ground = colors(value + warm, value + green, value - warm)
    slope = column(np.cos(turn)) * x + column(np.sin(turn)) * y
    grain = 0.05 * slope + strong * 0.045 * smooth(coarse, size) + 0.03 * smooth(fine, size)
    image = ground + grain[:, None]
    for first in (4, 14, 24):
        u, v = (column(1.8 * draw[:, first + step] - 0.9) for step in (0, 1))
        side = column(0.07 + 0.10 * draw[:, first + 2])
        round_or_square = column(draw[:, first + 3] > 0.5)
        away = np.where(round_or_square > 0, np.hypot(x - u, y - v), np.maximum(np.abs(x - u), np.abs(y - v)))
        color = colors(*(0.2 + 0.6 * draw[:, first + 4 + band] for band in range(3)))
        image = laid(image, 0.55 * cover(away - side, size), color)
    return image


def _distance(latents: Latents, draw: np.ndarray, form: Ints, clear: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The signed distance to the object's outline, and its own coordinates: (N, S, S) each; its radius (N, 1, 1)."""
    x, y = axes(latents.recipe.size)
    radius = column(0.40 + 0.14 * draw[:, 0])
    room = 0.94 - radius
    middle = column(2 * draw[:, 1] - 1) * (room - OFFSET * (is_planted(latents, "shift")))
    middle = np.clip(middle + OFFSET * ways(latents, "shift"), -room, room)
    turn = (draw[:, 3] - 0.5) * 1.2
    cos, sin = column(np.cos(turn)), column(np.sin(turn))
    right, down = (x - middle) / radius, (y - column(2 * draw[:, 2] - 1) * room) / radius
    u, v = cos * right + sin * down, cos * down - sin * right
    plain = np.hypot(u, v) - 0.75
    shape = np.zeros_like(plain)
    for number in np.unique(form):
        rows = form == number
        shape[rows] = _FORMS[number](u[rows], v[rows])
    share = column(NATURAL * clear)
    return (plain + share * (shape - plain)) * radius, u, v, radius


def _paint(draw: np.ndarray, distance: Floats, v: Floats, size: int) -> Floats:
    """The object's colour, lit from above, with a darker outline: (N, 3, S, S)."""
    hue = math.tau * draw[:, 4]
    value = 0.5 + 0.25 * draw[:, 5]
    body = colors(*(value + 0.22 * np.cos(hue + shift) for shift in (0.0, 2.1, 4.2)))
    edge = cover(np.abs(distance + 0.03) - 0.03, size)
    lit = body * (1 - 0.12 * v[:, None])
    return laid(lit, edge, 0.45 * body)


def _bar(u: Floats, v: Floats) -> Floats:
    return np.maximum(np.abs(u) - 0.95, np.abs(v) - 0.3)


def _lobes(count: int, u: Floats, v: Floats) -> Floats:
    return np.hypot(u, v) - (0.68 + 0.28 * np.cos(count * np.arctan2(v, u)))


_FORMS: tuple[Callable[[Floats, Floats], Floats], ...] = (
    lambda u, v: np.abs(np.hypot(u, v) - 0.68) - 0.28,
    lambda u, v: np.minimum(_bar(u, v), _bar(v, u)),
    partial(_lobes, 5),
    partial(_lobes, 3),
    lambda u, v: np.abs(np.maximum(np.abs(u), np.abs(v)) - 0.62) - 0.26,
    lambda u, v: np.maximum(np.hypot(u, v) - 0.92, 0.66 - np.hypot(u + 0.46, v)),
)


def _logo(latents: Latents, size: int) -> tuple[Floats, float, tuple[float, ...]]:
    """A yellow triangle in the lower left corner."""
    x, y = axes(size)
    side = 2 * math.sqrt(2 * latents.recipe.area)
    corner = cover((x + 0.97 + 0.97 - y - side) / math.sqrt(2), size) * (x > -0.97) * (y < 0.97)
    return np.broadcast_to(corner, (len(latents), size, size)).astype(np.float32), LOGO_SHARE, YELLOW


def _frame(latents: Latents, size: int) -> tuple[Floats, float, tuple[float, ...]]:
    mask = frame_mask(size, 2 * latents.recipe.area)
    return np.broadcast_to(mask, (len(latents), size, size)), FRAME_SHARE, PALE


def _stamp(latents: Latents, size: int) -> tuple[Floats, float, tuple[float, ...]]:
    """A circle with a bar, like a postmark, anywhere."""
    x, y = axes(size)
    radius = math.sqrt(4 * latents.recipe.area / math.pi)
    place = (2 * places(latents, "stamp", KINDS, 2) - 1) * (1 - radius)
    u, v = x - column(place[:, 0]), y - column(place[:, 1])
    away = np.hypot(u, v)
    ring = np.abs(away - 0.8 * radius) - 0.2 * radius
    bar = np.maximum(np.abs(v) - 0.2 * radius, away - 0.8 * radius)
    return cover(np.minimum(ring, bar), size), STAMP_SHARE, INK


_LAYERS = {"logo": _logo, "frame": _frame, "stamp": _stamp}
