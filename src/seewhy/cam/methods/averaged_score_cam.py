"""SS-CAM and IS-CAM: Score-CAM with the scores averaged, over noisy masks or over masks that fade in."""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.cam.methods.scene import Scene
from seewhy.cam.methods.score_cam import masking, scores_through


@torch.inference_mode(False)  # which turns gradients on: no_grad comes inside
@torch.no_grad()
def ss_cam(scene: Scene, *, n_copies: int = 10, sigma_frac: float = 0.1) -> Tensor:
    """SS-CAM: weights (N, C), the softmax over channels of scores averaged over noisy copies of each channel's mask.

    Wang et al. 2020, arXiv:2006.14255, SS-CAM(1), with noise on the feature map. The noise is normal, its deviation
    `sigma_frac` of the channel's own range (the paper's 2 is in units of the activation, which differ between
    networks); the noisy channel is resized and scaled to [0, 1] as Score-CAM's. An image has the same noise alone and
    in a batch. Without noise this is Score-CAM. Errors as `score_cam`.
    """
    features = masking(scene, "SS-CAM")
    flat = features.flatten(2)
    sigma = (sigma_frac * (flat.amax(dim=2) - flat.amin(dim=2)))[:, :, None, None]
    generator = torch.Generator().manual_seed(scene.seed)
    total: Tensor | None = None
    for _ in range(n_copies):
        noise = torch.randn(features.shape[1:], generator=generator, dtype=torch.float32).to(features)
        scores = scores_through(scene, features + sigma * noise)
        total = scores if total is None else total + scores
    assert total is not None
    return (total / n_copies).softmax(dim=1)


@torch.inference_mode(False)  # which turns gradients on: no_grad comes inside
@torch.no_grad()
def is_cam(scene: Scene, *, n_steps: int = 10) -> Tensor:
    """IS-CAM: weights (N, C), the softmax over channels of scores averaged while each channel's mask fades in.

    The image is seen through i/n of the mask, i = 1 to n: a Riemann sum along the way from the empty image. Naidu et
    al. 2020, arXiv:2010.03023. With one step this is Score-CAM. Errors as `score_cam`.
    """
    features = masking(scene, "IS-CAM")
    scores = [scores_through(scene, features, step / n_steps) for step in range(1, n_steps + 1)]
    return torch.stack(scores).mean(dim=0).softmax(dim=1)
