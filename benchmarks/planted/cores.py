"""What a user may name as the core: the true mask, a zone, a rough mask, one too small or too large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from benchmarks.planted.latents import Floats
from benchmarks.planted.planting import axes
from torch.nn import functional

from seewhy.evidence.factors.zones import centre

FORMS = ("mask", "ellipse", "centre", "eroded", "dilated", "jittered", "small", "large")
ROUGH_PX = 2 / 64  # of the side: by how much a rough mask is too small, too large, or aside
FAR_PX = 6 / 64  # by how much a core is drawn too large; one too small is what an erosion by as much leaves


def core_masks(masks: Floats, form: str, seed: int) -> Floats:
    """The core's masks (N, S, S) in a form, from the true ones."""
    return _FORMS[form](masks, seed)


def grown(masks: Floats, pixels: int) -> Floats:
    """Masks larger by so many pixels all round, or smaller where that is negative."""
    if pixels == 0:
        return masks
    values = torch.from_numpy(np.ascontiguousarray(masks))[:, None]
    side = 2 * abs(pixels) + 1
    wide = functional.max_pool2d(values if pixels > 0 else -values, side, 1, abs(pixels))
    return (wide if pixels > 0 else -wide)[:, 0].numpy()


def _pixels(masks: Floats, share: float) -> int:
    return max(1, round(share * masks.shape[-1]))


def _jittered(masks: Floats, seed: int) -> Floats:
    """Each mask moved aside and grown or shrunk by chance."""
    rng, reach = np.random.default_rng((seed, 77)), _pixels(masks, ROUGH_PX)
    moved = []
    for mask in masks:
        rows, columns, size = rng.integers(-reach, reach + 1, 3).tolist()
        moved.append(np.roll(grown(mask[None], size)[0], (rows, columns), axis=(0, 1)))
    return np.stack(moved)


def _small(masks: Floats, seed: int) -> Floats:
    """What is left when much of the rim is taken away; never less than the masks' hearts."""
    for share in (FAR_PX, 0.7 * FAR_PX, ROUGH_PX, ROUGH_PX / 2):
        small = grown(masks, -_pixels(masks, share))
        if (small.sum(axis=(1, 2)) > 0.1 * masks.sum(axis=(1, 2))).mean() > 0.9:
            return small
    return masks


def _ellipse(masks: Floats, seed: int) -> Floats:
    """The ellipse in the box around each mask, as a detector gives it."""
    x, y = axes(masks.shape[-1])
    covers = []
    for mask in masks:
        rows, columns = (np.flatnonzero((mask > 0.5).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            covers.append(np.zeros_like(mask))
            continue
        spans = [(line[span[0]], line[span[-1]]) for line, span in ((y[0, :, 0], rows), (x[0, 0], columns))]
        (top, bottom), (left, right) = spans
        step = 2 / masks.shape[-1]
        high, wide = (bottom - top + step) / 2, (right - left + step) / 2
        away = np.hypot((x[0] - (left + right) / 2) / wide, (y[0] - (top + bottom) / 2) / high)
        covers.append(np.clip(0.5 + (1 - away) * min(high, wide) / step, 0, 1))
    return np.stack(covers).astype(np.float32)


def _centre(masks: Floats, seed: int) -> Floats:
    zone = (centre(masks.shape[1:]) / 255).astype(np.float32)
    return np.broadcast_to(zone, masks.shape).copy()


_FORMS: dict[str, Callable[[Floats, int], Floats]] = {
    "mask": lambda masks, seed: masks,
    "ellipse": _ellipse,
    "centre": _centre,
    "eroded": lambda masks, seed: grown(masks, -_pixels(masks, ROUGH_PX / 2)),
    "dilated": lambda masks, seed: grown(masks, _pixels(masks, ROUGH_PX)),
    "jittered": _jittered,
    "small": _small,
    "large": lambda masks, seed: grown(masks, _pixels(masks, FAR_PX)),
}
