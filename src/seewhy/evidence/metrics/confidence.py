"""Average drop and increase: how the score moves when only what a map lights up is left of the image.

Chattopadhyay et al. 2018, Grad-CAM++, arXiv:1710.11063 ("Average Drop %", "% Increase in Confidence").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seewhy.evidence.metrics.ranks import Rescore, rows_of
from seewhy.maps import positive


@dataclass(frozen=True)
class Confidence:
    """The score (N,) of whole images and of what their maps leave of them."""

    before: Tensor
    after: Tensor

    @property
    def drop(self) -> Tensor:
        """The share (N,) of the score that is lost, 0 where it rises; the mean times 100 is the paper's Average Drop %.

        NaN where the score was not above 0: it is made for probabilities.
        """
        lost = (self.before - self.after).clamp(min=0)
        return torch.where(self.before > 0, lost / self.before, torch.nan)

    @property
    def rises(self) -> Tensor:
        """1 where the score is higher than that of the whole image, else 0 (N,); NaN where either is not finite."""
        is_known = self.before.isfinite() & self.after.isfinite()
        return torch.where(is_known, (self.after > self.before).to(self.before), torch.nan)


def lit(maps: Tensor) -> Tensor:
    """The positive part of maps (N, H, W) from 0 to 1 at its peak, as the paper lays it on the image; 0 without any."""
    kept = positive(maps)
    peak = kept.amax(dim=(1, 2), keepdim=True)
    return torch.where(peak > 0, kept / peak.clamp(min=torch.finfo(kept.dtype).tiny), 0)


def under_map(
    maps: Tensor, images: Tensor, rescore: Rescore, *, towards: Tensor | None = None, before: Tensor | None = None
) -> Confidence:
    """The score of images (N, C, H, W) times their maps (N, H, W), of which the positive part counts, beside their own.

    `towards` is what an image becomes where its map is 0; None is the number 0 of the network's own input, which is
    black, or the mean colour of a normalised one. `before` (N,) are the scores of the images, where they are known.
    """
    weight = lit(maps)[:, None].to(images)
    ground = torch.zeros_like(images) if towards is None else towards
    known = rescore(images, rows_of(images)) if before is None else before
    return Confidence(known, rescore(ground + weight * (images - ground), rows_of(images)))
