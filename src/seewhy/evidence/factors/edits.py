"""How a region of an image is edited on its canvas: another content put in, its own extended, removed or drawn back.

Canvases are (N, 3, H, W) in [0, 1]; masks are (N, H, W), or (1, H, W) for all images, in [0, 1]. What comes back has
the device and type of the canvases, and the result for one image never depends on the other images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Removal = Callable[[Tensor, Tensor, int], Tensor]

BLUR_FRAC = 1 / 12  # the blur's standard deviation, of the shorter side
PATCH_FRAC = 1 / 8  # a patch's side, of the shorter side
FEWEST = 4  # patches of a size that can be shuffled; where fewer fit, smaller ones are
PURITY = 8  # the power that keeps what shines through a soft edge out of a region's content


def transplanted(canvases: Tensor, content: Tensor, masks: Tensor) -> Tensor:
    """The canvases with `content` (N, 3, H, W) where the mask is 1, and with their own bits where it is 0.

    A soft mask mixes: canvas + mask * (content - canvas).
    """
    return torch.lerp(canvases, content.to(canvases), _over_channels(masks, canvases))


def filled(canvases: Tensor, masks: Tensor) -> Tensor:
    """The canvases with the content of the region extended over everything outside it, smoothly.

    Bits are kept where the mask has its peak (that is 1, in most regions). Elsewhere stands the mean of the region's
    nearest pixels, over the smallest scale that holds some; pixels at a soft edge hold some of both sides and count
    little. The image's mean stands where the mask is 0 everywhere. Push-pull over a pyramid of scales: Gortler et al.
    1996, The Lumigraph, section 3.4.
    """
    weights = _pure(_over_channels(masks, canvases)).expand(len(canvases), 1, -1, -1)
    levels = [(canvases, weights)]
    while max(levels[-1][0].shape[2:]) > 1:
        levels.append(_coarser(*levels[-1]))
    top, weight = levels.pop()
    content = torch.where(weight > 0, top, canvases.mean(dim=(2, 3), keepdim=True))
    for values, known in reversed(levels):
        content = torch.lerp(_finer(content, values), values, known)
    return content


def blurred(canvases: Tensor, masks: Tensor) -> Tensor:
    """The canvases with the region blurred: a Gaussian over the region alone, nothing from outside comes in."""
    return torch.lerp(canvases, _within(smooth_of(canvases, masks), canvases), _over_channels(masks, canvases))


def smooth_of(values: Tensor, masks: Tensor) -> Tensor:
    """What is smooth in a region, laid over all of the picture (N, C, H, W): the Gaussian mean of the region alone."""
    weights = _over_channels(masks, values)
    rows, columns = (_gaussian(side, values) for side in values.shape[2:])
    mixed = rows @ (values * weights) @ columns.mT
    return mixed / (rows @ weights @ columns.mT).clamp(min=torch.finfo(values.dtype).tiny)


def averaged(canvases: Tensor, masks: Tensor) -> Tensor:
    """The canvases with the region's mean colour in it, each image its own; the mean of the whole image stays."""
    weights = _over_channels(masks, canvases)
    total = weights.sum(dim=(2, 3), keepdim=True)
    mean = (canvases * weights).sum(dim=(2, 3), keepdim=True) / total.clamp(min=torch.finfo(canvases.dtype).tiny)
    return torch.lerp(canvases, _within(mean, canvases).expand_as(canvases), weights)


def inpainted(canvases: Tensor, masks: Tensor) -> Tensor:
    """The canvases with the region painted over from outside of it, as `filled` does; the mean where all is region."""
    return transplanted(canvases, filled(canvases, 1 - masks), masks)


def shuffled(canvases: Tensor, masks: Tensor, seed: int = 0) -> Tensor:
    """The canvases with the patches of the region (mask of at least one half) permuted; no patch stays in its place.

    Whole patches of an eighth of the shorter side first, then patches of half that side where the former do not fit,
    or are fewer than four, and so on down to single pixels. A mask of 0 and 1 so keeps all of its pixels, each once.
    The places are drawn from `seed` alone, the same for every image with the same mask.
    """
    height, width = canvases.shape[2:]
    source = _permuted_places(masks >= 0.5, seed).expand(len(canvases), -1)
    moved = canvases.flatten(2).gather(2, source[:, None].expand(-1, canvases.shape[1], -1))
    return transplanted(canvases, moved.unflatten(2, (height, width)), masks)


def shrunk(masks: Tensor, pixels: int) -> Tensor:
    """The masks drawn back by `pixels` from everything outside them, but not from the image's border.

    Each value is the smallest one of the mask within that many rows and columns, so that soft masks stay soft.
    """
    side = 2 * pixels + 1
    rows = functional.max_pool2d(-masks[:, None], (side, 1), 1, (pixels, 0))  # beyond the border stands nothing
    return -functional.max_pool2d(rows, (1, side), 1, (0, pixels))[:, 0]


def grown(masks: Tensor, pixels: int) -> Tensor:
    """The masks drawn larger by `pixels` on every side, up to the image's border: each value the largest near it."""
    return 1 - shrunk(1 - masks, pixels) if pixels else masks


def moved(values: Tensor, steps: Tensor) -> Tensor:
    """The values (N, C, H, W) so many pixels down and to the right (N, 2), and 0 where nothing comes from."""
    for dim in (2, 3):
        side = values.shape[dim]
        source = torch.arange(side, device=values.device) - steps[:, dim - 2, None]  # (N, side)
        known = (source >= 0) & (source < side)
        shape = (len(values), 1, side, 1) if dim == 2 else (len(values), 1, 1, side)
        index = source.clamp(0, side - 1).reshape(shape).expand_as(values)
        values = values.gather(dim, index) * known.reshape(shape)
    return values


def _unseeded(edit: Callable[[Tensor, Tensor], Tensor]) -> Removal:
    return lambda canvases, masks, seed: edit(canvases, masks)


# The edits that remove what is in a region, by the name that a finding shows.
REMOVALS: dict[str, Removal] = {
    "blur": _unseeded(blurred),
    "mean": _unseeded(averaged),
    "in-paint": _unseeded(inpainted),
    "shuffle": shuffled,
}


def _over_channels(masks: Tensor, canvases: Tensor) -> Tensor:
    return masks.to(canvases)[:, None]


def _within(values: Tensor, canvases: Tensor) -> Tensor:
    """The values held within each image's own range, which they leave by rounding alone."""
    return torch.minimum(
        torch.maximum(values, canvases.amin(dim=(1, 2, 3), keepdim=True)), canvases.amax(dim=(1, 2, 3), keepdim=True)
    )


def _pure(weights: Tensor) -> Tensor:
    peak = weights.amax(dim=(2, 3), keepdim=True)
    return (weights / torch.where(peak > 0, peak, 1)) ** PURITY


def _coarser(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Half the size: the weighted mean of each 2 x 2 block, and how much is known of it, at most 1."""
    height, width = values.shape[2:]
    odd = (0, width % 2, 0, height % 2)  # a last row or column stands alone in its blocks
    mixed = functional.avg_pool2d(functional.pad(values * weights, odd), 2)
    known = functional.avg_pool2d(functional.pad(weights, odd), 2)
    mean = mixed / known.clamp(min=torch.finfo(values.dtype).tiny)
    return _within(mean, values), (4 * known).clamp(max=1)


def _finer(values: Tensor, like: Tensor) -> Tensor:
    """The values at twice the size, cut to that of `like`; between the places of the coarser ones in straight lines."""
    height, width = like.shape[2:]
    larger = functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)
    return larger[..., :height, :width]


def _gaussian(side: int, like: Tensor) -> Tensor:
    """The blur along one side as a matrix (side, side); its rows add up to 1: nothing comes from beyond the border."""
    places = torch.arange(side, device=like.device, dtype=like.dtype)
    sigma = BLUR_FRAC * min(like.shape[2:])
    rows = torch.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    return rows / rows.sum(dim=1, keepdim=True)


def _permuted_places(region: Tensor, seed: int) -> Tensor:
    """For every pixel of the masks (N, H, W) the pixel whose content it gets, flat: (N, H * W)."""
    height, width = region.shape[1:]
    generator = torch.Generator().manual_seed(seed)
    places = torch.arange(height * width, device=region.device).view(1, height, width)
    source, left = places.expand(len(region), -1, -1).clone(), region.clone()
    patch = max(1, round(PATCH_FRAC * min(height, width)))
    while patch:
        rows, columns = height // patch, width // patch
        kept = (slice(None), slice(rows * patch), slice(columns * patch))
        blocks = left[kept].unflatten(1, (rows, patch)).unflatten(3, (columns, patch))
        whole = blocks.all(dim=4).all(dim=2).flatten(1)  # (N, rows * columns)
        whole &= (whole.sum(dim=1, keepdim=True) >= FEWEST) | (patch == 1)
        order = torch.rand(rows * columns, generator=generator).argsort().argsort().to(region.device)
        origin = places[0, : rows * patch : patch, : columns * patch : patch].flatten()
        moves = (origin[_cycled(whole, order)] - origin).unflatten(1, (rows, columns))
        spread = _repeated(moves, patch)
        source[kept] += spread
        left[kept] &= ~_repeated(whole.unflatten(1, (rows, columns)), patch)
        patch //= 2
    return source.flatten(1)


def _repeated(cells: Tensor, patch: int) -> Tensor:
    return cells.repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)


def _cycled(whole: Tensor, order: Tensor) -> Tensor:
    """For every cell (N, C) the next cell of those that are True, in a round of the given order; others themselves."""
    count = whole.sum(dim=1, keepdim=True)
    cells = torch.where(whole, order, len(order)).argsort(dim=1, stable=True)  # those of the round stand first
    steps = torch.arange(whole.shape[1], device=whole.device).expand_as(whole)
    following = torch.where(steps < count, (steps + 1) % count.clamp(min=1), steps)
    return torch.empty_like(cells).scatter_(1, cells, cells.gather(1, following))
