"""One image in Python on ResNet-18 at 224: the second call of `seewhy.explain`, grad-cam's call, the forward pass.

    one_image.py OPTIONS THREADS ROUND     OPTIONS: plain, preset or ablation

The three take turns in one process, after one call of each; the peer makes its object in the call, as its users do.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision_shim  # noqa: F401 -- before torchvision
from torchvision import models

import seewhy

TARGET, TURNS = 3, 7
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"method": "grad-cam"},
    "preset": {"preset": "pytorch-grad-cam"},
    "ablation": {"method": "ablation-cam"},
}


def main(kind: str, threads: int, number: int) -> None:
    import pytorch_grad_cam as package
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, image = models.resnet18(weights=None).eval(), torch.rand(1, 3, 224, 224)
    method = package.AblationCAM if kind == "ablation" else package.GradCAM

    def peer() -> np.ndarray:
        with method(model=model, target_layers=[model.layer4]) as cam:
            return cam(input_tensor=image, targets=[ClassifierOutputTarget(TARGET)])

    def ours() -> np.ndarray:
        return seewhy.explain(model, image, layers="layer4", target=TARGET, progress=False, **OPTIONS[kind]).maps

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return model(image)

    sides: dict[str, Callable[[], Any]] = {"forward": forward, "ours": ours, "peer": peer}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    slow = {"peer"} if kind == "ablation" else set()
    order = list(sides)[number % 3 :] + list(sides)[: number % 3]
    for turn in range(TURNS + 1):
        for name in order:
            if name in slow and turn != 1:
                continue
            start = time.perf_counter()
            sides[name]()
            if turn:  # the first call learns, and warms up
                seconds[name].append(time.perf_counter() - start)
    maps = [np.asarray(side(), dtype=np.float64)[0] for side in (ours, peer)] if kind == "preset" else []
    apart = float(np.abs(maps[0] - maps[1]).max()) if maps else None
    print(json.dumps({"seconds": seconds, "apart": apart, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
