"""Maps averaged over changed copies of the input, and the random map that none should be mistaken for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from seewhy.cam.capture import capture, gradients
from seewhy.cam.methods.input_score import Scored
from seewhy.cam.methods.scene import Scene


def random_weights(scene: Scene) -> Tensor:
    """Random weights (N, C), normal with variance 1: the map that any method has to beat.

    The draw follows from the seed and the image's mean colour, so that an image has the same weights alone, in any
    batch and mirrored, while a set of images is not judged by one draw. Needs no gradient.
    """
    assert scene.activation is not None
    colours = scene.inputs.detach().float().cpu().double().flatten(2).mean(dim=2)  # (N, channels)
    keys = [f"{scene.seed}:{[round(1000 * mean) for mean in image]}" for image in colours.tolist()]
    draws = [_normal((scene.activation.shape[1],), _digest(key)) for key in keys]
    return torch.stack(draws).to(scene.activation)


def smooth_grad_cam_plus_plus(scene: Scene, *, n_copies: int = 4, sigma_frac: float = 0.1) -> Tensor:
    """Smooth Grad-CAM++: weights (N, C) from derivatives averaged over noisy copies of the input.

    The noise is normal, its deviation `sigma_frac` of each image's own range; an image has the same noise alone and in
    a batch, and one copy at a time is in memory. Without noise this is Grad-CAM++. Omeiza et al. 2019,
    arXiv:1908.01224, with Grad-CAM++'s own numerator, the second derivative (the paper prints the first, by which
    the weights of a copy without noise would not be Grad-CAM++'s).
    """
    assert scene.activation is not None
    scored = Scored(scene)
    slope, second, third = (torch.zeros_like(scene.activation) for _ in range(3))
    for noisy in noisy_copies(scene.inputs, n_copies, sigma_frac, scene.seed):
        gradient = slopes_of(scene, scored, noisy)
        slope += gradient / n_copies
        second += gradient**2 / n_copies
        third += gradient**3 / n_copies
    wide = slope.dtype if slope.device.type == "mps" else torch.float64  # the denominator can cancel
    total = scene.activation.sum(dim=(2, 3), keepdim=True, dtype=wide).to(slope.dtype)
    share = torch.where(second != 0, second / (2 * second + total * third + 1e-6), 0)
    return (slope.relu() * share).sum(dim=(2, 3))


def noisy_copies(inputs: Tensor, n_copies: int, sigma_frac: float, seed: int) -> Iterator[Tensor]:
    """Copies of the inputs (N, ...), one at a time, with normal noise of `sigma_frac` of each image's range.

    Every image of a batch gets the same pattern, scaled to its range.
    """
    flat = inputs.detach().flatten(1)
    sigma = sigma_frac * (flat.amax(dim=1) - flat.amin(dim=1))
    sigma = sigma.view(-1, *[1] * (inputs.ndim - 1))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_copies):
        noise = torch.randn(inputs.shape[1:], generator=generator, dtype=torch.float32)
        yield inputs + sigma * noise.to(inputs)


def slopes_of(scene: Scene, scored: Scored, inputs: Tensor) -> Tensor:
    """The gradient (N, C, h, w) of the scene's score at its layer for changed inputs, as the layer's grid sees it."""
    assert scene.layer is not None
    assert scene.activation is not None
    layer = replace(scene.layer, name=f"model.{scene.layer.name}")
    with capture(scored, inputs, [layer]) as captured:
        raw = gradients(captured.logits[:, 0], captured.activations)[layer.asked]
    seen = scene.grid.view(raw) if scene.grid else raw
    return seen.detach().to(scene.activation.dtype)


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")


def _normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
