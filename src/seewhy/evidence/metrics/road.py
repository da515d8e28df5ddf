"""ROAD: remove and debias. Rong et al. 2022, arXiv:2202.00449."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seewhy.errors import OptionError
from seewhy.evidence.metrics.imputation import filled_each
from seewhy.evidence.metrics.ranks import Rescore, ranks, rows_of

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the pixels that are taken out, one after the other
NOISE = 0.01  # of what is filled in, as a share of the input's own spread
_SOLVED = 1e-3  # the noise is far above what is left open


@dataclass(frozen=True)
class Road:
    """The score (N, S) without a share of the pixels, for each of S shares: the `most` relevant, or the `least`."""

    most: Tensor
    least: Tensor

    @property
    def combined(self) -> Tensor:
        """Half of how much more is left without the least than without the most relevant pixels (N,), over the shares.

        0 on average for a map that knows nothing; as `pytorch_grad_cam.metrics.road.ROADCombined` takes it.
        """
        return (self.least - self.most).mean(dim=1) / 2


def road(
    maps: Tensor,
    images: Tensor,
    rescore: Rescore,
    *,
    shares: Sequence[float] = SHARES,
    noise: float = NOISE,
    seed: int = 0,
) -> Road:
    """The scores of images (N, C, H, W) without the pixels that maps (N, H, W) name first, and last.

    What is taken out is filled by the pixels around it (noisy linear imputation, Rong et al. 2022), so
    that the shape of the hole tells the network little. Exactly round(share P) of P pixels go, chosen among equal ones
    by the seed. Raises OptionError for shares that are none.
    """
    return road_of_ranks(ranks(maps, seed=seed), images, rescore, shares=shares, noise=noise, seed=seed)


def road_of_ranks(
    ranked: Tensor,
    images: Tensor,
    rescore: Rescore,
    *,
    shares: Sequence[float] = SHARES,
    noise: float = NOISE,
    seed: int = 0,
) -> Road:
    """As `road`, from the ranks (N, H, W) of the pixels. The noise is one for all maps and images."""
    if not shares or not all(0 < share < 1 for share in shares):
        raise OptionError(f"The shares of pixels are {tuple(shares)}, but must be between 0 and 1, such as 0.1, 0.5.")
    pixels = ranked[0].numel()
    grain = noise * _grain(images, seed)
    most: list[Tensor] = []
    least: list[Tensor] = []
    for share in shares:
        count = round(share * pixels)
        for scores, gone in ((most, ranked < count), (least, ranked >= pixels - count)):
            changed = filled_each(images, ~gone, settled=_SOLVED, dtype=torch.float32) + grain * gone[:, None]
            scores.append(rescore(changed, rows_of(images)))
    return Road(torch.stack(most, dim=1), torch.stack(least, dim=1))


def _grain(images: Tensor, seed: int) -> Tensor:
    """Normal noise (N, C, H, W) as wide as each image's own spread: one field, so that a batch changes no image's."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape[1:], generator=generator).to(images)
    return noise * images.std(dim=(1, 2, 3), keepdim=True)
