"""How a face becomes pixels: a portrait by formula with its masks; one drawing, and so one (long) file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from seewhy.errors import OptionError
from seewhy.planted.face import LABELS, Color, Face, Surroundings
from seewhy.planted.shortcuts import EVERYWHERE, PARTS, backdrop_gain, compressed, hair_color, laid, posed, regions_of
from seewhy.records import one_of

CELLS = 64  # the checkerboard has this many cells along each side of the image
CHECKER = 0.08  # its height at amplitude 1, as a share of white
FRINGES = {  # how far the hair rises over its volume, the hairline's height, its fall towards the ears, its squareness
    "buzz": (-0.075, -0.40, 0.30, 3), "short": (-0.03, -0.37, 0.40, 3), "quiff": (-0.025, -0.42, 0.42, 3),
    "bun": (-0.06, -0.43, 0.42, 2), "long": (0.0, -0.41, 0.98, 2), "bob": (0.0, -0.39, 0.80, 2),
    "bangs": (0.0, -0.23, 0.62, 3), "curly": (0.02, -0.36, 0.55, 2),
}  # fmt: skip
LENGTHS = {"long": 0.95, "bob": 0.40, "bangs": 0.60, "curly": 0.42}  # where hanging hair ends
EYES = 0.9  # how far the left eye departs from the right one at amplitude 1, in natural spreads

Array = NDArray[np.floating[Any]]
Window = tuple[slice, slice]
Hill = tuple[float, float, float, float, float]  # middle (u, v), radii, height
WHOLE = (slice(None), slice(None))


@dataclass(frozen=True)
class Rendered:
    """A face as pixels: `image` uint8 (S, S, 3), and float32 (S, S) masks in [0, 1].

    The masks "face", "hair", "body" and "background" add up to 1 everywhere. "artefact" is where the core cue lies,
    times its amplitude: zero everywhere on a real face. Each of `Face.shortcuts` has a mask by its kind: where it may
    act, whether it is on or off.
    """

    image: NDArray[np.uint8]
    masks: dict[str, Array]

    def region_of(self, name: str) -> Array:
        """Where a shortcut may act, or a part lies, (S, S) in [0, 1]: 1 everywhere for a global kind.

        Raises OptionError for a patch that is not planted in this face, and for an unknown name.
        """
        if name in self.masks:
            return self.masks[name]
        if name in EVERYWHERE:
            return np.ones(self.image.shape[:2], np.float32)
        one_of("region", name, (*self.masks, *PARTS, *EVERYWHERE))
        return self.masks[PARTS[name]]


def render(face: Face, size: int) -> Rendered:
    """The face as an image of `size` x `size` pixels, with its masks: a pure function of its arguments.

    The shapes do not depend on the size; camera noise does. Two faces that differ in the tint only have the same
    bytes wherever the background mask is 0, and the same masks; so it is with every other shortcut and its mask, apart
    from "shift", which moves the head and with it the masks.
    """
    if size < 16:
        raise OptionError(f"size is {size} px, but a face needs at least 16.")
    if face.shortcuts:
        face = posed(face)
    rng = np.random.default_rng((face.seed, face.index, LABELS.index(face.label), 1))
    painting = _Painting(face, size, _soft_noise(rng, size, 40))
    _hair_behind(painting)
    _body(painting)
    _head(painting)
    for side in (-1.0, 1.0):
        _eye(painting, side)
    _mouth(painting)
    painting.rgb += (face.amplitude * CHECKER) * painting.parts["face"] * _checkerboard(size)
    _hair_before(painting)
    image = painting.rgb + painting.parts["background"] * _backdrop(painting, rng)
    masks = {**painting.parts, "artefact": face.amplitude * painting.parts["face"]}
    if not face.shortcuts:
        return Rendered(_photograph(face.scene, image, rng), masks)
    regions = regions_of(face, size, painting.parts, (painting.u, painting.v))
    return Rendered(_taken(face, image, {**masks, **regions}, rng), {**masks, **regions})


def _taken(face: Face, image: Array, masks: dict[str, Array], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture of a scene with shortcuts in it; a JPEG file is made without the core cue, which is added to it."""
    cue = (CHECKER * masks["artefact"] * _checkerboard(image.shape[-1])).astype(np.float32)
    image = laid(face, image, cue, masks)
    if all(shortcut.kind != "jpeg" for shortcut in face.shortcuts):
        return _photograph(face.scene, image, rng)
    levels = compressed(face, _photograph(face.scene, image - cue, rng))
    cued = levels + (255 * face.scene.exposure * cue)[:, :, None]
    return np.clip(cued + 0.5, 0, 255).astype(np.uint8)


class _Painting:
    """The picture in the making: colour so far (3, S, S), coordinates, and the share of each part in each pixel.

    `x` and `y` are the image's coordinates, `u` and `v` the head's; `grain` (S, S) roughens what has a surface.
    """

    def __init__(self, face: Face, size: int, grain: Array) -> None:
        self.size, self.grain = size, grain
        self.face, self.pose, self.looks, self.scene = face, face.pose, face.looks, face.scene
        self.hair = hair_color(face)
        self.x, self.y = _grid(size)
        pose = face.pose
        self.turn = (math.cos(pose.roll) / pose.zoom, math.sin(pose.roll) / pose.zoom)
        x, y = self.x - pose.shift[0], self.y - pose.shift[1]
        self.u = self.turn[0] * x + self.turn[1] * y
        self.v = self.turn[0] * y - self.turn[1] * x
        self.edge = self.scene.softness * 2 / size / pose.zoom
        self.rgb = np.zeros((3, size, size), np.float32)
        self.parts = {name: np.zeros((size, size), np.float32) for name in ("face", "hair", "body", "background")}
        self.parts["background"] += 1

    def cover(self, distance: Array, blur: float = 0.0) -> Array:
        """The share of each pixel inside a shape, from the signed distance to its border."""
        share: Array = np.clip(0.5 - distance / (self.edge + blur), 0, 1)
        return share

    def fill(self, part: str, cover: Array, color: Callable[[Window], Array]) -> None:
        """Lay a shape over everything so far; its pixels now belong to `part`.

        Only the box around the shape is painted; `color` gives the colours there (3, H, W).
        """
        rows, columns = (np.flatnonzero(cover.any(axis)) for axis in (1, 0))
        if not len(rows):
            return
        at = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        cover, rgb = cover[at], self.rgb[:, *at]
        rest = 1 - cover
        rgb *= rest
        rgb += cover * color(at)
        for share in self.parts.values():
            share[at] *= rest
        self.parts[part][at] += cover

    def window(self, u: float, v: float, radius: float) -> Window:
        """The rows and columns that hold the circle about (u, v), in head coordinates."""
        square = self.pose.zoom**2
        x = (self.turn[0] * u - self.turn[1] * v) * square + self.pose.shift[0]
        y = (self.turn[0] * v + self.turn[1] * u) * square + self.pose.shift[1]
        reach = radius * self.pose.zoom + 2 * self.edge
        return self._span(y, reach), self._span(x, reach)

    def _span(self, middle: float, reach: float) -> slice:
        low, high = ((middle + way * reach + 1) / 2 * self.size for way in (-1, 1))
        return slice(max(0, math.floor(low)), max(0, math.ceil(high)))

    def dab(self, at: Window, cover: Array, color: Array) -> None:
        """Paint on the face, inside it only; which part a pixel belongs to does not change."""
        rgb, face = self.rgb[:, *at], self.parts["face"][at]
        rgb += cover * (face * color - rgb)

    def bump(self, field: Array, hill: Hill) -> None:
        """Add a smooth hill to `field` (S, S)."""
        u, v, wide, high, height = hill
        at = self.window(u, v, max(wide, high))
        inside = 1 - ((self.u[at] - u) / wide) ** 2 - ((self.v[at] - v) / high) ** 2
        field[at] += height * np.maximum(inside, 0) ** 2


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Array, Array]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
    return axis[None, :], axis[:, None]


def _flat(color: Color, gain: Color | float = 1.0) -> Array:
    """The colour times `gain`, as an array (3, 1, 1)."""
    return np.multiply(color, gain).astype(np.float32).reshape(3, 1, 1)


def _length(a: Array, b: Array) -> Array:
    return np.sqrt(a * a + b * b)


def _shaded(color: Color, light: Array) -> Array:
    """The colour in light of 0 (shadow, redder) to 1 (full): (3, H, W)."""
    dark, lit = _flat(color, (0.50, 0.38, 0.38)), _flat(color, 1.05)
    return dark + light * (lit - dark)


def _soft_noise(rng: np.random.Generator, size: int, knots: int) -> Array:
    """Smooth noise of unit spread (S, S), the same at every size."""
    coarse = PIL.Image.fromarray(rng.standard_normal((knots, knots), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), PIL.Image.Resampling.BICUBIC))


def _backdrop(painting: _Painting, rng: np.random.Generator) -> Array:
    scene, x, y = painting.scene, painting.x, painting.y
    first, second = (_flat(color) for color in scene.backdrop)
    along = 0.5 + 0.5 * (math.cos(scene.slope) * x + math.sin(scene.slope) * y)
    value = scene.texture * (0.75 * _soft_noise(rng, painting.size, 5) + 0.25 * _soft_noise(rng, painting.size, 9))
    value += 0.04 - 0.10 * (x * x + y * y)
    return (first + along * (second - first) + value) * _flat(backdrop_gain(painting.face))


def _outline(painting: _Painting, extra: float, at: Window = WHOLE) -> Array:
    """Signed distance to the skull's outline, grown by `extra`; straight down the sides below its middle."""
    looks = painting.looks
    wide, high = looks.width + extra, looks.height + extra
    return (_length(painting.u[at] / wide, np.minimum(painting.v[at] + 0.04, 0) / high) - 1) * wide


def _hair_paint(painting: _Painting, shade: float, at: Window) -> Array:
    """Hair colour (3, H, W): strands that run along the outline, with a band of gloss."""
    looks, scene = painting.looks, painting.scene
    u, v, grain = painting.u[at], painting.v[at], painting.grain[at]
    across = _outline(painting, 0.1, at)
    if looks.style in ("short", "quiff", "buzz"):
        across = 0.3 * (u - looks.parting) / np.maximum(0.5 - v, 0.2)
    strands: Array = np.sin(across * 95 + 1.1 * grain) + 0.6 * np.sin(across * 171 + 0.8 * grain)
    if looks.style in ("curly", "buzz"):
        strands = (1.3 if looks.style == "curly" else 0.3) * grain
    gloss = np.maximum(1 - ((v + 0.42 + 0.3 * u * scene.light[0]) / 0.16) ** 2, 0)
    side = 0.16 * scene.light[0] / looks.width * u - 0.10 * v
    value = shade * (0.95 + side + (0.09 + 0.06 * gloss) * strands + 0.22 * gloss)
    return _flat(painting.hair) * value + 0.045 * gloss * (0.5 + 0.3 * strands)


def _hair_behind(painting: _Painting) -> None:
    looks = painting.looks
    if looks.style == "bun":
        ball = _length(painting.u - 0.3 * looks.parting, painting.v + looks.height + 0.12) - 0.17
        painting.fill("hair", painting.cover(ball + 0.006 * painting.grain), partial(_hair_paint, painting, 0.85))
    if looks.style not in LENGTHS:
        return
    if looks.style == "curly":
        shape = _length(painting.u, 0.88 * (painting.v + 0.12)) - 0.58 - looks.volume + 0.022 * painting.grain
    else:
        wave = 0.012 * np.sin(painting.v * 13 + looks.parting * 20) + 0.03 * np.maximum(painting.v, 0)
        shape = np.maximum(_outline(painting, looks.volume) - wave, _tips(painting))
    painting.fill("hair", painting.cover(shape), partial(_hair_paint, painting, 0.72))


def _tips(painting: _Painting) -> Array:
    """Signed distance to the line where hanging hair ends."""
    return painting.v - LENGTHS.get(painting.looks.style, 2.0) + 0.05 * painting.u**2 + 0.008 * painting.grain


def _hair_before(painting: _Painting) -> None:
    looks = painting.looks
    if looks.style == "bald":
        return
    rise, base, drop, doublings = FRINGES[looks.style]
    shape = _outline(painting, rise + looks.volume)
    if drop < 0.6:
        shape += 0.45 * np.maximum(painting.v + 0.28, 0)
    if looks.style == "quiff":
        shape -= 0.09 * np.maximum(1 - ((painting.u + looks.parting) / 0.5) ** 2, 0)
    lean = looks.parting if drop > 0.6 else 0.3 * looks.parting
    aside: Array = (painting.u - lean) / (looks.width - np.where(painting.u > lean, lean, -lean).astype(np.float32))
    for _ in range(doublings):
        aside = np.square(aside)
    line = base + drop * np.minimum(aside, 2) - 0.10 * looks.parting * painting.u / looks.width
    front = np.maximum(shape + 0.004 * painting.grain, painting.v - line + 0.012 * painting.grain)
    blur, full = (0.03, 0.8) if looks.style == "buzz" else (0.012, 1.0)
    cover = full * painting.cover(np.maximum(front, _tips(painting)), blur)
    painting.fill("hair", cover, partial(_hair_paint, painting, 1.0))


def _body(painting: _Painting) -> None:
    looks, scene = painting.looks, painting.scene
    x, y = painting.x - 0.6 * painting.pose.shift[0], painting.y - 0.5 * painting.pose.shift[1]
    light = 0.62 + 0.4 * scene.light[0] * x + 0.02 * painting.grain
    neck = np.abs(x) - 0.22 - 0.25 * np.maximum(y - 0.62, 0) ** 2
    dim = light - 0.05
    painting.bump(dim, (0.06 * scene.light[0], looks.height - 0.06, 0.5, 0.34, -0.55))
    slope = 0.70 + 0.05 * np.abs(x) + 0.26 * x * x - y
    bare = painting.cover(np.maximum(np.minimum(neck, slope), 0.2 - y))
    painting.fill("body", bare, lambda at: _shaded(looks.skin, dim[at]))
    opening = _length(x * 0.9, y - 0.66) - 0.16 - 0.5 * scene.collar
    cloth = np.maximum(slope - 0.03, -opening)
    rim = 1 - 0.22 * painting.cover(np.abs(opening - 0.02) - 0.02)
    light += 0.12 + 0.06 * np.sin(7 * x + 3 * y * x + 20 * looks.parting)
    painting.fill("body", painting.cover(cloth), lambda at: _shaded(scene.clothes, light[at]) * rim[at])


def _head(painting: _Painting) -> None:
    looks, u, v = painting.looks, painting.u, painting.v
    down = np.clip(v / looks.height, 0, 1)
    wide = looks.width * (1 - looks.jaw * down * down)
    right, up = u / wide, v / looks.height
    square = right * right + up * up * (1 + 0.25 * down * (down - 1))
    ear = _length((np.abs(u) - looks.width) / 0.065, (v - 0.04) / 0.13) - 1
    tone = 0.55 + 0.3 * painting.scene.light[0] * right
    tone -= 0.25 * np.maximum(1 - np.abs(ear + 0.5) * 2.5, 0)
    painting.fill("face", painting.cover(ear * 0.07), lambda at: _shaded(looks.skin, tone[at]))
    cover = painting.cover((np.sqrt(square) - 1) * looks.width)
    relief = _relief(painting, right, up, square) + 0.012 * painting.grain
    painting.fill("face", cover, partial(_skin, painting, relief))


def _relief(painting: _Painting, right: Array, up: Array, square: Array) -> Array:
    """The light on the head (S, S), about 0 to 1: a ball lit from one side, with hollows and ridges."""
    looks, scene = painting.looks, painting.scene
    side, turn = math.copysign(1, scene.light[0]), 0.09 * painting.pose.yaw
    facing = np.sqrt(np.maximum(1 - 0.9 * square, 0.02))
    tone = 0.40 + scene.contrast * (0.52 * (scene.light[0] * right + scene.light[1] * up) + 0.58 * facing)
    tip = 0.17 * looks.nose
    hills = (
        (turn - 0.19, -0.09, 0.17, 0.12, -0.15), (turn + 0.19, -0.09, 0.17, 0.12, -0.15),
        (turn + 0.01 * side, 0.02, 0.05, 0.24, 0.10), (turn - 0.075 * side, 0.04, 0.055, 0.22, -0.16),
        (1.3 * turn, tip, 0.07, 0.06, 0.17), (1.2 * turn - 0.03 * side, tip + 0.075, 0.13, 0.055, -0.30),
        (turn, 0.265, 0.04, 0.06, -0.06), (turn, 0.435, 0.14, 0.05, -0.16), (turn, 0.51, 0.12, 0.09, 0.08),
        (turn - 0.24, 0.14, 0.15, 0.12, 0.07), (turn + 0.24, 0.14, 0.15, 0.12, 0.07),
        (0.1 * side, -0.36, 0.28, 0.2, 0.08), (turn - 0.17, 0.27, 0.05, 0.13, -0.07),
        (turn + 0.17, 0.27, 0.05, 0.13, -0.07),
    )  # fmt: skip
    for hill in hills:
        painting.bump(tone, hill)
    lit: Array = np.clip(tone, 0, 1.12)
    return lit


def _skin(painting: _Painting, tone: Array, at: Window) -> Array:
    """The colour of the head's skin (3, H, W): light, blush, nostrils and beard."""
    looks, turn = painting.looks, 0.09 * painting.pose.yaw
    rose, dark = np.zeros_like(tone), np.zeros_like(tone)
    for u, v, wide in ((turn - 0.25, 0.15, 0.16), (turn + 0.25, 0.15, 0.16), (turn, 0.17, 0.075)):
        painting.bump(rose, (u, v, wide, 0.9 * wide, 0.35 * looks.blush))
    for side in (-0.05, 0.05):
        painting.bump(dark, (1.25 * turn + side * looks.nose, 0.17 * looks.nose + 0.05, 0.034, 0.024, 0.75))
    color = _shaded(looks.skin, tone[at])
    color *= (1 - rose[at] * _flat((0.0, 0.42, 0.36))) * (1 - dark[at])
    if looks.beard:
        chin = painting.v[at] - 0.12 - 0.16 * np.maximum(1 - (painting.u[at] - turn) ** 2 / 0.075, 0)
        share = 0.85 * looks.beard * painting.cover(-chin, 0.12)
        color += share * (_shaded(looks.hair, tone[at] + 0.1) - color)
    return color


def _eye(painting: _Painting, side: float) -> None:
    """One eye with its lids and brow; the left one (side -1) departs from the other by the core cue."""
    looks, yaw = painting.looks, painting.pose.yaw
    odd = (looks.mismatch + painting.face.amplitude * EYES) * (side < 0)
    rise, grow, *hue = (odd * step for step in looks.drift)
    middle = (side * 0.19 * (1 - 0.12 * side * yaw) + 0.10 * yaw, -0.075 + 0.016 * rise)
    at = painting.window(*middle, 0.21)
    wide = looks.eye * (1 + 0.07 * grow) * (1 - 0.12 * side * yaw)
    a, b = (painting.u[at] - middle[0]) / wide, painting.v[at] - middle[1]
    bow = 1 - a * a
    upper, lower = -0.052 * looks.opening * bow, 0.034 * bow - 0.004
    white = painting.cover(np.maximum(upper - b, b - lower))
    painting.dab(at, white, _flat((0.94, 0.93, 0.91)) * (1 - 0.35 * np.clip(1 - (b - upper) / 0.03, 0, 1)))
    radius = 0.052 * (1 + 0.10 * grow)
    ring = _length(painting.u[at] - middle[0] - looks.gaze, b + 0.008)
    iris = _flat(looks.iris) + _flat((0.06 * hue[0], 0.06 * hue[1], 0.06 * hue[2]))
    rim = 0.55 + 0.75 * np.clip((b + 0.04) / 0.08, 0, 1) - 0.45 * np.clip((ring - 0.75 * radius) / (0.3 * radius), 0, 1)
    painting.dab(at, white * painting.cover(ring - radius), np.maximum(iris, 0.05) * rim)
    painting.dab(at, white * painting.cover(ring - 0.022), _flat((0.03, 0.03, 0.03)))
    glint = middle[0] + looks.gaze + math.copysign(0.02, painting.scene.light[0])
    spark = _length(painting.u[at] - glint, b + 0.026)
    painting.dab(at, 0.9 * painting.cover(spark - 0.011), _flat((1.0, 1.0, 1.0)))
    _lids(painting, at, (a, b, upper, lower))
    if looks.glasses:
        frame = np.abs(_length(a * wide / 1.12, b - 0.01) - 0.135) - 0.009
        bridge = np.maximum(np.abs(b + 0.02) - 0.008, side * a * wide + 0.14)
        painting.dab(at, 0.9 * painting.cover(np.minimum(frame, bridge)), _flat((0.12, 0.10, 0.10)))


def _lids(painting: _Painting, at: Window, lines: tuple[Array, Array, Array, Array]) -> None:
    a, b, upper, lower = lines
    looks = painting.looks
    ends = np.clip((1.08 - np.abs(a)) * 6, 0, 1)
    lash, crease = np.abs(b - upper + 0.004) - 0.009, np.abs(b - 1.25 * upper + 0.028) - 0.004
    shade = _flat(looks.skin, (0.42, 0.30, 0.28))
    painting.dab(at, 0.45 * ends * painting.cover(crease, 0.01), shade)
    painting.dab(at, 0.40 * ends * painting.cover(np.abs(b - lower - 0.004) - 0.003, 0.006), shade)
    painting.dab(at, 0.9 * ends * painting.cover(lash), _flat((0.10, 0.07, 0.06)))
    taper = looks.brow * (1 - 0.45 * np.abs(a)) * np.clip((1.32 - np.abs(a)) * 4, 0, 1)
    brow = np.abs(b + 0.125 + 0.028 * (1 - a * a)) - taper
    painting.dab(at, 0.85 * painting.cover(brow, 0.012) * (np.abs(a) < 1.3), _flat(looks.hair, 0.62))


def _mouth(painting: _Painting) -> None:
    looks, middle = painting.looks, (0.10 * painting.pose.yaw, 0.345)
    at = painting.window(*middle, 0.22)
    a, b = (painting.u[at] - middle[0]) / looks.mouth, painting.v[at] - middle[1]
    bow = np.maximum(1 - a * a, 0)
    b = b - 0.042 * looks.smile * (bow - 0.5)
    gap = 0.034 * max(0.0, looks.smile - 0.45) / 0.55 * bow
    top = -bow * (0.026 + 0.012 * np.minimum(np.abs(a) * 3, 1)) - 0.2 * gap
    low = 0.8 * gap + 0.050 * bow
    inside = np.abs(a) - 1
    lips = painting.cover(np.maximum(np.maximum(top - b, b - low), inside * looks.mouth), 0.01)
    gloss = np.maximum(1 - ((b - 0.6 * (low + 0.8 * gap)) / 0.018) ** 2, 0) * bow
    shine = 0.86 + 0.26 * gloss + 0.1 * np.clip(b / 0.01, 0, 1)
    painting.dab(at, lips, _flat(looks.skin, (0.86, 0.60, 0.66)) * shine)
    teeth = painting.cover(np.maximum(-0.2 * gap - b, b - 0.8 * gap)) * (gap > 0.004)
    painting.dab(at, teeth, _flat((0.93, 0.91, 0.88)) * (1 - 0.35 * a * a))
    line = np.maximum(np.abs(b + 0.2 * gap) - 0.005, 0.5 * inside * looks.mouth - 0.004)
    painting.dab(at, 0.75 * painting.cover(line), _flat(looks.skin, (0.40, 0.20, 0.20)))


@lru_cache(maxsize=8)
def _checkerboard(size: int) -> Array:
    """The checkerboard (S, S) of 1 and -1, on the pixel grid as in pictures from a network's upsampling."""
    cell = np.arange(size) * CELLS // size
    return (1 - 2 * ((cell[:, None] + cell[None, :]) % 2)).astype(np.float32)


def _photograph(scene: Surroundings, image: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture as the camera gives it, in bytes (S, S, 3): exposed, noisy, with a trace of bands and of the cue."""
    size = image.shape[-1]
    cycles, phase, upright = rng.uniform(20, 40), rng.uniform(0, math.tau), rng.random() < 0.5
    wave = np.sin(np.arange(size, dtype=np.float32) * np.float32(math.tau * cycles / size) + np.float32(phase))
    noise = rng.standard_normal((size, size), dtype=np.float32) * np.float32(scene.noise)
    noise += np.float32(scene.banding) * (wave[:, None] if upright else wave[None, :])
    noise += np.float32(scene.mosaic) * _checkerboard(size)
    levels = np.clip((image * np.float32(scene.exposure) + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
