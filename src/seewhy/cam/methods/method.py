"""What a method is: the function that makes its maps, what that takes and gives, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from seewhy.cam.methods import weighting
from seewhy.cam.methods.scene import Scene
from seewhy.cam.scores.score import Score

Kind = Literal["activation", "gradient", "passes", "maps", "places", "head", "layers", "attention", "input", "laid"]
Combine = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """A way to make a map, and what it costs.

    `kind` says what `function` takes and gives: "activation" and "gradient" weigh a layer's features from the
    activation, or from activation and gradient (N, C, H, W); "passes" weighs them from a Scene and runs the network
    again; all three give weights (N, C) or (N, C, H, W), which `combine` turns into a map (N, H, W) with the
    activation. "maps" gives the map (N, H, W) itself from a Scene, "places" too without a gradient, "head" where a
    linear head reads the layer's means, "layers" where several layers are named, "attention" that of a layer with
    tokens, "input" that on the input's own pixels, "laid" that of a layer, laid on them. `cost` is in
    passes over one image (C channels of the layer). `adapt` turns the score that was asked for into the one that the
    method explains. `in_score_units` says that the map's cells add up in units of the score, so that a peak can be
    judged against it, `seeded` that the seed decides what it shows. `code` is the user's own function.
    """

    function: Callable[..., Tensor]
    summary: str
    paper: str
    cost: str
    kind: Kind = "gradient"
    combine: Combine = weighting.weighted_sum
    in_score_units: bool = False
    seeded: bool = False
    adapt: Callable[[Score], Score] | None = None
    code: Any = None

    def map_of(self, scene: Scene) -> Tensor:
        """The raw signed map (N, H, W) of a batch, one layer (or the input) and one score.

        The user's own code gets tensors that are its alone: what it writes to changes no other map.
        """
        scene = scene if self.code is None else scene.copied()
        if scene.activation is not None and self.kind == "passes":
            return self.combine(self.function(scene).to(scene.activation.dtype), scene.activation)
        if scene.activation is not None and self.kind in ("activation", "gradient"):
            return self.weighted_map(scene.activation, scene.gradient)
        return self.function(scene)

    def weighted_map(self, activation: Tensor, gradient: Tensor | None) -> Tensor:
        """The raw signed map (N, H, W) of a method that needs no further pass, from (N, C, H, W) twice."""
        return self.combine(self.function(activation, gradient), activation)

    @property
    def on_input(self) -> bool:
        """Whether the map lies on the input's own pixels, so that no layer is asked for."""
        return self.kind == "input"

    @property
    def on_canvas(self) -> bool:
        """Whether the map has the input's size, not the layer's."""
        return self.kind in ("input", "laid")

    @property
    def needs_gradient(self) -> bool:
        """Whether the score's gradient at the layer is needed."""
        return self.kind in ("gradient", "maps", "head", "layers", "laid")
