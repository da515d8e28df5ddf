"""GradCAMPlusPlus, by seewhy's own grad-cam++."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class GradCAMPlusPlus(BaseCAM):
    """Channels weighted by shared positive gradients. Chattopadhay et al. 2018, arXiv:1710.11063."""

    method = "grad-cam++"
