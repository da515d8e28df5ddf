"""FullGrad: the input's share of the score and the share of every constant that the network adds, place by place."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakIdKeyDictionary

from seewhy.cam.methods.input_score import attention_in_steps, input_gradient, leaf_of, where_it_arrives
from seewhy.cam.methods.scene import Scene
from seewhy.cam.scores.outputs import wide

_ROUNDING = 1e-4  # of all that was added up: what is left open beyond it is no rounding


@dataclass(frozen=True)
class FullGradient:
    """The score taken apart: `values` (N,) = sum of `maps` (N, H, W) + `rest` (N,) + `residual` (N,).

    `rest` is the share of constants that have no place: biases of linear layers, of tokens, of pooled features.
    `residual` is 0 but for rounding, save where the network runs code of its own (`torch.autograd.Function`, scripts)
    or an operation without a forward derivative: what these add is not seen.
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

    Each operation y = f(x) is taken as J x + b with its own derivative J at this x; b is the constant that it adds.
    Of a linear layer that is its bias, of a clamp the bound where it holds, of a ReLU 0, of a smooth operation (GELU,
    softmax, layer norm, a gate) what its tangent leaves. Each constant is met where it acts, with the gradient of that
    very call. Srinivas & Fleuret 2019, arXiv:1905.00780, proposition 1. Where rows of a layer are not the images
    (tokens first, windows), each image is taken alone, so that no other's constants are laid on it.
    """
    found = _taken_apart(scene, scene.inputs)
    total = found.maps.abs().sum(dim=(1, 2)) + found.rest.abs()
    if len(total) == 1 or bool((found.residual.abs() <= _ROUNDING * total).all()):
        return found
    alone = [_taken_apart(scene, scene.inputs[i : i + 1], i) for i in range(len(total))]
    return FullGradient(
        *(torch.cat(parts) for parts in zip(*((a.maps, a.rest, a.residual) for a in alone), strict=True))
    )


def _taken_apart(scene: Scene, inputs: Tensor, index: int | None = None) -> FullGradient:
    _load_duals()
    leaf = leaf_of(inputs)
    with attention_in_steps(), _Constants(leaf) as constants:
        gradient, values = input_gradient(scene, leaf, index)
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


class _Constants(TorchFunctionMode):
    """While it is entered, constants that are added to what depends on `leaf` are noted; backward passes place them."""

    def __init__(self, leaf: Tensor) -> None:
        super().__init__()
        wide = torch.float64 if leaf.dtype == torch.float64 else torch.float32
        self.maps = torch.zeros(len(leaf), *leaf.shape[-2:], dtype=wide, device=leaf.device)
        self.rest = torch.zeros(len(leaf), dtype=wide, device=leaf.device)
        self.leaf = leaf
        self.channels = WeakIdKeyDictionary()  # of tensors that depend on the input: the axis of channels, or None
        self.channels[leaf] = 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        asks = getattr(func, "__name__", "") == "__get__"  # for a shape, a device
        followed = [] if asks else [leaf for leaf in tree_leaves((args, kwargs)) if self.follows(leaf)]
        if not followed or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        constants = self.constants(func, args, kwargs)  # before the operation, which may change its input in place
        result = func(*args, **kwargs)
        outputs = _outputs(result, args)
        for output, constant in zip(outputs, constants or [None] * len(outputs), strict=True):
            if constant is not None and output.requires_grad:
                self.channels[output] = self.axis(func, followed, output)
                if bool(constant.any()):
                    self.hook(output, constant, written=bool(args) and output is args[0])
        return result

    def follows(self, value: Any) -> bool:
        """Whether a value depends on the input; what came about unseen is followed back."""
        if not isinstance(value, Tensor) or not value.requires_grad:
            return False
        if value not in self.channels and _reaches(value.grad_fn, self.leaf):
            self.channels[value] = None
        return value in self.channels

    def constants(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor | None]:
        """The constant that this call adds to each output, None to one that the input does not reach; [] if unknown."""
        if func not in BIASED or len(args) < 2 or any(map(self.follows, tree_leaves((args[1:], kwargs)))):
            return _beside_tangent(func, args, kwargs, self.follows)
        bias = kwargs.get("bias", args[2] if len(args) > 2 else None)
        return [torch.zeros(1) if bias is None else wide(bias.detach()).view(BIASED[func])]

    def axis(self, func: Any, followed: list[Tensor], output: Tensor) -> int | None:
        """The axis of channels of an output with places, known by the operation or by what it read."""
        if output.ndim != 4:
            return None
        axes: list[int | None] = [CHANNELS[func]] if func in CHANNELS else []
        axes += [self.channels.get(source) for source in followed if _alike(source, output, self.channels.get(source))]
        return next(iter(axes), None)

    def hook(self, output: Tensor, constant: Tensor, *, written: bool) -> None:
        """Have the backward pass place the constant, when the output's gradient arrives."""
        if written:
            output, constant = where_it_arrives(output, constant.expand(output.shape))
        axis = self.channels.get(output)
        # A hook sees the gradient of the value as it is now, also when a later operation overwrites it.
        output.register_hook(lambda gradient: self.place(wide(gradient), constant, axis))

    def place(self, gradient: Tensor, constant: Tensor, axis: int | None) -> None:
        share = torch.where(gradient == 0, 0, gradient * constant)
        by_image = share.shape[:1] == self.rest.shape
        if by_image and axis is not None and _places(share, axis).numel() > 1:
            self.maps += spread(share.sum(dim=axis), (self.maps.shape[1], self.maps.shape[2]))
        elif len(self.rest) == 1:
            self.rest += share.sum()
        elif by_image:
            self.rest += share.flatten(1).sum(dim=1)
        # else the share stays in the residual, and each image is taken alone


@cache
def _load_duals() -> None:
    """Have torch load what it needs for the first dual number, of whose style it warns."""
    with warnings.catch_warnings(), torch.inference_mode(False), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def _beside_tangent(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], follows: Callable[[Any], bool]
) -> list[Tensor | None]:
    """Of each output of func f(x) - J x, J being its derivative by all that `follows`; [] where torch has none forward.

    Everything is a copy, which the operation may change in place.
    """

    def dual(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        copy = value.detach().clone()
        # A mask of -inf hands nothing back: it is a constant.
        return forward_ad.make_dual(copy, copy.nan_to_num(0, 0, 0)) if follows(value) else copy

    try:
        with torch.no_grad(), forward_ad.dual_level():
            args, kwargs = tree_map(dual, (args, kwargs))
            return [_apart(output) for output in _outputs(func(*args, **kwargs), args)]
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError:  # torch's words for an operation without a forward derivative
        return []


def _apart(output: Any) -> Tensor | None:
    """A dual number's value less its tangent; None of what has none."""
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    value, tangent = forward_ad.unpack_dual(output)
    return None if tangent is None else wide(value) - wide(tangent)


def _outputs(result: Any, args: tuple[Any, ...]) -> list[Any]:
    """What an operation gave; of `x[...] = y`, which gives nothing, x."""
    return tree_leaves(args[0] if result is None and args else result)


def _places(tensor: Tensor, axis: int) -> torch.Size:
    """The shape of one image without its axis of channels."""
    return torch.Size(size for place, size in enumerate(tensor.shape) if place not in (0, axis))


def _alike(source: Tensor, output: Tensor, axis: int | None) -> bool:
    """Whether two tensors have as many channels on that axis, or the same places beside it."""
    return axis is not None and (
        source.shape[axis] == output.shape[axis] or _places(source, axis) == _places(output, axis)
    )


def _reaches(node: Any, leaf: Tensor) -> bool:
    """Whether an operation's graph goes back to the leaf."""
    seen, rest = set(), [node]
    while rest:
        node = rest.pop()
        if node is None or node in seen:
            continue
        if getattr(node, "variable", None) is leaf:
            return True
        seen.add(node)
        rest += [source for source, _ in node.next_functions]
    return False


BIASED = {  # operations whose constant is their bias, third of the arguments: how it lies on the output
    functional.conv2d: (-1, 1, 1),
    functional.conv_transpose2d: (-1, 1, 1),
    functional.linear: (-1,),
}
CHANNELS = {  # the axis of channels of outputs with places
    **{
        func: 1
        for func in (functional.conv2d, functional.conv_transpose2d, functional.batch_norm, functional.group_norm)
    },
    **{func: 3 for func in (functional.linear, functional.layer_norm)},
}
