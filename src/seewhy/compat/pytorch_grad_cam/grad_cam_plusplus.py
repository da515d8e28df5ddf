"""GradCAMPlusPlus, by seewhy's own grad-cam++."""

from __future__ import annotations

from typing import Any

from seewhy.cam.methods.catalogue import find_method
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM, weights_by


class GradCAMPlusPlus(BaseCAM):
    """Channels weighted by shared positive gradients. Chattopadhay et al. 2018, arXiv:1710.11063."""

    method = "grad-cam++"

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        """Weights (N, C), as tensor or array like the activations; of these alone, also without an instance."""
        return weights_by(find_method("grad-cam++"), activations, grads)
