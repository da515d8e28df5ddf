"""What is learned of a network, kept with it while its code, its weights and its settings stay."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seewhy.cam.pass_effects import OF_TORCH, PLAIN, modules_of, written_by

T = TypeVar("T")
_SOME = 8  # rows of a tensor, or a few more, of which a few numbers stand for it
_MOST_PARTS = 64  # of a list or dict of a module that count as part of its code
_known: weakref.WeakKeyDictionary[nn.Module, tuple[int, dict[Hashable, Any]]] = weakref.WeakKeyDictionary()


def remembered(model: nn.Module, key: Hashable, learn: Callable[[], T]) -> T:
    """What `learn` gives, kept with the model under `key` until its code or its weights change (see `state_of`).

    Nothing that is learned may hold the model itself, which would then live for ever.
    """
    state = state_of(model)
    known = _known.get(model)
    if known is None or known[0] != state:
        known = _known[model] = (state, {})
    if key not in known[1]:
        known[1][key] = learn()
    value: T = known[1][key]
    return value


def state_of(model: nn.Module, *, values: bool = False) -> int:
    """A number for what decides what a model computes: modules, their code, attributes and hooks, weights and buffers.

    Weights count by memory and version, not by value: cheap, and an optimiser's step or a loaded checkpoint shows. With
    `values` some of their numbers count, too, which a change through `.data` shows in as well. Whether a module is in
    training mode does not count, since nothing is learned in it, nor do buffers that its own passes write.
    """
    state: list[Hashable] = []
    written = written_by(model)
    for module in modules_of(model):
        attributes = vars(module)
        kind = type(module)
        state += [id(module), id(kind), id(kind.forward), id(attributes.get("forward"))]
        state += [*module._modules, *map(id, module._modules.values())]
        state += [*module._forward_hooks, *module._forward_pre_hooks]
        state += [_stated(value) for key, value in attributes.items() if key != "training" and key not in OF_TORCH]
        buffers = [
            buffer
            for name, buffer in module._buffers.items()
            if not written or f"{kind.__name__}.{name}" not in written
        ]
        for tensor in (*module._parameters.values(), *buffers):
            if tensor is not None:
                version = -1 if tensor.is_inference() else tensor._version
                state += [tuple(tensor.shape), tensor.dtype, tensor.device, tensor.data_ptr(), version]
                state += [str(_some_of(tensor))] if values else []
    return hash(tuple(state))


def _stated(value: Any, depth: int = 2) -> Hashable:
    """What counts of an attribute: plain values, functions, and these in lists and dicts; tensors may be results."""
    if type(value) in PLAIN:
        return str(value)  # as words, since -1 and -2 have one hash
    if type(value) in (list, dict) and depth:  # of which a pass's changes are put back
        content = value if isinstance(value, list) else [part for item in value.items() for part in item]
        return len(content), *(_stated(part, depth - 1) for part in content[:_MOST_PARTS])
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return (id(value), id(code)) if callable(value) else None


def _some_of(tensor: Tensor) -> list[Any]:
    """A few numbers of a tensor, from all over it."""
    if tensor.is_meta or not tensor.numel() or tensor.layout != torch.strided:
        return []
    rows = torch.atleast_1d(tensor.detach())
    rows = (
        rows[:: max(1, len(rows) // _SOME)].flatten(1) if rows.ndim > 1 else rows[:: max(1, len(rows) // _SOME), None]
    )
    some: list[Any] = rows[:, :: max(1, rows.shape[1] // 2)].tolist()
    return some
