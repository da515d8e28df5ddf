"""torchvision's ResNet-50 with its own preprocessing, for every side of a comparison; imports no other CAM package."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
import torchvision_shim
from PIL import Image
from torch import Tensor, nn
from torchvision import models, transforms

__all__ = ["LAYOUTS", "inputs_of", "load_network", "models", "read", "torchvision_shim"]
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}

own = models.ResNet50_Weights.DEFAULT.transforms()
crop = transforms.Compose([transforms.Resize(own.resize_size), transforms.CenterCrop(own.crop_size)])
normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(own.mean, own.std)])


def read(path: Path) -> tuple[np.ndarray, Tensor]:
    """The picture as RGB in [0, 1], and the network's input (1, 3, 224, 224)."""
    with Image.open(path) as file:
        image = crop(file.convert("RGB"))
    return np.float32(image) / 255, normalise(image).unsqueeze(0)


def inputs_of(images: Path, count: int) -> Tensor:
    """The inputs (count, 3, 224, 224) of the first images of a folder, from the start again where there are fewer."""
    return torch.cat([read(path)[1] for path in islice(cycle(sorted(images.iterdir())), count)])


def load_network(weights: Path) -> nn.Module:
    model = models.resnet50(weights=None).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model
