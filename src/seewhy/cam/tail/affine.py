"""Whether recorded operations make a result that is an affine function of a variable: a proof, or "not proven"."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from seewhy.cam.capture import LayerCall
from seewhy.cam.model import untouched
from seewhy.cam.tail.operations import Operation, Recorded, recording

# Affine in all their tensors together: rearranging, adding, averaging, and weights that are numbers.
_JOINTLY = [
    "add",
    "sub",
    "rsub",
    "neg",
    "sum",
    "mean",
    "clone",
    "detach",
    "alias",
    "lift_fresh",
    "view",
    "_unsafe_view",
    "reshape",
    "_reshape_alias",
    "t",
    "transpose",
    "permute",
    "expand",
    "repeat",
    "slice",
    "select",
    "narrow",
    "unsqueeze",
    "squeeze",
    "unbind",
    "split",
    "split_with_sizes",
    "chunk",
    "cat",
    "stack",
    "flip",
    "roll",
    "as_strided",
    "unfold",
    "diagonal",
    "contiguous",
    "copy",
    "fill",
    "zero",
    "positive",
    "index",
    "index_select",
    "gather",
    "cumsum",
    "masked_fill",
    "where",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "im2col",
    "col2im",
    "constant_pad_nd",
    "reflection_pad1d",
    "reflection_pad2d",
    "replication_pad1d",
    "replication_pad2d",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "upsample_linear1d",
    "upsample_bicubic2d",
    "_upsample_bilinear2d_aa",
    "_to_copy",
    "trace",
    "dropout",
]
# Products: affine while at most one of the factors (by position) depends on the variable.
_FACTORS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("mul", "mm", "bmm", "matmul", "mv", "dot", "linear", "mkldnn_linear", "_mkldnn_linear"), (0, 1)),
    **dict.fromkeys(("convolution", "_convolution", "conv2d", "mkldnn_convolution", "cudnn_convolution"), (0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv", "addbmm", "addcmul"), (1, 2)),
}
# Affine in the first tensor alone, the others constant; and what must hold besides.
_FIRST: dict[str, Callable[[Operation], bool]] = {
    "div": lambda operation: operation.kwargs.get("rounding_mode") is None,
    "native_batch_norm": lambda operation: not operation.args[5] and operation.args[3] is not None,
    "cudnn_batch_norm": lambda operation: not operation.args[5] and operation.args[3] is not None,
    "_native_batch_norm_legit_no_training": lambda operation: True,
    "lerp": lambda operation: len(operation.inputs) == 1,
}


def depends(recorded: Recorded, variables: Iterable[Tensor], results: Any = None) -> bool:
    """Whether a result may depend on the variables: through any operation, or by a number read out of a tensor.

    `results` (a tree of tensors) are the code's own where not given.
    """
    touched = _Dependence(variables)
    for operation in recorded.operations:
        if touched.by(operation) and not _tensors_of(operation, recorded.tensors):
            return True  # a Python number, which may steer anything
        touched.follow(operation, recorded.tensors)
    return touched.any(recorded.result if results is None else results)


def is_affine(recorded: Recorded, variables: Iterable[Tensor]) -> bool:
    """Whether the result is proven to be an affine function of the variables together; False is "not proven".

    Every operation that touches a value that depends on them must be in a table of affine ones, with constant other
    operands. Dependence is followed by memory, so that a view that is written in place counts.
    """
    touched = _Dependence(variables)
    for operation in recorded.operations:
        if touched.by(operation) and not _allowed(operation, touched, recorded.tensors):
            return False
        touched.follow(operation, recorded.tensors)
    return True


def affine_behind(model: nn.Module, inputs: Tensor, layers: Sequence[LayerCall]) -> bool:
    """Whether the output is proven, from one pass, to be affine in each of these layers' outputs."""
    kept: dict[str, tuple[int, Any]] = {}

    def keep(name: str, recorded: Recorded) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            kept[name] = len(recorded.operations), output

        return note

    given = inputs.clone()  # the network may change it in place
    with untouched(model), torch.inference_mode(False), contextlib.ExitStack() as stack:
        recorded = stack.enter_context(recording())
        for layer in layers:
            handle = model.get_submodule(layer.name).register_forward_hook(keep(layer.name, recorded))
            stack.callback(handle.remove)
        result = model(given)
    affine = len(kept) == len(layers) and not any(layer.call for layer in layers)
    return affine and all(
        isinstance(raw, Tensor) and is_affine(Recorded(recorded.operations[done:], result, recorded.tensors), [raw])
        for done, raw in kept.values()
    )


class _Dependence:
    """The memory that holds values that depend on the variables."""

    def __init__(self, variables: Iterable[Tensor]) -> None:
        self.storages = {storage_of(variable) for variable in variables}

    def holds(self, value: Any) -> bool:
        return isinstance(value, Tensor) and storage_of(value) in self.storages

    def any(self, tree: Any) -> bool:
        return any(self.holds(leaf) for leaf in tree_leaves(tree))

    def by(self, operation: Operation) -> bool:
        return self.any((operation.args, operation.kwargs))

    def follow(self, operation: Operation, tensors: Sequence[Tensor]) -> None:
        if not self.by(operation):
            return
        self.storages.update(storage_of(tensors[number]) for number in operation.outputs)
        named = zip(operation.function._schema.arguments, operation.args, strict=False)
        written = [value for argument, value in named if argument.alias_info and argument.alias_info.is_write]
        self.storages.update(storage_of(leaf) for leaf in tree_leaves(written) if isinstance(leaf, Tensor))


def storage_of(tensor: Tensor) -> int:
    """A number for the memory of a tensor, the same for all its views while it lives."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # layouts without one memory of their own
        return -id(tensor)


def _tensors_of(operation: Operation, tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensors[number] for number in operation.outputs]


def _allowed(operation: Operation, touched: _Dependence, tensors: Sequence[Tensor]) -> bool:
    outputs = _tensors_of(operation, tensors)
    # A dependent whole number or truth value is a step function; a number read out may steer the code.
    if not outputs or not all(output.is_floating_point() or output.is_complex() for output in outputs):
        return False
    parts = operation.name.split(".")
    if parts[0] != "aten" or parts[-1].endswith("out") or "out" in operation.kwargs:
        return False
    name = parts[1].removesuffix("_")
    held = [touched.any(value) for value in operation.args]
    named = touched.any(operation.kwargs)
    if name in _JOINTLY:
        return not (name == "index" and any(held[1:])) and not (name == "_to_copy" and _narrows(operation))
    if name in _FACTORS:
        return not named and sum(held[place] for place in _FACTORS[name] if place < len(held)) <= 1
    if name in _FIRST:
        return not named and not any(held[1:]) and _FIRST[name](operation)
    return False


def _narrows(operation: Operation) -> bool:
    """Whether a conversion throws away more than float32 would keep."""
    kind = operation.kwargs.get("dtype")
    return isinstance(kind, torch.dtype) and not (kind.is_floating_point or kind.is_complex)
