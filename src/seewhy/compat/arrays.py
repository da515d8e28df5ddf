"""Between the arrays that scripts hold and the tensors that are computed with; maps scaled as that package scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from seewhy.cam.scores.outputs import wide
from seewhy.errors import LayerError
from seewhy.maps import min_max, resize

Array = NDArray[np.float32]
_PER_VOLUME = 3  # axes of one image's map in a volume


def as_tensor(values: Any) -> Tensor:
    """Values as a tensor of float32 or wider, detached; without a copy where that is possible."""
    return wide(values.detach() if isinstance(values, Tensor) else torch.as_tensor(values))


def as_array(values: Tensor) -> Array:
    """A tensor as a numpy array of float32, on the CPU."""
    array: Array = values.detach().float().cpu().numpy()
    return array


def like(result: Tensor, given: Any) -> Any:
    """The result as what was given is: a tensor for a tensor, a float32 array for an array."""
    return result if isinstance(given, Tensor) else as_array(result)


def planes(features: Any) -> Tensor:
    """Features (N, C, ...) as (N, C, H, W): of volumes (N, C, D, H, W) all places in one column.

    Raises LayerError for features without places.
    """
    tensor = as_tensor(features)
    if tensor.ndim not in (4, 5):
        raise LayerError(
            f"The layer's features have shape {tuple(tensor.shape)}, where (N, C, H, W) is needed.\n"
            "  Give a function that makes them of its output:  reshape_transform=lambda tokens: …",
            slug="layer-without-grid",
        )
    return tensor if tensor.ndim == 4 else tensor.flatten(2)[..., None]


def scaled(maps: Tensor, size: Sequence[int] | None = None) -> Tensor:
    """Maps (N, h, w) from 0 to just below 1, then resized to (height, width); one (h, w), or volumes, likewise."""
    if maps.ndim == _PER_VOLUME - 1:
        return scaled(maps[None], size)[0]
    if maps.ndim == _PER_VOLUME + 1:
        return _scaled_volumes(maps, size)
    small = min_max(maps)
    return small if size is None else resize(small, (size[0], size[1]))


def _scaled_volumes(maps: Tensor, size: Sequence[int] | None) -> Tensor:
    small = min_max(maps.flatten(1)[..., None]).view(maps.shape)
    if size is None:
        return small
    factors = [to / of for to, of in zip(size, maps.shape[1:], strict=True)]
    zoomed = [ndimage.zoom(volume, factors) for volume in as_array(small)]  # cubic, as that package does
    return torch.from_numpy(np.stack(zoomed)).to(maps.device)
