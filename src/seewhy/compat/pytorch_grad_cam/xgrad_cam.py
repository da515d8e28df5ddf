"""XGradCAM, by seewhy's own xgrad-cam."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class XGradCAM(BaseCAM):
    """Channels weighted by activation-weighted gradients. Fu et al. 2020, arXiv:2008.02312."""

    method = "xgrad-cam"
