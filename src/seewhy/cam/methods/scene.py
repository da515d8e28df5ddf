"""What a method sees that runs the network more than once: one batch, one layer, one score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from seewhy.cam.capture import LayerCall
from seewhy.cam.grid import Grid

# The model's own output for B changed images, and which image each is a change of (B,), None for all in order -> (B,).
Rescore = Callable[[Any, Tensor | None], Tensor]


class Features(NamedTuple):
    """A layer's features and the score's derivative by them, as its grid sees them (N, C, H, W); detached."""

    activation: Tensor
    gradient: Tensor | None


@dataclass(frozen=True)
class Scene:
    """One batch as a method sees it that runs the network again; the model is in eval mode and locked meanwhile.

    `raw` is the layer's own output, `activation` (N, C, H, W) the same as `grid` sees it, `gradient` the score's
    derivative by it, `values` (N,) the explained numbers; all detached. `rescore` gives the score of other outputs of
    the same model: the class that is explained was fixed once, and does not move with what is changed. For a method
    on the input itself, `layer`, `grid`, `raw`, `activation` and `gradient` are None. `named` are the features of all
    layers that were named, this one's among them.
    """

    model: nn.Module
    inputs: Tensor
    values: Tensor
    rescore: Rescore
    layer: LayerCall | None = None
    grid: Grid | None = None
    raw: Tensor | None = None
    activation: Tensor | None = None
    gradient: Tensor | None = None
    seed: int = 0
    named: tuple[Features, ...] = ()

    def copied(self) -> Scene:
        """The same with tensors of its own, which may be written to."""
        named = tuple(Features(*map(_copy, features)) for features in self.named)
        activation, gradient, raw = map(_copy, (self.activation, self.gradient, self.raw))
        inputs, values = self.inputs.clone(), self.values.clone()
        return replace(
            self, inputs=inputs, values=values, raw=raw, activation=activation, gradient=gradient, named=named
        )


def _copy(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.clone()
