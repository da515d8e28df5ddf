"""Recipro-CAM: what each place of a layer says when it alone is heard, without a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.cam.grid import Grid
from seewhy.cam.methods.ablation import rows_at_once
from seewhy.cam.methods.scene import Scene
from seewhy.cam.tail.tail import tail_of
from seewhy.errors import LayerError


def recipro_cam(scene: Scene) -> Tensor:
    """Signed maps (N, H, W): the score with one place's features kept and all others 0, minus that with none kept.

    Special tokens stay as they are. Of a head that averages over places and is linear the map is HiResCAM's, and adds
    up to logit - bias. Byun & Lee 2022, arXiv:2209.14074, without its Gaussian and scaling; taking off the score of
    the empty layer, which is the same for all places, gives the map its zero. Raises LayerError for a layer whose
    output mixes images.
    """
    assert scene.layer is not None and scene.raw is not None and scene.grid is not None
    with torch.no_grad(), tail_of(scene.model, scene.inputs, scene.layer, raw=scene.raw) as tail:
        if tail.plan.each != 1:
            raise LayerError(
                f"Layer {scene.layer.asked!r} cuts an image into {tail.plan.each} parts, so no place can be kept for "
                "it alone.\n  Choose the block around it:  seewhy layers --model …",
                slug="layer-without-grid",
            )
        raw, axis = tail.raw, scene.grid.channel_axis
        labels, seen = _labels(raw, scene.grid)
        special = ~torch.isin(labels, seen)
        empty = scene.rescore(tail(raw * special.unsqueeze(axis - 1)), None)
        maps = torch.empty(len(raw), seen.numel(), dtype=empty.dtype, device=raw.device)
        jobs = torch.cartesian_prod(torch.arange(len(raw)), torch.arange(seen.numel())).to(raw.device)
        each = raw[:1].numel() * raw.element_size() + tail.plan.bytes_each
        for part in jobs.split(rows_at_once(each)):
            rows, places = part.unbind(dim=1)
            kept = (labels == seen.flatten()[places].view(-1, *[1] * labels.ndim)) | special
            changed = raw.index_select(0, rows) * kept.unsqueeze(axis)
            maps[rows, places] = scene.rescore(tail(changed, rows), rows) - empty[rows]
    return maps.view(len(raw), *seen.shape)


def _labels(raw: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """A number for each position of a raw output, its channel axis left out, and which the grid sees (H, W)."""
    axis = grid.channel_axis
    shape = [size for place, size in enumerate(raw.shape[1:], 1) if place != axis]
    labels = torch.arange(torch.Size(shape).numel(), device=raw.device).view(shape)
    return labels, grid.view(labels.unsqueeze(axis - 1)[None])[0, 0]
