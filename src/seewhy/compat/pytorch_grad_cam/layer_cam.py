"""LayerCAM, by seewhy's own layercam."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class LayerCAM(BaseCAM):
    """Positive gradient times activation, place by place. Jiang et al. 2021."""

    method = "layercam"
