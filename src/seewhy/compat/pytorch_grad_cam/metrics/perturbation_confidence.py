"""How far a target moves when an image is changed as its map says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.model import as_input, untouched, unwrap
from seewhy.compat.arrays import Array, as_array, as_tensor
from seewhy.compat.outputs import OneTarget, read_rows, targets_for
from seewhy.compat.refusals import ArgumentError
from seewhy.errors import DataError
from seewhy.evidence.metrics.imputation import above_otsu, lowest

PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


class PerturbationConfidenceMetric:
    """The change of each target when its image is changed by `perturbation`, a function of image and map.

    The network comes back as it was.
    """

    def __init__(self, perturbation: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.perturbation = perturbation

    def __call__(
        self,
        input_tensor: Tensor,
        cams: Any,
        targets: Any,
        model: nn.Module,
        return_visualization: bool = False,
        return_diff: bool = True,
    ) -> Any:
        """The changes (N,), below 0 where the target falls; with `return_diff=False` the target's new values.

        `cams` is (N, H, W). With `return_visualization` the changed inputs (N, C, H, W) too. Raises DataError for maps
        of another number or size than the images.
        """
        maps = as_tensor(cams).cpu()
        if len(maps) != len(input_tensor) or maps.shape[1:] != input_tensor.shape[2:]:
            raise DataError(
                f"The maps have shape {tuple(maps.shape)} for inputs {tuple(input_tensor.shape)}: one of the same "
                "height and width is needed for each.",
                slug="picture",
            )
        changed = torch.stack([
            self.perturbation(image, one).to(input_tensor) for image, one in zip(input_tensor.cpu(), maps, strict=True)
        ])  # fmt: skip
        inner, _ = unwrap(model)
        with untouched(inner), torch.inference_mode(False), torch.no_grad():
            rows = read_rows(inner(as_input(inner, input_tensor)), len(input_tensor)).of
            chosen = targets_for(targets, rows)
            scores = _scores(read_rows(inner(as_input(inner, changed)), len(changed)).of, chosen)
            result = scores - _scores(rows, chosen) if return_diff else scores
        return (result, changed) if return_visualization else result


class RemoveMostRelevantFirst:
    """An image without the places where its map lies above `percentile`, filled by `imputer`.

    "auto" removes what lies above Otsu's cut. The imputer is a function of image (C, H, W) and where it is kept (H, W).
    Raises OptionError for what is no percentile.
    """

    def __init__(self, percentile: float | str, imputer: Callable[[Tensor, Tensor], Tensor]) -> None:
        if percentile != "auto" and (isinstance(percentile, str) or not 0 <= percentile <= 100):
            raise ArgumentError(
                f"percentile is {percentile!r}, and must lie from 0 to 100, or be 'auto'.\n"
                "  For example:  percentile=75",
                slug="option",
            )
        self.percentile = percentile
        self.imputer = imputer

    def __call__(self, input_tensor: Tensor, mask: Tensor) -> Tensor:
        """The changed image (C, H, W), of a map (H, W)."""
        percentile = self.percentile
        kept = ~above_otsu(mask) if isinstance(percentile, str) else lowest(mask, percentile)
        return self.imputer(input_tensor, kept.to(mask))


class RemoveLeastRelevantFirst(RemoveMostRelevantFirst):
    """An image without the places where its map lies lowest; `percentile` is the share that is kept."""

    def __call__(self, input_tensor: Tensor, mask: Tensor) -> Tensor:
        """The changed image (C, H, W), of a map (H, W)."""
        return super().__call__(input_tensor, 1 - mask if isinstance(self.percentile, str) else -mask)


class AveragerAcrossThresholds:
    """The mean of a metric over percentiles; `imputer` makes the metric of one."""

    def __init__(self, imputer: Callable[[float], Any], percentiles: Sequence[float] = PERCENTILES) -> None:
        self.imputer = imputer
        self.percentiles = percentiles

    def __call__(self, input_tensor: Tensor, cams: Any, targets: Any, model: nn.Module) -> Array:
        """The means (N,)."""
        scores = [self.imputer(percentile)(input_tensor, cams, targets, model) for percentile in self.percentiles]
        mean: Array = np.mean(np.asarray(scores, np.float32), axis=0)
        return mean


def _scores(rows: Any, targets: Sequence[OneTarget]) -> Array:
    return np.stack([as_array(as_tensor(target(row))) for target, row in zip(targets, rows, strict=True)])
