"""A script for pytorch-grad-cam on the tutorial's network, with the one or the other package imported.

    dropin.py PACKAGE CASE IMAGES WEIGHTS OUT [MAPS]

PACKAGE is pytorch_grad_cam or seewhy.compat.pytorch_grad_cam, and all else the same. Inside the clock: from the loaded
network to the last picture on disk, or the last number, the first call of the package included. Printed are the
seconds; the float maps of the first image or batch go to MAPS.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision_shim  # noqa: F401  # before pytorch_grad_cam, which imports torchvision
from dropin_cases import TARGET, Loop, Metric, case_of
from peer_tutorial import read

from seewhy.learn.net import Net


def loop(package: Any, case: Loop, model: torch.nn.Module, paths: list[Path], out: Path) -> np.ndarray:
    """The notebook's loop: files in, overlays out; the maps of the first call."""
    first = None
    layers = [model.get_submodule(name) for name in case.layers]
    for start in range(0, len(paths), case.batch):
        some = paths[start : start + case.batch]
        images, inputs = zip(*map(read, some), strict=True)
        targets = [package.utils.model_targets.ClassifierOutputTarget(TARGET)] * len(some)
        with getattr(package, case.method)(model=model, target_layers=layers) as cam:
            maps = cam(input_tensor=torch.cat(inputs), targets=targets)
        for image, mask, path in zip(images, maps, some, strict=True):
            picture = package.utils.image.show_cam_on_image(image, mask, use_rgb=True)
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(out / path.name), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
        first = maps if first is None else first
    assert first is not None
    return first


def metric(package: Any, case: Metric, model: torch.nn.Module, paths: list[Path], out: Path) -> np.ndarray:
    """ROAD of Grad-CAM's maps, image by image."""
    road, found = importlib.import_module(f"{package.__name__}.metrics.road"), []
    for path in paths:
        inputs = read(path)[1]
        with package.GradCAM(model=model, target_layers=[model.conv4]) as cam:
            maps = cam(input_tensor=inputs, targets=[package.utils.model_targets.ClassifierOutputTarget(TARGET)])
        targets = [package.utils.model_targets.ClassifierOutputSoftmaxTarget(TARGET)]
        with torch.no_grad():
            found.append(road.ROADCombined(percentiles=list(case.percentiles))(inputs, maps, targets, model))
    return np.concatenate(found)


def main(name: str, what: str, images: Path, weights: Path, out: Path, kept: Path | None = None) -> None:
    case = case_of(what)
    package = importlib.import_module(name)
    for part in ("utils.image", "utils.model_targets", "metrics.road"):
        importlib.import_module(f"{name}.{part}")
    model = Net()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model.eval()
    out.mkdir(parents=True)
    run: Callable[..., np.ndarray] = loop if isinstance(case, Loop) else metric
    start = time.perf_counter()
    found = run(package, case, model, sorted(images.iterdir()), out)
    print(json.dumps({"loop_s": time.perf_counter() - start, "threads": torch.get_num_threads()}))
    if kept is not None:
        np.save(kept, found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:]))
