"""The tutorial notebook's loop with pytorch-grad-cam, one image after the other, as its users write it.

Inside the clock: reading and decoding, the network's input, both maps, the overlay, the encoded file on disk.
Outside: imports, making the network, loading its weights. With --maps it saves the float maps instead, unmeasured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision_shim  # noqa: F401  # before pytorch_grad_cam, which imports torchvision
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from seewhy.learn.net import Net

Read = Callable[[Path], tuple[np.ndarray, torch.Tensor]]  # the picture as RGB in [0, 1], and the network's input


def read(path: Path) -> tuple[np.ndarray, torch.Tensor]:
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    image = np.float32(image) / 255
    return image, torch.from_numpy(image.transpose(2, 0, 1).copy()).unsqueeze(0)


def explain(model: torch.nn.Module, layers: list[torch.nn.Module], read: Read) -> None:
    """Explain the images of the command line; prints the seconds of the loop."""
    options = argparse.ArgumentParser()
    for name in ("--images", "--out", "--weights"):
        options.add_argument(name, type=Path, required=True)
    options.add_argument("--target", type=int, required=True)
    options.add_argument("--maps", type=int, default=0, help="Only so many images, and save their float maps.")
    given = options.parse_args()
    model.load_state_dict(torch.load(given.weights, map_location="cpu", weights_only=True))
    model.eval()

    start = time.perf_counter()
    paths = sorted(given.images.iterdir())[: given.maps or None]
    given.out.mkdir(parents=True)
    maps = []
    cam = GradCAM(model=model, target_layers=layers)
    for path in paths:
        image, inputs = read(path)
        mask = cam(input_tensor=inputs, targets=[ClassifierOutputTarget(given.target)])[0]
        picture = show_cam_on_image(image, mask, use_rgb=True)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(given.out / path.name), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
        if given.maps:
            maps.append(mask)
    print(json.dumps({"loop_s": time.perf_counter() - start, "images": len(paths)}))
    if maps:
        np.save(given.out / "maps.npy", np.stack(maps))


if __name__ == "__main__":
    net = Net()
    explain(net, [net.conv2, net.conv3], read)
