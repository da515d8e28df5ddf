"""Where the places stand among a transformer's tokens: behind the special ones, before them, or between."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seewhy.cam.grid import Grid
from seewhy.cam.layers.inferred import Call
from seewhy.cam.model import untouched
from seewhy.cam.scores.outputs import first_tensor

_CLEAR = 0.5  # of the usual order's distance, which another one has to be below
_FAR = 0.2  # of the diagonal, beyond which a change that shows in few tokens is not where it was made


class _AllSeenError(Exception):
    """Ends a pass of which no more is needed."""


@dataclass(frozen=True)
class _Order:
    """`skipped` special tokens in front of the places, which follow row by row, column by column, or otherwise."""

    skipped: int
    by: Literal["rows", "columns", "windows"] = "rows"


def with_token_order(model: nn.Module, inputs: Tensor, calls: Sequence[Call]) -> list[Call]:
    """The calls with grids whose places stand where a change of that part of the image (1, C, H, W) shows.

    Asked is the first call that gives so many tokens, where attention has mixed them least: one pass over four images,
    that ends there. Without a clear answer special tokens stand in front. Tokens not in rows have no grid.
    """
    first: dict[tuple[int, Grid], int] = {}
    for number, call in enumerate(calls):
        if call.grid is not None and call.grid.layout == "tokens":
            first.setdefault((call.shape[1], call.grid), number)
    if not first or inputs.ndim != 4:
        return list(calls)
    seen = {key: _changes(model, inputs, calls, number, key[1]) for key, number in first.items()}
    orders = {key: _order_of(changes, key[1]) for key, changes in seen.items() if changes is not None}
    return [_in_order(call, orders.get((call.shape[1], call.grid))) if call.grid else call for call in calls]


def _in_order(call: Call, order: _Order | None) -> Call:
    if order is None or call.grid is None or call.grid.layout != "tokens":
        return call
    return replace(call, grid=replace(call.grid, skipped=order.skipped) if order.by == "rows" else None)


def _changes(model: nn.Module, inputs: Tensor, calls: Sequence[Call], number: int, grid: Grid) -> Tensor | None:
    """How far each token (P, T) of a call changes with the part of the image at each of `_places`; None: not told."""
    name = calls[number].name
    run = sum(call.name == name for call in calls[: number + 1])
    given: list[Tensor] = []
    thread, count = threading.get_ident(), 0

    def note(module: nn.Module, args: Any, output: Any) -> None:
        nonlocal count
        if threading.get_ident() != thread:
            return
        count += 1
        if count == run and (tokens := first_tensor(output)) is not None:
            given.append(tokens.detach().clone())
            raise _AllSeenError

    with untouched(model), torch.inference_mode(False), torch.no_grad():
        handle = model.get_submodule(name).register_forward_hook(note)
        try:
            model(_with_parts_changed(inputs, grid))
        except _AllSeenError:
            pass
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):  # it takes one image alone
            return None
        finally:
            handle.remove()
    count_of_images = 1 + len(_places(grid))
    if not given or given[0].ndim != 3 or len(given[0]) != count_of_images:
        return None
    tokens = given[0].float()
    changes = (tokens[1:] - tokens[:1]).abs().mean(dim=2)
    return changes if bool(changes.isfinite().all()) and bool((changes.sum(dim=1) > 0).all()) else None


def _places(grid: Grid) -> list[tuple[int, int]]:
    """Places (row, column) whose numbers are others where tokens do not go row by row, or begin somewhere else."""
    bottom, right = grid.height - 1, grid.width - 1
    return [(0, 0), (0, right), (grid.height // 3, 2 * grid.width // 3), (bottom, 0), (bottom, right)]


def _with_parts_changed(inputs: Tensor, grid: Grid) -> Tensor:
    """The image, and for each of the places a copy with noise on the part of it that lies there."""
    height, width = inputs.shape[2:]
    copies = inputs[:1].repeat(1 + len(_places(grid)), 1, 1, 1)
    noise = torch.randn(inputs.shape[1:], generator=torch.Generator().manual_seed(0)).to(inputs)
    for number, (row, column) in enumerate(_places(grid), start=1):
        rows = slice(row * height // grid.height, (row + 1) * height // grid.height)
        columns = slice(column * width // grid.width, (column + 1) * width // grid.width)
        copies[number, :, rows, columns] += noise[:, rows, columns]
    return copies


def _order_of(changes: Tensor, grid: Grid) -> _Order:
    """The order in which changes (P, T) lie nearest to the places changed: the usual one unless clearly not."""
    usual = _Order(grid.skipped)
    distances = {order: _distance(changes, grid, order) for order in _orders(changes.shape[1], grid)}
    best = min(distances, key=lambda order: distances[order])
    if distances[best] < _CLEAR * distances[usual]:
        return best
    is_local = bool((changes.amax(dim=1) > 0.5 * changes.sum(dim=1)).all())
    return replace(usual, by="windows") if is_local and distances[usual] > _FAR else usual


def _orders(n_tokens: int, grid: Grid) -> Iterator[_Order]:
    for skipped in range(n_tokens - grid.height * grid.width, -1, -1):
        yield from (_Order(skipped), _Order(skipped, by="columns"))


def _distance(changes: Tensor, grid: Grid, order: _Order) -> float:
    """How far a change lies from its place at worst, on average, in parts of the diagonal; 1 in a special token."""
    size = grid.height * grid.width
    farthest, diagonal = 0.0, (grid.height**2 + grid.width**2) ** 0.5
    by_rows = order.by == "rows"
    shape = (grid.height, grid.width) if by_rows else (grid.width, grid.height)
    for of_place, (row, column) in zip(changes, _places(grid), strict=True):
        spatial = of_place[order.skipped : order.skipped + size].reshape(shape)
        on_grid = spatial if by_rows else spatial.T
        down = torch.arange(grid.height, device=changes.device)[:, None] - row
        right = torch.arange(grid.width, device=changes.device)[None] - column
        away = (down**2 + right**2).sqrt() / diagonal
        special = of_place.sum() - spatial.sum()
        farthest = max(farthest, float(((on_grid * away).sum() + special) / of_place.sum()))
    return farthest
