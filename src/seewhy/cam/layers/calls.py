"""Every module call of one forward pass, with the evidence of where its channels are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import batchnorm, conv, instancenorm, pooling

from seewhy.cam.layers.inferred import Call, grids_of
from seewhy.cam.layers.token_order import with_token_order
from seewhy.cam.model import logits_of, run, untouched
from seewhy.cam.pass_effects import drawing_noticed, in_one_process, restored
from seewhy.cam.scores.outputs import first_tensor

_WINDOWED_POOLS = (pooling._AvgPoolNd, pooling._MaxPoolNd, pooling._LPPoolNd)
_POOLS = (*_WINDOWED_POOLS, pooling._AdaptiveAvgPoolNd, pooling._AdaptiveMaxPoolNd)
_CHANNELS_FIRST = (conv._ConvNd, batchnorm._BatchNorm, instancenorm._InstanceNorm, nn.GroupNorm, *_POOLS)
_HANDED_ON = ("Identity", "Dropout", "DropPath", "StochasticDepth", "Flatten", "Permute", "Transpose", "Unfold")


def trace(model: nn.Module, inputs: Tensor) -> list[Call]:
    """Every module call of one forward pass over `inputs` (1, C, H, W), in the order in which they finish.

    Raises ModelError where the network does not give logits (N, K).
    """
    calls, output = trace_any(model, inputs)
    logits_of(output, len(inputs))
    return with_token_order(model, inputs, calls)


def trace_any(model: nn.Module, inputs: Tensor) -> tuple[list[Call], Any]:
    """As `trace`, for a network that gives anything, and what it gave: a headless one too.

    Special tokens are taken to stand in front: `with_token_order` looks where they do.
    """
    calls: list[Call] = []
    thread = threading.get_ident()  # another thread may run the same network meanwhile

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if threading.get_ident() == thread and (given := first_tensor(output)) is not None:
                read = first_tensor((*args, *kwargs.values()))
                calls.append(_call(name, module, () if read is None else tuple(read.shape), given, output))

        return note

    with untouched(model), torch.inference_mode(False), torch.no_grad():
        handles = [
            module.register_forward_hook(watch(name), with_kwargs=True)
            for name, module in model.named_modules()
            if name
        ]
        try:
            with restored(model), drawing_noticed(model), in_one_process(says_so=True):
                output = run(model, inputs)
        finally:
            for handle in handles:
                handle.remove()
    grids = grids_of(calls, tuple(inputs.shape))
    return [replace(call, grid=grid) for call, grid in zip(calls, grids, strict=True)], output


def _call(name: str, module: nn.Module, input_shape: tuple[int, ...], given: Tensor, output: Any) -> Call:
    first = output[0] if isinstance(output, (tuple, list)) else output
    kind, shape = type(module).__name__, tuple(given.shape)
    return Call(
        name=name,
        kind=kind,
        input_shape=input_shape,
        shape=shape,
        has_parameters=next(module.parameters(), None) is not None,
        is_pool=isinstance(module, _POOLS),
        is_linear=isinstance(module, nn.Linear),
        input_axis=_channel_axis(module, input_shape),
        axis=_channel_axis(module, shape),
        moves=_moves(module, shape),
        hands_on=kind.startswith(_HANDED_ON),
        can_capture=first is given,
    )


def _moves(module: nn.Module, shape: tuple[int, ...]) -> bool:
    if not isinstance(module, (conv.Conv2d, *_WINDOWED_POOLS)) or len(shape) != 4:
        return False
    size: Any = module.kernel_size
    return any(side > 1 for side in (size if isinstance(size, (tuple, list)) else (size,)))


def _channel_axis(module: nn.Module, shape: tuple[int, ...]) -> int | None:
    """Which axis of a tensor that the module reads or gives holds the channels, as far as its kind and weights say."""
    if len(shape) not in (3, 4, 5):
        return None
    last = len(shape) - 1
    if isinstance(module, _CHANNELS_FIRST):
        return 1
    if isinstance(module, nn.Linear):
        return last if shape[-1] in (module.in_features, module.out_features) else None
    weights = list(module.parameters(recurse=False))
    if next(module.children(), None) is not None or not weights:
        return None
    widths = {weight.numel() for weight in weights if weight.ndim == 1}
    fits = [axis for axis in (1, last) if shape[axis] in widths]
    if len(fits) == 2:
        first = "2d" in type(module).__name__ or getattr(module, "data_format", "") == "channels_first"
        return 1 if first else last
    return fits[0] if fits else None
