"""Peak memory of Grad-CAM maps of 16 images at once, ResNet-50, layer4, float32: each side in a process of its own.

    memory16.py prepare IMAGES INPUTS            the 16 ready tensors, so that no side decodes
    memory16.py SIDE WEIGHTS INPUTS MAPS         makes the maps; its parent reads the peak
    memory16.py gate WEIGHTS INPUTS FOLDER       whether all sides gave the same maps

It prints what the process takes with everything imported and the network loaded, before there is any input. The sides:
"grad-cam", "seewhy.explain" (the public function, with the layout that it chooses), and `attribute` in either layout.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from resnet50 import LAYOUTS, inputs_of, load_network
from torch import Tensor, nn
from workloads import RESNET50

COUNT = 16
Maps = Callable[[nn.Module, Tensor], Any]


def grad_cam() -> Maps:
    package = import_module("pytorch_grad_cam")
    target = package.utils.model_targets.ClassifierOutputTarget(RESNET50.target)

    def maps(model: nn.Module, inputs: Tensor) -> np.ndarray:
        with package.GradCAM(model=model, target_layers=[model.layer4[-1]]) as cam:
            return cam(input_tensor=inputs, targets=[target] * len(inputs))

    return maps


def seewhy_explain() -> Maps:
    explain = import_module("seewhy.explanation.explain").explain
    options = {"target": RESNET50.target, "layers": RESNET50.layers, "method": "grad-cam"}
    return lambda model, inputs: explain(model, inputs, batch_size=COUNT, progress=False, **options).maps


def our_maps(layout: str) -> Maps:
    ours = import_module("ours_maps").ours
    memory_format = LAYOUTS[layout]
    return lambda model, inputs: ours(model)(inputs.contiguous(memory_format=memory_format)).maps


SIDES: dict[str, Callable[[], Maps]] = {
    "grad-cam": grad_cam,
    "seewhy.explain": seewhy_explain,
    **{f"attribute {layout}": partial(our_maps, layout) for layout in LAYOUTS},
}


def work(side: str, weights: Path, inputs: Path, file: Path) -> None:
    maps_of = SIDES[side]()
    model = load_network(weights)
    gc.collect()
    base_mib = _resident_mib()
    maps = maps_of(model, torch.load(inputs, weights_only=True))
    maps = maps[RESNET50.layers] if isinstance(maps, dict) else maps
    np.save(file, np.asarray(maps))
    print(json.dumps({"base_mib": base_mib}))


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def compare(weights: Path, inputs: Path, folder: Path) -> dict[str, Any]:
    """What the gate says of each of our sides against grad-cam."""
    gate = import_module("gate")
    wide = import_module("ours_maps").ours(load_network(weights).double())(torch.load(inputs).double())
    truth, empty = gate.scaled(wide.maps[RESNET50.layers]), gate.near_empty([wide])
    maps = {side: np.load(folder / f"{side}.npy") for side in SIDES}
    peer = maps.pop("grad-cam")
    return {side: gate.judge(gate.scaled(torch.from_numpy(one)), peer, truth, empty) for side, one in maps.items()}


def main(what: str, *paths: Path) -> None:
    if what == "prepare":
        torch.save(inputs_of(paths[0], COUNT), paths[1])
    elif what == "gate":
        print(json.dumps(compare(*paths)))
    else:
        work(what, *paths)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
