"""Whether the audit tells the truth: networks trained on planted faces, whose every dependence is known by drawing.

.venv/bin/python benchmarks/planted.py --only tint "clean 1"
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planted_cases import CORE, IMAGES, PARTS, SIZE, ZONES, Case, brief, cases, score, table
from torch import Tensor, nn

import seewhy
from seewhy.data.classifier import Classifier
from seewhy.evidence.factors.regions import Region, mask_region, zone_region
from seewhy.evidence.factors.zones import ZONES as ZONE_MASKS
from seewhy.learn.net import Net
from seewhy.planted.folder import Face, Rendered, faces_of, read_truth, render, switched, write_faces
from seewhy.planted.recipe import Recipe
from seewhy.planted.truth import canvases_of
from seewhy.records import Preprocess

HERE = Path(__file__).parent
PREPROCESS = Preprocess(size=(SIZE, SIZE), mean=(0.5,), std=(0.25,))
ORACLE_FACES = 150  # of each class, held out from training and from the audit
BATCH = 32


class Pooled(nn.Module):
    """The tutorial's convolutions with a mean over places before the linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 16), (16, 32), (32, 32), (32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (N, 2)."""
        logits: Tensor = self.fc(self.features(x).mean(dim=(2, 3)))
        return logits


def recipe_of(case: Case) -> Recipe:
    return Recipe(
        case.kinds or "tint", case.strength, amount=case.amount, difficulty=case.difficulty, scenario=case.scenario
    )


def trained(case: Case) -> nn.Module:
    """The network of a case after its epochs."""
    faces = faces_of("train", case.n_train, recipe_of(case), seed=case.seed)
    pictures = normal(canvases_of([render(face, SIZE) for face in faces]))
    labels = torch.tensor([face.label == "real" for face in faces]).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        network = Pooled() if case.head == "pooled" else Net(size=SIZE)
    dice = torch.Generator().manual_seed(case.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    steps = case.epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(case.epochs):
        for rows in torch.randperm(len(labels), generator=dice).split(BATCH):
            loss = nn.functional.cross_entropy(network(pictures[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def normal(canvases: Tensor) -> Tensor:
    return (canvases - PREPROCESS.mean[0]) / PREPROCESS.std[0]


def regions_of(folder: Path) -> list[Region]:
    """The zones, and the parts of the face as they were drawn."""
    masks = {
        one.path: {
            part: (255 * mask).round().astype(np.uint8)
            for part, mask in render(one.face, one.size).masks.items()
            if part in PARTS
        }
        for one in read_truth(folder)
    }

    def part_region(part: str) -> Region:
        return mask_region(part, "drawn", lambda image, _: masks[image.id][part])

    return [*map(part_region, PARTS), *(zone_region(name, ZONE_MASKS[name]) for name in ZONES)]


def place_of(name: str) -> Callable[[Rendered], Any]:
    """Where a region lies in a drawing."""
    if name in PARTS:
        return lambda drawn: drawn.masks[name]
    zone = (ZONE_MASKS[name]((SIZE, SIZE)) / 255).astype(np.float32)
    return lambda drawn: zone


@dataclass(frozen=True)
class Drawn:
    """Faces in one state: their canvases (N, 3, S, S), and the drawings that know their masks."""

    canvases: Tensor
    renders: Sequence[Rendered]

    def masks(self, region: str | None) -> Tensor | None:
        """Where a region lies in each of them (N, S, S)."""
        if region is None:
            return None
        place = place_of(region)
        return torch.from_numpy(np.stack([place(one) for one in self.renders]))


def drawn(faces: Sequence[Face]) -> Drawn:
    renders = [render(face, SIZE) for face in faces]
    return Drawn(canvases_of(renders), renders)


def own_effects(network: nn.Module, case: Case, factors: Sequence[Any]) -> dict[str, dict[str, float]]:
    """What each planted kind, and the core cue, adds to P(fake): by itself ("all"), and through each factor alone.

    Through a factor: every face receives the content of another face, drawn with the kind on, and with it off.
    """
    faces = faces_of("train", ORACLE_FACES, recipe_of(case), seed=case.seed + 1000)
    order = np.random.default_rng(case.seed).permutation(len(faces))
    recipients = drawn([faces[place] for place in order])
    found: dict[str, dict[str, float]] = {}
    for kind in (*case.kinds, "core"):
        states = [drawn([changed(face, kind, on, faces) for face in faces]) for on in (True, False)]
        found[kind] = {"all": difference(network, [one.canvases for one in states])}
        for factor in factors:
            places = recipients.masks(factor.region)
            contents = [factor.take(one.canvases, one.masks(factor.region)) for one in states]
            pictures = [factor.put(recipients.canvases.clone(), places, content) for content in contents]
            found[kind][factor.name] = difference(network, pictures)
    return found


def changed(face: Face, kind: str, on: bool, faces: Sequence[Face]) -> Face:
    """The face with a kind on or off; with "core" on it has the core cue of one of the fakes."""
    if kind != "core":
        return switched(face, kind, on)
    sizes = [one.amplitude for one in faces if one.label == "fake"]
    return replace(face, amplitude=sizes[face.index // 2 % len(sizes)] if on else 0.0)


def difference(network: nn.Module, pictures: Sequence[Tensor]) -> float:
    """The mean of P(fake) of the first canvases less that of the second."""
    with torch.no_grad():
        means = [torch.cat([network(normal(part)).softmax(dim=1)[:, 0] for part in one.split(64)]) for one in pictures]
    return float((means[0] - means[1]).mean())


def accuracy_of(network: nn.Module, case: Case) -> float:
    """The share of right answers on faces in which nothing is aligned with the label but the core cue."""
    recipe = replace(recipe_of(case), scenario="clean" if case.scenario != "memorised" else "memorised")
    faces = faces_of("valid", 200, recipe, seed=case.seed + 2000)
    with torch.no_grad():
        fake = network(normal(canvases_of([render(face, SIZE) for face in faces]))).argmax(dim=1) == 0
    return float(np.mean(fake.numpy() == np.array([face.label == "fake" for face in faces])))


def measured(case: Case, folder: Path, keep: Path | None) -> dict[str, Any]:
    """One case: trained, audited, and compared with what drawing says."""
    start = time.perf_counter()
    network = trained(case)
    seconds = {"training": time.perf_counter() - start}
    recipe = asdict(recipe_of(case))
    write_faces(folder, n_train=case.n_train, n_valid=IMAGES, size=SIZE, seed=case.seed, **recipe)
    regions = regions_of(folder)
    start = time.perf_counter()
    classifier = Classifier(network, PREPROCESS, ("fake", "real"))
    audit = seewhy.audit(
        classifier, folder, regions=regions, core=[CORE], properties="all", recipients=IMAGES, donors=IMAGES,
        progress=False,
    )  # fmt: skip
    seconds["audit"] = time.perf_counter() - start
    start = time.perf_counter()
    own = own_effects(network, case, audit.design.factors)
    seconds["oracle"] = time.perf_counter() - start
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        audit.save(keep / case.name)
        torch.save(network.state_dict(), keep / f"{case.name}.pt")
    found = {"case": asdict(case), "seconds": seconds, "unbiased_accuracy": accuracy_of(network, case), "own": own}
    return {**found, "audit": audit.summary(), "score": score(case, audit, own)}


def main() -> None:
    options = parsed(sys.argv[1:])
    known = {case.name: case for case in cases()}
    chosen = [known[name] for name in options.only or known]
    torch.set_num_threads(1)
    for case in chosen:
        with tempfile.TemporaryDirectory() as home:
            found = measured(case, Path(home) / "faces", options.keep)
        if options.keep is not None:
            kept = options.keep / f"{case.name}.json"
            kept.write_text(json.dumps(found, indent=1, default=float), encoding="utf-8")
        print(table(written(options.out, found)), flush=True)


def written(folder: Path, found: dict[str, Any]) -> list[dict[str, Any]]:
    """All cases so far, with this one among them: FOLDER/planted.json and FOLDER/planted.md."""
    file = folder / "planted.json"
    before = json.loads(file.read_text(encoding="utf-8"))["cases"] if file.exists() else []
    short = json.loads(json.dumps(brief(found), default=float))
    order = [case.name for case in cases()]
    rows = [one for one in before if one["case"]["name"] != short["case"]["name"] and one["case"]["name"] in order]
    rows = sorted([*rows, short], key=lambda one: order.index(one["case"]["name"]))
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"headlines": [], "noisy": False, "cases": rows}, indent=1) + "\n", encoding="utf-8")
    (folder / "planted.md").write_text(f"# planted\n\n{table(rows)}\n", encoding="utf-8")
    return rows


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names of cases, in the order to run")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where planted.json and planted.md go")
    parser.add_argument("--keep", type=Path, help="a folder for whole audits with their pictures, and for networks")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
