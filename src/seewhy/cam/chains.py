"""Which operations behind a convolution nobody else can see, proved from one recorded pass."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from seewhy.cam.operations import Operation, Recorded

CONVOLUTION = torch.ops.aten.convolution.default
BATCH_NORM = torch.ops.aten.native_batch_norm.default
VALUE = object()  # in planned arguments: what the chain hands from operation to operation
OTHER = object()  # in planned arguments: what is added to it

# oneDNN's name, its parameters, its variant.
Activation = tuple[str, list[float], str]
_NAMED = {"silu": "swish"} | {name: name for name in ("relu", "hardswish", "hardsigmoid", "sigmoid", "tanh")}
_NO_ACTIVATION: Activation = ("none", [], "")
_LARGEST = 2**24  # weights: packing a larger convolution (a dense layer in disguise) costs seconds


@dataclass(frozen=True)
class Step:
    """An operation that a convolution answers for; `spare` counts the outputs besides the value, which nobody reads."""

    function: Any
    args: tuple[Any, ...]
    spare: int = 0
    in_place: bool = False


@dataclass(frozen=True)
class Chain:
    """A convolution and what it answers for: batch norm, the sum with something earlier, an activation.

    `convolution` are its arguments with VALUE for the input, of shape `size` (N, C, H, W). `source` is the weight of
    the convolution that has read what is added. `inner` numbers the values that nobody else may see, and `seen_by`
    names the modules that take or give one of them: a hook there would see it. `last` is its last operation's place.
    """

    convolution: tuple[Any, ...]
    size: tuple[int, ...]
    steps: tuple[Step, ...]
    activation: Activation
    source: Tensor | None
    inner: tuple[int, ...]
    seen_by: tuple[str, ...]
    last: int

    @property
    def weight(self) -> Tensor:
        """The convolution's own weight (O, I / groups, h, w)."""
        found: Tensor = self.convolution[1]
        return found

    @property
    def batch_norm(self) -> tuple[Any, ...] | None:
        """Weight, bias, running mean, running variance and epsilon of the batch norm, if there is one."""
        found = next((step.args for step in self.steps if step.function is BATCH_NORM), None)
        return None if found is None else (*found[1:5], found[7])


@dataclass(frozen=True)
class Sight:
    """A tensor that went into or came out of a module when `position` operations had run."""

    module: str
    tensor: Tensor
    position: int


def find_chains(recorded: Recorded, sights: Sequence[Sight]) -> list[Chain]:
    """The chains of a recorded pass, in the order of their convolutions."""
    flow = _Flow(recorded, sights)
    places = [index for index, one in enumerate(recorded.operations) if one.function is CONVOLUTION]
    return [_Tracing(flow, index).chain() for index in places if flow.fusible(recorded.operations[index])]


class _Flow:
    """Who makes, reads and overwrites each tensor of a recorded pass."""

    def __init__(self, recorded: Recorded, sights: Sequence[Sight]) -> None:
        self.operations, self.tensors = recorded.operations, recorded.tensors
        self.numbers = {id(one): number for number, one in enumerate(recorded.tensors)}
        self.readers: dict[int, list[int]] = defaultdict(list)
        self.writers: dict[int, list[int]] = defaultdict(list)
        for index, operation in enumerate(recorded.operations):
            for number in dict.fromkeys(operation.inputs):
                self.readers[number].append(index)
            for number in operation.outputs:
                self.writers[number].append(index)
        self.sights: dict[int, list[Sight]] = defaultdict(list)
        for sight in sights:
            if id(sight.tensor) in self.numbers:
                self.sights[self.numbers[id(sight.tensor)]].append(sight)

    def lasting(self, *tensors: Tensor | None) -> bool:
        """Whether these are tensors of the model that no operation of the pass has made or overwritten."""
        given = [one for one in tensors if one is not None]
        return all(not self.writers[self.numbers[id(one)]] and not one.is_inference() for one in given)

    def fusible(self, operation: Operation) -> bool:
        """Whether this is a plain convolution in float32 with a weight of its own."""
        x, weight, bias, *_, transposed, _, _ = operation.args
        plain = (t.dtype == torch.float32 and t.device.type == "cpu" and t.layout == torch.strided for t in (x, weight))
        once = len(self.readers[self.numbers[id(weight)]]) == 1 and weight.numel() <= _LARGEST
        return x.ndim == 4 and not transposed and once and all(plain) and self.lasting(weight, bias)

    def after(self, number: int, index: int) -> list[int]:
        """The operations behind `index` that read this tensor."""
        readers = self.readers[number]
        return readers[bisect_right(readers, index) :]

    def sources(self, number: int, index: int) -> list[Tensor]:
        """Weights of the convolutions up to `index` that have read this tensor, if nobody overwrites it afterwards."""
        found = []
        for reader in self.readers[number]:
            operation = self.operations[reader]
            if reader <= index and operation.function is CONVOLUTION and operation.inputs[0] == number:
                calm = not any(writer > reader for writer in self.writers[number])
                found += [operation.args[1]] if calm and self.fusible(operation) else []
        return found


class _Tracing:
    """Follows the value of one convolution for as long as only operations that it can answer for read it."""

    def __init__(self, flow: _Flow, index: int) -> None:
        self.flow, self.start, self.at = flow, index, index
        self.number = flow.operations[index].outputs[0]
        self.steps: list[Step] = []
        self.activation: Activation = _NO_ACTIVATION
        self.source: Tensor | None = None
        self.inner: list[int] = []
        self.seen_by: list[str] = []

    def chain(self) -> Chain:
        for accepts in (self.batch_norm, self.sum, self.activated):
            reader = self.only_reader()
            step = accepts(self.flow.operations[reader]) if reader is not None else None
            if reader is not None and step is not None:
                self.take(reader, step)
        x, *rest = self.flow.operations[self.start].args
        return Chain(
            convolution=(VALUE, *rest),
            size=tuple(x.shape),
            steps=tuple(self.steps),
            activation=self.activation,
            source=self.source,
            inner=tuple(number for number in self.inner if number != self.number),
            seen_by=tuple(dict.fromkeys(self.seen_by)),
            last=self.at,
        )

    def only_reader(self) -> int | None:
        """The next operation, if it alone sees the value as it now is."""
        readers = self.flow.after(self.number, self.at)
        if not readers:
            return None
        x = self.flow.operations[self.start].inputs[0]
        if any(self.start < writer <= readers[0] for writer in self.flow.writers[x]):
            return None
        overwrites = self.number in self.flow.operations[readers[0]].outputs
        return readers[0] if overwrites or len(readers) == 1 else None

    def take(self, reader: int, step: Step) -> None:
        sights = self.flow.sights[self.number]
        self.seen_by += [one.module for one in sights if self.at < one.position <= reader]
        self.inner.append(self.number)
        self.steps.append(replace(step, in_place=self.number in self.flow.operations[reader].outputs))
        self.at, self.number = reader, self.flow.operations[reader].outputs[0]

    def planned(self, operation: Operation, other: int | None = None) -> tuple[Any, ...]:
        """The operation's arguments, with marks for what differs from pass to pass."""
        marks = {id(self.flow.tensors[self.number]): VALUE}
        if other is not None:
            marks[id(self.flow.tensors[other])] = OTHER
        return tuple(marks.get(id(one), one) for one in operation.args)

    def batch_norm(self, operation: Operation) -> Step | None:
        if operation.function is not BATCH_NORM or operation.args[5] or operation.kwargs:
            return None
        lasting = operation.args[3] is not None and self.flow.lasting(*operation.args[1:5])
        unread = not any(self.flow.readers[spare] for spare in operation.outputs[1:])
        if operation.inputs[0] != self.number or not lasting or not unread:
            return None
        return Step(operation.function, self.planned(operation), spare=2)

    def sum(self, operation: Operation) -> Step | None:
        if operation.name not in ("aten.add.Tensor", "aten.add_.Tensor") or operation.kwargs:
            return None
        if len(operation.args) != 2 or not all(isinstance(one, Tensor) for one in operation.args):
            return None
        others = [one for one in operation.inputs if one != self.number]
        if len(others) != 1 or (operation.name == "aten.add_.Tensor" and operation.inputs[0] != self.number):
            return None
        one, other = self.flow.tensors[self.number], self.flow.tensors[others[0]]
        sources = self.flow.sources(others[0], self.start)
        if not sources or one.shape != other.shape or one.dtype != other.dtype:
            return None
        self.source = sources[-1]
        return Step(operation.function, self.planned(operation, others[0]))

    def activated(self, operation: Operation) -> Step | None:
        found = _activation(operation)
        if found is None or (self.source is not None and found[0] != "relu"):
            return None
        self.activation = found
        return Step(operation.function, self.planned(operation))


def _activation(operation: Operation) -> Activation | None:
    package, _, rest = operation.name.partition(".")
    name = rest.partition(".")[0].removesuffix("_")
    if package != "aten":
        return None
    if name in _NAMED and len(operation.args) == 1 and not operation.kwargs:
        return _NAMED[name], [], ""
    if name == "hardtanh" and len(operation.args) == 3 and not operation.kwargs:
        return "hardtanh", [float(one) for one in operation.args[1:]], ""
    if name == "leaky_relu" and not operation.kwargs:
        return "leaky_relu", [float(operation.args[1]) if len(operation.args) > 1 else 0.01], ""
    return None
