"""The original CAM: features weighted by the linear head that reads their means."""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.cam.methods.scene import Scene
from seewhy.cam.methods.weighting import weighted_sum
from seewhy.cam.tail.affine import is_affine
from seewhy.cam.tail.operations import record
from seewhy.cam.tail.tail import tail_of
from seewhy.errors import LayerError

_EVEN = 16  # roundings by which the places of a channel may differ


def cam(scene: Scene) -> Tensor:
    """Signed maps (N, H, W): each channel times the weight with which the class reads its mean over the places.

    M_c(x, y) = sum over k of w_k f_k(x, y). Zhou et al. 2016, arXiv:1512.04150, eq. 2. The weights are the score's
    derivative by the channels' means: those of the last linear layer, where it alone reads them. That the score is an
    affine function of the means is proven from what runs behind the layer, not from names of classes. Then the mean of
    a map's cells is score - bias, and Grad-CAM's map is this one divided by H W. Raises LayerError for other heads.
    """
    assert scene.activation is not None and scene.gradient is not None
    _refuse_other_heads(scene, scene.gradient)
    return weighted_sum(scene.gradient.sum(dim=(2, 3)), scene.activation)


def _refuse_other_heads(scene: Scene, gradient: Tensor) -> None:
    assert scene.layer is not None and scene.raw is not None
    apart = gradient.amax(dim=(2, 3)) - gradient.amin(dim=(2, 3))
    size = gradient.abs().amax(dim=(1, 2, 3))[:, None]
    if bool((apart > _EVEN * torch.finfo(scene.raw.dtype).eps * size).any()):
        raise _refusal(scene, "the places of a channel do not count alike")
    with torch.no_grad(), tail_of(scene.model, scene.inputs, scene.layer, raw=scene.raw) as tail:
        raw = tail.raw.clone()
        if not is_affine(record(lambda: scene.rescore(tail(raw), None)), [raw]):
            raise _refusal(scene, "something bends: an activation, a normalisation, or a score that is no logit")


def _refusal(scene: Scene, why: str) -> LayerError:
    assert scene.layer is not None
    return LayerError(
        f"CAM needs a layer whose channels are averaged over all places and then read by linear layers alone; behind "
        f"{scene.layer.asked} of {type(scene.model).__name__} {why}.\n"
        "  Grad-CAM is CAM up to a factor where that holds, and defined elsewhere:  --method grad-cam\n"
        "  Or name the last layer in front of the pooling:  seewhy layers --model …",
        slug="no-pooled-head",
    )
