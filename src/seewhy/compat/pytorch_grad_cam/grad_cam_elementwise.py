"""GradCAMElementWise, by seewhy's own grad-cam-elementwise."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class GradCAMElementWise(BaseCAM):
    """Gradient times activation where it is positive, summed over channels."""

    method = "grad-cam-elementwise"
