"""What switches channels off: layers that give a layer's output with one channel less in each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.methods import weighting
from seewhy.compat.arrays import as_tensor


class AblationLayer(nn.Module):
    """Gives a layer's output (C, ...) once for each of the next channels, with that channel 0.

    May be derived from: `set_next_batch` and `__call__` are what scripts replace.
    """

    def __init__(self) -> None:
        super().__init__()
        self.indices: Any = np.zeros(0, np.int64)
        self.activations: Any = None

    def objectiveness_mask_from_svd(self, activations: Any, threshold: float = 0.01) -> Any:
        """Where (H, W) the first principal component of features (C, H, W) is not near 0."""
        features = as_tensor(activations)[None]
        size = weighting.principal(torch.ones(features.shape[:2]), features)[0].abs()
        size = size - size.amin()
        mask: Any = (size > threshold * size.amax()).numpy()
        return mask

    def activations_to_be_ablated(self, activations: Any, ratio_channels_to_ablate: float = 1.0) -> Any:
        """The channels (M,) of features (C, H, W) that are switched off: all, or a share of them.

        Of a share, half are those that lie most where the features stand out, half those that lie least there.
        """
        n_channels = len(activations)
        self.indices = np.arange(n_channels, dtype=np.int32)
        if ratio_channels_to_ablate < 1:
            mask, size = self.objectiveness_mask_from_svd(activations), np.abs(np.asarray(activations))
            size = size - size.min(axis=(1, 2), keepdims=True)
            inside = (mask * size).sum(axis=(1, 2)) / np.maximum(size.sum(axis=(1, 2)), np.finfo(np.float32).tiny)
            order, count = np.argsort(inside, kind="stable"), max(1, round(n_channels * ratio_channels_to_ablate))
            low = order[: count // 2]
            self.indices = np.concatenate([order[::-1][: count - len(low)], low]).astype(np.int32)
        return self.indices

    def set_next_batch(self, input_batch_index: int, activations: Any, num_channels_to_ablate: int) -> None:
        """Repeat one image's output (C, ...), once for each of so many channels."""
        one = activations[input_batch_index : input_batch_index + 1]
        self.activations = one.repeat(num_channels_to_ablate, *[1] * (one.ndim - 1))

    def __call__(self, x: Any) -> Any:
        """The repeated output, in each row with its channel of `indices` off; `x` is not read."""
        rows = torch.arange(len(self.activations))
        self._by_channel(self.activations)[rows, torch.as_tensor(self.indices[: len(rows)]).long()] = 0
        return self.activations

    def _by_channel(self, activations: Tensor) -> Tensor:
        return activations


class AblationLayerVit(AblationLayer):
    """The same for tokens (T, C): the last axis holds the channels."""

    def _by_channel(self, activations: Tensor) -> Tensor:
        return activations.movedim(-1, 1)


class AblationLayerFasterRCNN(AblationLayer):
    """The same for torchvision's feature pyramid: a dict of maps (256, H, W), their channels counted through."""

    def set_next_batch(self, input_batch_index: int, activations: Any, num_channels_to_ablate: int) -> None:
        """Repeat one image's pyramid, once for each of so many channels."""
        self.activations = type(activations)()
        for key, value in activations.items():
            one = value[input_batch_index : input_batch_index + 1]
            self.activations[key] = one.repeat(num_channels_to_ablate, 1, 1, 1)

    def __call__(self, x: Any) -> Any:
        """The repeated pyramid, in each row with its channel off: at 0, where upstream sets -1000."""
        widths = [value.shape[1] for value in self.activations.values()]
        ends = np.cumsum(widths)
        maps = list(self.activations.values())
        for row in range(len(maps[0])):
            level = int(np.searchsorted(ends, self.indices[row], side="right"))
            maps[level][row, int(self.indices[row]) - int(ends[level] - widths[level])] = 0
        return self.activations
