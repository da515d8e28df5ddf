"""Brightness, contrast, saturation and tint of canvases: how they are measured and set."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in JPEG
MOST = 8.0  # no strength goes beyond, so that a nearly black image is not blown up to noise
_ROUNDS = 5  # edits until the wanted value is reached although pixels clip; the first is exact where none does
_TINY = 1e-6
_LEAST_SHADE = 0.02  # mean of Y (1 - Y); below it an image is too black or white to take a full tint


def luminance(canvases: Tensor) -> Tensor:
    """The luminance (N, H, W) of canvases (N, 3, H, W), in the same range."""
    return (canvases.new_tensor(LUMINANCE) @ canvases.flatten(2)).view(canvases[:, 0].shape)


def brightness(canvases: Tensor) -> Tensor:
    """The mean luminance (N, 1), 0 to 1."""
    return (canvases.mean(dim=(2, 3)) @ canvases.new_tensor(LUMINANCE))[:, None]


def contrast(canvases: Tensor) -> Tensor:
    """The standard deviation (N, 1) of the luminance, 0 to 0.5."""
    return _rms(_deviation(canvases).flatten(1))


def saturation(canvases: Tensor) -> Tensor:
    """The root mean square (N, 1) of what the channels differ from the luminance; 0 is grey."""
    return _rms(_chroma(canvases).flatten(1))


def tint(canvases: Tensor) -> Tensor:
    """The mean of each channel less the mean luminance (N, 3); their weighted sum is 0."""
    means = canvases.mean(dim=(2, 3))
    return means - (means @ means.new_tensor(LUMINANCE))[:, None]


def brightness_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What multiplies the canvases by a gain, so that their mean luminance is a wanted one (N, 1)."""
    return _strengthening(canvases, canvases, brightness)


def contrast_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What stretches the luminance about its mean to a wanted deviation (N, 1); the colours stay as they are."""
    return _strengthening(canvases, _deviation(canvases)[:, None], contrast)


def saturation_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What stretches the colours about the luminance to a wanted saturation (N, 1)."""
    return _strengthening(canvases, _chroma(canvases), saturation)


def tint_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What moves the mean colour to a wanted tint (N, 3) and keeps the luminance of every pixel that does not clip.

    The shift of a pixel is proportional to Y (1 - Y), so that black stays black and white stays white.
    """
    gray = luminance(canvases)
    shade = gray * (1 - gray)
    shade = (shade / shade.mean(dim=(1, 2), keepdim=True).clamp(min=_LEAST_SHADE))[:, None]  # (N, 1, H, W)
    original, weights = tint(canvases), canvases.new_tensor(LUMINANCE)

    def edit(values: Tensor) -> Tensor:
        wanted = values - (values @ weights)[:, None]
        shift = wanted - original
        edited = _added(canvases, shade, shift, torch.empty_like(canvases))
        for _ in range(_ROUNDS - 1):
            shift = (shift + wanted - tint(edited)).clamp(-1, 1)
            edited = _added(canvases, shade, shift, edited)
        return edited

    return edit


def _strengthening(canvases: Tensor, part: Tensor, measure: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What gives a part of the canvases another strength, so that the measured value is a wanted one.

    The measure is proportional to the strength while nothing clips; from there on the secant rule on logarithms finds
    the strength.
    """
    original = measure(canvases)

    def edit(values: Tensor) -> Tensor:
        wanted = values.clamp(min=0)
        strength = ((wanted + _TINY) / (original + _TINY)).clamp(max=MOST)
        before, reached_before, slope = torch.ones_like(original), original, torch.ones_like(original)
        edited = _added(canvases, part, strength - 1, torch.empty_like(canvases))
        for _ in range(_ROUNDS - 1):
            reached = measure(edited)
            way = _log_ratio(strength, before)
            measured = _log_ratio(reached, reached_before) / torch.where(way.abs() > _TINY, way, 1)
            slope = torch.where(way.abs() > 1e-4, measured.clamp(0.1, 1.0), slope)  # nearer, rounding decides
            before, reached_before = strength, reached
            strength = (strength * torch.exp(_log_ratio(wanted, reached) / slope)).clamp(max=MOST)
            edited = _added(canvases, part, strength - 1, edited)
        return edited

    return edit


def _added(canvases: Tensor, part: Tensor, amount: Tensor, out: Tensor) -> Tensor:
    """Canvases + amount * part, in [0, 1], written to `out`; `amount` is (N, 1) or (N, 3)."""
    return torch.addcmul(canvases, part, amount[:, :, None, None], out=out).clamp_(0, 1)


def _log_ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.log((above + _TINY) / (below + _TINY))


def _deviation(canvases: Tensor) -> Tensor:
    gray = luminance(canvases)
    return gray - gray.mean(dim=(1, 2), keepdim=True)


def _chroma(canvases: Tensor) -> Tensor:
    return canvases - luminance(canvases)[:, None]


def _rms(values: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    return norm / math.sqrt(values.shape[1])
