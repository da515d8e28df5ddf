"""GradCAM, by seewhy's own grad-cam."""

from __future__ import annotations

from typing import Any

from seewhy.cam.methods.catalogue import find_method
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM, weights_by


class GradCAM(BaseCAM):
    """Channels weighted by their mean gradient. Selvaraju et al. 2017, arXiv:1610.02391."""

    method = "grad-cam"

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        """Weights (N, C), as tensor or array like the activations; of these alone, also without an instance."""
        return weights_by(find_method("grad-cam"), activations, grads)
