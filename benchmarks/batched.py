"""ResNet-50 maps from ready tensors: torchcam, captum and seewhy in turn in one process, on the same batches of 8.

    batched.py IMAGES WEIGHTS COUNT SHIFT     the seconds of each side over all batches
    batched.py IMAGES WEIGHTS COUNT gate      whether all give the same maps

Every side has the same process, threads, allocator and network. They take turns batch by batch, starting with another
one each time. The peers get NCHW tensors, as their documentation does; seewhy also gets channels_last, the layout that
it chooses by itself on a CPU.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerGradCam
from gate import judge, near_empty, scaled
from ours_maps import ours
from resnet50 import LAYOUTS, inputs_of, load_network
from torch import Tensor, nn
from torchcam.methods import GradCAM
from workloads import RESNET50

BATCH = 8
PEERS = ("torchcam", "captum")
Maps = Callable[[Tensor], Tensor]


def sides(model: nn.Module) -> dict[str, Maps]:
    """By name: raw maps (N, h, w) of a batch that lies in memory as `laid_out` says."""
    extractor = GradCAM(model, RESNET50.layers)
    grad_cam = LayerGradCam(model, model.get_submodule(RESNET50.layers))
    attributed = ours(model)

    def torchcam(inputs: Tensor) -> Tensor:
        extractor.enable_hooks()
        maps = extractor(RESNET50.target, model(inputs), normalized=False)[0]
        extractor.disable_hooks()  # they stay on the network that the others use, too
        extractor.reset_hooks()
        return maps

    def captum(inputs: Tensor) -> Tensor:
        return grad_cam.attribute(inputs, RESNET50.target)

    def seewhy(inputs: Tensor) -> Tensor:
        return attributed(inputs).maps[RESNET50.layers]

    extractor.disable_hooks()
    return {"torchcam": torchcam, "captum": captum, **{f"ours {layout}": seewhy for layout in LAYOUTS}}


def laid_out(side: str, inputs: Tensor) -> Tensor:
    layout = LAYOUTS[side.removeprefix("ours ")] if side.startswith("ours ") else torch.contiguous_format
    return inputs.contiguous(memory_format=layout)


def measure(model: nn.Module, inputs: Tensor, shift: int) -> dict[str, Any]:
    """Seconds of each side, summed over the batches."""
    works = sides(model)
    batches = {side: [laid_out(side, one) for one in inputs.split(BATCH)] for side in works}
    for side, work in works.items():
        work(batches[side][0])  # warms up
    seconds, order = dict.fromkeys(works, 0.0), list(works)
    for number in range(len(batches[order[0]])):
        first = (number + shift) % len(order)
        for side in (*order[first:], *order[:first]):
            start = time.perf_counter()
            works[side](batches[side][number])
            seconds[side] += time.perf_counter() - start
    return {"images": len(inputs), "threads": torch.get_num_threads(), "seconds": seconds}


def compare(model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    """What the gate says of each of our layouts against each peer."""
    maps = {
        side: scaled(torch.cat([work(laid_out(side, one)).detach().reshape(len(one), 7, 7) for one in parts]))
        for parts in [inputs.split(BATCH)]
        for side, work in sides(model).items()
    }
    wide = ours(copy.deepcopy(model).double())
    found = [wide(one.double()) for one in inputs.split(BATCH)]
    truth = scaled(torch.cat([one.maps[RESNET50.layers] for one in found]))
    empty = near_empty(found)
    mine = [side for side in maps if side not in PEERS]
    return {f"{side}, {peer}": judge(maps[side], maps[peer], truth, empty) for side in mine for peer in PEERS}


def main(images: Path, weights: Path, count: int, what: str) -> None:
    model, inputs = load_network(weights), inputs_of(images, count)
    print(json.dumps(compare(model, inputs) if what == "gate" else measure(model, inputs, int(what))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
