"""Which layers run, with their grids, and which one to explain by default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import pooling

from seewhy.cam.capture import logits_of, untouched
from seewhy.errors import LayerError, ModelError, SeewhyError

_POOLS = (
    pooling._AvgPoolNd,
    pooling._MaxPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
    pooling._LPPoolNd,
)
SIZES: tuple[int, ...] = (224, 256, 128, 64, 32, 28, 96, 112, 160, 192, 299, 384, 48, 512)


@dataclass(frozen=True)
class Call:
    """One run of one module, in the order in which they finish; `same_as_input` marks a grid-keeping layer."""

    name: str
    kind: str
    input_shape: tuple[int, ...]
    shape: tuple[int, ...]
    has_parameters: bool
    is_pool: bool
    is_linear: bool

    @property
    def is_grid(self) -> bool:
        """Whether the output is (1, C, H, W) with more than one place in both directions."""
        return len(self.shape) == 4 and min(self.shape[2:]) > 1


@dataclass(frozen=True)
class Candidate:
    """A layer that can be explained: its grid (C, H, W) for the traced input and how often it runs."""

    name: str
    kind: str
    grid: tuple[int, int, int]
    runs: int


@dataclass(frozen=True)
class Choice:
    """The default layer and method for a network, and why."""

    layer: str
    method: str
    reason: str


def trace(model: nn.Module, inputs: Tensor) -> list[Call]:
    """Every module call of one forward pass over `inputs` (1, C, H, W), in the order in which they finish."""
    calls: list[Call] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            first = output[0] if isinstance(output, (tuple, list)) and output else output
            if isinstance(first, Tensor):
                given = next((tuple(arg.shape) for arg in args if isinstance(arg, Tensor)), ())
                has_parameters = next(module.parameters(), None) is not None
                kind = type(module).__name__
                pool, linear = isinstance(module, _POOLS), isinstance(module, nn.Linear)
                calls.append(Call(name, kind, given, tuple(first.shape), has_parameters, pool, linear))

        return note

    with untouched(model), torch.inference_mode(False), torch.no_grad():
        handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
        try:
            logits_of(model(inputs), len(inputs))
        finally:
            for handle in handles:
                handle.remove()
    return calls


def candidates(calls: Sequence[Call]) -> list[Candidate]:
    """The layers that have a grid, in the order in which they last finish."""
    runs = Counter(call.name for call in calls)
    last: dict[str, Call] = {}
    for call in calls:
        last.pop(call.name, None)  # so that the dict's order is that of the last runs
        last[call.name] = call
    return [
        Candidate(call.name, call.kind, (call.shape[1], call.shape[2], call.shape[3]), runs[call.name])
        for call in last.values()
        if call.is_grid
    ]


def choose(calls: Sequence[Call]) -> Choice:
    """The last layer with a grid, and the method that its head asks for. Raises LayerError where none has one.

    A layer counts when it runs once, is no pooling, and has parameters or keeps its input's shape (an activation). Of
    a block and its last part the block is taken. HiResCAM where a head flattens the grid into one linear layer, so
    that averaging gradients over places would discard where the evidence lies; Grad-CAM otherwise.
    """
    runs = Counter(call.name for call in calls)
    for place in range(len(calls) - 1, -1, -1):
        call = calls[place]
        keeps_shape = call.has_parameters or call.input_shape == call.shape
        if call.is_grid and runs[call.name] == 1 and not call.is_pool and keeps_shape:
            flattened = _flattened(calls, place)
            grid = f"{call.shape[2]} x {call.shape[3]}"
            why = f"the last layer with a grid ({grid})"
            if flattened:
                reason = f"{flattened} reads every place by itself, and Grad-CAM would average that away"
                return Choice(call.name, "hirescam", f"{call.name} is {why}; HiResCAM, since {reason}")
            return Choice(
                call.name, "grad-cam", f"{call.name} is {why}; Grad-CAM, since its head pools over the places"
            )
    raise LayerError(
        "No layer of this network has a grid of features (N, C, H, W) with more than one place: nothing to map.\n"
        "  See what runs:  seewhy layers --model …",
        slug="layer-without-grid",
    )


def fitting_size(model: nn.Module, channels: int) -> int | None:
    """The first usual square input size in pixels at which the network runs, or None."""
    parameter = next(model.parameters(), torch.zeros(()))
    sizes: list[int] = [*SIZES, *range(16, 513, 16)]
    for size in sizes:
        inputs = torch.zeros(1, channels, size, size, device=parameter.device, dtype=parameter.dtype)
        try:
            with untouched(model), torch.inference_mode(False), torch.no_grad():
                logits_of(model(inputs), 1)
        except SeewhyError:
            return None
        except (RuntimeError, ValueError, AssertionError):
            continue
        return size
    return None


def input_channels(model: nn.Module) -> int:
    """How many channels the first convolution reads; 3 where there is none."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def size_error(model: nn.Module, shape: Sequence[int], cause: Exception) -> ModelError:
    """The error for a network that cannot take `shape` (N, C, H, W): it names the channels or the size that fits."""
    said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    wanted = input_channels(model)
    what = f"{type(model).__name__} cannot take input of shape {tuple(shape)}: {said}"
    if wanted != shape[1]:
        advice = "grey" if wanted == 1 else "rgb"
        return ModelError(
            f"{what}\n  Its first convolution reads {wanted} channels:  --channels {advice}", slug="input-size"
        )
    size = fitting_size(model, wanted)
    if size is None or size == shape[2] == shape[3]:
        return ModelError(f"{what}\n  No usual square size from 16 to 512 fits.", slug="input-size")
    return ModelError(f"{what}\n  A size that fits:  --size {size}", slug="input-size")


def _flattened(calls: Sequence[Call], place: int) -> str:
    """The name of the linear layer that reads the flattened grid of calls[place], or ""."""
    channels, cells = 0, 0
    for call in calls[place:]:
        if len(call.shape) == 4:
            channels, cells = call.shape[1], call.shape[2] * call.shape[3]
        elif call.is_linear and len(call.input_shape) == 2:
            width = call.input_shape[1]
            # At least four places: a concatenated average and maximum pool doubles the channels too.
            read = cells > 1 and width % channels == 0 and width // channels >= 4
            return call.name if read else ""
    return ""
