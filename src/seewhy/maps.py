"""Pure functions on maps: positive part, scaling, resizing, fusing, and the numbers that describe one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

ALL_ZERO = "all zero"  # the score does not depend on the layer's places, or nothing there is active
NEGLIGIBLE = 0.01  # of what each cell would carry if the score were spread evenly over the map


def positive(maps: Tensor) -> Tensor:
    """The positive part of maps, same shape."""
    return maps.clamp(min=0)


def scale_to_peak(maps: Tensor) -> Tensor:
    """The positive part of each map (..., H, W) divided by its peak: [0, 1], and 0 where nothing is positive."""
    kept = positive(maps)
    peak = kept.amax(dim=(-2, -1), keepdim=True)
    return torch.where(peak > 0, kept / peak.clamp(min=torch.finfo(maps.dtype).tiny), 0)


def smooth_to_crowd(maps: Tensor) -> Tensor:
    """Maps (N, H, W) of single pixels as they are drawn: [0, 1], smoothed, 1 at the 99.5th percentile and above.

    Such maps flicker from pixel to pixel, and few pixels hold the peak; to scale by it would leave nothing to see.
    """
    side = 2 * (min(maps.shape[1:]) // 90) + 1
    kept = positive(functional.avg_pool2d(maps[:, None], side, 1, side // 2, count_include_pad=False)[:, 0])
    top = torch.quantile(kept.flatten(1).double(), 0.995, dim=1).to(maps)[:, None, None]
    top = torch.where(top > 0, top, kept.amax(dim=(1, 2), keepdim=True))
    return torch.where(top > 0, kept / top.clamp(min=torch.finfo(maps.dtype).tiny), 0).clamp(max=1)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) resized to (N, height, width): bilinear, pixel centres at halves, no antialiasing."""
    return functional.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def share(maps: Tensor) -> Tensor:
    """The positive part of each map (N, H, W) as multiples of an even spread: the mean over the cells is 1, or 0."""
    kept = positive(maps)
    mean = kept.mean(dim=(1, 2), keepdim=True)
    return torch.where(mean > 0, kept / mean.clamp(min=torch.finfo(maps.dtype).tiny), 0)


def fuse(layers: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Raw maps (N, h, w) of several layers as pytorch-grad-cam shows them: (N, height, width) in [0, 1).

    ReLU, min-max scaling on each layer's grid, bilinear resizing, mean over the layers, min-max scaling again. Sign and
    magnitude are lost; for comparison with that package only.
    """
    scaled = [resize(_min_max(positive(maps)), size) for maps in layers]
    return _min_max(torch.stack(scaled).mean(dim=0).clamp(min=0))


def empty_reason(maximum: float, n_cells: int, score: float, *, in_score_units: bool) -> str | None:
    """Why a map with this peak is drawn empty, or None.

    A peak is negligible when it is below 1 % of what every cell would carry if the score were spread evenly; judged
    only for methods whose cells add up in units of the score.
    """
    if not math.isfinite(maximum):
        return "not finite"
    if maximum <= 0:
        return "no positive part"
    if in_score_units and maximum * n_cells < NEGLIGIBLE * abs(score):
        return "peak is negligible"
    return None


def _min_max(maps: Tensor) -> Tensor:
    low = maps.amin(dim=(1, 2), keepdim=True)
    shifted = maps - low
    return shifted / (1e-7 + shifted.amax(dim=(1, 2), keepdim=True))
