"""Guided Backprop and Guided Grad-CAM, through every ReLU of a network whether it is a module or a function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seewhy.cam.methods import weighting
from seewhy.cam.methods.input_score import input_gradient, leaf_of, where_it_arrives
from seewhy.cam.methods.scene import Scene
from seewhy.errors import OptionError, listed
from seewhy.maps import positive, resize

RELUS = {"relu", "relu6"}
ZEROED = {  # functions that are a ReLU where these arguments are 0: their places, names and defaults
    "clamp": ((1, "min", None),),
    "clip": ((1, "min", None),),
    "clamp_min": ((1, "min", None),),
    "hardtanh": ((1, "min_val", -1.0),),  # ReLU6 modules call it, from 0 to 6
    "threshold": ((1, "threshold", None), (2, "value", None)),
    "leaky_relu": ((1, "negative_slope", 0.01),),
}
LARGER = {"maximum", "fmax", "max"}  # of two tensors: a ReLU where one of them is 0
ACTIVATIONS = {
    *("celu", "clamp", "clamp_max", "clamp_min", "clip", "elu", "gelu", "glu", "hardshrink", "hardsigmoid"),
    *("hardswish", "hardtanh", "leaky_relu", "logsigmoid", "maximum", "minimum", "mish", "prelu", "relu", "relu6"),
    *("rrelu", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold"),
}


def guided_backprop(scene: Scene) -> Tensor:
    """Guided Backprop: signed maps (N, H, W) on the input's own grid, summed over the input's channels.

    The score's derivative by the input, where every ReLU passes back positive gradients alone; ReLU6 and what is a ReLU
    by its arguments (a clamp, a maximum, a threshold at 0) count as one.
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
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        is_relu = _is_relu(name, args, kwargs)  # before the operation, which may change its input in place
        result = func(*args, **kwargs)
        if is_relu and result.requires_grad:
            self.n_relus += 1
            # A hook sees the gradient of the value as it is now, also when a later operation overwrites it.
            if args and result is args[0]:
                whole, part = where_it_arrives(result, torch.ones_like(result, dtype=torch.bool))
                whole.register_hook(lambda gradient: torch.where(part, positive(gradient), gradient))
            else:
                result.register_hook(positive)
        elif name in ACTIVATIONS:
            self.others.add(name)
        return result


def _is_relu(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a function of that name takes negative values to 0 and leaves others, up to a bound, by its arguments."""
    if name in LARGER:
        given = [*args, *kwargs.values()][:2]
        return len(given) == 2 and all(isinstance(value, Tensor) for value in given) and any(map(_is_zero, given))
    if name in ZEROED:
        return all(
            _is_zero(kwargs.get(key, args[place] if len(args) > place else default))
            for place, key, default in ZEROED[name]
        )
    return name in RELUS


def _is_zero(value: Any) -> bool:
    return not value.any() if isinstance(value, Tensor) else value == 0


def _without_relu(scene: Scene, others: list[str]) -> str:
    reason = f"its activations are: {listed(others)}" if others else "no activation function was seen in its forward"
    return (
        f"Guided Backprop changes how ReLUs pass gradients back, and {type(scene.model).__name__} has none: {reason}.\n"
        "  Use a method that needs no ReLU:  --method captum:integrated-gradients  or  --method grad-cam"
    )
