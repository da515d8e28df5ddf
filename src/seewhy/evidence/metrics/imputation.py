"""Pixels taken out of an image: which, by the rank of a map, and what is put there, by what lies around."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.errors import OptionError

Weighting = Sequence[tuple[tuple[int, int], float]]
NEIGHBOURS: Weighting = tuple(
    ((down, right), 1 / 12 if down and right else 1 / 6) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right
)
_STEPS, _SETTLED = 1000, 1e-6  # of conjugate gradients, and the share of the first residual at which they stop
_SQUARE, _SOLID = 4, 0.15  # pixels; the share of what is missing below which it is scattered
_RELAXED = 0.7  # of a step towards what lies around


def lowest(values: Tensor, percentile: float, *, seed: int = 0) -> Tensor:
    """Where (H, W) the values below their percentile are: exactly ceil((N - 1) * percentile / 100) of them.

    Among equal values, as the many zeros of a map are, a seed decides, so that a plateau counts as its share of places.
    """
    flat = values.detach().flatten().cpu()
    count = -int(-((len(flat) - 1) * percentile) // 100)
    shuffled = torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))
    order = shuffled[flat[shuffled].argsort(stable=True)]
    kept = torch.zeros(len(flat), dtype=torch.bool)
    kept[order[:count]] = True
    return kept.view(values.shape)


def above_otsu(values: Tensor) -> Tensor:
    """Where (H, W) values in [0, 1] lie above the cut that parts their histogram best. Otsu 1979."""
    levels = (values.detach().cpu() * 255).clamp(0, 255).to(torch.uint8).long()
    counts = torch.bincount(levels.flatten(), minlength=256).double()
    below, sums = counts.cumsum(0), (counts * torch.arange(256)).cumsum(0)
    above = below[-1] - below
    apart = (sums[-1] * below / below[-1] - sums) ** 2 / (below * above).clamp(min=1e-12)
    return levels > int(torch.where((below > 0) & (above > 0), apart, -1).argmax())


def filled(image: Tensor, known: Tensor, weighting: Weighting = NEIGHBOURS) -> Tensor:
    """An image (C, H, W) whose unknown pixels are each the weighted mean of the pixels around, known and unknown.

    `known` is (H, W). Of an image without a known pixel each channel is its mean. Rong et al. 2022, arXiv:2202.00449,
    solved by conjugate gradients over several grids. Raises OptionError for weights that are not the same in opposite
    directions.
    """
    return filled_each(image[None], known[None], weighting)[0]


def filled_each(
    images: Tensor,
    known: Tensor,
    weighting: Weighting = NEIGHBOURS,
    *,
    settled: float = _SETTLED,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Images (N, C, H, W) that are each filled where `known` (N, H, W) is False, as `filled` does, all at once.

    `settled` is the share of the first residual at which an image counts as solved, in numbers of `dtype`.
    """
    has_known = known.flatten(1).any(dim=1)
    if bool(known[has_known].all()):
        return torch.where(has_known[:, None, None, None], images, images.mean(dim=(2, 3), keepdim=True))
    offsets = _checked(weighting)
    reach = max(max(abs(down), abs(right)) for (down, right), _ in offsets)
    rows, columns = _around_missing((~known[has_known]).any(dim=0), reach)
    missing = (~known[:, None, rows, columns]).to(images.device, dtype)
    values = images[:, :, rows, columns].to(dtype)
    weights = _around(torch.ones_like(values[:1, :1]), offsets)
    right = _around(values * (1 - missing), offsets) * missing
    mean = _total(values * (1 - missing)) / _total(1 - missing).clamp(min=1)
    solved = _solved(_Grids(missing, weights, offsets), right, mean * missing, settled)
    result = images.clone()
    result[:, :, rows, columns] = torch.where(missing.bool(), solved.to(images.dtype), images[:, :, rows, columns])
    return torch.where(has_known[:, None, None, None], result, images.mean(dim=(2, 3), keepdim=True))


def _around_missing(missing: Tensor, margin: int) -> tuple[slice, slice]:
    """The rows and columns that hold all missing places (H, W), and so many more on each side."""
    ends = [places.nonzero()[[0, -1], 0].tolist() for places in (missing.any(dim=1), missing.any(dim=0))]
    rows, columns = (slice(max(0, first - margin), last + 1 + margin) for first, last in ends)
    return rows, columns


class _Grids:
    """The equations on the images' grid and on ever coarser ones, each half as fine; unknowns elsewhere are 0.

    Where what is missing is scattered, so that what is known is near everywhere, there is no coarser grid: it would
    cost more than it saves.
    """

    def __init__(self, missing: Tensor, weights: Tensor, offsets: Weighting, *, finest: bool = True) -> None:
        self.missing, self.weights, self.offsets = missing, weights, offsets
        self.coarser: _Grids | None = None
        self.scattered = finest and _is_scattered(missing)
        if min(missing.shape[2:]) >= 8 and not self.scattered:
            fewer = functional.avg_pool2d(missing, 2, ceil_mode=True)
            half = functional.avg_pool2d(weights, 2, ceil_mode=True)
            self.coarser = _Grids((fewer > 0.5).to(missing), half, offsets, finest=False)

    def apply(self, x: Tensor) -> Tensor:
        """The left side of the equations, of x (N, C, H, W)."""
        return (self.weights * x - _around(x, self.offsets)) * self.missing

    def near(self, right: Tensor) -> Tensor:
        """About the solution, for a right side: one cycle over all grids, the same from both ends."""
        if self.scattered:
            return right / self.weights
        x = _RELAXED * right / self.weights
        if self.coarser is not None:
            summed = 4 * functional.avg_pool2d((right - self.apply(x)) * self.missing, 2, ceil_mode=True)
            ahead = self.coarser.near(summed * self.coarser.missing)
            wide = ahead.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = x + wide[:, :, : x.shape[2], : x.shape[3]] * self.missing
        return x + _RELAXED * (right - self.apply(x)) / self.weights


def _is_scattered(missing: Tensor) -> bool:
    """Whether few of the missing places (N, 1, H, W) lie in squares of which all is missing."""
    if min(missing.shape[2:]) < _SQUARE:
        return False
    squares = functional.avg_pool2d(missing, _SQUARE)
    return bool((squares == 1).sum() * _SQUARE**2 < _SOLID * missing.sum())


def _solved(grids: _Grids, right: Tensor, x: Tensor, settled: float) -> Tensor:
    """x (N, C, H, W) with grids.apply(x) = right, for each channel of each image.

    Conjugate gradients, guided by the coarser grids.
    """
    rest = right - grids.apply(x)
    goal, tiny = settled * _norms(rest), torch.finfo(x.dtype).tiny
    guided = grids.near(rest)
    direction, size = guided, _total(rest * guided)
    for _ in range(_STEPS):
        if bool((_norms(rest) <= goal).all()):
            break
        ahead = grids.apply(direction)
        step = size / _total(direction * ahead).clamp(min=tiny)
        x, rest = x + step * direction, rest - step * ahead
        guided = grids.near(rest)
        grown = _total(rest * guided)
        direction, size = guided + grown / size.clamp(min=tiny) * direction, grown
    return x


def _norms(rest: Tensor) -> Tensor:
    """The size (N,) of each image's residual."""
    sizes: Tensor = torch.linalg.vector_norm(rest, dim=(1, 2, 3))
    return sizes


def _total(values: Tensor) -> Tensor:
    """The sum (N, C, 1, 1) over the places of each channel."""
    return values.sum(dim=(2, 3), keepdim=True)


def _checked(weighting: Weighting) -> Weighting:
    """The weights of neighbours, each with its opposite. Raises OptionError where the two differ."""
    weights = dict(weighting)
    if any(weights.get((-down, -right)) != weight for (down, right), weight in weights.items()):
        raise OptionError("The weights of neighbours must be the same in opposite directions.", slug="option")
    return weighting


def _around(x: Tensor, offsets: Weighting) -> Tensor:
    """The weighted sum (N, C, H, W) of what lies around each pixel; nothing lies outside of the image."""
    total, (height, width) = torch.zeros_like(x), x.shape[2:]
    for (down, right), weight in offsets:
        to = (slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right)))
        of = (slice(max(0, down), height - max(0, -down)), slice(max(0, right), width - max(0, -right)))
        total[:, :, *to].add_(x[:, :, *of], alpha=weight)
    return total
