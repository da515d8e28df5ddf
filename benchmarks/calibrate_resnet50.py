"""Writes a ResNet-50 with seeded random weights, its batch normalisation calibrated on photographs: IMAGES FILE."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from peer_resnet50 import read
from torchvision import models


def main(images: Path, file: Path) -> None:
    torch.manual_seed(0)
    model = models.resnet50(weights=None).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over all batches
    paths = sorted(images.iterdir())[:32]
    with torch.no_grad():
        for start in range(0, len(paths), 16):
            model(torch.cat([read(path)[1] for path in paths[start : start + 16]]))
    torch.save(model.state_dict(), file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
