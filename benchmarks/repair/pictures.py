"""The folder of pictures of a case, and its audit as a user would run it: regions, a core, properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from benchmarks.planted.latents import Bools, Floats
from benchmarks.planted.networks import MEAN, STD
from benchmarks.planted.renderers import RENDERERS, Drawn
from benchmarks.repair.cases import MARK, Case, names_right
from torch import nn

import seewhy
from seewhy.data.networks.classifier import Classifier
from seewhy.evidence.factors.regions import Region, mask_region, zone_region
from seewhy.evidence.factors.zones import ZONES
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.result import Audit
from seewhy.learn.repair.groups import Groups
from seewhy.records import Image, Preprocess

CORE = "face"
CLASSES = ("fake", "real")
AUDITED = 150  # pictures of each class in valid
CORNERS = ("border", "top-right", "bottom-left")
PROPERTIES = ("tint", "brightness", "contrast", "saturation", "sharpness", "jpeg")
FACES = RENDERERS["faces"]


@dataclass(frozen=True)
class Pictures:
    """A folder as it is audited: by picture the levels of each region, and by split where each kind is on."""

    folder: Path
    levels: Mapping[str, Mapping[str, np.ndarray]]
    on: Mapping[str, Mapping[str, Bools]]

    def groups(self, images: Sequence[Image], kind: str) -> Groups:
        """Which of some images truly have a kind on."""
        of = [int(self.on[Path(image.id).parts[0]][kind][int(Path(image.id).stem)]) for image in images]
        return Groups(np.array(of, dtype=np.int64), (f"{kind} off", f"{kind} on"), "the truth")


def written(case: Case, folder: Path) -> Pictures:
    """The pictures of train and valid in a folder, as a user would have them."""
    network, levels, on = case.network, {}, {}
    for split, count in (("train", network.n_train), ("valid", AUDITED)):
        faces = FACES.sample(network.recipe, split, count, network.seed)
        drawn = FACES.draw(faces)
        masks = {name: (255 * of).round().astype(np.uint8) for name, of in regions_of(case, drawn).items()}
        on[split] = dict(faces.on)
        for place, (image, label) in enumerate(zip(drawn.images, faces.labels.tolist(), strict=True)):
            name = f"{split}/{CLASSES[label]}/{place:05d}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(image).save(folder / name, compress_level=1)
            levels[name] = {region: of[place] for region, of in masks.items()}
    return Pictures(folder, levels, on)


def regions_of(case: Case, drawn: Drawn) -> dict[str, Floats]:
    """By region the masks (N, S, S): the face as the core, the hair, all outside of the face, and a mark's place."""
    face = drawn.masks[CORE]
    regions = {CORE: face, "hair": drawn.masks["hair"], "background": 1 - face}
    if MARK in case.planted.kinds:
        regions |= {MARK: drawn.masks[MARK], CORE: np.clip(face - drawn.masks[MARK], 0, 1)}
    return regions


def audited(case: Case, module: nn.Module, pictures: Pictures) -> Audit:
    """The audit of a case."""

    def region(name: str) -> Region:
        return mask_region(name, "drawn", lambda image, _: pictures.levels[image.id][name])

    names = list(next(iter(pictures.levels.values())))
    side = case.network.recipe.size
    classifier = Classifier(module, Preprocess(size=(side, side), mean=(MEAN,), std=(STD,)), CLASSES)
    zones = [zone_region(name, ZONES[name]) for name in CORNERS]
    return seewhy.audit(
        classifier, pictures.folder, regions=[*map(region, names), *zones],
        core=[CORE], properties=list(PROPERTIES), recipients=AUDITED, donors=AUDITED, progress=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is repaired: a factor, the planted kind that it stands for, and whether a finding tells it as a shortcut.

    `is_named`: the factor's name tells the kind.
    """

    factor: str
    kind: str
    is_told: bool
    is_named: bool


def target_of(findings: Sequence[Finding], kinds: Sequence[str]) -> Target | None:
    """The first finding that tells a shortcut, as a user would take it; where none does, one that names a kind.

    None where no finding about a factor names any, nor holds one that does.
    """
    about = [one for one in findings if one.numbers.get("probability")]
    told = [one.factor for one in about if "shortcut" in one.claims]

    def names(factors: Sequence[str]) -> bool:
        return any(names_right(factor, kind) for factor in factors for kind in kinds)

    named = [one.factor for one in about if names([one.factor])] or [one.factor for one in about if names(one.members)]
    for factor in (*told, *named):
        right = [kind for kind in kinds if names_right(factor, kind)]
        return Target(factor, (right or list(kinds))[0], factor in told, bool(right))
    return None
