"""The equations by which missing pixels are the weighted means of what lies around, on ever coarser grids.

Conjugate gradients in float32, guided by one cycle over all grids; what they leave open is computed in the numbers of
the equations, and solved for again. A coarse grid's equations are exactly what the finer one's say of smooth changes
(Galerkin), so that holes of any shape, and single pixels, take about as many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

Weighting = Sequence[tuple[tuple[int, int], float]]
NEIGHBOURS: Weighting = tuple(
    ((down, right), 1 / 12 if down and right else 1 / 6) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right
)
_NEARBY = 1 / 12, 1 / 3  # of a row's and then a column's sums, less the middle: the weights of NEIGHBOURS
_STEPS, _ROUNDS = 1000, 20  # of conjugate gradients, and how often what they leave open is solved for again
_AT_ONCE = 1e-3  # of the first error, what float32 can surely take away
_OWN, _SUM = 0.9, 1.9  # of a place's own weight and of all weights' sizes: steps so long cannot grow
_SMALL = 256  # places of the coarsest grid, which is solved as it stands
_RIDGE = 1e-6  # of a place's own weight, so that rounding leaves the coarsest equations solvable
_UNGUIDED = 1e-2  # where there is no coarser grid, errors are larger than a step by one place's equation


class Grid:
    """Equations whose left side is `apply`, about solved by `near`; unknowns (N, C, H, W) are 0 where none is missing.

    `own` is each place's weight on the diagonal and `sizes` the sum of all its weights' sizes, both (N, 1, H, W).
    `apply` gives a tensor of its own.
    """

    def __init__(self, apply: Callable[[Tensor], Tensor], missing: Tensor, own: Tensor, sizes: Tensor) -> None:
        self.apply = apply
        self.missing = missing
        self.own = own
        pace = torch.maximum(own / _OWN, sizes / _SUM)
        self.pace = torch.where(pace > 0, missing / pace, 0)
        self.coarser: Grid | _Coarsest | None = None

    def near(self, right: Tensor) -> Tensor:
        """About the solution, for a right side: one cycle over all grids, the same from both ends."""
        x = self.pace * right
        if self.coarser is not None:
            ahead = self.coarser.near(_restricted(self.rest(right, x)))
            x.addcmul_(self.missing, _prolonged(ahead, right.shape[2:]))
        return x.addcmul_(self.pace, self.rest(right, x))

    def rest(self, right: Tensor, x: Tensor) -> Tensor:
        """What x leaves open of the right side."""
        applied = self.apply(x)
        return torch.sub(right, applied, out=applied)


class _Coarsest:
    """The equations of a grid so small that they are solved as they stand."""

    def __init__(self, grid: Grid) -> None:
        size = grid.missing.shape[2:]
        units = torch.eye(size.numel()).to(grid.missing).view(1, -1, *size)
        matrix = grid.apply(units * grid.missing).flatten(2).to(_wide(units))
        diagonal = torch.where(grid.own > 0, _RIDGE * grid.own, 1).flatten(1)
        root = torch.linalg.cholesky_ex(matrix + torch.diag_embed(diagonal).to(matrix)).L
        self.inverse = torch.cholesky_inverse(root).to(grid.missing)
        self.missing = grid.missing

    def near(self, right: Tensor) -> Tensor:
        """The solution, for a right side (N, C, H, W)."""
        return (right.flatten(2) @ self.inverse).view_as(right)


def means_grid(missing: Tensor, offsets: Weighting) -> Grid:
    """The equations of pixels where `missing` (N, 1, H, W) is 1, and the coarser grids where neighbours touch."""
    weights = around(torch.ones_like(missing[:1], dtype=_wide(missing)), offsets)
    share, middle = _NEARBY if offsets is NEIGHBOURS else (1.0, 0.0)

    @cache
    def factors(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return ((weights + middle) * missing).to(dtype), (-share * missing.to(weights)).to(dtype)

    def apply(x: Tensor) -> Tensor:
        own, others = factors(x.dtype)
        return _summed(x, offsets).mul_(others).addcmul_(own, x)

    own = weights.to(missing) * missing
    grid = finest = Grid(apply, missing, own, 2 * own)
    if reach_of(offsets) == 1:
        while grid.missing[0].numel() > _SMALL:
            following = _coarser(grid)
            grid.coarser = following if following.missing[0].numel() > _SMALL else _Coarsest(following)
            grid = following
    return finest


def _coarser(grid: Grid) -> Grid:
    """The grid of every second place, between which changes are linear."""
    fine = grid.missing.shape[2:]
    height, width = (-(-side // 2) for side in fine)
    probes = torch.zeros(3, 3, height, width, dtype=grid.missing.dtype, device=grid.missing.device)
    for row in range(3):
        for column in range(3):
            probes[row, column, row::3, column::3] = 1  # so far apart that no two are neighbours
    changes = grid.missing * _prolonged(probes.view(1, 9, height, width), fine)
    found = _restricted(grid.apply(changes)).view(-1, 3, 3, height, width)
    down, across = (torch.arange(side, device=found.device) for side in (height, width))
    places = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    parts = [
        found[:, (down[:, None] + row) % 3, (across + column) % 3, down[:, None], across][:, None]
        for row, column in places
    ]

    def apply(x: Tensor) -> Tensor:
        wide, total = functional.pad(x, (1, 1, 1, 1)), torch.zeros_like(x)
        for (row, column), part in zip(places, parts, strict=True):
            total.addcmul_(part, wide[:, :, 1 + row : 1 + row + height, 1 + column : 1 + column + width])
        return total

    return Grid(apply, (parts[4] > 0).to(probes), parts[4], torch.stack(parts).abs().sum(dim=0))


def _prolonged(coarse: Tensor, size: Sequence[int]) -> Tensor:
    """Values (N, C, h, w) on the grid twice as fine, of `size`: linear between, and constant beyond the last."""
    for dim, side in ((3, size[1]), (2, size[0])):
        own, fine = coarse.shape[dim], coarse.new_empty([*coarse.shape[:dim], side, *coarse.shape[dim + 1 :]])
        fine[_every_second(dim, 0)] = coarse
        between = fine[_every_second(dim, 1)]
        torch.lerp(
            coarse.narrow(dim, 0, own - 1), coarse.narrow(dim, 1, own - 1), 0.5, out=between.narrow(dim, 0, own - 1)
        )
        if side % 2 == 0:
            between.narrow(dim, -1, 1).copy_(coarse.narrow(dim, -1, 1))
        coarse = fine
    return coarse


def _restricted(fine: Tensor) -> Tensor:
    """The transpose of `_prolonged`: each value shared out to the coarse places that it lies between."""
    for dim in (2, 3):
        side, between = fine.shape[dim], fine[_every_second(dim, 1)]
        own = fine[_every_second(dim, 0)].clone()
        own.narrow(dim, 0, side // 2).add_(between, alpha=0.5)
        own.narrow(dim, 1, (side - 1) // 2).add_(between.narrow(dim, 0, (side - 1) // 2), alpha=0.5)
        if side % 2 == 0:
            own.narrow(dim, -1, 1).add_(between.narrow(dim, -1, 1), alpha=0.5)
        fine = own
    return fine


def _every_second(dim: int, first: int) -> tuple[slice, ...]:
    """Every second place along a dimension, from the first."""
    return (*(slice(None) for _ in range(dim)), slice(first, None, 2))


def solve(grid: Grid, right: Tensor, x: Tensor, goal: Tensor) -> Tensor:
    """x (N, C, H, W) with grid.apply(x) = right, each image (N,) but for about `goal`; NaN stays in its own image."""
    goal = goal if grid.coarser is not None else goal * _UNGUIDED
    for _ in range(_ROUNDS):
        change, settled = _conjugate(grid, grid.rest(right, x).to(grid.missing), goal.to(grid.missing))
        x = x + change.to(x)
        if settled:
            break
    return x


def _conjugate(grid: Grid, rest: Tensor, goal: Tensor) -> tuple[Tensor, bool]:
    """About the x with grid.apply(x) = rest, and whether it lies within the goal."""
    tiny = torch.finfo(rest.dtype).tiny
    guided = grid.near(rest)
    sure = _AT_ONCE * _largest(guided)
    bound = torch.maximum(goal, sure)
    x, direction, size = torch.zeros_like(rest), guided, _total(rest, guided)
    for _ in range(_STEPS):
        if not bool((_largest(guided) > bound).any()):
            break
        ahead = grid.apply(direction)
        step = size / _total(direction, ahead).clamp(min=tiny)
        x.addcmul_(step, direction)
        rest = ahead.mul_(-step).add_(rest)
        guided = grid.near(rest)
        grown = _total(rest, guided)
        direction, size = torch.addcmul(guided, grown / size.clamp(min=tiny), direction), grown
    return x, not bool((sure > goal).any())


def _largest(errors: Tensor) -> Tensor:
    """The largest size (N,) in each image."""
    sizes: Tensor = errors.flatten(1).abs().amax(dim=1)
    return sizes


def _total(one: Tensor, other: Tensor) -> Tensor:
    """The sum (N, C, 1, 1) over the places of each channel, of products."""
    return (one * other).sum(dim=(2, 3), keepdim=True)


def _wide(x: Tensor) -> torch.dtype:
    """The widest numbers that the device has."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def reach_of(offsets: Weighting) -> int:
    """How far the farthest neighbour is, in rows or columns."""
    return max(max(abs(down), abs(right)) for (down, right), _ in offsets)


def around(x: Tensor, offsets: Weighting) -> Tensor:
    """The weighted sum (N, C, H, W) of what lies around each pixel; nothing lies outside of the image."""
    share, middle = _NEARBY if offsets is NEIGHBOURS else (1.0, 0.0)
    return _summed(x, offsets).mul_(share).sub_(x, alpha=middle)


def _summed(x: Tensor, offsets: Weighting) -> Tensor:
    """The sum around each pixel, by the weights; by those of `NEIGHBOURS` what `_NEARBY` makes the sum of."""
    if offsets is NEIGHBOURS:
        return _beside(_beside(x, 3), 2)
    total, (height, width) = torch.zeros_like(x), x.shape[2:]
    for (down, right), weight in offsets:
        to = (slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right)))
        of = (slice(max(0, down), height - max(0, -down)), slice(max(0, right), width - max(0, -right)))
        total[:, :, *to].add_(x[:, :, *of], alpha=weight)
    return total


def _beside(x: Tensor, dim: int) -> Tensor:
    """Twice each value and the two beside it."""
    total, rest = x * 2, x.shape[dim] - 1
    total.narrow(dim, 1, rest).add_(x.narrow(dim, 0, rest))
    total.narrow(dim, 0, rest).add_(x.narrow(dim, 1, rest))
    return total
