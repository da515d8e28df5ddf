"""The composition: one forward pass, one small backward pass, raw maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall, capture, gradients
from seewhy.cam.methods import Method
from seewhy.cam.scores import Score


@dataclass(frozen=True)
class Attribution:
    """Logits (N, K), the explained values (N,), and raw signed maps (N, H, W) by layer; detached."""

    logits: Tensor
    values: Tensor
    maps: dict[str, Tensor]
    calls: dict[str, int]


def attribute(
    model: nn.Module,
    inputs: Tensor,
    layers: Sequence[LayerCall],
    method: Method,
    score: Score,
    labels: Tensor | None = None,
) -> Attribution:
    """Raw signed maps of the score on each layer's own grid, leaving the model as found.

    `inputs` are the network's own (N, C, H, W); `labels` (N,) are class indices, needed by the score "label".
    Raises LayerError and ModelError as `capture` does.
    """
    with capture(model, inputs, layers) as captured:
        values = score(captured.logits, labels)
        slopes = gradients(values, captured.activations)
        with torch.no_grad():
            maps = {
                layer: method.function(_wide(activation), _wide(slopes[layer]))
                for layer, activation in captured.activations.items()
            }
        return Attribution(captured.logits.detach(), values.detach(), maps, captured.calls)


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
