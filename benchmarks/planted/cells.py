"""Cells: a field of many cells under a microscope, any way round; what their nuclei look like is the core cue."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from benchmarks.planted.latents import Floats, Latents, chances, core_of
from benchmarks.planted.planting import (
    axes,
    colors,
    column,
    cover,
    fields,
    finished,
    is_planted,
    laid,
    places,
    shown,
    smooth,
    tinted,
    ways,
)  # fmt: skip

CORE = "cells"
PARTS = ("cells", "nuclei", "background")
KINDS = (
    "tint", "texture", "logo", "frame", "debris", "dot", "membrane", "blur", "jpeg", "brightness", "contrast",
    "saturation", "noise", "shift",
)  # fmt: skip
NAMES = ("spotted", "hollow", "barred", "split", "smooth", "pointed")
VARIANTS = ((0, 1, 2, 3, 4, 5), (2, 4, 0, 1, 3, 5), (1, 5, 2, 3, 4, 0))

TILE, SIDE, NUMBERS = 0.66, 5, 8  # the lattice that the cells lie on, one in each of its tiles; numbers of each
LEAST, MOST = 0.02, 0.6
TINT = (0.05, -0.03, 0.04)
DOTS, RELIEF = 11, 0.05  # the texture: a lattice of dark dots, square or turned by 45 degrees
BAR, BAR_SHARE = (0.98, 0.98, 0.98), 0.8
RIM, RIM_SHARE = (0.10, 0.08, 0.12), 0.45
FIBRE, FIBRE_SHARE = (0.25, 0.20, 0.12), 0.5
GRANULE, GRANULE_SHARE = (0.95, 0.85, 0.35), 0.6
MEMBRANES, MEMBRANE_WIDTH, MEMBRANE_SHARE = ((0.30, 0.65, 0.45), (0.70, 0.45, 0.25)), 0.07, 0.4
MARGIN = 0.20  # what is left empty at one side by the offset


def forms(latents: Latents) -> tuple[str, ...]:
    """The classes' names."""
    return tuple(NAMES[form] for form in VARIANTS[latents.recipe.variant % 3][: latents.recipe.classes])


def draw(latents: Latents) -> tuple[np.ndarray, dict[str, Floats]]:
    """The pictures in bytes (N, S, S, 3), and the masks (N, S, S) of parts and kinds."""
    size = latents.recipe.size
    shown_class, clear, hint = core_of(latents, LEAST, MOST)
    image = tinted(_medium(latents, size), latents, TINT, hint)
    if is_planted(latents, "texture"):
        image = image - (RELIEF * latents.recipe.amount * _dots(latents, size))[:, None]
    outline, nucleus, across, chance = _field(latents, size)
    body, core = cover(outline, size, 1.5), cover(nucleus, size)
    core = core * (body > 0)
    masks: dict[str, Floats] = {"cells": np.maximum(body, core)}
    masks |= {"nuclei": core, "background": 1 - masks["cells"]}
    if is_planted(latents, "membrane"):
        band = cover(np.abs(outline - MEMBRANE_WIDTH / 2) - MEMBRANE_WIDTH / 2, size)
        masks["membrane"] = band * masks["background"]
        colour = np.where(latents.on["membrane"][:, None], *(np.array([one]) for one in MEMBRANES)).astype(np.float32)
        image = laid(image, min(1.0, MEMBRANE_SHARE * latents.recipe.amount) * band, colour[:, :, None, None])
    for kind in ("tint", "texture"):
        if kind in latents.on:
            masks[kind] = masks["background"]
    draw_of = chances(latents.keys, 0, 6)
    body_color = colors(0.74 + 0.10 * draw_of[:, 0], 0.52 + 0.10 * draw_of[:, 1], 0.66 + 0.10 * draw_of[:, 2])
    image = laid(image, body, body_color + (0.08 * (chance - 0.5) - 0.10 * np.clip(-outline / 0.2, 0, 1))[:, None])
    dark = _chromatin(latents, shown_class, clear, across, chance)
    ink = colors(0.42 + 0.08 * draw_of[:, 3], 0.26, 0.52 + 0.08 * draw_of[:, 4])
    image = laid(image, core, ink * (1 - 0.6 * dark[:, None]) + 0.25 * (0.5 - dark[:, None]))
    for kind, layer in _LAYERS.items():
        if is_planted(latents, kind):
            masks[kind], share, colour = layer(latents, size, (outline, nucleus))
            image = laid(image, np.minimum(share * shown(latents, kind), 1) * masks[kind], colors(*colour))
    return finished(image, latents, KINDS), masks


def _medium(latents: Latents, size: int) -> Floats:
    """The stain between the cells: pale, clouded, uneven."""
    x, y = axes(size)
    coarse, fine, numbers = fields(latents, (5, 21, 4))
    draw = 0.5 + 0.5 * np.tanh(numbers.reshape(len(latents), 16))
    strong = 3.0 if latents.recipe.scenario == "memorised" else 1.0
    value = 0.74 + 0.16 * draw[:, 0]
    ground = colors(value, value - 0.04 * draw[:, 1], value - 0.02 + 0.05 * draw[:, 2])
    clouds = strong * 0.035 * smooth(coarse, size) + 0.02 * smooth(fine, size)
    light = 0.05 * (column(draw[:, 3] - 0.5) * x + column(draw[:, 4] - 0.5) * y)
    return ground + (clouds + light)[:, None]


def _field(latents: Latents, size: int) -> tuple[Floats, Floats, tuple[Floats, Floats], Floats]:
    """Signed distances to the cells' outlines and their nuclei's, places in the nuclei, and a number of each cell.

    (N, S, S) each. Every pixel is asked about the one cell of its tile, so that many cells cost no more than one.
    """
    x, y = axes(size)
    turn = chances(latents.keys, 4, 3)
    cells = chances(latents.keys, 5, SIDE * SIDE * NUMBERS).reshape(len(latents), NUMBERS, SIDE * SIDE)
    cells = cells.swapaxes(0, 1)
    angle = column(math.tau * turn[:, 0])
    u = np.cos(angle) * x + np.sin(angle) * y + column(turn[:, 1]) + 2
    v = np.cos(angle) * y - np.sin(angle) * x + column(turn[:, 2]) + 2
    columns, rows = np.floor(u / TILE), np.floor(v / TILE)
    tile = (columns % SIDE * SIDE + rows % SIDE).astype(np.intp).reshape(len(latents), -1)

    def of_cell(values: np.ndarray) -> Floats:
        gathered = np.take_along_axis(values.astype(np.float32), tile, axis=1)
        return gathered.reshape(len(latents), size, size)

    radius = of_cell(0.19 + 0.07 * cells[0])
    room = TILE / 2 - radius - 0.02
    a = u - (columns + 0.5) * TILE - of_cell(2 * cells[1] - 1) * room
    b = v - (rows + 0.5) * TILE - of_cell(2 * cells[2] - 1) * room
    away = np.hypot(a, b) + np.float32(1e-6)
    bulge = 1 + _waves(a / away, b / away, [of_cell(wave(math.tau * cells[3])) for wave in (np.cos, np.sin)])
    is_there = (of_cell(cells[4]) > 0.12) & _in_view(latents, x, size)
    outline = np.where(is_there, away - radius * bulge, np.float32(1)).astype(np.float32)
    inner = 0.58 * radius
    p, q = (place / inner - of_cell(0.43 * (2 * cells[number] - 1)) for place, number in ((a, 5), (b, 6)))
    nucleus = np.where(is_there, (np.hypot(p, q) - 1) * inner, np.float32(1)).astype(np.float32)
    return outline, nucleus, (p, q), of_cell(cells[7])


def _waves(cos: Floats, sin: Floats, turn: list[Floats]) -> Floats:
    """How far the outline bulges in a direction: two and three times around, turned cell by cell."""
    double = (cos * cos - sin * sin) * turn[0] - 2 * cos * sin * turn[1]
    return 0.10 * double + 0.05 * cos * (4 * cos * cos - 3)


def _in_view(latents: Latents, x: Floats, size: int) -> np.ndarray:
    """Where cells lie: with an offset planted, not at the left when on, not at the right when off."""
    if not is_planted(latents, "shift"):
        return np.ones((len(latents), 1, size), bool)
    return x * np.sign(ways(latents, "shift")) > -1 + MARGIN * latents.recipe.amount


def _chromatin(
    latents: Latents, shown_class: np.ndarray, clear: Floats, across: tuple[Floats, Floats], chance: Floats
) -> Floats:
    """How dark the nuclei are (N, S, S), about .5, in the pattern of the class."""
    form = np.array(VARIANTS[latents.recipe.variant % 3])[shown_class]
    p, q = across
    turn = math.tau * chance
    u, v = np.cos(turn) * p + np.sin(turn) * q, np.cos(turn) * q - np.sin(turn) * p
    pattern = np.zeros_like(u)
    for number in np.unique(form):
        rows = form == number
        pattern[rows] = _FORMS[number](u[rows], v[rows])
    return 0.5 + 0.5 * column(clear) * pattern


def _bump(u: Floats, v: Floats, wide: float) -> Floats:
    return np.exp(-(u * u + v * v) / (wide * wide))


_FORMS: tuple[Callable[[Floats, Floats], Floats], ...] = (  # each of about the same mean over the nucleus
    lambda u, v: 2.0 * sum(_bump(u - 0.55 * math.cos(t), v - 0.55 * math.sin(t), 0.3) for t in (0.0, 2.1, 4.2)) - 0.55,
    lambda u, v: 1.6 * np.clip(np.hypot(u, v), 0, 1) ** 2 - 0.8,
    lambda u, v: np.cos(5 * u),
    lambda u, v: 1 - 2.2 * np.exp(-((u / 0.25) ** 2)),
    lambda u, v: np.zeros_like(u),
    lambda u, v: 1.8 * _bump(u, v, 0.5) - 0.42,
)


def _dots(latents: Latents, size: int) -> Floats:
    x, y = axes(size)
    step = math.pi * DOTS / 2
    square = np.cos(step * x) * np.cos(step * y)
    turned = np.cos(step * (x + y) / math.sqrt(2)) * np.cos(step * (x - y) / math.sqrt(2))
    return np.where(latents.on["texture"][:, None, None], square, turned)


Layer = tuple[Floats, float, tuple[float, ...]]
Outlines = tuple[Floats, Floats]


def _logo(latents: Latents, size: int, _: Outlines) -> Layer:
    """A scale bar in the lower right corner."""
    x, y = axes(size)
    wide, high = math.sqrt(2.5 * latents.recipe.area), math.sqrt(latents.recipe.area / 2.5)
    bar = cover(np.maximum(np.abs(x - (0.94 - wide)) - wide, np.abs(y - (0.94 - high)) - high), size)
    return np.broadcast_to(bar, (len(latents), size, size)), BAR_SHARE, BAR


def _frame(latents: Latents, size: int, _: Outlines) -> Layer:
    """The dark rim of a round aperture: the picture's corners and edges."""
    x, y = axes(size)
    reach = 2 * math.sqrt((1 - 2 * latents.recipe.area) / math.pi)
    rim = 1 - cover(np.hypot(x, y) - reach, size, 3)
    return np.broadcast_to(rim, (len(latents), size, size)), RIM_SHARE, RIM


def _debris(latents: Latents, size: int, _: Outlines) -> Layer:
    """A bent fibre, anywhere and any way round."""
    x, y = axes(size)
    draw = places(latents, "debris", KINDS, 3)
    long, wide = math.sqrt(4 * latents.recipe.area), math.sqrt(latents.recipe.area / 4)
    turn = column(math.tau * draw[:, 2])
    u, v = x - column(1.4 * draw[:, 0] - 0.7), y - column(1.4 * draw[:, 1] - 0.7)
    p, q = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    return cover(np.maximum(np.abs(p) - long, np.abs(q - 0.6 * p * p + 0.05) - wide), size), FIBRE_SHARE, FIBRE


def _dot(latents: Latents, size: int, outlines: Outlines) -> Layer:
    """Granules in the cells, about the nuclei, on neither nucleus nor background."""
    outline, nucleus = outlines
    band = cover(np.abs(nucleus - 0.05) - 0.025, size) * cover(outline + 0.03, size)
    band = band * (nucleus > 1 / size) * (outline < -1 / size)
    return band.astype(np.float32), GRANULE_SHARE, GRANULE


_LAYERS: dict[str, Callable[[Latents, int, Outlines], Layer]] = {
    "dot": _dot, "logo": _logo, "frame": _frame, "debris": _debris,
}  # fmt: skip
