"""What tests of networks that come from files share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Aged(nn.Module):
    """A network that takes a picture and an age, by which its logits are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6, 2)

    def forward(self, image: Tensor, age: Tensor) -> Tensor:
        return self.fc(self.conv(image).relu().mean((2, 3))) * age


def answer(model: nn.Module, *inputs: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = model(*inputs)
    return result


def assert_near(maps: np.ndarray, others: np.ndarray) -> None:
    assert maps.shape == others.shape
    assert np.abs(others).max() > 1e-4
    assert np.quantile(np.abs(maps - others), 0.95) <= 1e-5
