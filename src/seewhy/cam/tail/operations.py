"""The operations of a piece of eager code and what flows between them, recorded while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Operation:
    """One ATen operation; tensors are numbered in the order in which they were first seen.

    `name` is the packet with its overload ("aten.addmm.default"); `args` and `kwargs` as it was called.
    """

    name: str
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class _Recording(TorchDispatchMode):
    """Keeps every tensor alive while it records, so that a number means one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[int, int] = {}
        self.kept: list[Tensor] = []
        self.operations: list[Operation] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to skip it torch would import its compiler, for .7 s. Compiled parts run as written here anyway."""
        return False

    def number(self, tensor: Tensor) -> int:
        if id(tensor) not in self.numbers:
            self.numbers[id(tensor)] = len(self.kept)
            self.kept.append(tensor)
        return self.numbers[id(tensor)]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = tuple(self.number(tensor) for tensor in _tensors((args, kwargs or {})))
        result = func(*args, **(kwargs or {}))
        outputs = tuple(self.number(tensor) for tensor in _tensors(result))
        self.operations.append(Operation(str(func), func, args, kwargs or {}, inputs, outputs))
        return result


@dataclass(frozen=True)
class Recorded:
    """The operations, what the code gave, and every tensor by its number."""

    operations: list[Operation]
    result: Any
    tensors: list[Tensor]


@contextlib.contextmanager
def recording() -> Iterator[Recorded]:
    """What the code inside does (without a graph): operations and tensors grow while it runs, and it has no result."""
    with torch.no_grad(), _Recording() as mode:
        yield Recorded(mode.operations, None, mode.kept)


def record(code: Callable[[], Any]) -> Recorded:
    """Run the code (without a graph) and give its operations in order."""
    with recording() as recorded:
        result = code()
    return replace(recorded, result=result)


def _tensors(tree: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
