"""KPCA_CAM, by seewhy's own kpca-cam."""

from __future__ import annotations

from typing import Any

from seewhy.cam.methods.kernel import kernel_component
from seewhy.compat.arrays import like, planes
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class KPCA_CAM(BaseCAM):
    """The first component of a kernel PCA of the activations, with a sign that is defined. arXiv:2410.00267.

    `kernel` is "linear", "sigmoid", "poly", "rbf" or "cosine"; `gamma` None is 1 / channels.
    """

    method = "kpca-cam"

    def __init__(
        self,
        model: Any,
        target_layers: Any,
        reshape_transform: Any = None,
        kernel: str = "sigmoid",
        gamma: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, target_layers, reshape_transform, **options)
        self.kernel = kernel
        self.gamma = gamma

    def get_cam_image(
        self,
        input_tensor: Any,
        target_layer: Any,
        targets: Any,
        activations: Any,
        grads: Any,
        eigen_smooth: bool = False,
    ) -> Any:
        """Signed maps (N, ...) on the layer's own grid; `eigen_smooth` says nothing beside the kernel."""
        cam = kernel_component(planes(activations), self.kernel, self.gamma)
        return like(cam.view(len(cam), *activations.shape[2:]), activations)
