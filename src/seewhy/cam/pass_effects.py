"""What a network's own forward pass changes in eval mode, though it should not: it is put back, told or refused."""

from __future__ import annotations

import contextlib
import copy
import os
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.errors import ModelError, listed

PLAIN = (bool, int, float, str, tuple, type(None))  # the attributes of a module that count as part of its code
_UNSET = object()
_FORKED = b"The network's forward pass forks the process, and its copy does not end by itself: seewhy ends it.\n"
OF_TORCH = frozenset(vars(nn.Module()))  # what every module holds: parameters, hooks, submodules
_CALLED = ("_modules", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_written: weakref.WeakKeyDictionary[nn.Module, list[str]] = weakref.WeakKeyDictionary()  # what its pass changes in it
_drawing: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # whose pass draws random numbers


def modules_of(model: nn.Module) -> list[nn.Module]:
    """The model and every module in it, each once; `model.modules()` recurses, and takes three times as long."""
    seen, modules, rest = {id(model)}, [model], [model]
    while rest:
        for module in rest.pop()._modules.values():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                modules.append(module)
                rest.append(module)
    return modules


@contextlib.contextmanager
def restored(model: nn.Module, *, whole: bool = True) -> Iterator[None]:
    """Put back the buffers, attributes, submodules and hooks that a pass in eval mode changes, and remember which.

    Of lists and dicts what they hold is put back. Without `whole` the user's own modules are watched alone: in eval
    mode torch's own write nothing. Raises ModelError where it changes the weights, which are not copied.
    """
    modules = [m for m in modules_of(model) if whole or not type(m).__module__.startswith("torch.")]
    attributes = [(m, {key: value for key, value in vars(m).items() if type(value) in PLAIN}) for m in modules]
    buffers = [
        (m, name, buffer, buffer._version, buffer.clone())
        for m in modules
        for name, buffer in m._buffers.items()
        if buffer is not None and not buffer.is_inference()
    ]
    every = modules if whole else modules_of(model)
    holders: list[tuple[nn.Module, str, Any, Any]] = [
        (m, key, vars(m)[key], dict(vars(m)[key])) for m in every for key in _CALLED
    ]
    holders += [
        (m, key, value, copy.copy(value))
        for m in modules
        for key, value in vars(m).items()
        if type(value) in (list, dict) and key not in OF_TORCH
    ]
    weights = [
        (m, name, weight, weight._version)
        for m in modules
        for name, weight in m._parameters.items()
        if weight is not None and not weight.is_inference()
    ]
    try:
        yield
        _refuse_changed(weights)
    finally:
        changed = {*_holders_put_back(holders), *_attributes_put_back(attributes), *_buffers_put_back(buffers)}
        _written[model] = sorted(changed | set(_written.get(model, ())))


def _holders_put_back(holders: Sequence[tuple[nn.Module, str, Any, Any]]) -> Iterator[str]:
    """The names of lists and dicts that hold something else than before, each put back."""
    for module, key, holder, content in holders:
        if vars(module).get(key) is not holder or not _holds(holder, content):
            yield f"{type(module).__name__}.{key.lstrip('_') if key in _CALLED else key}"
            vars(module)[key] = holder
            holder.clear()
            (holder.extend if isinstance(holder, list) else holder.update)(content)


def _attributes_put_back(attributes: Sequence[tuple[nn.Module, dict[str, Any]]]) -> Iterator[str]:
    """The names of plain attributes that are others than before, each put back."""
    for module, before in attributes:
        now = {key: value for key, value in vars(module).items() if type(value) in PLAIN}
        for key in now.keys() | before.keys():
            if key != "training" and _differ(now.get(key, _UNSET), before.get(key, _UNSET)):
                yield f"{type(module).__name__}.{key}"
                if key in before:
                    vars(module)[key] = before[key]
                else:
                    del vars(module)[key]


def _buffers_put_back(buffers: Sequence[tuple[nn.Module, str, Tensor, int, Tensor]]) -> Iterator[str]:
    """The names of buffers that were replaced or written to, each put back."""
    for module, name, buffer, version, content in buffers:
        if module._buffers.get(name) is not buffer or buffer._version != version:
            yield f"{type(module).__name__}.{name}"
            with torch.no_grad():
                buffer.copy_(content)
            module._buffers[name] = buffer


def _refuse_changed(weights: Sequence[tuple[nn.Module, str, Tensor, int]]) -> None:
    """Raise ModelError where a parameter is another one than before, or was written to."""
    names = [
        f"{type(module).__name__}.{name}"
        for module, name, weight, version in weights
        if module._parameters.get(name) is not weight or weight._version != version
    ]
    if names:
        raise ModelError(
            f"The network's forward pass changes its own weights, also in eval mode: {listed(names, 4)}. So the answer "
            "to an image depends on the images before it.\n"
            "  Change them in training alone:  if self.training: …",
            slug="changes-itself",
        )


def _holds(holder: Any, content: Any) -> bool:
    """Whether a list or dict holds the very objects that its copy holds."""
    if len(holder) != len(content):
        return False
    if isinstance(holder, list):
        return all(value is other for value, other in zip(holder, content, strict=True))
    return all(key in content and content[key] is value for key, value in holder.items())


def _differ(value: Any, other: Any) -> bool:
    """Whether two attributes are others: by their words, since NaN equals nothing and tuples may hold tensors."""
    return value is not other and repr(value) != repr(other)


@contextlib.contextmanager
def drawing_noticed(model: nn.Module) -> Iterator[None]:
    """Remember whether a forward pass draws random numbers, whose states `untouched` puts back."""
    states = _random_states()
    yield
    if _random_states() != states:
        _drawing.add(model)


@contextlib.contextmanager
def in_one_process(*, says_so: bool = False) -> Iterator[None]:
    """Where a pass forks the process it comes back twice: the copy ends here, or what follows would be done twice."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            if says_so:
                os.write(2, _FORKED)
            os._exit(0)


def written_by(model: nn.Module) -> list[str]:
    """The buffers and attributes that the model's own forward pass was seen to change, as "Class.name"."""
    return _written.get(model, [])


def draws(model: nn.Module) -> bool:
    """Whether the model's own forward pass was seen to draw random numbers, in eval mode."""
    return model in _drawing


def _random_states() -> list[bytes]:
    """Those of torch and numpy; Python's own moves where a first pass imports something."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    numpy_state: Any = np.random.get_state()
    torch_states = [state.numpy().tobytes() for state in (torch.get_rng_state(), *devices)]
    return [numpy_state[1].tobytes(), str(numpy_state[2]).encode(), *torch_states]
