"""Does a map light places that the classifier does not see? What no swap of a place moves, in any image, is unseen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seewhy.estimates import Estimate, Floats, mean_of
from seewhy.evidence.checks.faithfulness import cell_means, moved_images, still_cells
from seewhy.evidence.checks.swaps import Swaps

_DIFFERS = 0.02  # of the inputs' range, on average over a cell


@dataclass(frozen=True)
class Unseen:
    """The share of the picture that the classifier does not see, and the share of the map's positive mass there.

    `false_mass` is the mean over the images, NaN where no map has a positive part.
    """

    share: float
    false_mass: Estimate


def unseen_of(swaps: Swaps, maps: NDArray[np.float64], inputs: Tensor) -> Unseen | None:
    """What maps (N, h, w) say of the cells that move no image's score with any donor; None where there is none.

    Cells that are much the same in most of the inputs (N, C, H, W), like a black rim, tell nothing and do not count.
    """
    moved = moved_images(swaps)
    cells = still_cells(swaps, moved) & _differing_cells(swaps, inputs)
    if not moved.any() or not cells.any():
        return None
    positive = cell_means(np.nan_to_num(maps[swaps.images][moved], posinf=0, neginf=0).clip(min=0), swaps.edges)
    areas = np.outer(*(np.diff(edge) for edge in swaps.edges)).astype(np.float64)
    share = float(areas[cells].sum() / areas.sum())
    return Unseen(share, _mean_share(positive * areas, cells))


def _differing_cells(swaps: Swaps, inputs: Tensor) -> NDArray[np.bool_]:
    """The cells (rows, columns) in which most donors differ from the image by more than next to nothing."""
    pixels = inputs.double().cpu().numpy()
    span = float(np.ptp(pixels)) or 1.0
    apart = [
        cell_means(np.abs(pixels[donors] - pixels[image]).mean(axis=1), swaps.edges)
        for image, donors in zip(swaps.images, swaps.donors, strict=True)
    ]
    return np.asarray(np.median(np.concatenate(apart), axis=0) >= _DIFFERS * span)


def _mean_share(mass: Floats, cells: NDArray[np.bool_]) -> Estimate:
    total = mass.sum(axis=(1, 2))
    lit = total > 0
    if not lit.any():
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    return mean_of(mass[lit][:, cells].sum(axis=1) / total[lit])
