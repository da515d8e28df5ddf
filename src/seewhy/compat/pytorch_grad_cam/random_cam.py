"""RandomCAM, by seewhy's own random."""

from seewhy.compat.pytorch_grad_cam.rerun import RerunCAM


class RandomCAM(RerunCAM):
    """Random weights, the same for an image every time: the map that any method has to beat. Needs no gradient."""

    method = "random"
