"""An exchange beside the core: near it only what is smooth in a region's content, its colour and light.

Seams beside what should decide would teach a network to look less closely there. Two bands of Burt and Adelson 1983,
A multiresolution spline with application to image mosaics.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seewhy.evidence.factors.edits import grown, smooth_of
from seewhy.evidence.trials.sample import CHUNK, Sample

REACH = 1 / 8  # of the shorter side: how far from the core a region's fine detail is left as it is
_LEAST_FAR = 0.5  # of a region's area that lies beyond that
_MOST_SHARED = 0.05  # of the smaller of region and core that may lie in both
_SOME = 256  # images that are looked at for these areas


def core_at(sample: Sample, core: Sequence[str], places: Tensor) -> Tensor | None:
    """The masks (n, H, W) or (1, H, W) of all core regions together; None where the sample has none."""
    masks = [sample.masks_at(name, places) for name in core if name in sample.masks]
    if not masks:
        return None
    union = masks[0]
    for mask in masks[1:]:
        union = torch.maximum(union, mask)
    return union


def reach_of(sample: Sample, region: str, core: Sequence[str]) -> int:
    """How many pixels from the core a region's detail is left: an eighth of the side, less where most of it is near.

    0 where most of it lies within a pixel of the core, where it holds a part of the core, and where there is no core.
    """
    height, width = sample.pixels.shape[2:]
    reaches = [round(REACH * min(height, width))]
    while reaches[-1]:
        reaches.append(reaches[-1] // 2)
    far, area, shared = torch.zeros(len(reaches)), 0.0, torch.zeros(3)
    for places in torch.linspace(0, len(sample) - 1, min(len(sample), _SOME)).long().split(CHUNK):
        union, masks = core_at(sample, core, places), sample.masks_at(region, places)
        if union is None:
            return 0
        area += len(places) * float(masks.mean())
        far += torch.tensor([len(places) * float(_beyond(masks, union, reach).mean()) for reach in reaches])
        inside, within = masks >= 0.5, union >= 0.5
        shared += torch.tensor([len(places) * float(of.float().mean()) for of in (inside & within, inside, within)])
    if shared[0] > _MOST_SHARED * shared[1:].min():
        return 0
    least = _LEAST_FAR * area * (1 - 1e-6)  # exactly half is enough, whatever is rounded
    return next(reach for reach, left in zip(reaches, far.tolist(), strict=True) if left >= least or not reach)


def two_bands(canvases: Tensor, content: Tensor, masks: Tensor, core: Tensor, reach: int) -> Tensor:
    """`content` (n, 3, H, W) as a region gets it: near the core the canvas's own detail, with the content's colour."""
    content, masks, core = (each.to(canvases) for each in (content, masks, core))
    both = torch.cat([canvases, content], dim=1)  # whose range is kept
    low, high = both.amin(dim=(1, 2, 3), keepdim=True), both.amax(dim=(1, 2, 3), keepdim=True)
    near = (canvases + smooth_of(content - canvases, masks)).clamp(low, high)
    return torch.lerp(near, content, (1 - grown(core, reach))[:, None])


def _beyond(masks: Tensor, core: Tensor, reach: int) -> Tensor:
    return torch.minimum(masks, 1 - grown(core, reach))
