"""Maps against the network's bare forward pass, on ready tensors, in turn in one process.

    bare_forward.py IMAGES WEIGHTS SHIFT     seconds of both, in batches of 8 and 16 and both memory layouts
    bare_forward.py IMAGES WEIGHTS gate      whether the maps are right: against float64, and the logits of both

Both work on the same tensors with the same network; the forward pass runs under `torch.inference_mode`.
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
from gate import judge, near_empty, scaled
from ours_maps import ours
from resnet50 import LAYOUTS, inputs_of, load_network
from torch import Tensor, nn
from workloads import RESNET50

BATCHES = (8, 16)
IMAGES = 32  # that each side works through, whatever the batch


def forward(model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(inputs)


def measure(model: nn.Module, inputs: Tensor, shift: int) -> dict[str, Any]:
    """Seconds of the forward pass and of the maps, by layout and batch."""
    attributed = ours(model)
    works: list[tuple[str, Callable[[Tensor], Any]]] = [
        ("forward", lambda batch: forward(model, batch)),
        ("maps", attributed),
    ]
    seconds: dict[str, dict[str, float]] = {}
    for layout, memory_format in LAYOUTS.items():
        for size in BATCHES:
            batch = inputs[:size].contiguous(memory_format=memory_format)
            spent = seconds[f"{layout}, batch {size}"] = {"forward": 0.0, "maps": 0.0}
            for number in range(-1, IMAGES // size):  # the first warms up
                for name, work in works if (number + shift) % 2 else works[::-1]:
                    start = time.perf_counter()
                    work(batch)
                    spent[name] += (time.perf_counter() - start) * (number >= 0)
    return {"images": IMAGES, "threads": torch.get_num_threads(), "seconds": seconds}


def compare(model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    """By layout: our maps against float64, and our logits against those of the forward pass."""
    wide = ours(copy.deepcopy(model).double())(inputs.double())
    truth, empty = scaled(wide.maps[RESNET50.layers]), near_empty([wide])
    said = {}
    for layout, memory_format in LAYOUTS.items():
        batch = inputs.contiguous(memory_format=memory_format)
        found = ours(model)(batch)
        numbers = judge(scaled(found.maps[RESNET50.layers]), truth, truth, empty)
        apart = float((found.logits - forward(model, batch)).abs().max())
        said[layout] = {**numbers, "logits_apart": apart, "passed": numbers["passed"] and apart == 0}
    return said


def main(images: Path, weights: Path, what: str) -> None:
    model, inputs = load_network(weights), inputs_of(images, max(BATCHES))
    print(json.dumps(compare(model, inputs) if what == "gate" else measure(model, inputs, int(what))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
