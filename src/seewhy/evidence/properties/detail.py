"""Sharpness and noise of canvases: how they are measured, and lowered or raised."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from seewhy.evidence.properties.bases import cosines, where_chosen
from seewhy.evidence.properties.colour import LUMINANCE, luminance

WIDEST_BLUR = 1 / 8  # of the shorter side: the largest standard deviation
_NARROWEST_BLUR = 0.15  # pixels
_BLURS = 32  # blurs whose sharpness is known; between them it is interpolated
_FAINTEST = 1e-8  # variance of the luminance without any structure
_GAUSSIAN = 0.6744897501960817  # median of the absolute value of a standard normal variable
_MASK = 6.0  # Euclidean norm of Immerkaer's mask
_HALVINGS = 12
_SLACK = 1e-4  # relative; a difference this small is rounding, and no reason for an edit
_SEED = 5


def sharpness(canvases: Tensor) -> Tensor:
    """The root mean square slope of the luminance over its standard deviation (N, 1), per pixel: 0 to about 2.8.

    Slopes are differences of neighbours. ClassDifference does not change it; every blur lowers it.
    """
    return _sharpness_after(_powers(canvases), canvases.new_zeros(1))


def sharpness_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What blurs the canvases until their sharpness is a wanted one (N, 1); none is ever sharpened.

    The discrete Gaussian with reflecting borders (Lindeberg 1990, IEEE PAMI 12) is diagonal in the cosine transform:
    the gain at the frequencies of squared slope s is exp(-t s), t half the variance in pixels. Sharpness falls with t.
    """
    height, width = canvases.shape[2:]
    times = _times(min(height, width), canvases)  # (K,)
    known = _sharpness_after(_powers(canvases), times)  # (N, K), falling
    down, across = (cosines(side, canvases.device, canvases.dtype) for side in (height, width))
    coefficients = down @ (canvases @ across.T)
    slope_down, slope_across = _slopes(height, canvases), _slopes(width, canvases)

    def edit(values: Tensor) -> Tensor:
        time = _interpolated(values, known, times)  # (N, 1)

        def blurred(rows: Tensor) -> Tensor:
            gain = torch.exp(-time[rows] * slope_down)[:, :, None] * torch.exp(-time[rows] * slope_across)[:, None]
            return (down.T @ ((coefficients[rows] * gain[:, None]) @ across)).clamp_(0, 1)

        return where_chosen(canvases, (values < known[:, :1] * (1 - _SLACK))[:, 0], blurred)

    return edit


def noise(canvases: Tensor) -> Tensor:
    """The standard deviation (N, 1) of the luminance's noise, as a share of the range 0 to 1.

    The mask of Immerkaer 1996 (Computer Vision and Image Understanding 64), with the median of the absolute
    values in place of the mean, which edges would raise. What touches a pixel that is NaN is left out.
    """
    return _level(_masked(luminance(canvases)))


def noise_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What adds Gaussian noise until the measured one is as wanted (N, 1); none is ever removed.

    The same pattern for every image of a size: an image's result depends on nothing else.
    """
    pattern = _pattern(*canvases.shape[2:], canvases.device, canvases.dtype)
    there, added = _masked(luminance(canvases)), _masked(luminance(pattern))
    original = _level(there)

    def noisy(values: Tensor, rows: Tensor) -> Tensor:
        level = _added_level(there[rows], added, values[rows])
        return torch.addcmul(canvases[rows], pattern, level[:, :, None, None]).clamp_(0, 1)

    return lambda values: where_chosen(
        canvases, (values > original * (1 + _SLACK))[:, 0], lambda rows: noisy(values, rows)
    )


def _level(masked: Tensor) -> Tensor:
    """The noise (N, 1) of planes under the mask (N, M)."""
    sizes = masked.abs()
    if not sizes.shape[1]:  # too small for the mask, as a patch of a picture may be
        return sizes.new_zeros(len(sizes), 1)
    if not sizes.isnan().any():
        return sizes.median(dim=1, keepdim=True).values / (_GAUSSIAN * _MASK)
    last = (~sizes.isnan()).sum(dim=1, keepdim=True) - 1
    ordered = sizes.sort(dim=1).values  # NaN last; not every device has a median without them
    return ordered.gather(1, last.clamp(min=0) // 2) / (_GAUSSIAN * _MASK)


def _added_level(there: Tensor, added: Tensor, wanted: Tensor) -> Tensor:
    """The level (N, 1) at which masked noise (1, M), added to what is there (N, M), measures as wanted (N, 1)."""
    limit = wanted * (_GAUSSIAN * _MASK)
    low, high = torch.zeros_like(wanted), 1.5 * wanted  # what is there adds to it, so never more than that
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = torch.addcmul(there, added, middle).abs_().sub_(limit).sign_().nan_to_num_().sum(dim=1, keepdim=True)
        low, high = torch.where(above < 0, middle, low), torch.where(above < 0, high, middle)
    return high


def _powers(canvases: Tensor) -> Tensor:
    """The mean power (N, H, W) of the luminance's cosine coefficients, its mean left out."""
    gray = luminance(canvases)
    gray = gray - gray.mean(dim=(1, 2), keepdim=True)
    down, across = (cosines(side, canvases.device, canvases.dtype) for side in gray.shape[1:])
    return (down @ (gray @ across.T)).square_().div_(gray.shape[1] * gray.shape[2])


def _sharpness_after(powers: Tensor, times: Tensor) -> Tensor:
    """The sharpness (N, K) of images with these powers (N, H, W) after blurs of K times."""
    slope_down, slope_across = (_slopes(side, powers)[:, None] for side in powers.shape[1:])
    kept_down, kept_across = torch.exp(-2 * slope_down * times), torch.exp(-2 * slope_across * times)
    rows = powers @ kept_across  # (N, H, K)
    variance = (rows * kept_down).sum(dim=1)
    energy = (rows * (slope_down * kept_down) + (powers @ (slope_across * kept_across)) * kept_down).sum(dim=1)
    return (energy / (variance + _FAINTEST)).sqrt()


def _slopes(side: int, like: Tensor) -> Tensor:
    """The squared slopes (side,) of the cosines: what differences of neighbours multiply their power by, 0 to 4."""
    place = torch.arange(side, dtype=torch.float64)
    return (4 * torch.sin(math.pi * place / (2 * side)).square()).to(like)


def _times(side: int, like: Tensor) -> Tensor:
    """Half the variances (K,) of the blurs that are tried, in pixels squared: 0, then geometric."""
    steps = torch.linspace(0, 1, _BLURS - 1, dtype=torch.float64)
    widest = max(side * WIDEST_BLUR, 2 * _NARROWEST_BLUR)
    deviations = _NARROWEST_BLUR * (widest / _NARROWEST_BLUR) ** steps
    return torch.cat([torch.zeros(1, dtype=torch.float64), deviations.square() / 2]).to(like)


def _interpolated(values: Tensor, known: Tensor, times: Tensor) -> Tensor:
    """The time (N, 1) at which the falling known values (N, K) reach a value (N, 1), linear between logarithms."""
    after = (known > values).sum(dim=1, keepdim=True).clamp(1, len(times) - 1)
    least = torch.finfo(known.dtype).tiny
    above, below, value = (
        part.clamp(min=least).log() for part in (known.gather(1, after - 1), known.gather(1, after), values)
    )
    part = ((above - value) / (above - below).clamp(min=least)).clamp(0, 1)
    early, late = times[after - 1], times[after]
    return torch.where(after == 1, part * late, early.clamp(min=least) * (late / early.clamp(min=least)) ** part)


def _masked(gray: Tensor) -> Tensor:
    """Planes (N, H, W) under Immerkaer's mask, without the border (N, (H - 2) (W - 2)): both second differences."""
    across = gray[:, :, 2:] - 2 * gray[:, :, 1:-1] + gray[:, :, :-2]
    return (across[:, 2:] - 2 * across[:, 1:-1] + across[:, :-2]).flatten(1)


@lru_cache(maxsize=8)
def _pattern(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Gaussian noise (1, 3, H, W), independent in the channels, whose luminance has a standard deviation of 1."""
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)
    return (drawn / math.hypot(*LUMINANCE)).to(device, dtype)
