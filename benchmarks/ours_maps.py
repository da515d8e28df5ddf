"""seewhy's `attribute` for the layer and class of the ResNet-50 rows."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from workloads import RESNET50

from seewhy.cam.attribute import Attribution, attribute
from seewhy.cam.capture import find_layer
from seewhy.cam.methods import find_method
from seewhy.cam.scores import find_score


def ours(model: nn.Module) -> Callable[[Tensor], Attribution]:
    """From the network's inputs to logits and raw maps."""
    layers, method = [find_layer(model, RESNET50.layers)], find_method("grad-cam")
    score = find_score(RESNET50.target, [str(index) for index in range(1000)])
    return lambda inputs: attribute(model, inputs, layers, method, score)
