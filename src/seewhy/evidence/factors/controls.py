"""Which random regions a factor is compared with: of its area, away from it, and smooth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.errors import OptionError

ROOM = 2.0  # times its own area that a factor must leave free, to be compared with regions
RARE = 0.05  # of the images: where a factor lies in fewer of them, the place counts as free
CELLS = 5  # coarse cells along a side, whose random values make a control's outline uneven
UNEVEN = 0.5  # how far the outline departs from a circle, of its radius
CANDIDATES = 12  # places drawn for every control; the one that is farthest from the others is taken
ALIKE = math.log(1.25)  # ratio of areas that count as one
EDGE_PX = 0.35  # half the width of the soft edge


@dataclass(frozen=True)
class AreaBins:
    """Few areas that stand for many: `areas` of the bins, ascending; `of`: each given area's bin, -1 for no area."""

    areas: tuple[float, ...]
    of: tuple[int, ...]


def can_match(masks: Tensor, core_masks: Tensor | None = None) -> bool:
    """Whether regions that are disjoint from the factor, and from the core, can cover at least twice its area.

    Masks (N, H, W) or (1, H, W). Where not, the factor is compared with donors of scrambled classes.
    """
    return float(free_pixels(masks, core_masks).float().mean()) >= ROOM * float(masks.float().mean()) > 0


def free_pixels(*masks: Tensor | None) -> Tensor:
    """The pixels (H, W) that the masks, each (N, H, W), (1, H, W) or a mean (H, W), leave free: bool.

    A pixel counts as free where each mask covers at most 5 % of it, on the mean over the images.
    """
    means = [_mean_mask(mask) for mask in masks if mask is not None]
    return (torch.stack(means) <= RARE).all(dim=0)


def control_masks(area: float, forbidden: Tensor, count: int, seed: int) -> Tensor:
    """Random smooth regions (count, H, W) in [0, 1] of mean `area` each, 0 where forbidden, spread over the rest.

    `forbidden` is a mask for each image (N, H, W), or a mean mask (H, W); `free_pixels` says which pixels it rules out.
    Each region is a blob of uneven outline with an edge of about one pixel.

    Raises:
        OptionError: there is less room than `area`, or `area` is not above 0.
    """
    free = free_pixels(forbidden).cpu()
    room = float(free.float().mean())
    if not 0 < area <= room:
        raise OptionError(
            f"A control region of {100 * area:.1f} % of the image was asked for, but {100 * room:.1f} % is free of the "
            f"factor.\n  Compare it with donors of scrambled classes instead."
        )
    generator = torch.Generator().manual_seed(seed)
    distance = _distances(_spread_places(free, count, generator), free)
    radius = math.sqrt(area * free.numel() / math.pi)
    depth = -distance - UNEVEN * radius * _smooth_noise(count, free, generator)
    return _cut(depth, free, area).to(forbidden.device)


def disjoint(controls: Tensor, masks: Tensor, most: float = 0.1) -> Tensor:
    """Which of the controls (count, H, W) leave the masks (N, H, W) alone: bool.

    At most the share `most` of either may lie in the other; so several factors can share a bank of controls.
    """
    mean = _mean_mask(masks).to(controls)
    inside = (controls * mean).sum(dim=(1, 2))
    return inside <= most * torch.minimum(controls.sum(dim=(1, 2)), mean.sum())


def area_bins(areas: Sequence[float], count: int = 4) -> AreaBins:
    """At most `count` bins of the areas, made so that the largest ratio of two in one bin is as small as can be.

    Areas that differ by less than a quarter share a bin anyway. The geometric middle of a bin's smallest and largest
    area stands for it.
    """
    logs = sorted({math.log(area) for area in areas if area > 0})
    gaps = sorted({ALIKE, *(high - low for low in logs for high in logs if high - low > ALIKE)})
    starts = next(least for gap in gaps if len(least := _starts(logs, gap)) <= count)
    members = [[log for log in logs if start <= log < end] for start, end in pairwise([*starts, math.inf])]
    of = tuple(sum(start <= math.log(area) for start in starts) - 1 if area > 0 else -1 for area in areas)
    return AreaBins(tuple(math.exp((group[0] + group[-1]) / 2) for group in members), of)


def _starts(logs: Sequence[float], gap: float) -> list[float]:
    """The smallest members of the fewest bins of which none is wider than `gap`."""
    starts: list[float] = []
    for value in logs:
        if not starts or value - starts[-1] > gap:
            starts.append(value)
    return starts


def _mean_mask(masks: Tensor) -> Tensor:
    return masks.float().mean(dim=0) if masks.ndim == 3 else masks.float()


def _spread_places(free: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Places (count, 2) on free pixels, each the farthest of a few from those before (Mitchell 1991, SIGGRAPH)."""
    pixels = free.nonzero().float()
    chosen = pixels[torch.randint(len(pixels), (1,), generator=generator)]
    while len(chosen) < count:
        some = pixels[torch.randint(len(pixels), (CANDIDATES,), generator=generator)]
        farthest = torch.cdist(some, chosen).amin(dim=1).argmax()
        chosen = torch.cat([chosen, some[farthest, None]])
    return chosen[:count]


def _distances(places: Tensor, free: Tensor) -> Tensor:
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in free.shape)
    down, across = rows - places[:, :1], columns - places[:, 1:]
    return torch.hypot(down[:, :, None], across[:, None, :])


def _smooth_noise(count: int, free: Tensor, generator: torch.Generator) -> Tensor:
    cells = torch.randn(count, 1, CELLS, CELLS, generator=generator)
    return functional.interpolate(cells, size=free.shape, mode="bicubic", align_corners=True)[:, 0]


def _cut(depth: Tensor, free: Tensor, area: float) -> Tensor:
    """The deepest free pixels (count, H, W), with a soft edge at the level that gives the area."""
    low, high = depth.amin(dim=(1, 2), keepdim=True) - 99, depth.amax(dim=(1, 2), keepdim=True) + 99
    for _ in range(60):
        level = (low + high) / 2
        masks = torch.sigmoid((depth - level) / EDGE_PX) * free
        large = masks.mean(dim=(1, 2), keepdim=True) > area
        low, high = torch.where(large, level, low), torch.where(large, high, level)
    return masks
