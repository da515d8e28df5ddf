"""Tiny networks for tests: each has one property that a right capture must survive."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.attribute import Subject, attribute
from seewhy.cam.capture import LayerCall
from seewhy.cam.methods.catalogue import Method
from seewhy.cam.scores.targets import Score


class FourConv(nn.Module):
    """Like the tutorial's network: shared ReLU and pool, a head that flattens."""

    def __init__(self, size: int = 32, classes: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(8 * (size // 4) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.fc(x.flatten(1))


class Pooled(nn.Module):
    """Convolutions with batch norm and dropout, global average pooling, one linear layer."""

    def __init__(self, classes: int = 3, inplace: bool = False, outputs: int | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace))
        self.block = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12))
        self.act = nn.ReLU(inplace)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(12, outputs or classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.block(self.stem(x)))
        return self.fc(self.drop(x.mean((2, 3))))


class Linear(nn.Module):
    """Convolution, global average pooling, linear: CAM's own case."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 10, 3, padding=1)
        self.fc = nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


class InPlaceFunctional(nn.Module):
    """A functional in-place ReLU right behind the features, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 16 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.relu(self.features(x), inplace=True).flatten(1))


class FrozenBackbone(nn.Module):
    """A backbone that the model itself runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.backbone(x)
        return self.fc(x.relu().mean((2, 3)))


def seeded(model: nn.Module, seed: int = 0) -> nn.Module:
    """The network with seeded weights, batch-norm statistics included, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
                module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
                module.weight.abs_().add_(0.5)
    return model.eval()


def images(count: int = 4, size: int = 32, seed: int = 1) -> Tensor:
    """Seeded random input (N, 3, size, size)."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Attributed:
    """What `attribute` gives for one method and one score, by layer."""

    logits: Tensor
    values: Tensor
    maps: dict[str, Tensor]
    calls: dict[str, int]


def attributed(
    model: nn.Module,
    inputs: Tensor,
    layers: list[LayerCall],
    method: Method,
    score: Score,
    labels: Tensor | None = None,
) -> Attributed:
    """`attribute` with one method and one score."""
    found = attribute(model, inputs, layers, {"m": method}, Subject([score], score.task, labels))
    (values,) = found.values.values()
    return Attributed(found.logits, values, {key.layer: maps for key, maps in found.maps.items()}, found.calls)
