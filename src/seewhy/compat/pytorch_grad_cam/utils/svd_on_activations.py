"""Features of a batch projected on one component, with a sign that is defined."""

from __future__ import annotations

from typing import Any

import torch

from seewhy.cam.methods import weighting
from seewhy.cam.methods.kernel import kernel_component
from seewhy.compat.arrays import Array, as_array, as_tensor, planes


def get_2d_projection(activation_batch: Any) -> Array:
    """Features (N, C, ...) on their first principal component (N, ...); grows with the strength of the features."""
    return _projected(activation_batch, weighting.principal)


def get_2d_projection_with_sign_correction(activation_batch: Any) -> Array:
    """The same, with the sign by which the largest absolute value is positive."""
    return _projected(activation_batch, weighting.principal_peaked)


def get_2d_projection_kernel(activation_batch: Any, kernel: str = "sigmoid", gamma: float | None = None) -> Array:
    """Features (N, C, ...) on the first component of a kernel PCA (N, ...); grows with their strength."""
    features = planes(activation_batch).nan_to_num()
    maps = kernel_component(features, kernel, gamma)
    return as_array(maps.view(len(maps), *as_tensor(activation_batch).shape[2:]))


def _projected(activation_batch: Any, combine: Any) -> Array:
    features = planes(activation_batch).nan_to_num()
    maps = combine(torch.ones_like(features[:, :, 0, 0]), features)
    return as_array(maps.view(len(maps), *as_tensor(activation_batch).shape[2:]))
