"""Guided Backprop and Guided Grad-CAM, through every ReLU of a network whether it is a module or a function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from seewhy.cam.methods import weighting
from seewhy.cam.methods.input_score import input_gradient, leaf_of
from seewhy.cam.methods.scene import Scene
from seewhy.errors import OptionError, listed
from seewhy.maps import positive, resize

RELUS = {functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu6}
HARDTANHS = {functional.hardtanh, functional.hardtanh_}  # ReLU6 modules call these, from 0 to 6
ACTIVATIONS = {
    *("celu", "elu", "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish"),
    *("prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "tanh"),
}


def guided_backprop(scene: Scene) -> Tensor:
    """Guided Backprop: signed maps (N, H, W) on the input's own grid, summed over the input's channels.

    The score's derivative by the input, where every ReLU (and ReLU6) passes back positive gradients alone.
    Springenberg et al. 2015, arXiv:1412.6806, sec. 3.4. Raises OptionError for a network without a ReLU.
    """
    return guided_gradient(scene).sum(dim=1)


def guided_gradient(scene: Scene) -> Tensor:
    """As `guided_backprop`, for each channel of the input (N, C, H, W)."""
    leaf = leaf_of(scene.inputs)
    with _PositiveGradients() as guiding:
        gradient, _ = input_gradient(scene, leaf)
    if not guiding.n_relus:
        raise OptionError(_without_relu(scene, sorted(guiding.others)), slug="no-relu")
    return gradient


def guided_grad_cam(scene: Scene) -> Tensor:
    """Guided Grad-CAM: Guided Backprop times the layer's Grad-CAM map laid on the input, (N, H, W).

    The Grad-CAM map is its positive part, resized bilinearly; being the same for every channel of the input, it makes
    no difference whether the channels are summed before or after. Selvaraju et al. 2017, arXiv:1610.02391, sec. 3.2.
    Raises OptionError without a layer, or for a network without a ReLU.
    """
    if scene.activation is None or scene.gradient is None:
        raise OptionError(
            "Guided Grad-CAM needs a layer for its Grad-CAM part.\n  Name one:  --layers NAME  (see: seewhy layers)",
            slug="no-such-layer",
        )
    coarse = weighting.weighted_sum(weighting.grad_cam(scene.activation, scene.gradient), scene.activation)
    height, width = scene.inputs.shape[-2:]
    return resize(positive(coarse), (height, width)) * guided_backprop(scene)


class _PositiveGradients(TorchFunctionMode):
    """While it is entered, what is computed hands back positive gradients alone at the output of every ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.n_relus = 0
        self.others: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in RELUS or (func in HARDTANHS and _lower_bound(args, kwargs or {}) == 0):
            self.n_relus += 1
            # A hook sees the gradient of the value as it is now, also when a later operation overwrites it.
            if result.requires_grad:
                result.register_hook(positive)
        elif (name := getattr(func, "__name__", "").rstrip("_")) in ACTIVATIONS:
            self.others.add(name)
        return result


def _lower_bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs.get("min_val", args[1] if len(args) > 1 else -1.0)


def _without_relu(scene: Scene, others: list[str]) -> str:
    reason = f"its activations are: {listed(others)}" if others else "no activation function was seen in its forward"
    return (
        f"Guided Backprop changes how ReLUs pass gradients back, and {type(scene.model).__name__} has none: {reason}.\n"
        "  Use a method that needs no ReLU:  --method captum:integrated-gradients  or  --method grad-cam"
    )
