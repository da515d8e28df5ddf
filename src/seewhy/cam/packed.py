"""Convolutions that do what follows them: their weights folded and packed for oneDNN, and the passes that use them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seewhy.cam.chains import CONVOLUTION, OTHER, VALUE, Chain, Step


def available() -> bool:
    """Whether this PyTorch has oneDNN's operators."""
    names = ("_convolution_pointwise", "_reorder_convolution_weight")
    return (
        torch._C._has_mkldnn
        and torch._C._get_mkldnn_enabled()
        and all(hasattr(torch.ops.mkldnn, name) for name in names)
    )


@dataclass(frozen=True)
class _Original:
    """A tensor of the model as it was when it was folded."""

    tensor: Tensor
    version: int
    address: int
    rows: Tensor

    @classmethod
    def of(cls, tensor: Tensor) -> _Original:
        return cls(tensor, tensor._version, tensor.data_ptr(), _rows(tensor))

    def kept(self) -> bool:
        return self.tensor._version == self.version and self.tensor.data_ptr() == self.address


@dataclass(frozen=True)
class Packed:
    """A chain with its folded weights as oneDNN wants them, and the tensors that were folded."""

    chain: Chain
    weight: Tensor
    bias: Tensor | None
    originals: tuple[_Original, ...]

    @classmethod
    def of(cls, chain: Chain) -> Packed:
        """The chain with private copies of its weights."""
        weight, bias = _folded(chain)
        _, _, _, stride, padding, dilation, _, _, groups = chain.convolution
        pack = torch.ops.mkldnn._reorder_convolution_weight
        packed = pack(weight, list(padding), list(stride), list(dilation), groups, list(chain.size))
        tensors = [one for one in (*chain.convolution[1:3], *(chain.batch_norm or ())) if isinstance(one, Tensor)]
        return cls(chain, packed, bias, tuple(_Original.of(one) for one in tensors))

    def changed(self) -> bool:
        """Whether the model's tensors hold other values than when they were folded; reads them all."""
        return not all(one.kept() and torch.equal(_rows(one.tensor), one.rows) for one in self.originals)

    def fits(self, args: tuple[Any, ...]) -> bool:
        """Whether this call of the convolution is one like the planned one, and no gradient is asked for."""
        x = args[0]
        return (
            not torch.is_grad_enabled()
            and x.dtype == torch.float32
            and x.device.type == "cpu"
            and x.ndim == 4
            and x.shape[1] == self.chain.size[1]
            and x.numel() > 0
            and not x.is_inference()
            and _same(self.chain.convolution, args, x, None)
            and all(one.kept() for one in self.originals)
        )

    def compute(self, x: Tensor, other: Tensor | None) -> Tensor:
        """What the whole chain makes of the convolution's input and of what is added."""
        _, _, _, stride, padding, dilation, _, _, groups = self.chain.convolution
        place = (list(padding), list(stride), list(dilation), groups)
        attribute, scalars, algorithm = self.chain.activation
        if other is None:
            run = torch.ops.mkldnn._convolution_pointwise.default
            value: Tensor = run(x, self.weight, self.bias, *place, attribute, scalars, algorithm)
        else:
            run = torch.ops.mkldnn._convolution_pointwise.binary
            unary = None if attribute == "none" else attribute
            value = run(x, other, self.weight, self.bias, *place, "add", 1.0, unary, scalars, algorithm)
        return value


@dataclass
class _Running:
    """A chain whose convolution has run: what it has read, and the tensors that stand for its stages, in order.

    They are different objects in one memory, which holds the chain's end. Nobody is to read one but the next planned
    operation; a finished chain is watched for as long as one before its end is alive.
    """

    packed: Packed
    convolution: tuple[Any, ...]
    other: Tensor | None
    versions: tuple[int, ...]
    stages: list[weakref.ref[Tensor]]
    passed: int = 0

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.packed.chain.steps

    def finished(self) -> bool:
        return self.passed == len(self.steps)

    def over(self) -> bool:
        return self.finished() and all(stage() is None for stage in self.stages)

    def reads(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        alive = {id(one) for one in (stage() for stage in self.stages) if one is not None}
        return any(
            id(one) in alive or (isinstance(one, (list, tuple)) and any(id(part) in alive for part in one))
            for one in (*args, *kwargs.values())
        )

    def answer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the planned operation would give; None for any other."""
        value = self.stages[-1]() if not self.finished() else None
        if value is None or kwargs or func is not self.steps[self.passed].function:
            return None
        step = self.steps[self.passed]
        if not _same(step.args, args, value, self.other) or self.versions[1:] != _versions(self.other):
            return None
        if not step.in_place:
            value = torch.ops.aten.alias.default(value)
            self.stages.append(weakref.ref(value))
        self.passed += 1
        if self.finished():
            self.stages.pop()
        return (value, *(value.new_empty(0) for _ in range(step.spare))) if step.spare else value

    def repair(self) -> None:
        """Give every stage the value of the model's own operations: somebody reads one who was not planned."""
        passed = self.steps[: self.passed]
        read = _versions(self.convolution[0], self.other if any(OTHER in step.args for step in passed) else None)
        if read != self.versions[: len(read)]:
            raise RuntimeError("The network took another path than when it was planned; run it without fusing.")
        with torch.no_grad():
            value, stages = CONVOLUTION(*self.convolution), iter(self.stages)
            for step in passed:
                if not step.in_place:
                    _put(next(stages, None), value)
                result = step.function(*_filled(step.args, value, self.other))
                value = result[0] if isinstance(result, tuple) else result
            _put(next(stages, None), value)


class Applying(TorchDispatchMode):
    """One thread's passes: the convolutions of the chains compute everything, the operations behind hand it on."""

    def __init__(self, chains: list[Packed]) -> None:
        super().__init__()
        self.chains = {id(one.chain.weight): one for one in chains}
        self.first = next(iter(self.chains), None)
        self.poisoned = False
        self.sources = {id(one.chain.source) for one in chains if one.chain.source is not None}
        self.read: dict[int, Tensor] = {}
        self.running: list[_Running] = []
        self.finished: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        answer = self.followed(func, args, kwargs) if self.running else None
        if answer is None and func is CONVOLUTION and len(args) == 9:
            answer = self.started(args)
        return func(*args, **kwargs) if answer is None else answer

    def started(self, args: tuple[Any, ...]) -> Tensor | None:
        """The value of a whole chain at its convolution's call, or None where it does not fit."""
        if id(args[1]) == self.first:
            self.read.clear()  # what an interrupted pass has left
            self.running.clear()
            # oneDNN's ReLU gives 0 for NaN: what enters the network as NaN must leave it as NaN.
            self.poisoned = bool(args[0].sum().isnan())
        if id(args[1]) in self.sources:
            self.read[id(args[1])] = args[0]
        packed = self.chains.get(id(args[1]))
        if packed is None:
            return None
        other = self.read.pop(id(packed.chain.source), None) if packed.chain.source is not None else None
        if self.poisoned or (packed.chain.source is not None and other is None) or not packed.fits(args):
            return None
        try:
            value = packed.compute(args[0], other)
        except RuntimeError:  # an image smaller than the kernel: the model's own operation says what is wrong
            return None
        if packed.chain.steps:
            versions = _versions(args[0], other)
            self.running.append(_Running(packed, args, other, versions, [weakref.ref(value)]))
        else:
            self.finished.add(id(packed.chain.weight))
        return value

    def followed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The answer of an operation that a convolution has already done; None for others, which see true values."""
        answer = None
        self.running = [one for one in self.running if not one.over()]
        for one in [one for one in self.running if one.reads(args, kwargs)]:
            found = one.answer(func, args, kwargs)
            if found is None:
                self.running.remove(one)
                self.finished.discard(id(one.packed.chain.weight))
                one.repair()
                continue
            answer = found
            if one.finished():
                self.finished.add(id(one.packed.chain.weight))
        return answer


def _folded(chain: Chain) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of the convolution with its batch norm in it, computed in float64."""
    _, weight, bias, *_ = chain.convolution
    if chain.batch_norm is None:
        return weight.detach(), None if bias is None else bias.detach().clone()
    gain, shift, mean, variance, epsilon = chain.batch_norm
    scale = (variance.double() + epsilon).rsqrt()
    scale = scale if gain is None else scale * gain
    offset = -mean.double() if bias is None else bias - mean.double()
    offset = offset * scale if shift is None else offset * scale + shift
    return (weight * scale[:, None, None, None]).float().contiguous(), offset.float()


def _rows(tensor: Tensor) -> Tensor:
    """A sum over each row's bits, which no change of values leaves as it was but by a rare chance."""
    return tensor.detach().contiguous().view(torch.int32).flatten(1 if tensor.ndim > 1 else 0).sum(-1)


def _same(planned: Sequence[Any], given: Sequence[Any], value: Tensor, other: Tensor | None) -> bool:
    """Whether arguments are the planned ones, tensors by identity."""
    marks = {id(VALUE): value, id(OTHER): other}
    return len(planned) == len(given) and all(
        now is marks.get(id(then), then) if isinstance(now, Tensor) or isinstance(then, Tensor) else now == then
        for then, now in zip(planned, given, strict=True)
    )


def _filled(planned: Sequence[Any], value: Tensor, other: Tensor | None) -> list[Any]:
    return [value if one is VALUE else other if one is OTHER else one for one in planned]


def _put(stage: weakref.ref[Tensor] | None, value: Tensor) -> None:
    found = stage() if stage is not None else None
    if found is not None:
        torch.ops.aten.set_.source_Tensor(found, value)


def _versions(*tensors: Tensor | None) -> tuple[int, ...]:
    return tuple(one._version for one in tensors if one is not None)
