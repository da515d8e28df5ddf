"""Low frequencies and the radial spectrum of canvases: how they are measured and set."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from seewhy.evidence.properties.bases import waves
from seewhy.evidence.properties.colour import luminance

LOW_SHARE = 0.07  # of the shorter side: the half width of the window of swapped frequencies
BANDS = 12
LARGEST_GAIN = 3.0
_FAINTEST_WAVE = 1e-4  # mean amplitude of a wave; below it there is no phase to keep, only rounding
_FAINTEST_RING = 1e-4  # as a standard deviation of noise, of the range 0 to 1


def low_frequency(canvases: Tensor) -> Tensor:
    """The log mean amplitudes (N, D) of each channel's lowest frequencies, D by the canvas size."""
    return _log_amplitudes(_low_coefficients(canvases)).flatten(1)


def low_frequency_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What gives the lowest frequencies wanted log amplitudes (N, D) and keeps their phases.

    Yang & Soatto 2020, arXiv:2004.05498, eq. 3, with beta = 0.07. Only the window is transformed.
    """
    coefficients = _low_coefficients(canvases)  # (N, 3, 2 b + 1, b + 1)
    original = _log_amplitudes(coefficients)
    down, across = _bases(canvases)
    twice = torch.full_like(across[0, :, :1], 2)
    twice[0] = 1  # the frequencies -k across are the conjugates of k, and not stored
    back = (across * twice).flatten(0, 1)  # (2 (b + 1), W)
    inverse = torch.complex(down[0], -down[1]).T.contiguous()  # (H, 2 b + 1)

    def edit(values: Tensor) -> Tensor:
        wanted = values.view(original.shape).clamp(min=math.log(_FAINTEST_WAVE))
        columns = inverse @ (coefficients * torch.expm1(wanted - original))  # (N, 3, H, b + 1)
        halves = torch.cat([columns.real, columns.imag], dim=3)  # re(z exp(i a)) = re cos a + im (-sin a)
        return (halves.flatten(0, 2) @ back).view(canvases.shape).add_(canvases).clamp_(0, 1)

    return edit


def spectrum(canvases: Tensor) -> Tensor:
    """The log amplitudes (N, 12) of the luminance in rings of frequency, log-spaced, the mean left out.

    In units of the standard deviation of white noise with as much power; the least value where there is next to none,
    or where a small image has no frequency in the ring.
    """
    coefficients = torch.fft.rfft2(luminance(canvases), norm="ortho")
    _, members = _rings(*canvases.shape[2:], canvases.device, canvases.dtype)
    power = torch.view_as_real(coefficients).square().sum(dim=3).flatten(1) @ members
    return power.sqrt().clamp(min=_FAINTEST_RING).log()


def spectrum_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What multiplies every ring of frequencies by a gain of 1/3 to 3, towards wanted log amplitudes (N, 12).

    All channels get the gains of the luminance; the mean colour and the phases stay.
    """
    original, coefficients = spectrum(canvases), torch.fft.rfft2(canvases)
    ring, _ = _rings(*canvases.shape[2:], canvases.device, canvases.dtype)
    most = math.log(LARGEST_GAIN)

    def edit(values: Tensor) -> Tensor:
        gains = (values.clamp(min=math.log(_FAINTEST_RING)) - original).clamp(-most, most).exp()
        gains = torch.cat([torch.ones_like(gains[:, :1]), gains], dim=1)  # ring 0 is the mean
        changed = coefficients * gains[:, ring][:, None]
        edited: Tensor = torch.fft.irfft2(changed, s=canvases.shape[2:])
        return edited.clamp_(0, 1)

    return edit


def _low_coefficients(canvases: Tensor) -> Tensor:
    """The mean Fourier coefficients (N, 3, 2 b + 1, b + 1): rows from -b to b, columns from 0 to b."""
    down, across = _bases(canvases)
    rows = canvases.flatten(0, 2) @ across.flatten(0, 1).T  # (N 3 H, 2 (b + 1))
    half = across.shape[1]
    turned = torch.complex(rows[:, :half].contiguous(), rows[:, half:].contiguous())
    sums = torch.complex(down[0], down[1]) @ turned.view(*canvases.shape[:3], half)
    return sums / (canvases.shape[2] * canvases.shape[3])


def _log_amplitudes(coefficients: Tensor) -> Tensor:
    return coefficients.abs().clamp(min=_FAINTEST_WAVE).log()


def _bases(canvases: Tensor) -> tuple[Tensor, Tensor]:
    height, width = canvases.shape[2:]
    b = math.floor(min(height, width) * LOW_SHARE)
    return waves(height, -b, b, canvases.device, canvases.dtype), waves(width, 0, b, canvases.device, canvases.dtype)


@lru_cache(maxsize=8)
def _rings(height: int, width: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The ring (H, W / 2 + 1) of each frequency of rfft2, 0 for the mean, and what averages over each (HW', 12)."""
    down = torch.fft.fftfreq(height, dtype=torch.float64) * min(height, width)
    across = torch.fft.rfftfreq(width, dtype=torch.float64) * min(height, width)
    radius = torch.hypot(down[:, None], across)  # in waves over the shorter side
    longest = float(radius.max())
    place = torch.log(radius.clamp(min=1e-9)) / math.log(longest) if longest > 1 else torch.zeros_like(radius)
    ring = (place * BANDS).floor().clamp(0, BANDS - 1).long() + 1
    ring[0, 0] = 0
    count = torch.full_like(radius, 2)  # most frequencies stand for their conjugate as well
    count[:, 0] = 1
    if width % 2 == 0:
        count[:, -1] = 1
    members = torch.stack([(ring == band) * count for band in range(1, BANDS + 1)], dim=2).flatten(0, 1)
    members = members / members.sum(dim=0).clamp(min=1)
    return ring.to(device), members.to(device, dtype)
