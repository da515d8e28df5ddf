"""HiResCAM, by seewhy's own hirescam."""

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class HiResCAM(BaseCAM):
    """Gradient times activation, place by place. Draelos & Carin 2020, arXiv:2011.08891."""

    method = "hirescam"
