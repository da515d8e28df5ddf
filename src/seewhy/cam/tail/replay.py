"""How a model runs with some of its module calls recorded, or answered in place of being run."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from seewhy.errors import LayerError

Key = tuple[str, int]  # a module's dotted name and which of its calls, from 1
Around = Callable[[str, Callable[[], Any]], Any]  # (name, the real run) -> the output of `forward`


@contextlib.contextmanager
def interposed(modules: Mapping[str, nn.Module], around: Around) -> Iterator[None]:
    """Every call of these modules in this thread goes through `around`, which runs or answers it; then all is put back.

    Only calls through `module(...)` do: a direct `.forward(...)` in the user's code runs as it is. What `around` gives
    still passes through the hooks of other people.
    """
    owner, armed = threading.get_ident(), set[str]()
    with contextlib.ExitStack() as stack:
        for name, module in modules.items():
            stack.enter_context(_forward_replaced(name, module, around, owner, armed))
        yield


@contextlib.contextmanager
def _forward_replaced(name: str, module: nn.Module, around: Around, owner: int, armed: set[str]) -> Iterator[None]:
    original, state = module.forward, module.__dict__
    had, before = "forward" in state, state.get("forward")

    def arm(*_: Any) -> None:
        if threading.get_ident() == owner:
            armed.add(name)

    @functools.wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner or name not in armed:
            return original(*args, **kwargs)
        armed.discard(name)
        return around(name, functools.partial(original, *args, **kwargs))

    handle = module.register_forward_pre_hook(arm)
    state["forward"] = forward
    try:
        yield
    finally:
        handle.remove()
        if had:
            state["forward"] = before
        else:
            state.pop("forward", None)


def replaceable(model: nn.Module) -> dict[str, nn.Module]:
    """The modules inside a model whose run can be replaced, by name; scripted ones cannot."""
    scripted = torch.jit.ScriptModule
    return {name: module for name, module in model.named_modules() if name and not isinstance(module, scripted)}


@dataclass
class Finished:
    """One module call that finished; `inside` are the names of all calls that it made, itself first.

    `watched` are its tensors with their versions, so that a later change in place is noticed.
    """

    key: Key
    inside: list[str]
    output: Any
    watched: list[tuple[Tensor, int]]

    def overwritten(self) -> bool:
        """Whether an in-place operation changed the output after it was kept."""
        return any(version_of(tensor) != version for tensor, version in self.watched)


@dataclass
class Recording:
    """One run of a model with the topmost module calls that finished before one call of a layer.

    `keep` None keeps every output, else only those keys'; `copied` are kept as copies. `change` maps what the layer
    gave to what the model goes on with. A layer without `call` is recorded at its last call.
    """

    layer: str
    call: int | None
    keep: Collection[Key] | None = None
    copied: Collection[Key] | None = ()  # None copies everything
    change: Callable[[Tensor], Tensor] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    finished: list[Finished] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    before: list[Finished] | None = None
    raw: Tensor | None = None
    given: tuple[Tensor, int] | None = None
    at: int = 0

    def around(self, name: str, run: Callable[[], Any]) -> Any:
        """Run the module and keep its output, in place of those of the modules inside it."""
        self.counts[name] += 1
        key, logged, begun = (name, self.counts[name]), len(self.log), len(self.finished)
        self.log.append(name)
        output = run()
        if self.before is None or self.call is None:
            del self.finished[begun:]
            self.finished.append(self._kept(key, self.log[logged:], output))
        return output

    def _kept(self, key: Key, inside: list[str], output: Any) -> Finished:
        if self.keep is not None and key not in self.keep:
            return Finished(key, inside, None, [])
        watched = [(leaf, version_of(leaf)) for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        copied = self.copied is None or key in self.copied
        return Finished(key, inside, tree_map(_copy, output) if copied else output, watched)

    def seen(self, activation: Tensor) -> Tensor:
        """Take the layer's output at the right call; what the model goes on with."""
        if self.call not in (None, self.counts[self.layer]):
            return activation
        self.before, self.raw, self.at = list(self.finished), activation.clone(), self.counts[self.layer]
        if self.change is None:
            self.given = (activation, version_of(activation))
            return activation
        changed = self.change(activation)
        self.given = (changed, version_of(changed))
        return changed

    @property
    def overwritten(self) -> bool:
        """Whether what the layer gave was changed in place afterwards."""
        return self.given is not None and version_of(self.given[0]) != self.given[1]


@dataclass
class Replay:
    """One run of a model in which some module calls are answered; `inside` says which calls an answer stands for."""

    layer: str
    call: int
    activation: Tensor
    answer: Callable[[Key], Any]
    inside: Mapping[Key, list[str]]
    extra: Mapping[Key, Any]
    seen_inputs: dict[Key, Tensor] | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def around(self, name: str, run: Callable[[], Any]) -> Any:
        """Answer the call if it finished before the layer or has an answer of its own, else run it."""
        self.counts[name] += 1
        key = (name, self.counts[name])
        if self.seen_inputs is not None and isinstance(run, functools.partial) and run.args:
            self.seen_inputs[key] = run.args[0]
        if key in self.extra:
            return self.extra[key]
        if key not in self.inside:
            return run()
        self.counts.update(self.inside[key][1:])
        return self.answer(key)

    def seen(self, activation: Tensor) -> Tensor:
        """The given activation, at the layer's call."""
        return self.activation if self.counts[self.layer] == self.call else activation


def spread(leaf: Any, axis: int | None, rows: Tensor | None, count: int, n_images: int) -> Any:
    """A kept tensor of `n_images` images for `count` rows (`rows` says of which image), if it can be without a copy."""
    if not isinstance(leaf, Tensor) or axis is None or (rows is None and count == n_images):
        return leaf
    each = leaf.shape[axis] // n_images
    image = 0 if rows is None else int(rows[0])
    if rows is None or bool((rows == image).all()):
        leaf = leaf.narrow(axis, image * each, each)
        if each == 1:
            return leaf.expand(*(count if at == axis else -1 for at in range(leaf.ndim)))
        wide = leaf.unsqueeze(axis)
        return wide.expand(*(count if at == axis else -1 for at in range(wide.ndim))).flatten(axis, axis + 1)
    if each == 1:
        return leaf.index_select(axis, rows)
    split = leaf.reshape(*leaf.shape[:axis], n_images, each, *leaf.shape[axis + 1 :])
    return split.index_select(axis, rows).flatten(axis, axis + 1)


def first_tensor(output: Any, layer: str) -> Tensor:
    """The tensor of floats that a layer's output is, or begins with. Raises LayerError where there is none."""
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    if leaves and leaves[0].is_floating_point():
        return leaves[0]
    raise LayerError(
        f"Layer {layer!r} gives {type(output).__name__}, where a tensor of floats is needed.\n"
        "  Choose a layer inside it:  seewhy layers --model …",
        slug="layer-without-grid",
    )


def with_first(output: Any, tensor: Tensor) -> Any:
    """The output with its first tensor replaced."""
    leaves, structure = tree_flatten(output)
    leaves[next(at for at, leaf in enumerate(leaves) if isinstance(leaf, Tensor))] = tensor
    return tree_unflatten(leaves, structure)


def stand_in(leaf: Any) -> Any:
    """A tensor of the same shape and kind without memory; other things as they are."""
    if isinstance(leaf, Tensor):
        return torch.zeros((), dtype=leaf.dtype, device=leaf.device).expand(leaf.shape)
    return leaf


def stand_ins(shapes: Mapping[Key, Any], axes: Mapping[Key, tuple[int | None, ...]], n_images: int) -> dict[Key, Any]:
    """Outputs for a batch without memory, for calls whose values nobody reads; `shapes` are those of one image."""
    outputs = {}
    for key, tree in shapes.items():
        leaves, structure = tree_flatten(tree)
        for at, (leaf, axis) in enumerate(zip(leaves, axes.get(key, ()), strict=False)):
            if axis is not None:
                shape = [n_images * size if place == axis else size for place, size in enumerate(leaf.shape)]
                leaves[at] = torch.zeros((), dtype=leaf.dtype, device=leaf.device).expand(shape)
        outputs[key] = tree_unflatten(leaves, structure)
    return outputs


def batch_axes(single: Any, double: Any) -> tuple[int | None, ...]:
    """For each leaf the axis that grew with the number of images."""
    pairs = zip(tree_leaves(single), tree_leaves(double), strict=True)
    return tuple(
        next((axis for axis, (few, many) in enumerate(zip(leaf.shape, other.shape, strict=True)) if few != many), None)
        if isinstance(leaf, Tensor)
        else None
        for leaf, other in pairs
    )


def version_of(tensor: Tensor) -> int:
    """A number that grows when the tensor's memory is changed in place, where torch counts that."""
    return 0 if tensor.is_inference() else tensor._version


def _copy(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf
