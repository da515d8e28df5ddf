"""Score-CAM: each channel weighs what the network says of the image seen through that channel alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.blocks import kept_at_once
from seewhy.cam.methods.scene import Scene
from seewhy.errors import LayerError, ModelError

_CHUNK = 16 * 3 * 224 * 224  # numbers in the masked inputs of one pass: torch's convolutions are slow below 16 images


@torch.inference_mode(False)  # which turns gradients on: no_grad comes inside
@torch.no_grad()
def score_cam(scene: Scene) -> Tensor:
    """Weights (N, C): the softmax over channels of the score of the image masked by each channel.

    A mask is the channel's activation, resized to the image and scaled to [0, 1]. The score of the empty image, which
    the paper takes off, is the same for all channels and falls out of the softmax. One pass for each different mask;
    never more than a chunk of masked images is held. Wang et al. 2020, arXiv:1910.01279, eqs. 6-8.
    Raises LayerError without a layer, ModelError for inputs that are not images (N, 3, H, W).
    """
    return scores_through(scene, masking(scene, "Score-CAM")).softmax(dim=1)


def masking(scene: Scene, method: str) -> Tensor:
    """The features (N, C, h, w) that mask the images. Raises LayerError and ModelError as `score_cam` does."""
    if scene.activation is None:
        raise LayerError(f"{method} weighs the channels of a layer, and none is named.", slug="no-such-layer")
    if scene.inputs.ndim != 4:
        raise ModelError(
            f"{method} masks images (N, 3, H, W); these inputs have the shape {tuple(scene.inputs.shape)}.\n"
            "  Use a method that does not mask the input:  --method grad-cam",
            slug="inputs-not-images",
        )
    return scene.activation


def scores_through(scene: Scene, features: Tensor, strength: float = 1.0) -> Tensor:
    """The scores (N, C) of the images, seen through each channel of the features (N, C, h, w), times `strength`."""
    different = [_different(image_channels) for image_channels in features]
    channels = torch.cat([distinct for distinct, _ in different])  # (M, h, w), M at most N x C
    rows = torch.cat([torch.full((len(distinct),), index) for index, (distinct, _) in enumerate(different)])  # (M,)
    scores = _scores(scene, channels, rows.to(scene.inputs.device), strength)
    places = torch.stack([places + int((rows < index).sum()) for index, (_, places) in enumerate(different)])
    return scores[places]


def _different(channels: Tensor) -> tuple[Tensor, Tensor]:
    """The channels (C, h, w) that give different masks, and which of them each is (C,)."""
    constant = channels.amax((1, 2), keepdim=True) == channels.amin((1, 2), keepdim=True)
    # Rounding would make a mask of noise from a constant channel: it has none, as a dead one.
    distinct, places = torch.unique(channels.masked_fill(constant, 0), dim=0, return_inverse=True)
    return distinct, places


def _scores(scene: Scene, channels: Tensor, rows: Tensor, strength: float) -> Tensor:
    """The score (M,) of image `rows[m]` seen through channel m, chunk by chunk, laid out as the inputs are."""
    most = max(1, _CHUNK // scene.inputs[0].numel())
    at_once = kept_at_once(scene.model, scene.inputs, min(most, len(rows)))
    size = -(-len(rows) // -(-len(rows) // at_once)) if len(rows) else 1  # chunks of about one size
    last = scene.inputs.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    scores = []
    for start in range(0, len(rows), size):
        which = rows[start : start + size]
        masks = strength * masks_of(channels[start : start + size], scene.inputs.shape[-2:])
        masked = (scene.inputs[which] * masks.to(scene.inputs.dtype)).contiguous(memory_format=layout)
        scores.append(scene.rescore(scene.model(masked), which))
    return torch.cat(scores)


def masks_of(channels: Tensor, size: torch.Size) -> Tensor:
    """Channels (B, h, w) as masks in [0, 1] (B, 1, H, W) of the size of the images."""
    # Corners aligned, as in pytorch-grad-cam; the paper does not say.
    resized = functional.interpolate(channels[:, None], size=size, mode="bilinear", align_corners=True)
    low, high = resized.amin((2, 3), keepdim=True), resized.amax((2, 3), keepdim=True)
    return (resized - low) / (high - low + 1e-8)
