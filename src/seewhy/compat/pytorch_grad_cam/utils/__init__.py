"""The names of pytorch_grad_cam.utils."""

from seewhy.compat.pytorch_grad_cam.utils import find_layers, model_targets, reshape_transforms
from seewhy.compat.pytorch_grad_cam.utils.image import deprocess_image
from seewhy.compat.pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

__all__ = ["deprocess_image", "find_layers", "get_2d_projection", "model_targets", "reshape_transforms"]
