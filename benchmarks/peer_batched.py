"""The loop of peer_torchcam.py and peer_captum.py: ResNet-50, batches of 8, from JPEG files to overlay JPEG files.

Inside the clock: reading and decoding, the network's input, the maps, the overlays, the encoded files on disk. Outside:
imports, making the network, loading its weights. With --maps it saves the float maps instead, unmeasured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image
from resnet50 import load_network, read
from torch import Tensor, nn

from seewhy.maps import fuse

BATCH = 8
Maps = Callable[[Tensor], Tensor]  # inputs (N, 3, H, W) -> raw maps (N, h, w)
Draw = Callable[[np.ndarray, Tensor], Image]  # the picture as RGB in [0, 1], its raw map -> the overlay


def explain(make: Callable[[nn.Module, int], Maps], draw: Draw) -> None:
    """Explain the images of the command line; prints the seconds of the loop."""
    options = argparse.ArgumentParser()
    for name in ("--images", "--out", "--weights"):
        options.add_argument(name, type=Path, required=True)
    options.add_argument("--target", type=int, required=True)
    options.add_argument("--maps", type=int, default=0, help="Only so many images, and save their float maps.")
    given = options.parse_args()
    model = load_network(given.weights)

    start = time.perf_counter()
    paths = sorted(given.images.iterdir())[: given.maps or None]
    given.out.mkdir(parents=True)
    maps_of = make(model, given.target)
    kept = []
    for first in range(0, len(paths), BATCH):
        batch = [(path, *read(path)) for path in paths[first : first + BATCH]]
        maps = maps_of(torch.cat([inputs for _, _, inputs in batch]))
        for (path, picture, _), map_ in zip(batch, maps, strict=True):
            draw(picture, map_).save(given.out / path.name, quality=95)
        if given.maps:
            kept.append(fuse([maps], batch[0][1].shape[:2]).numpy())
    print(json.dumps({"loop_s": time.perf_counter() - start, "images": len(paths)}))
    if kept:
        np.save(given.out / "maps.npy", np.concatenate(kept))
