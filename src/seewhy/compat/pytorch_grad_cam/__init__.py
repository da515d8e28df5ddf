"""The names of pytorch_grad_cam over seewhy's own core: `from seewhy.compat.pytorch_grad_cam import GradCAM`."""

from seewhy.compat.pytorch_grad_cam.ablation_cam import AblationCAM
from seewhy.compat.pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerFasterRCNN, AblationLayerVit
from seewhy.compat.pytorch_grad_cam.activations_and_gradients import ActivationsAndGradients
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM
from seewhy.compat.pytorch_grad_cam.eigen_cam import EigenCAM
from seewhy.compat.pytorch_grad_cam.eigen_grad_cam import EigenGradCAM
from seewhy.compat.pytorch_grad_cam.feature_factorization.deep_feature_factorization import (
    DeepFeatureFactorization,
    run_dff_on_image,
)
from seewhy.compat.pytorch_grad_cam.fem import FEM
from seewhy.compat.pytorch_grad_cam.finer_cam import FinerCAM
from seewhy.compat.pytorch_grad_cam.fullgrad_cam import FullGrad
from seewhy.compat.pytorch_grad_cam.grad_cam import GradCAM
from seewhy.compat.pytorch_grad_cam.grad_cam_elementwise import GradCAMElementWise
from seewhy.compat.pytorch_grad_cam.grad_cam_plusplus import GradCAMPlusPlus
from seewhy.compat.pytorch_grad_cam.guided_backprop import GuidedBackpropReLUModel
from seewhy.compat.pytorch_grad_cam.hirescam import HiResCAM
from seewhy.compat.pytorch_grad_cam.kpca_cam import KPCA_CAM
from seewhy.compat.pytorch_grad_cam.layer_cam import LayerCAM
from seewhy.compat.pytorch_grad_cam.metrics import cam_mult_image, road
from seewhy.compat.pytorch_grad_cam.random_cam import RandomCAM
from seewhy.compat.pytorch_grad_cam.refine_cam import RefineCAM
from seewhy.compat.pytorch_grad_cam.score_cam import ScoreCAM
from seewhy.compat.pytorch_grad_cam.seg_eigen_cam import SegEigenCAM
from seewhy.compat.pytorch_grad_cam.sess import SESS
from seewhy.compat.pytorch_grad_cam.shapley_cam import ShapleyCAM
from seewhy.compat.pytorch_grad_cam.utils import model_targets, reshape_transforms
from seewhy.compat.pytorch_grad_cam.xgrad_cam import XGradCAM

__all__ = [
    "FEM",
    "KPCA_CAM",
    "SESS",
    "AblationCAM",
    "AblationLayer",
    "AblationLayerFasterRCNN",
    "AblationLayerVit",
    "ActivationsAndGradients",
    "BaseCAM",
    "DeepFeatureFactorization",
    "EigenCAM",
    "EigenGradCAM",
    "FinerCAM",
    "FullGrad",
    "GradCAM",
    "GradCAMElementWise",
    "GradCAMPlusPlus",
    "GuidedBackpropReLUModel",
    "HiResCAM",
    "LayerCAM",
    "RandomCAM",
    "RefineCAM",
    "ScoreCAM",
    "SegEigenCAM",
    "ShapleyCAM",
    "XGradCAM",
    "cam_mult_image",
    "model_targets",
    "reshape_transforms",
    "road",
    "run_dff_on_image",
]
