"""The networks: heads that pool, that flatten, and a small residual one; trained until the loss no longer falls."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from benchmarks.planted.latents import Recipe
from benchmarks.planted.renderers import RENDERERS
from numpy.typing import NDArray
from torch import Tensor, nn

HEADS = ("pooled", "flat", "residual")
MEAN, STD = 0.5, 0.25
BATCH = 16
EPOCHS = {"pooled": 16, "flat": 12, "residual": 12}  # of a one-cycle schedule; twice as many where that is too few
PEAK = {"pooled": 3e-3, "flat": 2e-3, "residual": 3e-3}  # learning rates
FLAT = 0.1  # converged: over the last quarter of the epochs the loss has fallen by less than this share of its start
LEARNED = 0.05  # or it is below this share of its start


@dataclass(frozen=True)
class Network:
    """A network to train: on which pictures, with which head, and with which seed. `epochs` 0: until it converges."""

    recipe: Recipe
    head: str = "pooled"
    n_train: int = 400  # of each class
    epochs: int = 0
    seed: int = 0


class Convolutions(nn.Module):
    """Four convolutions with ReLU, each of which halves the grid, then one linear layer over the mean or all places."""

    def __init__(self, size: int, classes: int, is_flat: bool) -> None:
        super().__init__()
        widths = (16, 24, 32, 16 if is_flat else 48)
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 5, stride=2, padding=2), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.is_flat = is_flat
        self.fc = nn.Linear(widths[-1] * (size // 16) ** 2 if is_flat else widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (N, K)."""
        features = self.features(x)
        logits: Tensor = self.fc(torch.flatten(features, 1) if self.is_flat else features.mean(dim=(2, 3)))
        return logits


class Block(nn.Module):
    """Two convolutions beside a shortcut, halving the grid."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs) for _ in range(3)])
        self.aside = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / 2, W / 2)."""
        inner = self.norms[1](self.second(torch.relu(self.norms[0](self.first(x)))))
        return torch.relu(inner + self.norms[2](self.aside(x)))


class Residual(nn.Module):
    """A stem, three residual blocks, a mean over places, and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 24), Block(24, 32), Block(32, 48))
        self.fc = nn.Linear(48, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (N, K)."""
        logits: Tensor = self.fc(self.blocks(self.stem(x)).mean(dim=(2, 3)))
        return logits


def built(network: Network) -> nn.Module:
    """The network with its first weights, which its seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(network.seed)
        classes, is_flat = network.recipe.classes, network.head == "flat"
        module = (
            Residual(classes) if network.head == "residual" else Convolutions(network.recipe.size, classes, is_flat)
        )
        for layer in module.modules():  # with PyTorch's smaller weights some rest for ten epochs before they learn
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return module


def inputs_of(images: NDArray[np.uint8]) -> Tensor:
    """What a network reads (N, 3, S, S), from pictures in bytes (N, S, S, 3)."""
    return normal(canvases_of(images))


def canvases_of(images: NDArray[np.uint8]) -> Tensor:
    """Pictures as canvases (N, 3, S, S), float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255


def normal(canvases: Tensor) -> Tensor:
    return (canvases - MEAN) / STD


def trained(network: Network) -> tuple[nn.Module, dict[str, Any]]:
    """The network after its epochs, ready to be asked, and how it went: losses, accuracy, whether it converged."""
    start = time.perf_counter()
    pictures = RENDERERS[network.recipe.renderer].sample(network.recipe, "train", network.n_train, network.seed)
    inputs = inputs_of(RENDERERS[network.recipe.renderer].draw(pictures).images)
    labels = torch.from_numpy(pictures.labels).long()
    drawn = time.perf_counter() - start
    module, epochs = built(network), network.epochs or EPOCHS[network.head]
    losses = _fit(module, network, inputs, labels, epochs)
    if not network.epochs and not is_flat(losses):
        module, epochs = built(network), 2 * epochs
        losses = _fit(module, network, inputs, labels, epochs)
    right = torch.cat(predicted(module, inputs)).argmax(dim=1) == labels
    told = {
        "epochs": epochs, "losses": [round(loss, 4) for loss in losses], "converged": is_flat(losses),
        "train_accuracy": float(right.float().mean()), "drawing_s": drawn,
        "training_s": time.perf_counter() - start - drawn,
    }  # fmt: skip
    return module, told


def is_flat(losses: list[float]) -> bool:
    """Whether the loss hardly fell over the last quarter of the epochs, or has little left to fall."""
    before = losses[-max(2, len(losses) // 4) - 1] if len(losses) > 2 else losses[0]
    return losses[-1] < LEARNED * losses[0] or before - losses[-1] < FLAT * losses[0]


def predicted(module: nn.Module, inputs: Tensor) -> list[Tensor]:
    """The logits of inputs, part by part."""
    module.eval()
    with torch.no_grad():
        return [module(part) for part in inputs.split(64)]


def _fit(module: nn.Module, network: Network, inputs: Tensor, labels: Tensor, epochs: int) -> list[float]:
    dice = torch.Generator().manual_seed(network.seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=PEAK[network.head] / 25)
    steps = epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK[network.head], total_steps=steps)
    losses = []
    module.to(memory_format=torch.channels_last).train()  # twice as fast
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(labels), generator=dice).split(BATCH):
            loss = nn.functional.cross_entropy(module(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / len(labels))
    module.to(memory_format=torch.contiguous_format).eval()
    return losses
