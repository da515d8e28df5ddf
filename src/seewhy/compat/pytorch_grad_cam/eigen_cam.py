"""EigenCAM, by seewhy's own eigen-cam."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class EigenCAM(BaseCAM):
    """The first principal component of the activations, with a sign that is defined. arXiv:2008.00299."""

    method = "eigen-cam"
