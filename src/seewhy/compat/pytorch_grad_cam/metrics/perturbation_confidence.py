"""How far a target moves when an image is changed as its map says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
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


class Asked:
    """Images, their targets and a network, which is asked for the unchanged images once, however many changes follow.

    The network comes back as it was.
    """

    def __init__(self, inputs: Tensor, targets: Any, model: nn.Module) -> None:
        self.inputs = inputs
        self.targets = targets
        self.model = model

    @cached_property
    def before(self) -> Array:
        """The targets' values (N,) of the unchanged images."""
        return self._seen[1]

    def scores(self, changed: Tensor) -> Array:
        """The targets' values (N,) of changed images (N, C, H, W)."""
        chosen = self._seen[0]
        with self._passing():
            return _scores(self._rows(changed), chosen)

    @cached_property
    def _seen(self) -> tuple[list[OneTarget], Array]:
        with self._passing():
            rows = self._rows(self.inputs)
            chosen = targets_for(self.targets, rows)
            return chosen, _scores(rows, chosen)

    def _rows(self, inputs: Tensor) -> Any:
        inner, _ = unwrap(self.model)
        return read_rows(inner(as_input(inner, inputs).clone()), len(inputs)).of

    @contextlib.contextmanager
    def _passing(self) -> Iterator[None]:
        with untouched(unwrap(self.model)[0]), torch.inference_mode(False), torch.no_grad():
            yield


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
        changed = self._changed(input_tensor, cams)
        asked = Asked(input_tensor, targets, model)
        scores = asked.scores(changed)
        result = scores - asked.before if return_diff else scores
        return (result, changed) if return_visualization else result

    def _changed(self, input_tensor: Tensor, cams: Any) -> Tensor:
        """The changed inputs (N, C, H, W)."""
        maps = as_tensor(cams).cpu()
        if len(maps) != len(input_tensor) or maps.shape[1:] != input_tensor.shape[2:]:
            raise DataError(
                f"The maps have shape {tuple(maps.shape)} for inputs {tuple(input_tensor.shape)}: one of the same "
                "height and width is needed for each.",
                slug="picture",
            )
        return torch.stack([
            self.perturbation(image, one).to(input_tensor) for image, one in zip(input_tensor.cpu(), maps, strict=True)
        ])  # fmt: skip

    def change(self, asked: Asked, cams: Any) -> Array:
        """The changes (N,), of images that were asked before."""
        return asked.scores(self._changed(asked.inputs, cams)) - asked.before


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
        return self.mean(Asked(input_tensor, targets, model), cams)

    def mean(self, asked: Asked, cams: Any) -> Array:
        """The means (N,), of images that may have been asked before."""
        scores = []
        for percentile in self.percentiles:
            metric = self.imputer(percentile)
            kept = isinstance(metric, PerturbationConfidenceMetric)
            if kept and type(metric).__call__ is PerturbationConfidenceMetric.__call__:
                scores.append(metric.change(asked, cams))
            else:
                scores.append(metric(asked.inputs, cams, asked.targets, asked.model))
        mean: Array = np.mean(np.asarray(scores, np.float32), axis=0)
        return mean


def _scores(rows: Any, targets: Sequence[OneTarget]) -> Array:
    return np.stack([as_array(as_tensor(target(row))) for target, row in zip(targets, rows, strict=True)])
