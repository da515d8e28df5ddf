"""Shapley-CAM: channels weighted by their Shapley value, from the score's first two derivatives."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from seewhy.cam.capture import capture
from seewhy.cam.methods.input_score import Scored, attention_in_steps
from seewhy.cam.methods.scene import Scene


def shapley_cam(scene: Scene) -> Tensor:
    """Weights (N, C): the mean over places of the gradient minus half of the Hessian times the activation.

    The second-order Taylor expansion of a channel's Shapley value. Where the score is piecewise linear in the layer
    the Hessian is 0, and this is Grad-CAM; a score that bends (a probability, or logit plus log-probability, which
    the paper proposes) tells them apart. Cai 2025, arXiv:2501.06261.
    """
    assert scene.layer is not None and scene.activation is not None
    layer = replace(scene.layer, name=f"model.{scene.layer.name}")
    with attention_in_steps(), capture(Scored(scene), scene.inputs, [layer]) as captured:
        raw = captured.activations[layer.asked]
        (slope,) = torch.autograd.grad(captured.logits.sum(), raw, create_graph=True)
        weight = slope.detach()
        if slope.requires_grad:
            (bend,) = torch.autograd.grad(slope, raw, raw.detach(), allow_unused=True)
            weight = weight if bend is None else weight - bend / 2
    seen = scene.grid.view(weight) if scene.grid else weight
    return seen.to(scene.activation.dtype).mean(dim=(2, 3))
