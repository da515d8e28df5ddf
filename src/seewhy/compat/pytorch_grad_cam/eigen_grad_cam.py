"""EigenGradCAM, by seewhy's own eigengrad-cam."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class EigenGradCAM(BaseCAM):
    """The first principal component of gradient times activation, with a sign that is defined."""

    method = "eigengrad-cam"
