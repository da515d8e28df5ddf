"""The tutorial's four-layer network; it needs only torch, so that this file can be copied as `net.py` and changed."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Two logits from a square RGB picture: four times convolution, ReLU and 2 x 2 max pooling, then one linear layer.

    `size` is the side of the picture in pixels, a multiple of 16: every pooling halves it. The linear layer reads
    every place of the last grid by itself, so a network made for one size cannot read another.
    """

    def __init__(self, size: int = 256) -> None:
        super().__init__()
        if size < 16 or size % 16:
            raise ValueError(f"size is {size}, but must be a multiple of 16 and at least 16: four poolings halve it")
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(32, 32, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(32, 8, kernel_size=3, padding=1)
        self.relu = nn.ReLU()  # shared by the four convolutions
        self.pool = nn.MaxPool2d(2)  # and so is this
        self.fc = nn.Linear(8 * (size // 16) ** 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (N, 2) of pictures (N, 3, size, size)."""
        # at size 256:                              (N,  3, 256, 256)
        x = self.pool(self.relu(self.conv1(x)))  #  (N, 16, 128, 128)
        x = self.pool(self.relu(self.conv2(x)))  #  (N, 32,  64,  64)
        x = self.pool(self.relu(self.conv3(x)))  #  (N, 32,  32,  32)
        x = self.pool(self.relu(self.conv4(x)))  #  (N,  8,  16,  16)
        logits: Tensor = self.fc(torch.flatten(x, 1))  # (N, 2048) -> (N, 2)
        return logits
