"""How fast edited images are re-scored, beside the bare forward pass of the same network, in turn in one process.

    ours_audit_parts.py CASE [ROUNDS [DEVICE]]

In the clock of an edit is what an audit does with a job: recipients and donors' content are chosen by index out of
bytes, edited, and scored. In the bare clock: the network on a ready batch. What donors give is measured before, as it
is needed once a donor. Each round times each edit beside a bare pass of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from audit_cases import CASES, PartsCase
from torch import Tensor, nn

from seewhy.evidence.factors.factor import Factor, PropertyFactor, RegionFactor
from seewhy.evidence.factors.regions import mask_region, zone_region
from seewhy.evidence.factors.zones import zones_of
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.edit import EXCHANGE, Edit, TrialKey
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Job
from seewhy.planted.folder import LABELS, render, sample_face
from seewhy.records import Image, Preprocess
from seewhy.run.workers import steady_process

CELL, BACKGROUND = "cell-0-0", "background"
USES = 4  # donors of each class that a recipient meets
SPLIT = "valid"
LAYOUT = torch.channels_last  # what an audit takes on a CPU, for both sides


def network(case: PartsCase) -> nn.Module:
    torch.manual_seed(0)
    if case.network == "net":
        from seewhy.learn.net import Net

        return Net(case.size).eval()
    import torchvision_shim  # noqa: F401
    from torchvision import models

    return models.get_model(case.network, weights=None).eval()


def faces(case: PartsCase) -> Sample:
    """Planted faces with a zone, the same in every image, and their backgrounds, each its own."""
    count, size = max(case.images // 4, 2 * USES + 2), (case.size, case.size)
    found = [render(sample_face(0, number, LABELS[number % 2]), case.size) for number in range(count)]
    pixels = torch.stack([torch.from_numpy(one.image) for one in found]).permute(0, 3, 1, 2).contiguous()
    grounds = torch.stack([torch.from_numpy(one.masks[BACKGROUND]) for one in found])
    cell = torch.from_numpy(zones_of("grid:3x4")[CELL](size))[None]
    sample = Sample(
        SPLIT,
        tuple(Image(str(number), label=LABELS[number % 2]) for number in range(count)),
        np.arange(count) % 2,
        pixels,
        Preprocess(size),
        np.arange(count),
        masks={CELL: cell, BACKGROUND: (grounds * 255).round().byte()},
    )
    return with_partners(sample, max(1, case.images // (2 * USES)), USES, 0)


def factors() -> dict[str, Factor]:
    ground = mask_region(BACKGROUND, "masks of the faces", lambda image, loaded: np.zeros((1, 1), np.uint8))
    cell = zone_region(CELL, zones_of("grid:3x4")[CELL])
    regions: dict[str, Factor] = {f"region: {one.name}": RegionFactor(one) for one in (cell, ground)}
    return regions | {f"property: {name}": PropertyFactor(one) for name, one in PROPERTIES.items()}


def jobs(sample: Sample) -> dict[str, Job]:
    """One job for each edit; ways of removing a region take each recipient as often as it meets donors."""
    pairs = sample.pairs()
    found = {name: Job(TrialKey(one.name, EXCHANGE, SPLIT), pairs, (one,)) for name, one in factors().items()}
    ground = factors()[f"region: {BACKGROUND}"]
    removed = {
        f"removed: {removal}": Job(
            TrialKey(ground.name, Edit("removal", removal=removal), SPLIT),
            np.stack([pairs[:, 0], pairs[:, 0]], axis=1),
            (ground,),
        )
        for removal in ground.removals
    }
    return found | removed


def seconds(run: Callable[[], object], device: torch.device) -> float:
    wait_for(device)
    start = time.perf_counter()
    run()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare(model: nn.Module, ready: list[Tensor]) -> None:
    with torch.inference_mode():
        for batch in ready:
            model(batch)


def main(name: str, rounds: int, device: torch.device) -> None:
    steady_process()  # as the command line does, and one thread as in each of its workers
    torch.set_num_threads(1)
    case = CASES[name]
    model, sample = network(case).to(device), faces(case)
    scorer = Scorer(model, sample, case.batch, LAYOUT)
    recipients = torch.from_numpy(sample.pairs()[:, 0].copy())
    ready = [
        sample.inputs(sample.canvases(places)).contiguous(memory_format=LAYOUT).to(device)
        for places in recipients.split(case.batch)
    ]
    found: dict[str, dict[str, list[float]]] = {}
    for key, job in jobs(sample).items():
        scorer.content(job.factors[0])
        scorer.run(job)  # warm
        sides: dict[str, list[float]] = {"bare": [], "edited": []}
        for _ in range(rounds):
            sides["bare"].append(seconds(lambda: bare(model, ready), device))
            sides["edited"].append(seconds(lambda job=job: scorer.run(job), device))
        found[key] = sides
    print(json.dumps({"seconds": found, "images": len(recipients), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    main(name, int(rest[0]) if rest else 3, torch.device(rest[1] if len(rest) > 1 else "cpu"))
