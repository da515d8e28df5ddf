"""What `compute.py` measures: networks, layers and methods from ready tensors; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from workloads import Aim


@dataclass(frozen=True)
class Named:
    """One method by the peer's class and by our name."""

    peer: str
    ours: str


@dataclass(frozen=True)
class Case:
    """One comparison; `rounds` at most, where the peer takes minutes."""

    network: str
    layer: str
    methods: tuple[Named, ...]
    aim: Aim
    images: int = 1
    classes: int = 1
    channels_last: bool = True
    rounds: int = 5


ABLATION, SCORE, GRAD = (
    Named("AblationCAM", "ablation-cam"),
    Named("ScoreCAM", "score-cam"),
    Named("GradCAM", "grad-cam"),
)
FIVE = (
    GRAD,
    Named("HiResCAM", "hirescam"),
    Named("LayerCAM", "layercam"),
    Named("GradCAMPlusPlus", "grad-cam++"),
    Named("XGradCAM", "xgrad-cam"),
)
CASES = {
    "ablation-resnet18-layer4": Case(
        "resnet18", "layer4", (ABLATION,), Aim("Ablation-CAM, ResNet-18 layer4", 500, 600)
    ),
    "ablation-resnet50-layer4": Case(
        "resnet50", "layer4", (ABLATION,), Aim("Ablation-CAM, ResNet-50 layer4", 1500, 2100), rounds=3
    ),
    "ablation-vgg16": Case(
        "vgg16", "features.30", (ABLATION,), Aim("Ablation-CAM, VGG-16 features[-1]", 150, 300), rounds=3
    ),
    "ablation-resnet18-layer3": Case(
        "resnet18", "layer3", (ABLATION,), Aim("Ablation-CAM, ResNet-18 layer3", 7, 12), channels_last=False
    ),
    "score-cam-resnet18": Case("resnet18", "layer4", (SCORE,), Aim("Score-CAM, ResNet-18 layer4", 1.15, 2)),
    "layer1-resnet50": Case(
        "resnet50", "layer1", (GRAD,), Aim("Grad-CAM, ResNet-50 layer1", 1.6, 2.0), images=16, channels_last=False
    ),
    "methods-classes-resnet50": Case(
        "resnet50",
        "layer4",
        FIVE,
        Aim("5 methods x 2 classes of 8 images, ResNet-50", 4, 9),
        images=8,
        classes=2,
        channels_last=False,
    ),
}
