"""The pointing games: whether a map lies in a mask, always beside the share of the image that the mask covers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.errors import DataError
from seewhy.maps import positive


@dataclass(frozen=True)
class Pointing:
    """How far maps point into masks, and `area` (N,), what a map that knows nothing would reach; NaN without a mask."""

    value: Tensor
    area: Tensor

    @property
    def gain(self) -> Tensor:
        """How much more than the area's share (N,): 0 for a constant map."""
        return self.value - self.area


def pointing_game(maps: Tensor, masks: Tensor, *, tolerance_px: int = 0) -> Pointing:
    """1 where the maximum of a map (N, H, W) lies in its mask (N, H, W), else 0, beside the area's share.

    Of several equal maxima the share that lies in it, so that a constant map scores the area's share. With a tolerance
    so many pixels around the mask count as well, to the area too: 15 in the paper. Zhang et al. 2016,
    arXiv:1608.00507, section 4.1.
    """
    inside = _grown(_checked(maps, masks) >= 0.5, tolerance_px)
    at_peak = maps == maps.amax(dim=(1, 2), keepdim=True)
    hits = (at_peak & inside).double().sum(dim=(1, 2)) / at_peak.double().sum(dim=(1, 2))
    return _beside(hits, inside.double())


def energy_pointing_game(maps: Tensor, masks: Tensor) -> Pointing:
    """The share of a map's positive part (N, H, W) that lies in its mask (N, H, W) in [0, 1], beside the area's share.

    NaN for a map without a positive part. Wang et al. 2020, Score-CAM, arXiv:1910.01279, section 4.3.
    """
    inside, energy = _checked(maps, masks).double(), positive(maps).double()
    total = energy.sum(dim=(1, 2))
    share = (energy * inside).sum(dim=(1, 2)) / torch.where(total > 0, total, torch.nan)
    return _beside(share, inside)


def _beside(value: Tensor, inside: Tensor) -> Pointing:
    """The value with the area's share (N,); both NaN where a mask is empty."""
    area = inside.mean(dim=(1, 2))
    known = area > 0
    return Pointing(torch.where(known, value, torch.nan), torch.where(known, area, torch.nan))


def _grown(inside: Tensor, tolerance_px: int) -> Tensor:
    """Masks (N, H, W) with all that lies within so many pixels of them."""
    if tolerance_px <= 0:
        return inside
    offsets = torch.arange(-tolerance_px, tolerance_px + 1, device=inside.device)
    disc = ((offsets[:, None] ** 2 + offsets[None] ** 2) <= tolerance_px**2).float()
    reached = functional.conv2d(inside[:, None].float(), disc[None, None], padding=tolerance_px)
    return reached[:, 0] > 0.5


def _checked(maps: Tensor, masks: Tensor) -> Tensor:
    """The masks, which must be as many and as large as the maps. Raises DataError."""
    if maps.shape != masks.shape:
        raise DataError(
            f"The maps have shape {tuple(maps.shape)} and the masks {tuple(masks.shape)}: one of the same height and "
            "width is needed for each.",
            slug="picture",
        )
    return masks.to(maps.device)
