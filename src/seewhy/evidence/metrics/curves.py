"""Deletion and insertion: how the score falls and rises as pixels go, and come, in a map's order.

Petsiuk et al. 2018, RISE, arXiv:1806.07421. Blücher et al. 2024, arXiv:2401.06654, for both together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.evidence.metrics.ranks import Rescore, ranks, rows_of

STEPS = 10  # parts of the pixels that go or come at a time; RISE has 224
_BLUR_PX, _BLUR_SIGMA = 11, 5.0  # RISE's kernel
Ends = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Areas:
    """Areas (N,) under both curves, in units of the score: good maps have a low `deletion` and a high `insertion`."""

    deletion: Tensor
    insertion: Tensor

    @property
    def gain(self) -> Tensor:
        """The symmetric relevance gain (N,): insertion less deletion, 0 on average for a map that knows nothing.

        Insertion's curve is that of removing the least relevant pixels first, read backwards, so that this is Blücher's
        LIF less MIF. What a removed pixel does to the network by being removed is in both, and cancels.
        """
        return self.insertion - self.deletion


def mean_colour(images: Tensor) -> Tensor:
    """Images (N, C, H, W) that are each their own mean colour all over."""
    return images.mean(dim=(2, 3), keepdim=True).expand_as(images)


def blurred(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as RISE blurs them, from which insertion starts there: 11 pixels, sigma 5, 0 beyond the edge.

    Gaussian weights, mirrored at the kernel's ends as `scipy.ndimage.gaussian_filter` does to an impulse, on which
    RISE's kernel is made.
    """
    reach = 4 * int(_BLUR_SIGMA)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-(offsets**2) / (2 * _BLUR_SIGMA**2))
    line = torch.zeros(_BLUR_PX, dtype=torch.float64)
    for offset, weight in zip(offsets.int().tolist(), (weights / weights.sum()).tolist(), strict=True):
        place = (_BLUR_PX // 2 + offset) % (2 * _BLUR_PX)
        line[min(place, 2 * _BLUR_PX - 1 - place)] += weight
    kernel = torch.outer(line, line).to(images).expand(images.shape[1], 1, -1, -1)
    return functional.conv2d(images, kernel, padding=_BLUR_PX // 2, groups=images.shape[1])


def exchange_curve(
    images: Tensor, towards: Tensor, ranked: Tensor, rescore: Rescore, *, steps: int = STEPS, ends: Ends | None = None
) -> Tensor:
    """The score (N, steps + 1) as the pixels (N, C, H, W) become those of `towards`, lowest rank first.

    After step k exactly round(k P / steps) of P pixels are exchanged. `ends` (N,) each are the scores of `images` and
    of `towards`, where they are known.
    """
    rows, pixels = rows_of(images), ranked[0].numel()
    first, last = ends or (rescore(images, rows), rescore(towards, rows))
    between = []
    for step in range(1, steps):
        gone = ranked < round(step * pixels / steps)
        between.append(rescore(torch.where(gone[:, None], towards, images), rows))
    return torch.stack([first, *between, last], dim=1)


def area(curve: Tensor) -> Tensor:
    """The area (N,) under a curve (N, steps + 1) over the share of pixels, by the trapezoid rule, as RISE takes it."""
    return (curve.sum(dim=1) - (curve[:, 0] + curve[:, -1]) / 2) / (curve.shape[1] - 1)


def deletion(
    maps: Tensor, images: Tensor, rescore: Rescore, *, towards: Tensor | None = None, steps: int = STEPS, seed: int = 0
) -> Tensor:
    """The area (N,) under the score as the most relevant pixels of maps (N, H, W) go first: low for a faithful map.

    `towards` are the images that remain; None is each image's mean colour. RISE has zeros, the mean colour of its data
    set after normalisation. Petsiuk et al. 2018.
    """
    goal = mean_colour(images) if towards is None else towards
    return area(exchange_curve(images, goal, ranks(maps, seed=seed), rescore, steps=steps))


def insertion(
    maps: Tensor, images: Tensor, rescore: Rescore, *, start: Tensor | None = None, steps: int = STEPS, seed: int = 0
) -> Tensor:
    """The area (N,) under the score as the most relevant pixels of maps (N, H, W) come first: high for a faithful map.

    `start` are the images that they come into; None is each image's mean colour. RISE has `blurred`. Petsiuk et al.
    2018.
    """
    begin = mean_colour(images) if start is None else start
    return area(exchange_curve(begin, images, ranks(maps, seed=seed), rescore, steps=steps))


def areas(
    ranked: Tensor, images: Tensor, towards: Tensor, rescore: Rescore, *, steps: int = STEPS, ends: Ends | None = None
) -> Areas:
    """Deletion and insertion with one filling, from ranks (N, H, W): what their difference needs.

    `ends` are the scores of `images` and of `towards`, where they are known.
    """
    known = ends or (rescore(images, rows_of(images)), rescore(towards, rows_of(images)))
    falling = exchange_curve(images, towards, ranked, rescore, steps=steps, ends=known)
    rising = exchange_curve(towards, images, ranked, rescore, steps=steps, ends=(known[1], known[0]))
    return Areas(area(falling), area(rising))


def symmetric_relevance_gain(
    maps: Tensor, images: Tensor, rescore: Rescore, *, towards: Tensor | None = None, steps: int = STEPS, seed: int = 0
) -> Tensor:
    """Insertion less deletion (N,) with the same filling: above 0 for a map that is better than its inverse.

    Blücher et al. 2024, arXiv:2401.06654: SRG = LIF - MIF.
    """
    goal = mean_colour(images) if towards is None else towards
    return areas(ranks(maps, seed=seed), images, goal, rescore, steps=steps).gain
