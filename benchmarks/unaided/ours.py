"""An audit of one case without regions, masks or a suspicion but for the core, and how near its places are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from benchmarks.planted.audits import brief, classifier_of, core_name, write_pictures
from benchmarks.planted.cases import Case
from benchmarks.planted.kept_trials import trials_kept
from benchmarks.planted.names import RIGHT, WITHIN_THE_CORE
from benchmarks.planted.oracle import FRESH
from benchmarks.planted.planting import EVERYWHERE
from benchmarks.planted.renderers import RENDERERS
from numpy.typing import NDArray
from torch import nn

import seewhy
from seewhy.evidence.findings.unnamed import REST
from seewhy.evidence.trials.sample import Sample, mean_mask

NEAR = 0.5  # of two regions' union that both share, for a place to be the right one
HOLDS = 0.5  # of the true region, that a place has to hold to tell it at least roughly
USUAL = 0.5  # of the pictures in which a pixel has to lie in what was planted, for it to have one place
MOVING = ("stamp", "debris")  # kinds that lie elsewhere in each picture
LEAST_SHOWN = 0.5  # of a mark, that must lie outside of the core, or in it, for a picture to show it
LEAST_AREA = 0.02  # of the picture, from which on places are compared

Record = dict[str, Any]


def audited(case: Case, module: nn.Module, trials: Path, regions: str = "zones,search", **options: str) -> Record:
    """What `seewhy audit DATA --core …` tells of a case, with its places beside the planted ones.

    `trials` is the folder that keeps the case's trials; `seconds` are None where some were made before.
    """
    with tempfile.TemporaryDirectory() as home, trials_kept(trials) as taken:
        data, masks, core = Path(home) / "data", Path(home) / "core", core_name(case)
        classes, levels = write_pictures(case, data)
        for name, parts in levels.items():
            file = masks / name
            file.parent.mkdir(parents=True, exist_ok=True)
            level = parts[core] if core in parts else 255 - parts["background"]
            PIL.Image.fromarray(level).save(file)
        start = time.perf_counter()
        classifier = classifier_of(case, module, classes)
        audit = seewhy.audit(
            classifier,
            data,
            core=f"core={masks}",
            regions=regions,
            progress=False,
            **options,  # type: ignore[arg-type]
        )
        seconds = time.perf_counter() - start
    places = {kind: place for kind in case.recipe.kinds if (place := place_of(case, kind)) is not None}
    found = () if audit.design.places is None else audit.design.places.names
    told = [brief(finding) for finding in audit.findings]
    sample = audit.design.audited
    regions = {row["factor"]: mean_mask(sample, row["factor"]).numpy() for row in told if row["factor"] in sample.masks}
    overlaps = {
        name: {kind: overlap(region > USUAL, place) for kind, place in places.items()}
        for name, region in regions.items()
    }
    moving = () if audit.design.places is None else tuple(audit.design.places.anywhere)
    overlaps |= {name: {**overlaps.get(name, {}), **held_by(case, sample, name)} for name in moving}
    return {
        "case": case.name, "seconds": None if taken else seconds, "threads": torch.get_num_threads(),
        "trials": audit.facts["trials"], "findings": told, "places": found, "overlaps": overlaps,
        "effects": {}, "without": {}, "areas": {kind: float(place.mean()) for kind, place in places.items()},
    }  # fmt: skip


def place_of(case: Case, kind: str) -> NDArray[np.bool_] | None:
    """Where a kind lies in most pictures (S, S); None of one of the whole picture, or without a place of its own."""
    if kind in EVERYWHERE or kind not in RENDERERS[case.recipe.renderer].kinds:
        return None
    renderer = RENDERERS[case.recipe.renderer]
    fresh = renderer.sample(case.recipe, "fresh", FRESH // case.recipe.classes, case.network.seed)
    drawn = renderer.draw(renderer.switched(fresh, kind, True))
    if kind not in drawn.masks:
        return None
    place = np.asarray(drawn.masks[kind].mean(axis=0) > USUAL)
    return place if place.any() else None


def overlap(region: NDArray[np.bool_], place: NDArray[np.bool_]) -> dict[str, float]:
    """How much two places share, of what either holds (`iou`), and of the planted one (`holds`)."""
    both = float((region & place).sum())
    return {"iou": both / max(float((region | place).sum()), 1.0), "holds": both / float(place.sum())}


def held_by(case: Case, sample: Sample, name: str) -> dict[str, dict[str, float]]:
    """By kind that lies elsewhere in each picture, the share of it that squares hold, in the pictures that show it.

    It counts as what both share, too: no square has the form of a scratch.
    """
    kinds = [kind for kind in case.recipe.kinds if kind in (*MOVING, *WITHIN_THE_CORE)]
    if not kinds:
        return {}
    renderer = RENDERERS[case.recipe.renderer]
    latents = renderer.sample(case.recipe, sample.split, case.images, case.network.seed)
    masks_of = renderer.draw(latents).masks
    rows = [int(Path(image.id).stem) for image in sample.images]
    squares = sample.masks_at(name, torch.arange(len(sample))).numpy() * sample.found[name][:, None, None]
    cores = sample.masks_at("core", torch.arange(len(sample))).numpy()
    shares = {}
    for kind in kinds:
        marks = masks_of[kind][rows] * np.asarray(latents.on[kind])[rows][:, None, None]
        shown = marks * (cores if kind in WITHIN_THE_CORE else 1 - cores)
        has = sample.found[name] & (shown.sum(axis=(1, 2)) >= LEAST_SHOWN * shown.sum(axis=(1, 2)).max())
        held = (squares * shown).sum(axis=(1, 2))[has] / shown.sum(axis=(1, 2))[has]
        share = float(held.mean()) if has.any() else 0.0
        shares[kind] = {"iou": share, "holds": share}
    return shares


def by_closed_list(record: Mapping[str, Any], case: Case) -> Record:
    """The record with the places that were found under the names of the closed list that they tell.

    A place that shares half with the planted one has its right name, one that holds half of it tells that something
    there decides, and any other one has a name that tells nothing.
    """
    findings = []
    for row in record["findings"]:
        near = record["overlaps"].get(row["factor"], {}) if row["factor"] in record["places"] else {}
        name = row["factor"]
        for kind, shared in near.items():
            if shared["iou"] >= NEAR:
                name = RIGHT[case.recipe.renderer][kind][0]
            elif shared["holds"] >= HOLDS and name == row["factor"]:
                name = REST
        findings.append({**row, "factor": name, "members": [], "title": row["title"].replace(row["factor"], name)})
    return {**record, "findings": findings}


def best_overlaps(record: Mapping[str, Any]) -> dict[str, float]:
    """By planted kind with a place of 2 % and more, the largest overlap of a place that a shortcut names; 0 if none."""
    shown = [row["factor"] for row in record["findings"] if "shortcut" in row["claims"]]
    return {
        kind: max((record["overlaps"].get(name, {}).get(kind, {}).get("iou", 0.0) for name in shown), default=0.0)
        for kind, area in record["areas"].items()
        if area >= LEAST_AREA
    }
