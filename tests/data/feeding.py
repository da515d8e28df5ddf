"""What a classifier feeds, beside what a pipeline makes by itself, on pictures of several shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from seewhy.data.pictures.decode import Pixels
from seewhy.data.reader import prepared
from seewhy.records import Preprocess

SHAPES = [(300, 400), (400, 301), (224, 224), (501, 333), (97, 131), (160, 160), (259, 258), (64, 301)]


def photograph(height: int, width: int) -> Pixels:
    """Waves, an edge and grain, another one in each channel."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / a + columns / b) * 90 + 128 for a, b in ((7, 11), (5, 23), (17, 3))]
    picture = np.stack(waves, axis=2) + np.random.default_rng(height).uniform(-20, 20, (height, width, 3))
    picture[height // 3 :, : width // 4] += 40
    return picture.clip(0, 255).astype(np.uint8)


def levels_off(
    preprocess: Any, pipeline: Callable[[PIL.Image.Image], Tensor], shapes: Any = SHAPES
) -> tuple[float, float]:
    """How far what is fed is from what the pipeline makes of the same picture, of 255 grey levels: on average, at most.

    Both of the worst picture.
    """
    mean = most = 0.0
    for shape in shapes:
        pixels = photograph(*shape)
        wanted = pipeline(PIL.Image.fromarray(pixels)).float()
        fed = prepared(pixels, preprocess)[0]
        assert fed.shape == wanted.shape and fed.dtype == torch.float32, (shape, fed.shape, wanted.shape)
        level = torch.ones(1, 1, 1)
        if isinstance(preprocess, Preprocess):
            level = torch.tensor(preprocess.std).view(-1, 1, 1) * (255 if preprocess.range == "0-1" else 1)
        off = ((fed - wanted) * level).abs()
        mean, most = max(mean, float(off.mean())), max(most, float(off.max()))
    return mean, most
