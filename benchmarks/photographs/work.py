"""One case through training, its true effect, and audits with and without a core."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from benchmarks.photographs.cases import PLANTS, Case, Photographs, splits_of
from benchmarks.planted.cache import read, write, write_record
from benchmarks.planted.networks import MEAN, STD, Convolutions, inputs_of, predicted
from torch import nn

import seewhy
from seewhy.data.networks.classifier import Classifier
from seewhy.records import Preprocess

EPOCHS, BATCH, PEAK = 14, 16, 3e-3
AUDITS: Mapping[str, dict[str, Mapping[str, Any]]] = {  # by the folder of photographs, what a user might type
    "rvf10k": {
        "a face detector": {"regions": "face,background,zones", "core": "face"},
        "no core": {"regions": "zones", "core": ""},
        "a face detector, search": {"regions": "face,search", "core": "face"},
    },
    "bar": {
        "the centre": {"regions": "zones,background=not:centre", "core": "centre"},
        "no core": {"regions": "zones", "core": ""},
    },
}

Record = dict[str, Any]


def record_of(case: Case, data: Path, cache: Path, code: str) -> Record:
    """The record of a case, from the cache or made now."""
    file = cache / "photographs" / code / f"{case.name}.json"
    if (kept := read(file)) is not None:
        return kept
    torch.set_num_threads(1)
    classes, photographs = splits_of(case, data)
    start = time.perf_counter()
    module = network_of(case, photographs["train"], len(classes), cache)
    trained = time.perf_counter() - start
    logits = torch.cat(predicted(module, inputs_of(photographs["valid"].planted(case.kind))))
    right = float((logits.argmax(dim=1).numpy() == photographs["valid"].labels).mean())
    record = {
        "case": case.name, "accuracy": right, "effect": effect_of(case, module, photographs["valid"]),
        "training_s": trained, "audits": audits_of(case, module, classes, photographs),
    }  # fmt: skip
    write_record(file, record)
    return record


def network_of(case: Case, train: Photographs, classes: int, cache: Path) -> nn.Module:
    """The trained network, from the cache or trained now; photographs are mirrored at random."""
    module = _built(case, classes)
    file = cache / "photographs" / "networks" / f"{case.name}.pt"
    if file.exists():
        module.load_state_dict(torch.load(file, weights_only=True))
        return module.eval()
    inputs, labels = inputs_of(train.planted(case.kind)), torch.from_numpy(train.labels)
    dice = torch.Generator().manual_seed(case.seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=PEAK / 25, weight_decay=0.01)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
    module.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels), generator=dice).split(BATCH):
            batch = inputs[rows]
            mirrored = torch.rand(len(rows), generator=dice) < 0.5
            if case.data == "bar":  # a mirrored watermark would be another
                batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
            loss = nn.functional.cross_entropy(module(batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    write(file, lambda path: torch.save(module.state_dict(), path))
    return module.eval()


def effect_of(case: Case, module: nn.Module, valid: Photographs) -> float:
    """By how much what is planted raises P(fake), the mean over all valid photographs, times how often it stands."""
    if not case.kind:
        return 0.0
    with_it = np.stack([PLANTS[case.kind](one) for one in valid.pixels])
    plain, planted = (
        torch.cat(predicted(module, inputs_of(each))).softmax(dim=1)[:, 0] for each in (valid.pixels, with_it)
    )
    return case.share * float((planted - plain).mean())


def audits_of(
    case: Case, module: nn.Module, classes: tuple[str, ...], photographs: Mapping[str, Photographs]
) -> dict[str, Record]:
    """By the core that is named, what the audit tells."""
    told = {}
    with tempfile.TemporaryDirectory() as home:
        classifier = written(Path(home), case, module, classes, photographs)
        for name, asked in AUDITS[case.data].items():
            start = time.perf_counter()
            audit = seewhy.audit(classifier, home, recipients=150, donors=150, progress=False, **asked)
            told[name] = {
                "seconds": time.perf_counter() - start,
                "trials": audit.facts["trials"],
                "findings": [
                    {"factor": one.factor, "title": one.title, "claims": one.claims, "alternatives": one.alternatives,
                     "members": one.members, "text": one.text}
                    for one in audit.findings if one.claims
                ],
            }  # fmt: skip
    return told


def written(
    home: Path, case: Case, module: nn.Module, classes: tuple[str, ...], photographs: Mapping[str, Photographs]
) -> Classifier:
    """The classifier, its photographs written to a folder as a user would have them."""
    for split, of_split in photographs.items():
        for number, (pixels, label) in enumerate(zip(of_split.planted(case.kind), of_split.labels, strict=True)):
            path = home / split / classes[label] / f"{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).save(path, compress_level=1)
    side = len(photographs["valid"].pixels[0])
    return seewhy.load(module, preprocess=Preprocess(size=(side, side), mean=(MEAN,), std=(STD,)), classes=classes)


def _built(case: Case, classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        module = Convolutions(96, classes, is_flat=False)
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return module
