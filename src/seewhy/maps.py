"""Pure functions on maps: positive part, scaling, resizing, fusing, and the numbers that describe one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

ALL_ZERO = "all zero"  # the score does not depend on the layer's places, or nothing there is active
COARSE = 64  # cells up to which a map is drawn up to its peak
SINGLE = 256  # cells up to which it is drawn cell by cell
MOST_CELLS = 32  # a side, of a map as it is drawn
CROWD = 0.96  # the share of a fine map that lies below the full colour
SPECK = 0.001  # of its peak, below which a cell counts as nothing
FILLED, MOST_PASSES = 0.12, 8  # the share of its cells below which a map is spread; how often at most
NEGLIGIBLE = 0.01  # of what each cell would carry if the score were spread evenly over the map


def positive(maps: Tensor) -> Tensor:
    """The positive part of maps, same shape."""
    return maps.clamp(min=0)


def is_cut(grid: Sequence[int]) -> bool:
    """Whether a map of (height, width) has so many cells that few hold its peak, and is drawn up to less than that."""
    return grid[0] * grid[1] > COARSE


def is_smoothed(grid: Sequence[int]) -> bool:
    """Whether a map of (height, width) has smaller cells than an eye finds in a picture, and is drawn smoothed."""
    return grid[0] * grid[1] > SINGLE


def drawn_values(maps: Tensor, most: int = MOST_CELLS) -> tuple[Tensor, Tensor]:
    """The positive part of maps (N, h, w) as it is drawn, and the values (N, 1, 1) from which the colour is full.

    A coarse map is drawn as it is, up to its peak. Of more than 64 cells, few single ones can hold the peak, and by
    that nothing else would be seen: those are drawn up to their 96th percentile. Of more than 256, a map is averaged
    to at most `most` cells a side, each together with its neighbours; any map whose positive part is a few specks is
    spread until they can be seen.
    """
    size = (min(most, maps.shape[1]), min(most, maps.shape[2]))
    kept = functional.adaptive_avg_pool2d(positive(maps), size)
    kept = _spread(_with_neighbours(kept) if is_smoothed(maps.shape[1:]) else kept)
    if not is_cut(maps.shape[1:]):
        return kept, kept.amax(dim=(1, 2), keepdim=True)
    flat = kept.flatten(1)
    top = flat.kthvalue(round(CROWD * (flat.shape[1] - 1)) + 1, dim=1).values[:, None, None]
    return kept, torch.where(top > 0, top, kept.amax(dim=(1, 2), keepdim=True))


def scale_to_draw(maps: Tensor) -> Tensor:
    """Maps (N, h, w) as they are drawn: [0, 1] on a grid of theirs or a coarser one, 0 where nothing is positive."""
    kept, top = drawn_values(maps)
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
    scaled = [resize(min_max(positive(maps)), size) for maps in layers]
    return min_max(torch.stack(scaled).mean(dim=0).clamp(min=0))


def min_max(maps: Tensor) -> Tensor:
    """Maps (N, h, w) from 0 to just below 1 each, as pytorch-grad-cam scales them; a constant one is 0."""
    low = maps.amin(dim=(1, 2), keepdim=True)
    shifted = maps - low
    return shifted / (1e-7 + shifted.amax(dim=(1, 2), keepdim=True))


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


def _spread(maps: Tensor) -> Tensor:
    """Maps (N, h, w) in which a few specks are spread: each cell with its neighbours, again and again."""
    for _ in range(MOST_PASSES):
        peak = maps.amax(dim=(1, 2), keepdim=True)
        filled = (maps > SPECK * peak).double().mean(dim=(1, 2))
        sparse = (filled < FILLED) & (peak > 0).flatten()
        if not bool(sparse.any()):
            break
        maps = torch.where(sparse[:, None, None], _with_neighbours(maps), maps)
    return maps


def _with_neighbours(maps: Tensor) -> Tensor:
    """Each cell (N, h, w) counting twice, its neighbours along each side once."""
    padded = functional.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(functional.avg_pool2d(padded, 2, 1), 2, 1)[:, 0]
