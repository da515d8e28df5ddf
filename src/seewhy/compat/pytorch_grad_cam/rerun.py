"""CAMs that run the network again: what one of seewhy's own methods sees of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from seewhy.cam.methods.scene import Scene
from seewhy.cam.model import as_input, unwrap
from seewhy.compat.arrays import like, planes
from seewhy.compat.layers import calls_of
from seewhy.compat.outputs import read_rows, rescored, values_of
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM
from seewhy.errors import OptionError


class RerunCAM(BaseCAM):
    """A CAM whose weights come from further passes of the network."""

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        """Weights (N, C) of one layer's features (N, C, H, W), as tensor or array like these."""
        weights = self._method().function(self.scene_of(input_tensor, target_layers, targets, activations))
        return like(weights, activations)

    def scene_of(self, input_tensor: Any, target_layer: nn.Module, targets: Any, activations: Any) -> Scene:
        """What the method sees. Raises OptionError where nothing says what is explained."""
        model, _ = unwrap(self.model)
        inputs = as_input(model, input_tensor)
        rows = self.outputs
        if rows is None or len(rows) != len(inputs):
            with torch.no_grad():
                rows = read_rows(model(inputs.clone()), len(inputs)).of
        if targets is None:
            raise OptionError(
                f"{type(self).__name__} needs to know what is explained, and of this network's output no class is "
                "predicted.\n  Give a target for each image:  targets=[lambda output: …]",
                slug="target",
            )
        (call,) = calls_of(model, [target_layer], self.reshape_transform, inputs)
        features = planes(activations).to(inputs.device)
        return Scene(
            model=model,
            inputs=inputs,
            values=values_of(rows, targets).detach(),
            rescore=rescored(targets, len(inputs)),
            layer=call,
            grid=call.grid,
            raw=features,
            activation=features,
        )
