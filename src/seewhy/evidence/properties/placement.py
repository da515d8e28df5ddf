"""Where an image's content lies and which way it faces: measured on canvases, and moved."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.evidence.properties.bases import where_chosen
from seewhy.evidence.properties.colour import luminance

FARTHEST = 0.5  # of half a side: the longest shift
LARGEST = 1.5  # the strongest zoom, in and out
_FLOOR = 1e-6  # an image without any edge has its content everywhere
_UNDECIDED = 1e-4  # a smaller balance has no side


def placement(canvases: Tensor) -> Tensor:
    """Where the edges lie (N, 3): centre to the right, centre down, spread, as shares of half a side.

    Each pixel weighs as much as the squared difference to its right and lower neighbours.
    """
    gray = luminance(canvases)
    energy = torch.full_like(gray, _FLOOR)
    energy[:, :, :-1] += gray.diff(dim=2).square()
    energy[:, :-1] += gray.diff(dim=1).square()
    energy /= energy.sum(dim=(1, 2), keepdim=True)
    across, down = energy.sum(dim=1), energy.sum(dim=2)  # (N, W), (N, H)
    x, y = _places(gray.shape[2], gray), _places(gray.shape[1], gray)
    centre_x, centre_y = (across * x).sum(dim=1), (down * y).sum(dim=1)
    square_x = (across * (x - centre_x[:, None]).square()).sum(dim=1)
    square_y = (down * (y - centre_y[:, None]).square()).sum(dim=1)
    return torch.stack([centre_x, centre_y, ((square_x + square_y) / 2).sqrt()], dim=1)


def placement_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What shifts and zooms the canvases towards a wanted placement (N, 3); what enters is the reflected border."""
    original = placement(canvases)
    height, width = canvases.shape[2:]
    x, y = _places(width, canvases), _places(height, canvases)

    def edit(values: Tensor) -> Tensor:
        shift = (values[:, :2] - original[:, :2]).clamp(-FARTHEST, FARTHEST)
        zoom = (values[:, 2:] / original[:, 2:].clamp(min=_FLOOR)).clamp(1 / LARGEST, LARGEST)
        # where in the canvas each pixel of the result comes from: original + (place - original - shift) / zoom
        start = original[:, :2] - (original[:, :2] + shift) / zoom
        from_x = start[:, :1] + x / zoom  # (N, W)
        from_y = start[:, 1:] + y / zoom
        grid = canvases.new_empty(len(canvases), height, width, 2)
        grid[..., 0], grid[..., 1] = from_x[:, None], from_y[:, :, None]
        moved = functional.grid_sample(canvases, grid, padding_mode="reflection", align_corners=False)
        return moved.clamp_(0, 1)

    return edit


def balance(canvases: Tensor) -> Tensor:
    """How much brighter (N, 1) an image is to the right than to the left: the luminance's moment, -0.5 to 0.5."""
    across = luminance(canvases).mean(dim=1)  # (N, W)
    return (across * _places(across.shape[1], across)).mean(dim=1, keepdim=True)


def balance_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What mirrors the canvases whose brighter side is not the wanted one: only the sign of the value (N, 1) counts."""
    original = balance(canvases)

    def edit(values: Tensor) -> Tensor:
        decided = (original.abs() > _UNDECIDED) & (values.abs() > _UNDECIDED)
        mirrored = (decided & (original * values < 0))[:, 0]
        return where_chosen(canvases, mirrored, lambda rows: canvases[rows].flip(3))

    return edit


def _places(count: int, like: Tensor) -> Tensor:
    """The centres of `count` pixels over a side that reaches from -1 to 1."""
    return (2 * torch.arange(count, dtype=like.dtype, device=like.device) + 1) / count - 1
