"""XGradCAM, by seewhy's own xgrad-cam."""

from __future__ import annotations

from typing import Any

from seewhy.cam.methods.catalogue import find_method
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM, weights_by


class XGradCAM(BaseCAM):
    """Channels weighted by activation-weighted gradients. Fu et al. 2020, arXiv:2008.02312."""

    method = "xgrad-cam"

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        """Weights (N, C), as tensor or array like the activations; of these alone, also without an instance."""
        return weights_by(find_method("xgrad-cam"), activations, grads)
