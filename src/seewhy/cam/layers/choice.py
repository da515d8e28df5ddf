"""Which layers have a grid, and which one to explain by default."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall, capture
from seewhy.cam.grid import Grid
from seewhy.cam.layers.calls import trace as trace
from seewhy.cam.layers.inferred import Call as Call
from seewhy.cam.model import untouched
from seewhy.cam.scores.outputs import Embedding
from seewhy.errors import LayerError, ModelError

_AT_ONCE = 12  # candidates that share one probing pass


@dataclass(frozen=True)
class Candidate:
    """A layer that can be explained: its grid (C, H, W) for the traced input, how often it runs, how it is seen."""

    name: str
    kind: str
    grid: tuple[int, int, int]
    runs: int
    seen: Grid | None = None


@dataclass(frozen=True)
class Choice:
    """The default layer and method for a network, why, and how the layer is seen (None: as it is)."""

    layer: str
    method: str
    reason: str
    grid: Grid | None = None


def candidates(calls: Sequence[Call]) -> list[Candidate]:
    """The layers that have a grid, in the order in which they last finish."""
    runs = Counter(call.name for call in calls)
    last: dict[str, Call] = {}
    for call in calls:
        last.pop(call.name, None)  # so that the dict's order is that of the last runs
        last[call.name] = call
    return [
        Candidate(call.name, call.kind, _sizes(call.shape, call.grid), runs[call.name], call.grid)
        for call in last.values()
        if call.grid is not None
    ]


def choose_layer(model: nn.Module, inputs: Tensor, calls: Sequence[Call]) -> Choice:
    """The last layer whose places have a gradient, and the method that its head asks for.

    `calls` is the trace of the model over `inputs` (N, C, H, W). A layer counts when it is no pooling, and has
    parameters or keeps its input's shape (an activation); one that runs once, and is no dropout and no projection of
    tokens, comes first. Of a block and its last part the block is taken. One backward pass of a mixture of all outputs
    says which layers serve: behind the last attention over a class token, places have no gradient. HiResCAM where a
    head flattens the grid into one linear layer, Grad-CAM otherwise. Raises LayerError that says why no layer serves.
    """
    eligible = _eligible(calls)
    if not eligible:
        raise LayerError(_without_grid(calls), slug="layer-without-grid")
    for start in range(0, len(eligible), _AT_ONCE):
        group = eligible[start : start + _AT_ONCE]
        serving = _serving(model, inputs, [calls[place] for place in group])
        for place in group:
            if calls[place].name in serving:
                return _choice(calls, place, passed_over=place != eligible[0])
    names = f"{calls[eligible[-1]].name} to {calls[eligible[0]].name}"
    raise LayerError(
        f"No gradient reaches the places of any layer with a grid ({names}): the output does not depend on them, or "
        "every map is constant.\n  Name a layer:  --layers NAME   See them:  seewhy layers --model …",
        slug="no-gradient",
    )


def choose(calls: Sequence[Call]) -> Choice:
    """As `choose_layer`, without a probe: the last layer that counts. Raises LayerError where none has a grid."""
    eligible = _eligible(calls)
    if not eligible:
        raise LayerError(_without_grid(calls), slug="layer-without-grid")
    return _choice(calls, eligible[0], passed_over=False)


def _eligible(calls: Sequence[Call]) -> list[int]:
    """The places of the calls that can be explained by default, the last first.

    Behind all others those that nobody would name where there is a choice: modules that run several times (their last
    run), dropout and identities, projections of tokens.
    """
    runs = Counter(call.name for call in calls)
    last = {call.name: place for place, call in enumerate(calls)}
    preferred: list[int] = []
    others: list[int] = []
    for place in sorted(last.values(), reverse=True):
        call = calls[place]
        if call.grid is None or call.is_pool or not call.can_capture:
            continue
        if call.has_parameters or call.input_shape == call.shape:
            projects = call.is_linear and call.grid.layout != "channels-first"
            (others if projects or call.hands_on or runs[call.name] > 1 else preferred).append(place)
    return preferred + others


def _serving(model: nn.Module, inputs: Tensor, group: Sequence[Call]) -> set[str]:
    """The names of the calls whose places have gradients that give a map which is not constant."""
    layers = [LayerCall(call.name, f"model.{call.name}", grid=call.grid) for call in group]
    try:
        with untouched(model), capture(Embedding(model), inputs, layers) as captured:
            score = mixture(captured.logits)
            raws = list(captured.activations.values())
            gradients = torch.autograd.grad(score, raws, allow_unused=True)
    except LayerError:
        raise
    except ModelError:  # the network detaches what it computes behind all of these
        return set()
    return {
        call.name
        for call, raw, gradient in zip(group, raws, gradients, strict=True)
        if call.grid is not None and gradient is not None and _serves(call.grid.view(raw), call.grid.view(gradient))
    }


def _serves(activation: Tensor, gradient: Tensor) -> bool:
    """Whether gradients on the places are finite and Grad-CAM or HiResCAM varies over them, rounding aside."""
    if not gradient.isfinite().all() or not (gradient != 0).any():
        return False
    weights = gradient.float().mean(dim=(2, 3), keepdim=True)
    maps = ((weights * activation).sum(1), (gradient.float() * activation).sum(1))
    return any(
        bool(values.isfinite().all() and values.amax() - values.amin() > 1e-5 * values.abs().amax()) for values in maps
    )


def mixture(outputs: Tensor) -> Tensor:
    """One number that depends on every output (N, K), linearly: a squared norm is constant behind a layer norm."""
    return (outputs * torch.arange(outputs.shape[1], device=outputs.device).cos()).sum()


def _choice(calls: Sequence[Call], place: int, *, passed_over: bool) -> Choice:
    call, grid = calls[place], calls[place].grid
    layer = f"{call.name} is the last layer with a grid ({grid})"
    if passed_over:
        layer = f"{call.name} is the last layer whose places ({grid}) have a gradient"
    flattened = _flattened(calls, place)
    if flattened:
        reason = f"HiResCAM, since {flattened} reads every place by itself, and Grad-CAM would average that away"
        return Choice(call.name, "hirescam", f"{layer}; {reason}", grid)
    special = passed_over and grid is not None and grid.skipped > 0
    reason = "its head reads special tokens alone" if special else _head(calls, place)
    return Choice(call.name, "grad-cam", f"{layer}; Grad-CAM, since {reason}", grid)


def _sizes(shape: tuple[int, ...], grid: Grid) -> tuple[int, int, int]:
    return shape[grid.channel_axis], grid.height, grid.width


def _without_grid(calls: Sequence[Call]) -> str:
    if not calls:
        return (
            "The network runs no module of its own: what it runs is hidden in a list, a function or a plain attribute."
            "\n  Register the inner one, as in  self.model = model , or explain that one."
        )
    tokens = [call for call in calls if len(call.shape) == 3 and call.axis == 2 and not call.is_linear]
    if tokens and (last := tokens[-1]).shape[1] > 3:
        return (
            f"No layer of this network has a grid of features that can be inferred: {last.name} gives {last.shape}.\n"
            f"  If its tokens are places, name it and them:  --layers {last.name} --grid HEIGHTxWIDTH"
        )
    if tokens:
        return (
            f"No layer of this network has a grid of features: {tokens[-1].name} gives {tokens[-1].shape}, in which no "
            "spatial tokens are left after the special ones.\n  Feed it larger images:  --size 224"
        )
    return (
        "No layer of this network has a grid of features (N, C, H, W) with more than one place: nothing to map.\n"
        "  See what runs:  seewhy layers --model …"
    )


def _flattened(calls: Sequence[Call], place: int) -> str:
    """The name of the linear layer that reads the flattened grid of calls[place], or ""."""
    channels, cells, width, name = _read_behind(calls, place)
    # At least four places: a concatenated average and maximum pool doubles the channels too.
    reads = width % channels == 0 and width // channels >= 4 if channels > 1 else width == cells
    return name if name and cells > 1 and reads else ""


def _head(calls: Sequence[Call], place: int) -> str:
    """What the head does with the places of calls[place], as far as its modules show."""
    if any(call.is_pool and math.prod(call.shape[2:]) == 1 for call in calls[place:]):
        return "its head pools over the places"
    channels, _, width, name = _read_behind(calls, place)
    if name and channels > 1 and width % channels == 0:
        return f"{name} reads one number of each channel"
    return "no linear layer is seen that reads every place by itself"


def _read_behind(calls: Sequence[Call], place: int) -> tuple[int, int, int, str]:
    """The channels and cells of calls[place], pooled or not; and what the linear layer behind reads, with its name."""
    channels, cells = 1, 0
    for call in calls[place:]:
        if call.grid is not None:
            seen, places = call.shape[call.grid.channel_axis], call.grid.height * call.grid.width
        elif len(call.shape) in (4, 5):
            seen, places = call.shape[1], math.prod(call.shape[2:])
        elif call.is_linear and len(call.input_shape) == 2:
            return channels, cells, call.input_shape[1], call.name
        else:
            continue
        if not cells or seen == channels:  # another width is a branch of its own
            channels, cells = seen, places
    return channels, cells, 0, ""
