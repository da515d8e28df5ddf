"""What is read of a network's output: which of its tensors, and of probabilities the logits that they are made of."""

from __future__ import annotations

import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seewhy.cam.scores.outputs import LOGITS, tensor_in
from seewhy.errors import ModelError, listed, nearest

Squash = Literal["", "sigmoid", "softmax"]
_SLACK = 1e-3  # beyond 0 and 1, that rounding and resizing make of probabilities
_KEPT = 16  # of the last calls of a pass
_SOFTMAX, _SIGMOID = ("softmax", "special_softmax"), ("sigmoid", "sigmoid_", "special_expit", "expit")
_RESHAPING = frozenset(
    ("squeeze", "unsqueeze", "flatten", "reshape", "view", "__getitem__", "select", "contiguous", "clone", "float",
     "double", "to", "type", "cpu", "detach", "view_as", "reshape_as", "movedim", "permute", "transpose")
)  # fmt: skip


class LastCalls(TorchFunctionMode):
    """The last torch functions that a pass calls, so that what made its result is known."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Tensor]] = deque(maxlen=_KEPT)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and keep the call."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self._calls.append((func, args, kwargs or {}, result))
        return result

    def maker(self, tensor: Tensor) -> tuple[str, Tensor | None, list[Callable[[Tensor], Tensor]]]:
        """The name of the function that made `tensor`, what it was given, and the calls from there to `tensor`.

        The first of these is that function, the rest are reshapings. ("", None, []) where that was not seen.
        """
        steps: list[Callable[[Tensor], Tensor]] = []
        for func, args, kwargs, result in reversed(self._calls):
            if result is not tensor:
                continue
            given = args[0] if args else kwargs.get("input")
            name = getattr(func, "__name__", "")
            steps.insert(0, _again(func, args, kwargs))
            if name in _RESHAPING and isinstance(given, Tensor):
                tensor = given
            else:
                return name, given if isinstance(given, Tensor) else None, steps
        return "", None, []

    def source(self, tensor: Tensor, names: Collection[str]) -> str:
        """The name of the nearest function behind `tensor` that is among `names`; "" where none was seen.

        Of tensors that are put together (stack, cat) the first is followed.
        """
        for func, args, kwargs, result in reversed(self._calls):
            if result is not tensor:
                continue
            name, given = getattr(func, "__name__", ""), args[0] if args else kwargs.get("input")
            if name in names:
                return name
            given = given[0] if isinstance(given, (list, tuple)) and given else given
            if not isinstance(given, Tensor):
                return ""
            tensor = given
        return ""

    def squashed(self, tensor: Tensor) -> tuple[str, str]:
        """The squashing function that `tensor` is computed from, each number from one, and the function that made it.

        ("", "") where another tensor comes in on the way, or none was seen.
        """
        last = ""
        for func, args, kwargs, result in reversed(self._calls):
            if result is not tensor:
                continue
            name = getattr(func, "__name__", "")
            last = last or ("" if name in _RESHAPING else name)
            if name in (*_SOFTMAX, *_SIGMOID, "logsigmoid", "log_sigmoid"):
                return name, last
            tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.ndim]
            if len(tensors) != 1 or tensors[0].numel() != result.numel():
                break
            tensor = tensors[0]
        return "", ""


@dataclass(frozen=True)
class Form:
    """How a network's output is read: `output` names one of several tensors, `squash` what made probabilities of it.

    With a `column` of logits (N, K) that one is read alone, as one logit (N, 1) of two classes of which the first is
    the column's: minus it.
    """

    output: tuple[str, ...] = ()
    squash: Squash = ""
    column: int | None = None

    def read(self, raw: Any, calls: LastCalls) -> Tensor:
        """The logits, or the tensor as it is where nothing squashed it.

        Raises ModelError where the output has no such part.
        """
        usual = None if self.output or self.column is None else tensor_in(raw, LOGITS)
        tensor = tensor_at(raw, self.output) if usual is None else usual
        logits = before(tensor, calls, self.squash) if self.squash else tensor
        return logits if self.column is None else -logits[:, [self.column]]

    def __str__(self) -> str:
        """As it stands among the options of a run."""
        output = f"output {'.'.join(self.output)}" if self.output else ""
        column = "" if self.column is None else f"minus column {self.column}"
        return ", ".join(filter(None, (output, self.squash and f"the logits before {self.squash}", column)))


AS_RETURNED = Form()
_NONE: OrderedDict[int, Any] = OrderedDict()
_formed: weakref.WeakKeyDictionary[nn.Module, dict[Form, nn.Module]] = weakref.WeakKeyDictionary()


def formed(model: nn.Module, form: Form) -> nn.Module:
    """The network as one whose forward returns what `form` reads; it shares all that the model holds.

    The model itself is returned where there is nothing to change, and is never touched.
    """
    if form == AS_RETURNED:
        return model
    twins = _formed.setdefault(model, {})
    if form not in twins:
        twins[form] = _twin(model, form)
    content, now = vars(twins[form]), {key: value for key, value in vars(model).items() if key != "forward"}
    now |= {
        "_forward_hooks": _NONE,
        "_hooks_before": tuple(
            (hook, number in model._forward_hooks_with_kwargs) for number, hook in model._forward_hooks.items()
        ),
    }  # they see what was returned
    if content.keys() != now.keys() or any(content[key] is not value for key, value in now.items()):
        content.clear()
        content.update(now)
    return twins[form]


def _twin(model: nn.Module, form: Form) -> nn.Module:
    kind = type(model)
    instance_forward = vars(model).get("forward")  # one that was set on the instance

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        with LastCalls() as calls:
            raw = instance_forward(*args, **kwargs) if instance_forward else kind.forward(self, *args, **kwargs)
            for hook, takes_kwargs in vars(self)["_hooks_before"]:
                changed = hook(self, args, kwargs, raw) if takes_kwargs else hook(self, args, raw)
                raw = raw if changed is None else changed
            return form.read(raw, calls)

    names = {"forward": forward, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    metaclass: Any = type(kind)
    twin: nn.Module = object.__new__(metaclass(kind.__name__, (kind,), names))
    return twin


def leaves(raw: Any) -> dict[tuple[str, ...], Tensor]:
    """Every tensor of floats in an output with the path to it: indices of tuples and lists, names of all else."""
    if isinstance(raw, Tensor):
        return {(): raw} if raw.is_floating_point() else {}
    return {(name, *path): tensor for name, part in _parts(raw).items() for path, tensor in leaves(part).items()}


def tensor_at(raw: Any, path: Sequence[str]) -> Tensor:
    """The tensor at a path, or the only one below it. Raises ModelError with what there is."""
    part = raw
    for name in path:
        parts = _parts(part)
        places = dict(zip(map(str, range(len(parts))), parts.values(), strict=True))
        part = parts.get(name, places.get(name))
    below = leaves(part)
    if len(below) != 1:
        there = [spelled(way, tensor) for way, tensor in leaves(raw).items()]
        asked = ".".join(path)
        near = nearest(asked, [".".join(way) for way in leaves(raw)])
        raise ModelError(
            f"The network's output has {'several tensors' if below else 'no tensor'} {asked!r}.  {near}".rstrip()
            + f"\n  It has: {listed(there, 8)}.",
            slug="no-such-output",
        )
    return next(iter(below.values()))


def spelled(path: Sequence[str], tensor: Tensor) -> str:
    """A tensor of an output in words: its name and its shape."""
    return f"{'.'.join(path) or 'the output'} of shape {tuple(tensor.shape)}"


def squash_seen(tensor: Tensor, calls: LastCalls) -> Squash:
    """The function that made probabilities of `tensor`'s logits, where the pass was seen to call it last.

    One column of a softmax is the sigmoid of its margin.
    """
    name, given, _ = calls.maker(tensor)
    if given is None or given.numel() != tensor.numel():
        return "sigmoid" if name in _SOFTMAX and tensor.ndim and tensor.numel() == len(tensor) else ""
    return "softmax" if name in _SOFTMAX else "sigmoid" if name in _SIGMOID else ""


def before(tensor: Tensor, calls: LastCalls, squash: Squash) -> Tensor:
    """The logits that `squash` was given; where that was not seen, the logarithms that lead to the same probabilities.

    Sigmoid is undone by the logit of a probability, softmax by its logarithm, each kept finite.
    """
    name, given, steps = calls.maker(tensor)
    names = _SOFTMAX if squash == "softmax" else _SIGMOID
    if name in names and name != "sigmoid_" and given is not None and given.numel() == tensor.numel():
        return _through(steps[1:], given)
    if name in _SOFTMAX and given is not None:  # a column of it, in more digits
        tensor = _through(steps, given.double())
    wide = tensor.float() if tensor.dtype != torch.float64 else tensor
    most = 1 + _SLACK if squash == "sigmoid" else torch.inf  # of a softmax, percent are as good
    if not bool(((wide >= -_SLACK) & (wide <= most) | wide.isnan()).all()):
        low, high = wide.detach().aminmax()
        raise ModelError(
            f"The network's output is read as probabilities of a {squash}, and goes from {float(low):.3g} to "
            f"{float(high):.3g} here.\n  Where it gives logits, say so:  --output-form logits",
            slug="output-form",
        )
    limits = torch.finfo(wide.dtype)
    return wide.logit(limits.eps) if squash == "sigmoid" else wide.clamp(min=limits.tiny).log()


def _through(steps: Sequence[Callable[[Tensor], Tensor]], tensor: Tensor) -> Tensor:
    for step in steps:
        tensor = step(tensor)
    return tensor


def _again(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    if args:
        return lambda tensor: func(tensor, *args[1:], **kwargs)
    return lambda tensor: func(**{**kwargs, "input": tensor})


def _parts(raw: Any) -> Mapping[str, Any]:
    if isinstance(raw, Mapping):
        return {str(name): part for name, part in raw.items()}
    if isinstance(raw, tuple) and hasattr(raw, "_fields"):
        return dict(zip(raw._fields, raw, strict=True))
    if isinstance(raw, (tuple, list)):
        return {str(index): part for index, part in enumerate(raw)}
    return {} if isinstance(raw, Tensor) else dict(getattr(raw, "__dict__", {}))
