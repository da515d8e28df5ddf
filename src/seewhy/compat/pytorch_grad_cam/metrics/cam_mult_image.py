"""How far a target moves when the network's input is multiplied with the map."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from seewhy.compat.pytorch_grad_cam.metrics.perturbation_confidence import PerturbationConfidenceMetric


def multiply_tensor_with_cam(input_tensor: Tensor, cam: Tensor) -> Tensor:
    """The network's input (C, H, W) times a map (H, W): of a normalised input 0 is the mean colour."""
    return input_tensor * cam


class CamMultImageConfidenceChange(PerturbationConfidenceMetric):
    """The change of the target when the input is multiplied with the map."""

    def __init__(self) -> None:
        super().__init__(multiply_tensor_with_cam)


class DropInConfidence(CamMultImageConfidenceChange):
    """The fall of the target, 0 where it rises: a difference. `relative=True` is the papers' share of its value."""

    def __init__(self, *, relative: bool = False) -> None:
        super().__init__()
        self.relative = relative

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The falls (N,); with `return_visualization` the changed inputs too."""
        result = super().__call__(*args, **kwargs)
        scores = result[0] if isinstance(result, tuple) else result
        fall = np.maximum(-scores, 0)
        if self.relative:
            fall = fall / np.abs(
                super().__call__(*args, **{**kwargs, "return_diff": False, "return_visualization": False}) - scores
            )
        return (fall, *result[1:]) if isinstance(result, tuple) else fall


class IncreaseInConfidence(CamMultImageConfidenceChange):
    """1 where the target rises, else 0."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The numbers (N,); with `return_visualization` the changed inputs too."""
        result = super().__call__(*args, **kwargs)
        if isinstance(result, tuple):
            return np.float32(result[0] > 0), *result[1:]
        return np.float32(result > 0)
