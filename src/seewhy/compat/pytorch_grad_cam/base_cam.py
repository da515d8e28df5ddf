"""The class that every CAM derives from, ours and those of scripts: one pass, maps of each layer, one picture-like map.

A class of ours names a method of seewhy's own; one of a script replaces `get_cam_weights` or `get_cam_image`, which
then get numpy arrays, as upstream.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from seewhy.cam.methods import weighting
from seewhy.cam.methods.catalogue import Method, find_method
from seewhy.cam.model import as_input, untouched, unwrap
from seewhy.compat.arrays import Array, as_array, as_tensor, like, planes
from seewhy.compat.layers import Transform, as_layers, names_of
from seewhy.compat.notice import device_notice
from seewhy.compat.old_style import named_targets, takes_use_cuda
from seewhy.compat.outputs import ByOutputs, predicted_targets, targets_for, values_of
from seewhy.compat.pictures import as_batch
from seewhy.compat.portions import RecordedCall, joined, portions
from seewhy.compat.pytorch_grad_cam.activations_and_gradients import ActivationsAndGradients, Passing
from seewhy.compat.pytorch_grad_cam.utils.image import scale_cam_image
from seewhy.compat.pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from seewhy.compat.smoothing import smoothed
from seewhy.compat.targets import ClassifierOutputTarget
from seewhy.errors import LayerError, ModelError, OptionError

__all__ = ["ActivationsAndGradients", "BaseCAM", "ClassifierOutputTarget", "get_2d_projection", "scale_cam_image"]

_OURS = scale_cam_image


class BaseCAM:
    """Maps of images by layers of a network, which comes back exactly as it was.

    `outputs` is what the network gave at the last call, detached.
    """

    method: ClassVar[str | None] = None  # of seewhy's own, by name

    @takes_use_cuda
    def __init__(
        self,
        model: nn.Module,
        target_layers: Any,
        reshape_transform: Transform | None = None,
        compute_input_gradient: bool = False,
        uses_gradients: bool = True,
        tta_transforms: Iterable[Any] | None = None,
        detach: bool = True,
        *,
        use_cuda: Any = None,
        device: Any = None,
    ) -> None:
        self.model = model
        self.target_layers = as_layers(target_layers)
        if not self.target_layers and not compute_input_gradient:
            raise OptionError(
                "target_layers is empty.\n  Give at least one layer of the network:  target_layers=[model.layer4]",
                slug="no-such-layer",
            )
        names_of(unwrap(model)[0], self.target_layers)
        self.device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        self.cuda = self.device.type == "cuda"
        device_notice(use_cuda, device, self.device)
        self.reshape_transform = reshape_transform
        self.compute_input_gradient = compute_input_gradient
        self.uses_gradients = uses_gradients and (self.method is None or self._method().needs_gradient)
        self.tta_transforms = tta_transforms
        self.detach = detach
        self.outputs: Any = None
        self.activations_and_grads: Any = Passing(model, self.target_layers, reshape_transform, detach)

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Any = None,
        aug_smooth: bool = False,
        eigen_smooth: bool = False,
        *,
        target_category: Any = None,
    ) -> Array:
        """Maps (N, H, W) from 0 to just below 1, of the inputs' size (N, C, H, W); volumes (N, D, H, W).

        `targets` holds a function of its own output for each image, or is one for all; None explains the class that
        is predicted. `aug_smooth` is the mean over six mirrored and scaled inputs, `eigen_smooth` the first principal
        component in place of the sum. Raises OptionError, LayerError and ModelError.
        """
        targets = named_targets(targets, target_category)
        if aug_smooth:
            return self.forward_augmentation_smoothing(input_tensor, targets, eigen_smooth)
        return self.forward(input_tensor, targets, eigen_smooth)

    def forward(self, input_tensor: Tensor, targets: Any = None, eigen_smooth: bool = False) -> Array:
        """As a call without `aug_smooth`."""
        inputs = as_batch(input_tensor)
        if type(self.activations_and_grads) is Passing and self.detach and not self.compute_input_gradient:
            try:
                return self._passed(inputs, targets, eigen_smooth)
            except LayerError as error:  # a layer that gives a dict, which a function makes features of
                if error.slug != "layer-without-grid" or self.reshape_transform is None:
                    raise
        return self._hooked(inputs, targets, eigen_smooth)

    def _passed(self, inputs: Tensor, targets: Any, eigen_smooth: bool) -> Array:
        """Passes that keep the graph behind the layers alone: one, or several where less memory makes that faster."""
        model, whole = unwrap(self.model)[0], [(inputs, targets)]
        with untouched(model), torch.inference_mode(False):
            given = portions(model, inputs, targets) if self._takes_tensors() else whole
            seen = joined([self._recorded(*portion) for portion in given])
            self.outputs = seen.outputs
            self.activations_and_grads.take(seen.activations, seen.gradients)
            with torch.no_grad():
                per_layer = self.compute_cam_per_layer(seen.images, seen.targets, eigen_smooth)
        return self.aggregate_multi_layers(per_layer)

    def _recorded(self, inputs: Tensor, targets: Any) -> RecordedCall:
        """What one pass gave."""
        watched = self.activations_and_grads
        with watched.passing(inputs, graph=self.uses_gradients) as seen:
            rows = seen.output.of
            self.outputs = tree_map(_detached, rows)
            chosen = self.targets_of(targets, rows)
            if self.uses_gradients:
                watched.take_gradients(values_of(rows, chosen), seen)
            return RecordedCall(seen.inputs, self.outputs, chosen, watched.activations, watched.gradients)

    def _hooked(self, inputs: Tensor, targets: Any, eigen_smooth: bool) -> Array:
        """One pass with its whole graph, for what scripts put in our place, and for what reads the input's gradient."""
        with untouched(unwrap(self.model)[0]), torch.inference_mode(False), torch.set_grad_enabled(self.uses_gradients):
            leaf = as_input(self.model, inputs).clone().requires_grad_(self.uses_gradients)
            rows = self.activations_and_grads(leaf.clone())
            self.outputs = tree_map(_detached, rows)
            chosen = self.targets_of(targets, rows)
            if self.uses_gradients:
                numbers = [target(row) for target, row in zip(chosen, rows, strict=True)]
                self._take_gradients(sum(numbers), leaf)
            with contextlib.nullcontext() if not self.detach else torch.no_grad():
                per_layer = self.compute_cam_per_layer(leaf, chosen, eigen_smooth)
        return self.aggregate_multi_layers(per_layer)

    def _take_gradients(self, total: Any, leaf: Tensor) -> None:
        """The gradient by the input, on the way to which every layer's is recorded; no parameter gets one."""
        if not isinstance(total, Tensor) or total.numel() != 1 or not total.requires_grad:
            raise OptionError(
                f"The targets add up to {tuple(total.shape) if isinstance(total, Tensor) else total!r:.40}, where one "
                "number with a gradient is needed.\n  For example:  targets=[ClassifierOutputTarget(281)]",
                slug="target",
            )
        gradient = partial(torch.autograd.grad, total.reshape(()), create_graph=not self.detach, allow_unused=True)
        (slope,) = gradient(leaf, retain_graph=True)
        leaf.grad = None if slope is None else slope.detach()
        if slope is None:  # the network detaches what it computes: to its weights instead, where there is a way
            gradient([weight for weight in self.model.parameters() if weight.requires_grad])

    def targets_of(self, targets: Any, rows: Any) -> Any:
        """The targets that are explained of outputs for N images; None where none is asked for, and none needed."""
        if targets is None:
            try:
                return predicted_targets(rows)
            except ModelError:
                if self.uses_gradients:
                    raise
                return None
        return targets_for(targets, rows)

    def compute_cam_per_layer(self, input_tensor: Tensor, targets: Any, eigen_smooth: bool) -> list[Array]:
        """For each layer its maps (N, 1, H, W), positive and scaled, from what was recorded."""
        watched = self.activations_and_grads
        slopes = watched.gradients if self.uses_gradients else [None] * len(self.target_layers)
        self._check_recorded(watched.activations, slopes)
        size, maps = tuple(self.get_target_width_height(input_tensor)), []
        for layer, activation, slope in zip(self.target_layers, watched.activations, slopes, strict=True):
            given = (activation, slope) if self._takes_tensors() else (_as_given(activation), _as_given(slope))
            cam = as_tensor(self.get_cam_image(input_tensor, layer, targets, *given, eigen_smooth))
            maps.append(_shown(cam.clamp(min=0), size)[:, None])
        return maps

    def _check_recorded(self, activations: Sequence[Any], slopes: Sequence[Any]) -> None:
        for what, recorded in (("gave nothing", activations), ("got no gradient", slopes)):
            if len(recorded) != len(self.target_layers):
                raise LayerError(
                    f"{len(self.target_layers) - len(recorded)} of {len(self.target_layers)} target layers {what} in "
                    "the pass: they do not run, or what is explained does not depend on them.\n"
                    "  Take layers between the input and what is explained.",
                    slug="no-gradient",
                )

    def _takes_tensors(self) -> bool:
        """Whether what makes the maps is ours, or asks for tensors."""
        makers = (type(self).get_cam_image, type(self).get_cam_weights)
        return not self.detach or all(maker.__module__.startswith(__package__) for maker in makers)

    def get_cam_weights(
        self, input_tensor: Tensor, target_layers: Any, targets: Any, activations: Any, grads: Any
    ) -> Any:
        """Weights (N, C), or (N, C, H, W), of one layer's features (N, C, ...), as tensor or array like these.

        What scripts replace. Raises NotImplementedError where neither they nor we say how.
        """
        return weights_by(self._method(), activations, grads)

    def get_cam_image(
        self,
        input_tensor: Tensor,
        target_layer: nn.Module,
        targets: Any,
        activations: Any,
        grads: Any,
        eigen_smooth: bool = False,
    ) -> Any:
        """Signed maps (N, ...) of one layer on its own grid, as tensor or array like the activations."""
        weights = as_tensor(self.get_cam_weights(input_tensor, target_layer, targets, activations, grads))
        features = planes(activations)
        combine = weighting.weighted_sum if self.method is None else self._method(eigen_smooth).combine
        combine = weighting.principal if eigen_smooth else combine
        cam = combine(weights.to(features), features)
        return like(cam.view(len(cam), *activations.shape[2:]), activations)

    def _method(self, eigen_smooth: bool = False) -> Method:
        if self.method is None:
            raise NotImplementedError(f"{type(self).__name__} has to say how features are weighted: get_cam_weights()")
        return find_method(self.method, eigen=eigen_smooth)

    def get_target_width_height(self, input_tensor: Tensor) -> tuple[int, ...]:
        """The size of the maps, last axis first: (width, height)."""
        return tuple(input_tensor.shape[:1:-1])

    def aggregate_multi_layers(self, cam_per_target_layer: Sequence[Any]) -> Array:
        """The mean (N, H, W) over the layers' maps (N, 1, H, W), scaled once more."""
        maps = torch.from_numpy(np.concatenate(cam_per_target_layer, axis=1)).clamp(min=0)
        return _shown(maps.mean(dim=1))

    def forward_augmentation_smoothing(
        self, input_tensor: Tensor, targets: Any = None, eigen_smooth: bool = False
    ) -> Array:
        """The mean (N, H, W) of the maps of changed inputs: six, or `tta_transforms`; not scaled again.

        Of `targets=None` all explain the class that is predicted for the input as it is.
        """
        plain = self.forward(input_tensor, targets, eigen_smooth)
        if targets is None or isinstance(targets, ByOutputs):
            targets = self.targets_of(targets, self.outputs)
        outputs = self.outputs

        def made(changed: Tensor) -> Array:
            return self.forward(changed, targets, eigen_smooth)

        maps = smoothed(made, input_tensor, plain, self.tta_transforms)
        self.outputs = outputs
        return maps

    def __enter__(self) -> BaseCAM:
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of what is kept. Errors go on; upstream prints an IndexError and goes on as if there were none."""
        self.activations_and_grads.release()


def weights_by(method: Method, activations: Any, grads: Any) -> Any:
    """Weights by one of seewhy's own methods, as tensor or array like the activations."""
    weights = method.function(planes(activations), None if grads is None else planes(grads))
    return like(weights, activations)


def _shown(cam: Tensor, size: Sequence[int] | None = None) -> Array:
    """Maps scaled by this module's `scale_cam_image`: ours, or an array's that a script has put in its place."""
    given = cam if scale_cam_image is _OURS else as_array(cam)
    return as_array(as_tensor(scale_cam_image(given, size)))


def _as_given(value: Any) -> Any:
    """What scripts get: a numpy array on the CPU."""
    return as_array(value) if isinstance(value, Tensor) else value


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
