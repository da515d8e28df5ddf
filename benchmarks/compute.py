"""Maps from ready tensors, each side a process of its own: pytorch-grad-cam image by image, and seewhy.

    compute.py weights CASE FILE IMAGES           a seeded network, its batch normalisation calibrated on photographs
    compute.py peer|ours CASE FILE IMAGES [MAPS]  the seconds; the maps go to MAPS
    compute.py truth CASE FILE IMAGES MAPS        seewhy in float64

Inside the clock: from the network's inputs to maps, for the peer with everything that it does to make them. The peer's
clock runs over one pass over all images; ours over the first call in the process ("first", with proofs and plans of
the network that later calls find made) and over the median of up to 5 further calls ("next", on other images).
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from cases import CASES, Case
from resnet50 import LAYOUTS, inputs_of, models
from torch import Tensor, nn

from seewhy.maps import fuse

REPEATS, ENOUGH_S = 5, 5.0
BRANCH = 0.25  # see calibrate_resnet50.py


def network(case: Case) -> nn.Module:
    torch.manual_seed(0)
    return models.get_model(case.network, weights=None)


def calibrate(case: Case, file: Path, images: Path) -> None:
    """Write the seeded network's weights, with the class that it decides for most and with a positive score."""
    model = network(case).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean over all batches
        elif isinstance(module, models.resnet.Bottleneck):
            nn.init.constant_(module.bn3.weight, BRANCH)
        elif isinstance(module, models.resnet.BasicBlock):
            nn.init.constant_(module.bn2.weight, BRANCH)
    inputs = inputs_of(images, 16)
    with torch.no_grad():
        model(inputs)
        model.eval()
        target = int(model(inputs[: case.images]).amin(dim=0).argmax())
    torch.save({"weights": model.state_dict(), "target": target}, file)


def loaded(case: Case, file: Path) -> tuple[nn.Module, int]:
    kept = torch.load(file, weights_only=True)
    model = network(case).eval()
    model.load_state_dict(kept["weights"])
    return model, kept["target"]


def targets_of(case: Case, target: int) -> list[int]:
    return [(target + number) % 1000 for number in range(case.classes)]


def peer(case: Case, model: nn.Module, target: int, inputs: Tensor) -> tuple[dict[str, float], np.ndarray]:
    """One image, one method and one class at a time, as its documentation does it."""
    import pytorch_grad_cam as package
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    layer = [model.get_submodule(case.layer)]
    start = time.perf_counter()
    found = []
    for method, number in itertools.product(case.methods, targets_of(case, target)):
        with getattr(package, method.peer)(model=model, target_layers=layer) as cam:
            own = [cam(input_tensor=one[None], targets=[ClassifierOutputTarget(number)])[0] for one in inputs]
        found.append(np.stack(own))
    return {"peer": time.perf_counter() - start}, np.concatenate(found)


def ours(case: Case, model: nn.Module, target: int, inputs: Tensor) -> tuple[dict[str, float], np.ndarray]:
    attributed = attribution(case, model, target)
    laid = inputs.contiguous(memory_format=LAYOUTS["channels_last" if case.channels_last else "NCHW"])
    first, maps = timed(attributed, laid)
    rest: list[float] = []
    while not rest or (len(rest) < REPEATS and sum(rest) < ENOUGH_S):
        rest.append(timed(attributed, laid.roll(1 + len(rest), -1))[0])
    return {"first": first, "next": median(rest)}, maps


def attribution(case: Case, model: nn.Module, target: int) -> Callable[[Tensor], list[Tensor]]:
    """From inputs to raw maps, one tensor for each method and class, in the peer's order."""
    from seewhy.cam.attribute import Subject, attribute
    from seewhy.cam.capture import find_layer
    from seewhy.cam.methods.catalogue import find_method
    from seewhy.cam.scores.targets import find_scores

    names = [str(number) for number in range(1000)]
    wanted = {str(number): number for number in targets_of(case, target)}
    subject = Subject(find_scores(wanted, names))
    methods = {one.ours: find_method(one.ours) for one in case.methods}
    layers = [find_layer(model, case.layer)]

    def run(inputs: Tensor) -> list[Tensor]:
        maps = attribute(model, inputs, layers, methods, subject).maps
        return [maps[method, case.layer, score] for method in methods for score in wanted]

    return run


def timed(run: Callable[[Tensor], Sequence[Tensor]], inputs: Tensor) -> tuple[float, np.ndarray]:
    """Seconds for all images, in batches of 8; the maps as the peer shows them."""
    start = time.perf_counter()
    batches = [run(one) for one in inputs.split(8)]
    shown = [fuse([torch.cat(parts)], inputs.shape[2:]) for parts in zip(*batches, strict=True)]
    return time.perf_counter() - start, torch.cat(shown).numpy()


def main(side: str, case: Case, file: Path, images: Path, out: Path | None) -> None:
    if side == "weights":
        return calibrate(case, file, images)
    model, target = loaded(case, file)
    inputs = inputs_of(images, case.images)
    if side == "truth":
        model, inputs = model.double(), inputs.double()
    run: Any = peer if side == "peer" else ours
    if side == "truth":
        maps = timed(attribution(case, model, target), inputs)[1]
        seconds: dict[str, float] = {}
    else:
        seconds, maps = run(case, model, target, inputs)
    if out is not None:
        np.save(out, maps)
    print(json.dumps({"seconds": seconds, "images": len(inputs), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    side, name, *paths = sys.argv[1:]
    file, images, *out = map(Path, paths)
    main(side, CASES[name], file, images, out[0] if out else None)
