"""SegEigenCAM, by seewhy's own seg-eigen-cam."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class SegEigenCAM(BaseCAM):
    """The first principal component of |gradient| times activation. Chung & Ying 2025."""

    method = "seg-eigen-cam"
