"""Runs on drawn pictures: a spot of the class's colour, at one of two places, and a network whose map is that spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

import seewhy

SIDE, SPOT = 32, 8
CORNERS = ((0, 0), (SIDE - SPOT, SIDE - SPOT))


class Spots(nn.Module):
    """Two logits: how much of the picture is red, and how much is blue."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 4, stride=4)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, -0.5, -0.5], [-0.5, -0.5, 1.0]])[:, :, None, None] / 16)
            self.conv.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x).relu().mean((2, 3))
        return logits


def picture(place: Sequence[int], channel: int, random: np.random.Generator, grey: int = 90) -> PIL.Image.Image:
    """A grey picture (32 x 32) with noise and a spot of red (0) or blue (2) at (top, left)."""
    pixels = random.integers(grey, grey + 20, (SIDE, SIDE, 1)).repeat(3, axis=2).astype(np.uint8)
    pixels[place[0] : place[0] + SPOT, place[1] : place[1] + SPOT] = 20
    pixels[place[0] : place[0] + SPOT, place[1] : place[1] + SPOT, channel] = 230
    return PIL.Image.fromarray(pixels)


def draw(folder: Path, places: Sequence[Sequence[int]], label: str = "red", seed: int = 0) -> None:
    """Pictures of a class with the spot at each place; every third one is of valid."""
    random = np.random.default_rng(seed)
    for number, place in enumerate(places):
        path = folder / ("valid" if number % 3 == 2 else "train") / label / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(place, 0 if label == "red" else 2, random).save(path)


def explained(data: Path, out: Path) -> Path:
    """The folder of an explain run on the drawn pictures."""
    explanation = seewhy.explain(
        seewhy.load(Spots(), classes=["blue", "red"][::-1]), data, target="predicted", out=out, progress=False
    )
    assert explanation.folder is not None
    return explanation.folder
