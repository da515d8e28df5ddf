"""Opti-CAM: the mixture of a layer's channels through which the network sees most of what is explained."""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.cam.capture import capture
from seewhy.cam.methods.scene import Scene
from seewhy.cam.methods.score_cam import masking, masks_of
from seewhy.errors import ModelError

_BETAS = (0.9, 0.999)


def opti_cam(scene: Scene, *, n_steps: int = 100, rate: float = 0.1, floor: float = 3e-2) -> Tensor:
    """Weights (N, C): the softmax of numbers that Adam moves so that the image, masked by its own map, scores most.

    The mask is the mixture of the features by these weights, resized and scaled to [0, 1]; all channels begin alike.
    Zhang et al. 2023, arXiv:2301.07002, sec. 3. As it is published, Adam makes much of rounding, so that an image in a
    batch, or on another device, gets another map. Here each image is optimised by itself, from features of a pass of
    its own and in float64 but for the network; the `rate` falls evenly to 0, so that the end is a point and no orbit;
    and `floor` is Adam's epsilon for a gradient of length 1, by which channels that do not matter stay behind.
    Made for features behind a ReLU: where half of them are negative the score rises too, and the map may light what
    lies around the object. Errors as `score_cam`, and ModelError where no gradient reaches the image.
    """
    dtype = masking(scene, "Opti-CAM").dtype
    with torch.inference_mode(False), torch.enable_grad():
        weights = [_optimised(scene, index, n_steps, rate, floor) for index in range(len(scene.inputs))]
    return torch.cat(weights).to(dtype)


def _optimised(scene: Scene, index: int, n_steps: int, rate: float, floor: float) -> Tensor:
    """The weights (1, C) of one image."""
    image, rows = scene.inputs[index : index + 1].contiguous(), torch.tensor([index], device=scene.inputs.device)
    features = _features(scene, image)
    numbers = features.new_zeros(1, features.shape[1])
    first, second = torch.zeros_like(numbers), torch.zeros_like(numbers)
    for step in range(1, n_steps + 1):
        slope = _slope(scene, features, numbers, image, rows)
        slope = slope / slope.norm().clamp(min=torch.finfo(slope.dtype).tiny)
        first = torch.lerp(slope, first, _BETAS[0])
        second = torch.lerp(slope**2, second, _BETAS[1])
        mean, size = first / (1 - _BETAS[0] ** step), (second / (1 - _BETAS[1] ** step)).sqrt()
        numbers = numbers + rate * (1 - (step - 1) / n_steps) * mean / (size + floor)
    return numbers.softmax(dim=1)


def _features(scene: Scene, image: Tensor) -> Tensor:
    """The features (1, C, h, w) of one image, from a pass of its own."""
    assert scene.layer is not None
    with capture(scene.model, image, [scene.layer], graph=False) as captured:
        raw = captured.activations[scene.layer.asked].detach()
    seen = scene.grid.view(raw) if scene.grid else raw
    return seen.to(torch.float32 if seen.device.type == "mps" else torch.float64)


def _slope(scene: Scene, features: Tensor, numbers: Tensor, image: Tensor, rows: Tensor) -> Tensor:
    """The derivative (1, C), by the numbers behind the weights, of the score of the image behind its mask."""
    leaf = numbers.detach().requires_grad_()
    mask = masks_of((leaf.softmax(dim=1)[:, :, None, None] * features).sum(dim=1), image.shape[-2:])
    seen = (image * mask.detach().to(image.dtype)).requires_grad_()
    score = scene.rescore(scene.model(seen.clone()), rows)  # a copy: the network may change what it is given
    if not score.requires_grad:
        raise ModelError(
            "Opti-CAM follows the score's gradient to the image, and the network detaches its own computation "
            "(torch.inference_mode, .detach() or .data in its forward).\n"
            "  Name a method that needs no gradient there:  --method score-cam",
            slug="no-gradient",
        )
    (by_image,) = torch.autograd.grad(score.sum(), seen)
    by_mask = (by_image.to(mask.dtype) * image.to(mask.dtype)).sum(dim=1, keepdim=True)
    (slope,) = torch.autograd.grad(mask, leaf, by_mask)
    return slope
