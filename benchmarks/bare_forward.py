"""Maps against the network's bare forward pass, on ready tensors, in turn in one process: WEIGHTS IMAGES ROUNDS."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from peer_resnet50 import read
from torchvision import models
from workloads import RESNET50

from seewhy.cam.attribute import attribute
from seewhy.cam.capture import find_layer
from seewhy.cam.methods import find_method
from seewhy.cam.scores import find_score

BATCH = 16


def main(weights: Path, images: Path, rounds: int) -> None:
    model = models.resnet50(weights=None).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    inputs = torch.cat([read(path)[1] for path in sorted(images.iterdir())[:BATCH]])
    layers, method = [find_layer(model, RESNET50.layers)], find_method("grad-cam")
    score = find_score(RESNET50.target, [str(index) for index in range(1000)])

    def forward() -> None:
        with torch.inference_mode():
            model(inputs)

    def maps() -> None:
        attribute(model, inputs, layers, method, score)

    seconds = {"forward_s": [], "maps_s": []}
    for number in range(rounds + 1):
        for name, work in (("forward_s", forward), ("maps_s", maps)):
            spent = _seconds(work)
            if number:  # the first round warms up
                seconds[name].append(spent)
    print(json.dumps({"batch": len(inputs), **seconds}))


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
