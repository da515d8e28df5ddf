"""What the CAM methods differ in: how a layer's features are weighted, from its activation and gradient alone.

Every function takes both as (N, C, H, W) and gives weights (N, C), one for each channel, or (N, C, H, W), one for each
feature; a map is the sum over channels of weight times activation.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM: the mean gradient of each channel (N, C). Selvaraju et al. 2017, arXiv:1610.02391, eq. 1."""
    return gradient.mean(dim=(2, 3))


def hirescam(activation: Tensor, gradient: Tensor) -> Tensor:
    """HiResCAM: the gradient itself (N, C, H, W).

    On a head that is linear in the activation the map sums to logit - bias. Draelos & Carin 2020, arXiv:2011.08891,
    eq. 4.
    """
    return gradient


def layercam(activation: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM: the positive gradients (N, C, H, W). Jiang et al. 2021, IEEE TIP 30, eqs. 4-6."""
    return gradient.relu()


def grad_cam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++: positive gradients (N, C), shared among the places that carry them.

    Chattopadhay et al. 2018, arXiv:1710.11063, eqs. 10, 12 and 19 (exponential of the score).
    """
    squared = gradient**2
    wide = activation.dtype if activation.device.type == "mps" else torch.float64  # the denominator can cancel
    total = activation.sum(dim=(2, 3), keepdim=True, dtype=wide).to(activation.dtype)
    share = squared / (2 * squared + total * (squared * gradient) + 1e-6)
    share = torch.where(gradient != 0, share, 0)
    return (gradient.relu() * share).sum(dim=(2, 3))


def xgrad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """XGrad-CAM: the activation-weighted mean gradient of each channel (N, C).

    Fu et al. 2020, arXiv:2008.02312, eq. 8. A channel whose activations cancel to zero has no defined weight.
    """
    total = activation.sum(dim=(2, 3))
    return (gradient * activation).sum(dim=(2, 3)) / (total + 1e-7)


def grad_cam_elementwise(activation: Tensor, gradient: Tensor) -> Tensor:
    """Element-wise Grad-CAM: the gradients where gradient times activation is positive (N, C, H, W), else 0.

    HiResCAM with the ReLU before the sum over channels instead of behind it: evidence against is left out place by
    place, so the map adds up to more than the score. No paper; pytorch-grad-cam has it.
    """
    return torch.where(gradient * activation > 0, gradient, 0)


def absolute_gradient(activation: Tensor, gradient: Tensor) -> Tensor:
    """Seg-Eigen-CAM: the absolute gradients (N, C, H, W). Chung & Ying 2025, Applied Sciences 15(13) 7562, eq. 10."""
    return gradient.abs()


def fem(activation: Tensor, gradient: Tensor | None, *, k: float = 2) -> Tensor:
    """FEM: of each channel the share (N, C) of places that stand out, by `k` deviations above the channel's mean.

    Fuad et al. 2020, IPTA, "Features Understanding in 3D CNNs for Actions Recognition in Video", sec. III (k-sigma
    rule with k = 2). Sees no class and no gradient.
    """
    deviation, mean = torch.std_mean(activation, dim=(2, 3), correction=0, keepdim=True)
    return (activation > mean + k * deviation).to(activation.dtype).mean(dim=(2, 3))


def unweighted(activation: Tensor, gradient: Tensor | None) -> Tensor:
    """Every feature as it is: weights of 1 (N, C). For Eigen-CAM."""
    return torch.ones_like(activation[:, :, 0, 0])


def weighted_sum(weights: Tensor, activation: Tensor) -> Tensor:
    """The sum over channels (N, H, W) of weights (N, C) or (N, C, H, W) times activation (N, C, H, W)."""
    if weights.ndim == 4:
        return (weights * activation).sum(dim=1)
    n_images, _, height, width = activation.shape
    # A product of matrices, four times as fast as the sum.
    return torch.bmm(weights[:, None], activation.flatten(2)).view(n_images, height, width)


def principal(weights: Tensor, activation: Tensor) -> Tensor:
    """The weighted features projected on their first principal component (N, H, W), centred.

    The sign of a principal component is arbitrary; here it is the one with which the map grows with the strength of
    the features (positive covariance with their norm). Muhammad & Yeasin 2020, arXiv:2008.00299.
    """
    features = _by_place(weights, activation)
    projection = growing_with(features, _first_component(features))
    return projection.view(len(activation), *activation.shape[2:])


def principal_peaked(weights: Tensor, activation: Tensor) -> Tensor:
    """As `principal`, with the sign by which the largest absolute value is positive.

    Chung & Ying 2025, Applied Sciences 15(13) 7562, eqs. 11-13.
    """
    projection = _first_component(_by_place(weights, activation))
    negative = projection.amin(dim=1, keepdim=True).abs() > projection.amax(dim=1, keepdim=True).abs()
    return torch.where(negative, -projection, projection).view(len(activation), *activation.shape[2:])


def growing_with(features: Tensor, projection: Tensor) -> Tensor:
    """Projections (N, HW) with the sign by which they grow with the norm of the features (N, HW, C)."""
    centred = projection - projection.mean(dim=1, keepdim=True)
    covariance = (centred * features.norm(dim=2)).sum(dim=1, keepdim=True)
    return torch.where(covariance < 0, -projection, projection)


def _by_place(weights: Tensor, activation: Tensor) -> Tensor:
    """The weighted features, places before channels (N, HW, C)."""
    weighted: Tensor = (weights if weights.ndim == 4 else weights[:, :, None, None]) * activation
    features: Tensor = weighted.flatten(2).transpose(1, 2)
    return features


def _first_component(features: Tensor) -> Tensor:
    """Features (N, HW, C), centred, on their first principal component (N, HW), of any sign."""
    centred = features - features.mean(dim=1, keepdim=True)
    component: Tensor = torch.linalg.svd(centred.nan_to_num(), full_matrices=False).Vh[
        :, :1
    ]  # NaN must stay in its image
    return (centred * component).sum(dim=2)


def principal_unsigned(weights: Tensor, activation: Tensor) -> Tensor:
    """As `principal`, with the sign that LAPACK happens to give: what pytorch-grad-cam shows, for that preset alone."""
    features = _by_place(weights, activation)
    centred = (features - features.mean(dim=1, keepdim=True)).nan_to_num().cpu().numpy()
    projections = [matrix @ np.linalg.svd(matrix, full_matrices=False)[2][0] for matrix in centred]
    return torch.from_numpy(np.stack(projections)).view(len(activation), *activation.shape[2:])
