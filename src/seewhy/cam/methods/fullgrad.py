"""FullGrad: the input's share of the score and the share of every constant that the network adds, place by place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from seewhy.cam.methods.input_score import input_gradient, leaf_of
from seewhy.cam.methods.scene import Scene
from seewhy.cam.scores.outputs import wide


@dataclass(frozen=True)
class FullGradient:
    """The score taken apart: `values` (N,) = sum of `maps` (N, H, W) + `rest` (N,) + `residual` (N,).

    `rest` is the share of constants that have no place: biases of linear layers, of tokens, of pooled features. On a
    network that is piecewise linear from input to score `residual` is 0 but for rounding; elsewhere it is what smooth
    parts (GELU, softmax, layer norm, gates) leave unexplained.
    """

    maps: Tensor
    rest: Tensor
    residual: Tensor


def fullgrad(scene: Scene) -> Tensor:
    """FullGrad's raw signed maps (N, H, W) on the input's own grid; see `full_gradient` for what they leave out.

    Srinivas & Fleuret 2019, arXiv:1905.00780, eq. 3, without the absolute values and scaling of eq. 5.
    """
    return full_gradient(scene).maps


def full_gradient(scene: Scene) -> FullGradient:
    """The score as input-gradient plus bias-gradients: x · df/dx + sum of b · df/db, one pass forward and one back.

    Constants are those of convolutions, linear layers and normalisations (batch norm's with its running mean, in eval
    mode), the bounds of ReLU6, and any constant that the forward pass adds to what depends on the input. Each is met
    where it acts, with the gradient of that very call. Srinivas & Fleuret 2019, arXiv:1905.00780, proposition 1.
    """
    leaf = leaf_of(scene.inputs)
    with _Constants(leaf) as constants:
        gradient, values = input_gradient(scene, leaf)
    maps = constants.maps + (wide(leaf.detach()) * wide(gradient)).sum(dim=1)
    residual = values.to(maps.dtype) - maps.sum(dim=(1, 2)) - constants.rest
    return FullGradient(maps, constants.rest, residual)


def spread(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) laid on a grid (N, height, width) so that each keeps its sum: bilinear, every cell shared out."""
    rows, columns = (_shares(n, to, maps) for n, to in zip(maps.shape[1:], size, strict=True))
    return rows @ maps @ columns.T


def _shares(n_cells: int, size: int, like: Tensor) -> Tensor:
    """How each of n cells is shared among `size` pixels, (size, n); every column sums to 1."""
    cells = torch.eye(n_cells, dtype=torch.float64)[None, None]
    weights = functional.interpolate(cells, (size, n_cells), mode="bilinear", antialias=True)[0, 0]
    return (weights / weights.sum(dim=0)).to(like)


class _Term(NamedTuple):
    """A constant that an operation adds to its output, and the output's axis of channels where it has places."""

    constant: Tensor
    channel_axis: int | None


class _Constants(TorchFunctionMode):
    """While it is entered, constants that are added to what depends on `leaf` are noted; backward passes place them."""

    def __init__(self, leaf: Tensor) -> None:
        super().__init__()
        wide = torch.float64 if leaf.dtype == torch.float64 else torch.float32
        self.maps = torch.zeros(len(leaf), *leaf.shape[-2:], dtype=wide, device=leaf.device)
        self.rest = torch.zeros(len(leaf), dtype=wide, device=leaf.device)
        self.following = WeakIdKeyDictionary()  # tensors that depend on the input
        self.following[leaf] = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not any(self.follows(leaf) for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        with torch.no_grad():  # before the operation, which may change its input in place
            term = self.term(func, args, kwargs)
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.following[leaf] = None
        if term is not None and result.requires_grad:
            # A hook sees the gradient of the value as it is now, also when a later operation overwrites it.
            result.register_hook(self.placing(term))
        return result

    def follows(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value in self.following

    def term(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Term | None:
        """The constant that this call adds, if it adds one."""
        name = getattr(func, "__name__", "").rstrip("_")
        if find := TERMS.get(func):
            constant, axis = find(*args, **kwargs)
        elif name in ADDITIONS and len(args) == 2:
            return self.added(ADDITIONS[name], args[0], args[1], kwargs.get("alpha", 1))
        else:
            return None
        return None if constant is None or self.follows(constant) else _Term(constant.detach(), axis)

    def added(self, signs: tuple[int, int], first: Any, second: Any, alpha: float) -> _Term | None:
        """The constant in signs[0] * first + signs[1] * alpha * second, where only one of them is constant."""
        if self.follows(first) == self.follows(second):
            return None
        constant, variable = (first, second) if self.follows(second) else (second, first)
        factor = signs[0] if self.follows(second) else signs[1] * alpha
        constant = factor * torch.as_tensor(constant, device=variable.device).detach()
        by_channel = constant.ndim == 0 or (constant.ndim >= 3 and constant.shape[-2:] == (1, 1))
        on_pixels = variable.ndim == 4 and variable.shape[-2:] == self.maps.shape[-2:]
        return _Term(constant, 1 if by_channel or on_pixels else None)

    def placing(self, term: _Term) -> Callable[[Tensor], None]:
        def place(gradient: Tensor) -> None:
            if len(gradient) != len(self.rest):
                return  # not one row for each image: the share stays in the residual
            share = torch.where(gradient == 0, 0, wide(gradient) * wide(term.constant))
            spatial = share.sum(dim=term.channel_axis) if share.ndim == 4 and term.channel_axis is not None else None
            if spatial is not None and spatial[0].numel() > 1:
                self.maps += spread(spatial, (self.maps.shape[1], self.maps.shape[2]))
            else:
                self.rest += share.flatten(1).sum(dim=1)

        return place


def _of_convolution(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any, **__: Any) -> Any:
    return (None if bias is None else bias[:, None, None]), 1


def _of_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    return bias, -1


def _of_batch_norm(
    inputs: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Beta - mean * gamma / std; with a batch's own statistics only beta is a constant."""
    constant = bias
    if not training and mean is not None and variance is not None:
        shift = -mean * (variance + eps).rsqrt() * (1 if weight is None else weight)
        constant = shift if bias is None else shift + bias
    if constant is None or inputs.ndim < 3:
        return constant, None
    return constant.view(-1, *[1] * (inputs.ndim - 2)), 1


def _of_layer_norm(
    inputs: Tensor, normalized_shape: Any, weight: Any = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Any:
    return bias, -1


def _of_group_norm(
    inputs: Tensor, num_groups: int, weight: Any = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Any:
    return (None if bias is None else bias.view(-1, *[1] * (inputs.ndim - 2))), 1


def _of_hardtanh(inputs: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """What a clamped feature adds: the bound that it is held at."""
    return min_val * (inputs <= min_val).to(inputs) + max_val * (inputs >= max_val).to(inputs), 1


def _of_relu6(inputs: Tensor, inplace: bool = False) -> Any:
    return _of_hardtanh(inputs, 0.0, 6.0)


TERMS: dict[Any, Callable[..., Any]] = {
    functional.conv2d: _of_convolution,
    functional.conv_transpose2d: _of_convolution,
    functional.linear: _of_linear,
    functional.batch_norm: _of_batch_norm,
    functional.layer_norm: _of_layer_norm,
    functional.group_norm: _of_group_norm,
    functional.hardtanh: _of_hardtanh,
    functional.relu6: _of_relu6,
}
ADDITIONS = {"add": (1, 1), "__radd": (1, 1), "sub": (1, -1), "subtract": (1, -1), "rsub": (-1, 1), "__rsub": (-1, 1)}
