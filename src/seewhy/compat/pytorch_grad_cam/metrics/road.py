"""ROAD: remove and debias. Rong et al. 2022, arXiv:2202.00449."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.compat.arrays import Array
from seewhy.compat.pytorch_grad_cam.metrics.perturbation_confidence import (
    PERCENTILES,
    Asked,
    AveragerAcrossThresholds,
    PerturbationConfidenceMetric,
    RemoveLeastRelevantFirst,
    RemoveMostRelevantFirst,
)
from seewhy.evidence.metrics.imputation import NEIGHBOURS, Weighting, filled

neighbors_weights = list(NEIGHBOURS)


class NoisyLinearImputer:
    """Fills pixels with the weighted mean of those around, and a little noise, the same every time.

    `weighting` is ((down, right), weight) for each neighbour.
    """

    def __init__(self, noise: float = 0.01, weighting: Weighting = NEIGHBOURS) -> None:
        self.noise = noise
        self.weighting = weighting

    def __call__(self, img: Tensor, mask: Tensor) -> Tensor:
        """The image (C, H, W) filled where the mask (H, W) is 0."""
        known = mask > 0.5
        noise = torch.randn(img.shape, generator=torch.Generator().manual_seed(0)).to(img)
        return filled(img, known, self.weighting) + self.noise * noise * ~known


class ROADMostRelevantFirst(PerturbationConfidenceMetric):
    """The change without the places above a percentile of the map: the more it falls, the better the map."""

    def __init__(self, percentile: float | str = 80) -> None:
        super().__init__(RemoveMostRelevantFirst(percentile, NoisyLinearImputer()))


class ROADLeastRelevantFirst(PerturbationConfidenceMetric):
    """The change without the lowest places of the map: the less it falls, the better the map."""

    def __init__(self, percentile: float | str = 20) -> None:
        super().__init__(RemoveLeastRelevantFirst(percentile, NoisyLinearImputer()))


class ROADMostRelevantFirstAverage(AveragerAcrossThresholds):
    """The mean change over percentiles, the most relevant places removed."""

    def __init__(self, percentiles: Sequence[float] = PERCENTILES) -> None:
        super().__init__(ROADMostRelevantFirst, percentiles)


class ROADLeastRelevantFirstAverage(AveragerAcrossThresholds):
    """The mean change over percentiles, the least relevant places removed."""

    def __init__(self, percentiles: Sequence[float] = PERCENTILES) -> None:
        super().__init__(ROADLeastRelevantFirst, percentiles)


class ROADCombined:
    """Half of how much more the target keeps without the least relevant places than without the most relevant."""

    def __init__(self, percentiles: Sequence[float] = PERCENTILES) -> None:
        self.percentiles = percentiles
        self.morf_averager = ROADMostRelevantFirstAverage(percentiles)
        self.lerf_averager = ROADLeastRelevantFirstAverage(percentiles)

    def __call__(self, input_tensor: Tensor, cams: Any, targets: Any, model: nn.Module) -> Array:
        """The numbers (N,): above 0 for a map that is better than its inverse."""
        asked = Asked(input_tensor, targets, model)
        least, most = self.lerf_averager.mean(asked, cams), self.morf_averager.mean(asked, cams)
        combined: Array = (least - most) / np.float32(2)
        return combined
