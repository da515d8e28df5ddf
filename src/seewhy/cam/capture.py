"""Activations and logits of chosen layers from one forward pass, leaving the model as it was found."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from seewhy.cam.grid import Grid
from seewhy.cam.model import as_input, run, untouched
from seewhy.cam.scores.outputs import Output, read_output
from seewhy.errors import LayerError, ModelError, listed, nearest
from seewhy.records import Task


class Answer(Protocol):
    """What a network gave for a batch, as it is read."""

    @property
    def differentiable(self) -> bool:
        """Whether a gradient can be taken of it."""


A = TypeVar("A", bound=Answer)

# How many copies models need that change an activation in place: of what is handed on, and of what is kept, too.
_overwriting: weakref.WeakKeyDictionary[nn.Module, int] = weakref.WeakKeyDictionary()
_MOST_COPIES = 2


@dataclass(frozen=True)
class LayerCall:
    """A layer as it was asked for: module `name`, which of its calls (1-based; None is the last), and how it is seen.

    `grid` None is an output (N, C, H, W), seen as it is.
    """

    asked: str
    name: str
    call: int | None = None
    grid: Grid | None = None


@dataclass
class Watched(Generic[A]):
    """The output with a graph back to the activations, by layer as asked; `calls` counts each layer's runs.

    `inputs` are what the model was given: on its device, in its type.
    """

    inputs: Tensor
    output: A
    activations: dict[str, Tensor]
    calls: dict[str, int]


@dataclass
class Captured(Watched[Output]):
    """What `capture` gives: the output as its task reads it."""

    @property
    def logits(self) -> Tensor:
        """The numbers (N, K) kept of each image."""
        return self.output.logits


def find_layer(model: nn.Module, asked: str) -> LayerCall:
    """The layer `asked` for by dotted name; `name@2` names the second call of a module that runs several times.

    A module with several names has its first one in what is given back. Raises LayerError with the nearest names.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    name, at, call = asked.rpartition("@")
    if not at:
        name, call = asked, ""
    if name in modules and name and (call.isdigit() or not at):
        first = next(first for first, module in modules.items() if module is modules[name])
        return LayerCall(asked, first, int(call) if call else None)
    names = list(filter(None, modules))
    said = f"{type(model).__name__} has no layer {asked!r}.  {nearest(name, names)}".rstrip()
    raise LayerError(f"{said}\n{_layers_in_words(modules, names)}", slug="no-such-layer")


def _layers_in_words(modules: Mapping[str, nn.Module], names: Sequence[str]) -> str:
    """The layers by name, one of them as it is typed (the last convolution), and what lists them all."""
    if not names:
        return "  It has no layers at all: what it does lies in its forward alone."
    example = next((name for name in reversed(names) if isinstance(modules[name], nn.Conv2d)), names[-1])
    return (
        f"  Layers: {listed(names, 12)}.\n  Type one of them:  --layers {example}\n"
        "  See all that have a grid:  seewhy layers (with the same --model and --weights)"
    )


@contextlib.contextmanager
def capture(
    model: nn.Module,
    inputs: Tensor,
    layers: Sequence[LayerCall],
    *,
    task: Task = "classification",
    graph: bool = True,
) -> Iterator[Captured]:
    """One forward pass; inside the context gradients of the output with respect to the activations can be taken.

    The pass runs without a graph until the first layer fires, whose output becomes a fresh leaf. Where an in-place
    operation would overwrite what was captured, the network goes on with a copy. No parameter gets a gradient.
    Without `graph` there are activations alone. Raises LayerError for a layer that never runs or whose output is not a
    grid, ModelError where no gradient reaches the layers.
    """

    def read(raw: Any) -> Output:
        return read_output(raw, len(inputs), task)

    with watch(model, inputs, layers, read, graph=graph) as seen:
        yield Captured(seen.inputs, seen.output, seen.activations, seen.calls)


@contextlib.contextmanager
def watch(
    model: nn.Module, inputs: Tensor, layers: Sequence[LayerCall], read: Callable[[Any], A], *, graph: bool = True
) -> Iterator[Watched[A]]:
    """As `capture`, for a network whose output `read` reads, whatever it is."""
    inputs = as_input(model, inputs)
    with untouched(model), torch.inference_mode(False):
        # A model that detaches what it computed (a backbone under its own no_grad) needs gradients from the start.
        for from_the_start in (False, True) if graph else (False,):
            recorder, output = _recorded(model, inputs, _Recorder(layers, graph), read, from_the_start)
            if not graph or (output.differentiable and (from_the_start or not recorder.interrupted)):
                break
        else:
            raise ModelError(
                f"No gradient reaches {', '.join(layer.asked for layer in layers)}: the network detaches its own "
                "computation (torch.inference_mode, .detach() or .data in its forward).\n"
                "  Name a layer behind that point (seewhy layers --model …), or a method that needs no gradient:  "
                "--method eigen-cam",
                slug="no-gradient",
            )
        with torch.set_grad_enabled(graph):
            yield Watched(inputs, output, recorder.activations(), recorder.runs())


def gradients(values: Tensor, activations: dict[str, Tensor], *, retain: bool = False) -> dict[str, Tensor]:
    """The derivative of sum(values) with respect to each activation, by layer, and of nothing else.

    `retain` keeps the graph for a further score. Raises LayerError for a layer that the values do not depend on.
    """
    if not activations:
        return {}
    if not values.requires_grad:
        derivatives: tuple[Tensor | None, ...] = (None,) * len(activations)
    else:
        derivatives = torch.autograd.grad(
            values.sum(), list(activations.values()), allow_unused=True, retain_graph=retain
        )
    slopes = {}
    for layer, gradient in zip(activations, derivatives, strict=True):
        if gradient is None:
            raise LayerError(
                f"The score does not depend on layer {layer!r}: no gradient reaches it.\n"
                "  Choose another layer:  seewhy layers --model …; of one that runs several times another run, as "
                f"{layer.partition('@')[0]}@1; inside a checkpoint:  use_reentrant=False",
                slug="no-gradient",
            )
        slopes[layer] = gradient
    return slopes


def _recorded(
    model: nn.Module, inputs: Tensor, recorder: _Recorder, read: Callable[[Any], A], from_the_start: bool
) -> tuple[_Recorder, A]:
    """One pass with its recorder and output; again with more copies where the model overwrites what was captured."""
    recorder.copies = _overwriting.get(model, 0)
    try:
        with torch.set_grad_enabled(from_the_start), recorder.attached(model):
            output = read(run(model, inputs))
        overwritten = recorder.overwritten()
    except RuntimeError as error:
        if recorder.copies or "in-place" not in str(error):
            raise
        overwritten = True
    if overwritten and recorder.copies < _MOST_COPIES:
        _overwriting[model] = recorder.copies + 1
        return _recorded(model, inputs, _Recorder(recorder.layers, recorder.graph), read, from_the_start)
    recorder.check(model)
    return recorder, output


@dataclass
class _Recorder:
    """Forward hooks on the asked layers, for one pass of one thread.

    With `copies` 1 the network goes on with a copy of what is kept; with 2 what is kept is a copy, too, so that what
    the layer's output is a view of can be overwritten.
    """

    layers: Sequence[LayerCall]
    graph: bool = True
    copies: int = 0
    owner: int = field(default_factory=threading.get_ident)
    counts: Counter[str] = field(default_factory=Counter)
    kept: dict[str, Tensor] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False  # whether the model itself ended the graph between two of the layers

    @contextlib.contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        handles = [
            model.get_submodule(name).register_forward_hook(self._hook(name))
            for name in dict.fromkeys(layer.name for layer in self.layers)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Any:
        def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if threading.get_ident() != self.owner:  # someone else's forward pass on a shared module
                return None
            self.counts[name] += 1
            asked = [
                layer.asked for layer in self.layers if layer.name == name and layer.call in (None, self.counts[name])
            ]
            if not asked:
                return None
            activation = _first_tensor(output, asked[0])
            self.interrupted |= bool(self.kept) and not torch.is_grad_enabled()
            torch.set_grad_enabled(self.graph)
            if activation.is_inference():  # of the model's own inference_mode, in which no graph can hold it
                with torch.inference_mode(False):
                    activation = activation.clone()
            if not activation.requires_grad:
                activation = activation.detach()
                # An identity or an in-place layer hands its input on: what is upstream could still overwrite it.
                hands_on = any(isinstance(arg, Tensor) and arg.data_ptr() == activation.data_ptr() for arg in args)
                if hands_on or self.copies == _MOST_COPIES:
                    activation = activation.clone()
                activation.requires_grad_(self.graph)
            elif self.copies == _MOST_COPIES:
                activation = activation.clone()
            self.kept.update(dict.fromkeys(asked, activation))
            self.versions.update(dict.fromkeys(asked, activation._version))
            return _replace_first(output, activation.clone() if self.copies else activation)

        return record

    def check(self, model: nn.Module) -> None:
        for layer in self.layers:
            if layer.asked not in self.kept:
                runs = self.counts[layer.name]
                what = (
                    f"runs {runs} times, so it has no call {layer.call}" if runs else "never runs in the forward pass"
                )
                raise LayerError(
                    f"Layer {layer.asked!r} of {type(model).__name__} {what}.\n"
                    "  See the layers that run, with their grids:  seewhy layers --model …",
                    slug="layer-never-runs",
                )
            shape = tuple(self.kept[layer.asked].shape)
            if layer.grid is None and len(shape) != 4:
                raise LayerError(
                    f"Layer {layer.asked!r} gives shape {shape}, where a grid of features (N, C, H, W) is needed.\n"
                    "  See the layers that have a grid:  seewhy layers --model …",
                    slug="layer-without-grid",
                )

    def overwritten(self) -> bool:
        """Whether an in-place operation changed an activation after it was captured."""
        return any(self.kept[layer]._version != version for layer, version in self.versions.items())

    def activations(self) -> dict[str, Tensor]:
        for kept in self.kept.values() if self.graph else ():
            if not kept.requires_grad:  # cut off by detach_ or a checkpoint: nothing depends on it, as autograd says
                kept.requires_grad_()
        return {layer.asked: self.kept[layer.asked] for layer in self.layers}

    def runs(self) -> dict[str, int]:
        return {layer.asked: self.counts[layer.name] for layer in self.layers}


def _first_tensor(output: Any, layer: str) -> Tensor:
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    if isinstance(first, Tensor) and first.is_floating_point():
        return first
    raise LayerError(
        f"Layer {layer!r} gives {type(output).__name__}, where a tensor of floats is needed.\n"
        "  Choose a layer inside it:  seewhy layers --model …",
        slug="layer-without-grid",
    )


def _replace_first(output: Any, tensor: Tensor) -> Any:
    if isinstance(output, tuple):
        return (tensor, *output[1:])
    if isinstance(output, list):
        return [tensor, *output[1:]]
    return tensor
