"""Pixels taken out of an image: which, by the rank of a map, and what is put there, by what lies around."""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.errors import OptionError
from seewhy.evidence.metrics.grids import NEIGHBOURS, Weighting, around, means_grid, reach_of, solve

__all__ = ["NEIGHBOURS", "Weighting", "above_otsu", "filled", "filled_each", "lowest"]

_SETTLED = 1e-6  # of the range of what is known, by which a filled pixel may be off


def lowest(values: Tensor, percentile: float, *, seed: int = 0) -> Tensor:
    """Where (H, W) the values below their percentile are: exactly ceil((N - 1) * percentile / 100) of them.

    Among equal values, as the many zeros of a map are, a seed decides, so that a plateau counts as its share of places.
    """
    flat = values.detach().flatten().cpu()
    count = -int(-((len(flat) - 1) * percentile) // 100)
    if not count:
        return torch.zeros(values.shape, dtype=torch.bool)
    cut = flat.kthvalue(count).values
    kept, equal = flat < cut, flat == cut
    if bool(cut.isnan()):  # which count as the highest
        kept, equal = ~flat.isnan(), flat.isnan()
    shuffled = torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))
    chosen = shuffled[equal[shuffled]]
    kept[chosen[: count - int(kept.sum())]] = True
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

    `settled` is the share of the range of what is known by which pixels may be off the solution, in numbers of `dtype`.
    """
    images, has_known = images.detach(), known.flatten(1).any(dim=1)
    if bool(known[has_known].all()):
        return torch.where(has_known[:, None, None, None], images, images.mean(dim=(2, 3), keepdim=True))
    offsets = _checked(weighting)
    rows, columns = _around_missing((~known[has_known]).any(dim=0), reach_of(offsets))
    missing = (~known[:, None, rows, columns]).to(images.device)
    values = images[:, :, rows, columns].to(dtype).masked_fill(missing, 0)
    right = around(values, offsets).masked_fill_(~missing, 0)
    mean = _total(values) / _total((~missing).to(dtype)).clamp(min=1)
    spread = _spread(images, known)
    grid = means_grid(missing.to(torch.float32), offsets)
    solved = solve(grid, right, mean * missing, settled * spread.to(dtype))
    result = images.clone()
    result[:, :, rows, columns] = torch.where(missing, solved.to(images.dtype), images[:, :, rows, columns])
    return torch.where(has_known[:, None, None, None], result, images.mean(dim=(2, 3), keepdim=True))


def _spread(images: Tensor, known: Tensor) -> Tensor:
    """The largest range (N,) of what is known of a channel of each image (N, C, H, W); 0 of nothing."""
    there = known[:, None].to(images.device)
    highest = images.masked_fill(~there, -torch.inf).amax(dim=(2, 3))
    least = images.masked_fill(~there, torch.inf).amin(dim=(2, 3))
    spread: Tensor = (highest - least).amax(dim=1).clamp(min=0)
    return spread


def _total(values: Tensor) -> Tensor:
    """The sum (N, C, 1, 1) over the places of each channel."""
    return values.sum(dim=(2, 3), keepdim=True)


def _around_missing(missing: Tensor, margin: int) -> tuple[slice, slice]:
    """The rows and columns that hold all missing places (H, W), and so many more on each side."""
    ends = [places.nonzero()[[0, -1], 0].tolist() for places in (missing.any(dim=1), missing.any(dim=0))]
    rows, columns = (slice(max(0, first - margin), last + 1 + margin) for first, last in ends)
    return rows, columns


def _checked(weighting: Weighting) -> Weighting:
    """The weights of neighbours, each with its opposite. Raises OptionError where the two differ."""
    weights = dict(weighting)
    if any(weights.get((-down, -right)) != weight for (down, right), weight in weights.items()):
        raise OptionError("The weights of neighbours must be the same in opposite directions.", slug="option")
    return weighting
