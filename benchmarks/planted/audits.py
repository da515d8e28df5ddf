"""One audit of one case, as a user would run it: a folder of pictures, masks as regions, a core."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from benchmarks.planted.cases import Case
from benchmarks.planted.cores import core_masks
from benchmarks.planted.kept_trials import trials_kept
from benchmarks.planted.latents import Floats
from benchmarks.planted.networks import MEAN, STD, canvases_of
from benchmarks.planted.renderers import RENDERERS, Drawn
from numpy.typing import NDArray
from torch import nn

import seewhy
from seewhy.data.networks.classifier import Classifier
from seewhy.evidence.checks.behaviour import behaviour_of
from seewhy.evidence.factors.factor import Factor, RegionFactor
from seewhy.evidence.factors.regions import Region, mask_region, zone_region
from seewhy.evidence.factors.zones import ZONES
from seewhy.evidence.findings.conclusions import Results, conclusions
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.findings.safeguards.safeguard import with_outcomes
from seewhy.records import Preprocess

SPLITS = ("train", "valid")
EXAMPLES = 3  # rows of a picture of what was exchanged

Record = dict[str, Any]


@dataclass(frozen=True)
class Pictures:
    """What is audited of one split: the drawings, and by region the masks (N, S, S)."""

    drawn: Drawn
    regions: Mapping[str, Floats]
    labels: Sequence[int]


def pictures_of(case: Case, split: str) -> Pictures:
    """The pictures of a split with the regions that a user would have: a core of the case's form, and the rest."""
    renderer = RENDERERS[case.recipe.renderer]
    latents = renderer.sample(case.recipe, split, case.images, case.network.seed)
    drawn = renderer.draw(latents)
    return Pictures(drawn, regions_of(case, drawn), latents.labels.tolist())


def regions_of(case: Case, drawn: Drawn) -> dict[str, Floats]:
    """By region the masks (N, S, S): the core as it is named, all outside of it, and other parts as they were drawn."""
    renderer = RENDERERS[case.recipe.renderer]
    parts = {name: drawn.masks[name] for name in renderer.parts}
    if renderer.name == "cells":
        parts["cytoplasm"] = np.clip(parts["cells"] - parts["nuclei"], 0, 1)
    core = core_masks(parts[case.part or renderer.core], case.core, case.network.seed)
    if case.core == "centre":
        return {"background": 1 - core}
    outside = {} if case.part else {"background": 1 - core}
    return {**parts, **outside, case.part or renderer.core: core}


def core_name(case: Case) -> str:
    """The region that is named as core."""
    return "centre" if case.core == "centre" else case.part or RENDERERS[case.recipe.renderer].core


def write_pictures(case: Case, folder: Path) -> tuple[tuple[str, ...], dict[str, dict[str, np.ndarray]]]:
    """The folder that is audited; gives the classes' names, and by picture the levels of each region."""
    renderer, levels = RENDERERS[case.recipe.renderer], {}
    classes = renderer.classes(renderer.sample(case.recipe, "valid", 1, 0))
    for split in SPLITS:
        pictures = pictures_of(case, split)
        bytes_of = {name: _bytes(masks) for name, masks in pictures.regions.items()}
        for place, (image, label) in enumerate(zip(pictures.drawn.images, pictures.labels, strict=True)):
            name = f"{split}/{classes[label]}/{place:05d}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(image).save(folder / name, compress_level=1)
            levels[name] = {region: masks[place] for region, masks in bytes_of.items()}
    return classes, levels


def _bytes(masks: Floats) -> NDArray[np.uint8]:
    return (255 * masks).round().astype(np.uint8)


def classifier_of(case: Case, module: nn.Module, classes: tuple[str, ...]) -> Classifier:
    side = case.recipe.size
    return Classifier(module, Preprocess(size=(side, side), mean=(MEAN,), std=(STD,)), classes)


def asked(case: Case, module: nn.Module, home: Path) -> tuple[Classifier, dict[str, Any]]:
    """The classifier and the options of a case's audit, whose pictures are written to the folder HOME."""
    classes, levels = write_pictures(case, home)

    def region(name: str) -> Region:
        return mask_region(name, "drawn", lambda image, _: levels[image.id][name])

    names = list(next(iter(levels.values())))
    regions = [*map(region, names), *(zone_region(name, zone) for name, zone in ZONES.items())]
    options = {"regions": regions, "core": [core_name(case)], "properties": "all", "recipients": 150, "donors": 150}
    return classifier_of(case, module, classes), options


def audited(case: Case, module: nn.Module, picture: Path, trials: Path) -> Record:
    """What the audit tells of a case, with each safeguard and without; `picture` is drawn where it tells a shortcut.

    `trials` is the folder that keeps the case's trials; `seconds` are told where all were made anew.
    """
    with tempfile.TemporaryDirectory() as home, trials_kept(trials) as taken:
        classifier, options = asked(case, module, Path(home))
        start = time.perf_counter()
        audit = seewhy.audit(classifier, home, **options, progress=False)
        seconds = time.perf_counter() - start
    told = [brief(finding) for finding in audit.findings]
    record: Record = {
        "case": case.name, "core": core_name(case), "seconds": None if taken else seconds,
        "threads": torch.get_num_threads(),
        "trials": audit.facts["trials"], "accuracy": audit.facts["accuracy"], "findings": told,
        "effects": effects_of(audit.findings), "without": without_each(audit),
    }  # fmt: skip
    shortcuts = [row["factor"] for row in told if "shortcut" in row["claims"]]
    if shortcuts:
        picture_of(case, audit.design.factors, shortcuts[0], picture)
    return record


def brief(finding: Finding) -> Record:
    """What is kept of a finding."""
    effect = finding.numbers.get("probability") or finding.numbers.get("benefit") or {}
    return {
        "factor": finding.factor, "level": finding.level, "claims": list(finding.claims), "title": finding.title,
        "text": finding.text, "evidence": list(finding.evidence), "members": list(finding.members),
        **{end: effect.get(end) for end in ("value", "low", "high")},
    }  # fmt: skip


def effects_of(findings: Sequence[Finding]) -> dict[str, Record]:
    """By factor its effect with the interval of 95 %, wherever it is told."""
    effects = {}
    for finding in findings:
        numbers = {finding.factor: finding.numbers, **finding.numbers.get("members", {})}
        for name, of_factor in numbers.items():
            if "jointly" not in finding.claims and (effect := of_factor.get("probability")):
                effects[name] = {end: effect[end] for end in ("value", "low", "high", "error")}
    return effects


def without_each(audit: Any) -> dict[str, list[Record]]:
    """By safeguard what would be told without it: the same trials and cases, concluded anew.

    Raises RuntimeError where the same safeguards do not lead to the same titles again, so that nothing could be said.
    """
    again = [finding.title for finding in _concluded(audit, audit.cases)]
    if again != [finding.title for finding in audit.findings]:
        raise RuntimeError(f"the audit told {[one.title for one in audit.findings]}, and concluded anew {again}")
    told = {}
    for left_out in SAFEGUARDS:
        kept = [safeguard for safeguard in SAFEGUARDS if safeguard.name != left_out.name]
        cases = audit.cases
        for group in ("singles", "pairs", "marks"):
            fewer = [
                with_outcomes(
                    replace(one, measured={name: of for name, of in one.measured.items() if name != left_out.name}),
                    kept,
                )
                for one in getattr(cases, group)
            ]
            cases = replace(cases, **{group: tuple(fewer)})
        told[left_out.name] = [short(brief(finding)) for finding in _concluded(audit, cases)]
    return told


def short(row: Record) -> Record:
    """A finding without its words."""
    return {name: row[name] for name in ("factor", "level", "claims", "title", "value", "members")}


def _concluded(audit: Any, cases: Any) -> Sequence[Finding]:
    design = audit.design
    logits = audit.before[design.audited.split].logits
    labels = [image.label for image in design.audited.images]
    shares = torch.from_numpy(logits).softmax(dim=1).numpy()
    behaviour = behaviour_of(logits, shares, labels, design.classes)
    before = {split: baseline.scores for split, baseline in audit.before.items()}
    return conclusions(Results(design, audit.trials, cases, behaviour, before))


def masks_at(case: Case, factor: Factor, drawn: Drawn) -> torch.Tensor | None:
    """A factor's masks (N, S, S) on other drawings, as the audit has them: without the core where it cut that out.

    None of a factor without a region, and of a region that nobody here named.
    """
    if not isinstance(factor, RegionFactor):
        return None
    regions = regions_of(case, drawn)
    if factor.name in ZONES:
        side = case.recipe.size
        masks = ZONES[factor.name]((side, side))[None]
    elif factor.name in regions:
        masks = _bytes(regions[factor.name])
    else:
        return None
    if factor.at.is_cut:
        core = 1 - regions["background"] if case.core == "centre" else regions[core_name(case)]
        masks = (masks * ((255 - _bytes(core).astype(np.float32)) / 255)).round()
    return torch.from_numpy(masks.astype(np.float32) / 255)


def picture_of(case: Case, factors: Sequence[Any], name: str, file: Path) -> None:
    """FILE: pictures, donors of another class, and the pictures with what a finding says of theirs in them."""
    factor = next((factor for factor in factors if factor.name == name), None)
    if factor is None:
        return
    renderer = RENDERERS[case.recipe.renderer]
    latents = renderer.sample(case.recipe, "valid", case.images, case.network.seed)
    drawn = renderer.draw(latents.at(slice(2 * EXAMPLES)))
    canvases = canvases_of(drawn.images)
    masks = masks_at(case, factor, drawn)
    if factor.region is not None and masks is None:
        return
    rows = torch.arange(2 * EXAMPLES).reshape(EXAMPLES, 2)  # the classes take turns

    def at(places: torch.Tensor) -> torch.Tensor | None:
        return masks if masks is None or len(masks) == 1 else masks[places]

    content = factor.take(canvases[rows[:, 1]], at(rows[:, 1]))
    edited = factor.put(canvases[rows[:, 0]].clone(), at(rows[:, 0]), content)
    columns = torch.stack([canvases[rows[:, 0]], canvases[rows[:, 1]], edited], dim=1)
    tiles = (columns.clamp(0, 1) * 255).round().byte().permute(0, 3, 1, 4, 2)
    side = case.recipe.size
    file.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(tiles.reshape(EXAMPLES * side, 3 * side, 3).numpy()).save(file, optimize=True)
