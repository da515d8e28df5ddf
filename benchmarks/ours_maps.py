"""seewhy's `attribute` for the layer and class of the ResNet-50 rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from workloads import RESNET50

from seewhy.cam.attribute import Subject, attribute
from seewhy.cam.capture import find_layer
from seewhy.cam.methods.catalogue import find_method
from seewhy.cam.scores.targets import find_scores


@dataclass(frozen=True)
class Found:
    """Logits (N, K), the explained values (N,), and raw maps (N, h, w) by layer."""

    logits: Tensor
    values: Tensor
    maps: dict[str, Tensor]


def ours(model: nn.Module, layer: str = RESNET50.layers, target: int = RESNET50.target) -> Callable[[Tensor], Found]:
    """From the network's inputs to logits and raw maps."""
    layers, methods = [find_layer(model, layer)], {"grad-cam": find_method("grad-cam")}
    subject = Subject(find_scores(target, [str(index) for index in range(1000)]))

    def run(inputs: Tensor) -> Found:
        found = attribute(model, inputs, layers, methods, subject)
        (value,) = found.values.values()
        return Found(found.logits, value, {key.layer: maps for key, maps in found.maps.items()})

    return run
