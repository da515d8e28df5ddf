"""Where what a preprocessing function makes of a photograph lies on it, told from pictures made for that."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.geometry import Geometry, geometry_of
from seewhy.records import Preprocess

Made = Callable[[PIL.Image.Image], Tensor]
Size = tuple[int, int]  # height and width
_SIZES = ((480, 640), (640, 480), (500, 500))  # that are tried
_INSIDE = (0.03, 0.97)  # of a ramp: its ends are blurred by resizing
_LEAST_CONTRAST = 1e-3
_FRAME = 0.15  # of each side
_MOST_MISPLACED = 0.1  # of the places: an edge may lie a pixel off
_NEAR_PX = 1.6  # of the input
_NEAR_SCALE = 0.03


@dataclass(frozen=True)
class Rule:
    """How a function lays photographs of any size on its input, in words, as Preprocess says it.

    `fit` None: the middle of the photograph as it is, without resizing.
    """

    words: str
    fit: Preprocess | None

    def geometry(self, photograph: Size, canvas: Size) -> Geometry:
        """How a photograph of (height, width) pixels lies on an input of this size."""
        if self.fit is None:
            offset = [-round((have - space) / 2) for have, space in zip(photograph, canvas, strict=True)]
            return Geometry(photograph, canvas, (1.0, 1.0), (float(offset[0]), float(offset[1])))
        fields = {**vars(self.fit), "size": canvas}
        return geometry_of(photograph, Preprocess(**fields))


STRETCHED = Rule("stretches the whole photograph", Preprocess())
_known: weakref.WeakKeyDictionary[object, Rule | None] = weakref.WeakKeyDictionary()


def learn_rule(function: object, made: Made) -> str:
    """How a function lays photographs on its input, tried on made pictures and remembered with it; gives a note.

    `made` is the function with its result as a tensor (C, H, W). Nothing is told where no rule fits: it crops
    elsewhere, turns, warps, or changes numbers by the picture that it is given.
    """
    try:
        if function not in _known:
            _known[function] = rule_seen(made)
        rule = _known[function]
    except TypeError:  # of a function that cannot be remembered
        rule = None
    if rule is None:
        return (
            "Where the function's input lies on a photograph cannot be told from made pictures: maps and masks are "
            "laid over the whole of it."
        )
    return f"On made pictures the function {rule.words}: maps and masks are laid on the photographs so."


def known_rule(function: object) -> Rule:
    """What was learned of a function; that it stretches the whole photograph where that is nothing."""
    try:
        return _known.get(function) or STRETCHED
    except TypeError:
        return STRETCHED


def rule_seen(made: Made) -> Rule | None:
    """The rule by which a function lays made pictures of several sizes; None where there is none."""
    seen = [geometry_seen(made, size) for size in _SIZES]
    known = [geometry for geometry in seen if geometry is not None]
    if len(known) < len(seen):
        return None
    rule = next((rule for rule in _rules(known[0]) if all(_agrees(rule, geometry) for geometry in known)), None)
    return rule if rule is not None and all(_is_blind(made, rule, size) for size in _SIZES) else None


def _is_blind(made: Made, rule: Rule, photograph: Size) -> bool:
    """Whether a picture with a black frame is laid like any other: a function that trims it goes by what it sees."""
    frame = np.zeros(photograph)
    top, left = (round(_FRAME * side) for side in photograph)
    frame[top : photograph[0] - top, left : photograph[1] - left] = 255
    tensors = _all_made(made, (np.zeros(photograph), np.full(photograph, 255.0), frame))
    if tensors is None:
        return False
    black, white, framed = tensors
    shares = _share(framed, black, white - black)
    geometry = rule.geometry(photograph, (black.shape[1], black.shape[2]))
    x = (np.arange(black.shape[2]) + 0.5 - geometry.offset[1]) / geometry.scale[1]
    y = (np.arange(black.shape[1]) + 0.5 - geometry.offset[0]) / geometry.scale[0]
    inside = ((x > left) & (x < photograph[1] - left))[None] & ((y > top) & (y < photograph[0] - top))[:, None]
    seen = np.isfinite(shares)
    return bool(np.mean((shares[seen] > 0.5) != inside[seen]) < _MOST_MISPLACED)


def _rules(seen: Geometry) -> Iterator[Rule]:
    """The rules that one photograph leaves possible, the simplest first."""
    yield STRETCHED
    resized = [round(have * scale) for have, scale in zip(seen.photograph, seen.scale, strict=True)]
    shorter = 0 if resized[0] <= resized[1] else 1
    share = seen.canvas[shorter] / resized[shorter]
    if share <= 1:
        kept = f", {share:.0%} of it" if share < 1 else ""
        yield Rule(f"keeps the middle of the photograph{kept}", Preprocess(fit="crop", crop_share=share))
        yield Rule(f"stretches the photograph and keeps its middle{kept}", Preprocess(crop_share=share))
    yield Rule("keeps the whole photograph and pads it", Preprocess(fit="letterbox"))
    yield Rule("cuts out the photograph's middle as it is", None)


def _agrees(rule: Rule, seen: Geometry) -> bool:
    """Whether both corners of the input come from the same places, but for the pixels that roundings move."""
    said = rule.geometry(seen.photograph, seen.canvas)
    if any(abs(one - other) > _NEAR_SCALE * other for one, other in zip(said.scale, seen.scale, strict=True)):
        return False
    height, width = seen.canvas
    corners = [(geometry.to_photograph(0, 0), geometry.to_photograph(width, height)) for geometry in (said, seen)]
    apart = np.abs(np.array(corners[0]) - np.array(corners[1])) * seen.scale[::-1]
    return bool((apart <= _NEAR_PX).all())


def geometry_seen(made: Made, photograph: Size) -> Geometry | None:
    """Where the input lies on a photograph of (height, width) pixels: two ramps come back as places.

    Black and white say how the numbers are scaled. None where the function fails on made pictures, or what comes back
    is no straight line along each axis.
    """
    height, width = photograph
    across = np.broadcast_to(np.linspace(0, 255, width), photograph)
    down = np.broadcast_to(np.linspace(0, 255, height)[:, None], photograph)
    tensors = _all_made(made, (np.zeros(photograph), np.full(photograph, 255.0), across, down))
    if tensors is None:
        return None
    black, white, *ramps = tensors
    span = white - black
    if float(span.abs().max()) < _LEAST_CONTRAST:
        return None
    share_x, share_y = (_share(ramp, black, span) for ramp in ramps)
    x, y = _line(share_x, width, axis=1), _line(share_y, height, axis=0)
    if x is None or y is None:
        return None
    return Geometry(photograph, (black.shape[1], black.shape[2]), (y[0], x[0]), (y[1], x[1]))


def _all_made(made: Made, pictures: Sequence[NDArray[np.float64]]) -> list[Tensor] | None:
    """What the function makes of pictures of grey levels; None where it fails, or gives several sizes."""
    try:
        tensors = [made(_picture(levels)).double() for levels in pictures]
    except Exception:  # noqa: BLE001 -- the user's code may raise anything, and may take photographs alone
        return None
    return tensors if len({tensor.shape for tensor in tensors}) == 1 else None


def _picture(levels: NDArray[np.float64]) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.repeat(levels.round().astype(np.uint8)[:, :, None], 3, axis=2))


def _share(ramp: Tensor, black: Tensor, span: Tensor) -> NDArray[np.float64]:
    """Where each place of the input (H, W) lies along a ramp, 0 to 1; NaN where nothing of the photograph is."""
    usable = span.abs() > 0.5 * span.abs().amax()
    shares = torch.where(usable, (ramp - black) / torch.where(usable, span, 1.0), torch.nan)
    middle: NDArray[np.float64] = shares.nanmean(dim=0).numpy()
    return middle


def _line(shares: NDArray[np.float64], length: int, axis: int) -> tuple[float, float] | None:
    """The scale and offset along an axis; None where places on one line differ, or lie on no straight line."""
    lines = shares if axis == 1 else shares.T
    inside = np.isfinite(lines) & (lines > _INSIDE[0]) & (lines < _INSIDE[1])
    columns = np.flatnonzero(inside.any(axis=0))
    if len(columns) < 3:
        return None
    means = np.array([lines[inside[:, column], column].mean() for column in columns])
    spread = max(float(np.ptp(lines[inside[:, column], column])) for column in columns)
    places = means * (length - 1) + 0.5  # in the photograph's pixels
    slope, start = np.polyfit(columns + 0.5, places, 1)
    worst = float(np.abs(slope * (columns + 0.5) + start - places).max())
    grain = length / 255 + abs(slope)  # what 8 bits and a pixel can tell
    if slope <= 0 or worst > grain or spread * (length - 1) > 2 * grain:
        return None
    return 1 / slope, -start / slope
