"""torchvision's ResNet-50 with pytorch-grad-cam, one image after the other; the clock is that of peer_tutorial.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from peer_tutorial import explain  # declares the shim before torchvision is imported
from PIL import Image
from torchvision import models, transforms

own = models.ResNet50_Weights.DEFAULT.transforms()
crop = transforms.Compose([transforms.Resize(own.resize_size), transforms.CenterCrop(own.crop_size)])
normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(own.mean, own.std)])


def read(path: Path) -> tuple[np.ndarray, torch.Tensor]:
    image = crop(Image.open(path).convert("RGB"))
    return np.float32(image) / 255, normalise(image).unsqueeze(0)


if __name__ == "__main__":
    net = models.resnet50(weights=None)
    explain(net, [net.layer4[-1]], read)
