"""ShapleyCAM, by seewhy's own shapley-cam."""

from seewhy.compat.pytorch_grad_cam.rerun import RerunCAM


class ShapleyCAM(RerunCAM):
    """Channels weighted by gradient minus half of the Hessian times the activation. Cai 2025, arXiv:2501.06261.

    Of a score that is piecewise linear in the layer (a logit behind ReLUs) this is GradCAM; the paper explains
    `ClassifierOutputReST(category)`.
    """

    method = "shapley-cam"
