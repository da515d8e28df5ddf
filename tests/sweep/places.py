"""One model of the sweep: is the default layer's map finite, not constant, and on the right grid?"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seewhy.cam.grid import Grid
from seewhy.cam.layers.choice import Choice
from seewhy.errors import SeewhyError
from seewhy.explanation.explain import run_in_memory
from seewhy.run.plan import make_plan

_ASKED = ((0.2, 0.3), (0.3, 0.85), (0.5, 0.5), (0.75, 0.1), (0.85, 0.7))  # down and across, in shares of the grid


LITTLE = 1e-3  # of a picture's spread: little, lest a deep network of random weights answers everywhere


class Places(NamedTuple):
    """In how many of five places the largest change is just there, or at most one beside; how its centre follows."""

    exact: int
    near: int
    follows: float

    @property
    def are_right(self) -> bool:
        """Whether four of the five are near, or, where a network spreads every change, its centre follows."""
        return self.near >= 4 or self.follows > 0.9


ELSEWHERE = "its places are elsewhere"
_NONE = Places(0, 0, 0.0)


@dataclass(frozen=True)
class Row:
    """What the sweep found for one model; `reason` is empty where it passed."""

    library: str
    model: str
    size: str
    layer: str = ""
    grid: Grid | None = None
    method: str = ""
    places: Places = _NONE
    seconds: float = 0.0
    reason: str = ""


def explained(model: nn.Module, inputs: Tensor) -> tuple[Choice, Tensor]:
    """What is chosen with nothing named, and the raw map (h, w): the whole road of `seewhy.explain`."""
    plan = make_plan(model, inputs)
    found = run_in_memory(plan, progress=lambda done, total: None)
    (layer,), (method,) = plan.layers, plan.methods
    maps = found.maps
    assert not isinstance(maps, dict)
    return Choice(layer.name, method, "", layer.grid), torch.from_numpy(maps)[0]


def is_constant(found: Tensor) -> bool:
    """Whether a map differs between places by no more than rounding."""
    return bool(found.amax() - found.amin() <= 1e-4 * found.abs().amax())


@torch.no_grad()
def right_places(model: nn.Module, inputs: Tensor, choice: Choice, *, strength: float = LITTLE) -> Places:
    """Where the layer's own output changes when pixels change; it knows nothing of how the grid was inferred.

    Changes are measured as they are, and in shares of that of a picture that is changed everywhere, since some places
    answer more than others; the better of the two counts.
    """
    grid = choice.grid
    assert grid is not None
    asked = [(int(grid.height * down), int(grid.width * across)) for down, across in _ASKED]
    before = _features(model, inputs, choice)
    everywhere = (
        (_features(model, _changed(inputs, (slice(None), slice(None)), strength), choice) - before).abs().sum((0, 1))
    )
    changes = []
    for row, column in asked:
        pixels = _pixels(row, inputs.shape[2], grid.height), _pixels(column, inputs.shape[3], grid.width)
        changes.append((_features(model, _changed(inputs, pixels, strength), choice) - before).abs().sum((0, 1)))
    changed = torch.stack(changes)  # (5, h, w)
    shares = changed / everywhere.clamp_min(1e-30)
    hits = max(_hits(changed, asked), _hits(shares, asked))
    return Places(*hits, _follows(shares, asked))


def _hits(changes: Tensor, asked: list[tuple[int, int]]) -> tuple[int, int]:
    exact = near = 0
    for change, (row, column) in zip(changes, asked, strict=True):
        found = divmod(int(change.argmax()), change.shape[1])
        away = max(abs(found[0] - row), abs(found[1] - column))
        exact, near = exact + (away == 0), near + (away <= 1)
    return exact, near


def _follows(changes: Tensor, asked: list[tuple[int, int]]) -> float:
    """How the centre of the change follows the place, down and across: the smaller of two correlations."""
    weights = changes - changes.amin((1, 2), keepdim=True)
    weights = weights / weights.sum((1, 2), keepdim=True).clamp_min(1e-30)
    rows = (weights.sum(2) * torch.arange(changes.shape[1])).sum(1)
    columns = (weights.sum(1) * torch.arange(changes.shape[2])).sum(1)
    wanted = torch.tensor(asked, dtype=torch.float32).T
    pairs = ((rows, wanted[0]), (columns, wanted[1]))
    return min(float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs)


def _pixels(place: int, length: int, places: int) -> slice:
    """The rows or columns of the input where a place looks."""
    start = round(place * length / places)
    return slice(start, max(round((place + 1) * length / places), start + 1))


def _changed(inputs: Tensor, pixels: tuple[slice, slice], strength: float) -> Tensor:
    """The picture, different where these pixels are."""
    changed = inputs.clone()
    patch = changed[:, :, *pixels]
    patch += torch.randn(patch.shape, generator=torch.Generator().manual_seed(2)) * strength
    return changed


def _features(model: nn.Module, inputs: Tensor, choice: Choice) -> Tensor:
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        raw = output if isinstance(output, Tensor) else output[0]
        assert choice.grid is not None
        kept.append(choice.grid.view(raw).float().clone())

    handle = model.get_submodule(choice.layer).register_forward_hook(keep)
    try:
        model(inputs)
    finally:
        handle.remove()
    return kept[-1]


def examine(model: nn.Module, inputs: Tensor, row: Row, *, strength: float = LITTLE) -> Row:
    """The row filled in: what was chosen and found, or the reason why it failed."""
    began = time.perf_counter()
    try:
        choice, found = explained(model, inputs)
    except (SeewhyError, RuntimeError) as error:
        return replace(row, reason=f"{type(error).__name__}: {error}".splitlines()[0])
    seconds = time.perf_counter() - began
    places = right_places(model, inputs, choice, strength=strength)
    reason = ""
    if not found.isfinite().all():
        reason = "its map is not finite"
    elif is_constant(found):
        reason = "its map is constant"
    elif not places.are_right:
        reason = ELSEWHERE
    return Row(row.library, row.model, row.size, choice.layer, choice.grid, choice.method, places, seconds, reason)
