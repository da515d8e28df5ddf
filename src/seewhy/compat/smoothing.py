"""The mean of the maps of changed inputs, each brought back to the input as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.cam.augment import augmentations
from seewhy.compat.arrays import Array


def smoothed(
    made: Callable[[Tensor], Array], inputs: Tensor, plain: Array, transforms: Iterable[Any] | None = None
) -> Array:
    """The mean (N, H, W) of the maps that `made` gives of six changes, or of ttach's `transforms`; not scaled again.

    `plain` are the maps of the inputs as they are, which is one of the six.
    """
    if transforms is None:
        maps = [
            plain
            if change.factor == 1 and not change.mirrored
            else _mirrored(made(change.forward(inputs)), change.mirrored)
            for change in augmentations()
        ]
    else:
        maps = []
        for transform in transforms:
            cam = made(transform.augment_image(inputs))
            maps.append(transform.deaugment_mask(torch.from_numpy(cam)[:, None])[:, 0].numpy())
    mean: Array = np.mean(np.asarray(maps, np.float32), axis=0)
    return mean


def _mirrored(maps: Array, mirrored: bool) -> Array:
    return maps[..., ::-1] if mirrored else maps
