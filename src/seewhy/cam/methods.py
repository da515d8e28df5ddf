"""Every CAM as a pure function of a layer's activation and gradient: (N, C, H, W) twice -> raw signed map (N, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import OptionError, listed, nearest


def grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM, signed: channels weighted by their mean gradient.

    Selvaraju et al. 2017, arXiv:1610.02391, eqs. 1 and 2, without the ReLU.
    """
    return _weighted(gradient.mean(dim=(2, 3)), activation)


def hirescam(activation: Tensor, gradient: Tensor) -> Tensor:
    """HiResCAM, signed: gradient times activation at each place.

    On a head that is linear in the activation it sums to logit - bias. Draelos & Carin 2020, arXiv:2011.08891, eq. 4.
    """
    return (gradient * activation).sum(dim=1)


def layercam(activation: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM, signed: positive gradients times activation at each place.

    Jiang et al. 2021, IEEE TIP 30, eqs. 4-6, without the ReLU.
    """
    return (gradient.relu() * activation).sum(dim=1)


def grad_cam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++, signed: channels weighted by their positive gradients, shared among the places that carry them.

    Chattopadhay et al. 2018, arXiv:1710.11063, eqs. 10, 12 and 19 (exponential of the score), without the ReLU.
    """
    squared = gradient**2
    wide = activation.dtype if activation.device.type == "mps" else torch.float64  # the denominator can cancel
    total = activation.sum(dim=(2, 3), keepdim=True, dtype=wide).to(activation.dtype)
    share = squared / (2 * squared + total * (squared * gradient) + 1e-6)
    share = torch.where(gradient != 0, share, 0)
    weight = (gradient.relu() * share).sum(dim=(2, 3), keepdim=True)
    return (weight * activation).sum(dim=1)


def xgrad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """XGrad-CAM, signed: channels weighted by the activation-weighted mean of their gradient.

    Fu et al. 2020, arXiv:2008.02312, eq. 8. A channel whose activations cancel to zero has no defined weight.
    """
    total = activation.sum(dim=(2, 3))
    weight = (gradient * activation).sum(dim=(2, 3)) / (total + 1e-7)
    return _weighted(weight, activation)


def eigen_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Eigen-CAM, signed: the centred activation projected on its first principal component; ignores the class.

    The sign of a principal component is arbitrary; here it is the one with which the map grows with the strength of
    the activation (positive covariance with its norm). Muhammad & Yeasin 2020, arXiv:2008.00299.
    """
    features = activation.flatten(2).transpose(1, 2)  # (N, HW, C)
    centred = features - features.mean(dim=1, keepdim=True)
    component = torch.linalg.svd(centred.nan_to_num(), full_matrices=False).Vh[:, :1]  # NaN must stay in its image
    projection = (centred * component).sum(dim=2)  # (N, HW)
    covariance = (projection * features.norm(dim=2)).sum(dim=1, keepdim=True)
    return torch.where(covariance < 0, -projection, projection).view(len(activation), *activation.shape[2:])


def eigen_cam_unsigned(activation: Tensor, gradient: Tensor) -> Tensor:
    """Eigen-CAM with the sign that LAPACK happens to give, which pytorch-grad-cam shows; for that preset alone."""
    features = activation.flatten(2).transpose(1, 2)  # (N, HW, C)
    centred = (features - features.mean(dim=1, keepdim=True)).nan_to_num().cpu().numpy()
    projections = [one @ np.linalg.svd(one, full_matrices=False)[2][0] for one in centred]
    return torch.from_numpy(np.stack(projections)).view(len(activation), *activation.shape[2:])


@dataclass(frozen=True)
class Method:
    """A CAM method with what a reader needs to choose it.

    `in_score_units` says that the map's cells add up in units of the score, so that a peak can be judged against it.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    summary: str
    paper: str
    in_score_units: bool = False


METHODS: dict[str, Method] = {
    "grad-cam": Method(grad_cam, "channels weighted by their mean gradient", "arXiv:1610.02391", in_score_units=True),
    "hirescam": Method(hirescam, "gradient times activation, place by place", "arXiv:2011.08891", in_score_units=True),
    "layercam": Method(
        layercam,
        "positive gradient times activation, place by place",
        "10.1109/TIP.2021.3089943",
        in_score_units=True,
    ),
    "grad-cam++": Method(grad_cam_plus_plus, "channels weighted by shared positive gradients", "arXiv:1710.11063"),
    "xgrad-cam": Method(
        xgrad_cam,
        "channels weighted by activation-weighted gradients",
        "arXiv:2008.02312",
        in_score_units=True,
    ),
    "eigen-cam": Method(eigen_cam, "first principal component of the activation; no class", "arXiv:2008.00299"),
}
# Where a preset shows something else than the method by that name.
PRESETS: dict[str, dict[str, Method]] = {
    "pytorch-grad-cam": {**METHODS, "eigen-cam": replace(METHODS["eigen-cam"], function=eigen_cam_unsigned)}
}


def _weighted(weight: Tensor, activation: Tensor) -> Tensor:
    """The sum over channels (N, H, W) of weight (N, C) times activation; a product of matrices, four times as fast."""
    n_images, _, height, width = activation.shape
    return torch.bmm(weight[:, None], activation.flatten(2)).view(n_images, height, width)


def find_method(name: str) -> Method:
    """The method called `name`; "gradcam++", "GradCAMPlusPlus" and the like are understood.

    Raises OptionError with the nearest names.
    """
    folded = {_fold(known): method for known, method in METHODS.items()}
    if found := folded.get(_fold(name)):
        return found
    raise OptionError(
        f"There is no method {name!r}.  {nearest(name, METHODS)}\n  Methods: auto, {listed(METHODS, 20)}",
        slug="no-such-method",
    )


def method_name(name: str) -> str:
    """The method's own spelling: "GradCAM" -> "grad-cam"."""
    method = find_method(name)
    return next(known for known, one in METHODS.items() if one is method)


def _fold(name: str) -> str:
    return name.casefold().replace("plusplus", "++").replace("-", "").replace("_", "").replace(" ", "")
