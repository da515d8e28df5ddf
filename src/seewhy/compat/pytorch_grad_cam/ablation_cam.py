"""AblationCAM, by seewhy's own ablation-cam, or by a layer of a script's that says what "off" means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.methods.ablation import ablation_cam
from seewhy.cam.methods.scene import Scene
from seewhy.cam.tail.tail import tail_of
from seewhy.compat.arrays import as_array, as_tensor, like
from seewhy.compat.layers import Reshaped, channel_axis
from seewhy.compat.notice import warn
from seewhy.compat.old_style import takes_use_cuda
from seewhy.compat.outputs import OneTarget, read_rows, values_of
from seewhy.compat.pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit
from seewhy.compat.pytorch_grad_cam.rerun import RerunCAM

_STANDARD = (AblationLayer, AblationLayerVit)


class AblationCAM(RerunCAM):
    """Channels weighted by the score's fall without them. Desai & Ramaswamy 2020, WACV.

    A channel is switched off by setting it to 0, whatever stands in the batch. Only what follows the layer is run
    again, as many channels at once as memory suits; an `ablation_layer` of another class than the two for
    convolutions and tokens runs the whole network with that layer's output, `batch_size` channels at once.
    """

    method = "ablation-cam"

    @takes_use_cuda
    def __init__(
        self,
        model: Any,
        target_layers: Any,
        reshape_transform: Any = None,
        ablation_layer: AblationLayer | None = None,
        batch_size: int = 32,
        ratio_channels_to_ablate: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(model, target_layers, reshape_transform, **options)
        self.ablation_layer = AblationLayer() if ablation_layer is None else ablation_layer
        self.batch_size = batch_size
        self.ratio_channels_to_ablate = ratio_channels_to_ablate
        if ratio_channels_to_ablate != 1 and type(self.ablation_layer) in _STANDARD:
            warn(
                f"ratio_channels_to_ablate={ratio_channels_to_ablate} is taken and does nothing: every channel is "
                "switched off, which costs less here than upstream's share of them."
            )

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        """Weights (N, C): by how much the score falls, in its own unit."""
        scene = self.scene_of(input_tensor, target_layers, targets, activations)
        if type(self.ablation_layer) in _STANDARD:
            return like(ablation_cam(self._prepared(scene)), activations)
        weights = self._replaced(target_layers, scene.inputs, targets, as_array(as_tensor(activations)))
        return like(torch.from_numpy(weights), activations)

    def _prepared(self, scene: Scene) -> Scene:
        """The scene with the layer's raw output, and where that holds its channels."""
        assert scene.layer is not None and scene.activation is not None and isinstance(scene.grid, Reshaped)
        if scene.grid.transform is None:
            return scene
        with torch.no_grad(), tail_of(scene.model, scene.inputs, scene.layer) as tail:
            raw = tail.raw
        axis = channel_axis(raw, scene.activation)
        seen = Reshaped(0, 0, transform=scene.grid.transform, asked=scene.layer.asked, axis=axis)
        return replace(scene, grid=seen, raw=raw)

    def _replaced(self, layer: nn.Module, inputs: Tensor, targets: Sequence[OneTarget], features: Any) -> Any:
        """Weights (N, C) by passes in which the ablation layer's output stands in for the layer's."""
        kept: list[Any] = []
        weights = np.zeros(features.shape[:2], np.float32)
        with torch.no_grad():
            values = self._scores(layer, lambda given: kept.append(given), inputs, targets)
            for image, target in enumerate(targets):
                channels = self.ablation_layer.activations_to_be_ablated(features[image], self.ratio_channels_to_ablate)
                for start in range(0, len(channels), self.batch_size):
                    off = np.asarray(channels)[start : start + self.batch_size]
                    self.ablation_layer.indices = off
                    self.ablation_layer.set_next_batch(image, kept[0], len(off))
                    copies = inputs[image : image + 1].repeat(len(off), *[1] * (inputs.ndim - 1))
                    scores = self._scores(layer, self.ablation_layer, copies, [target] * len(off))
                    weights[image, off] = as_array(values[image] - scores)
        return weights

    def _scores(self, layer: nn.Module, instead: Any, inputs: Tensor, targets: Sequence[OneTarget]) -> Tensor:
        """The targets' numbers (N,) with `instead` of the layer's output, where that gives anything."""
        handle = layer.register_forward_hook(lambda module, args, output: instead(output))
        try:
            return values_of(read_rows(self.model(inputs.clone()), len(inputs)).of, targets)
        finally:
            handle.remove()
