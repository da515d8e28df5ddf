"""The package's own faces, as a renderer of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from benchmarks.planted.latents import SPLITS, Bools, Floats, Ints, Recipe, chances

from seewhy.planted.folder import KINDS as ALL_KINDS
from seewhy.planted.folder import LABELS, Face, Rendered, render, sample_face
from seewhy.planted.folder import switched as with_shortcut
from seewhy.planted.recipe import Recipe as FaceRecipe
from seewhy.planted.shortcuts import PATTERN

CORE = "face"
PARTS = ("face", "hair", "body", "background")
KINDS = tuple(ALL_KINDS)


@dataclass(frozen=True, eq=False)
class Faces:
    """Some faces with their labels; `amplitudes` are the core cue's where the label is "fake"."""

    recipe: Recipe
    split: str
    faces: tuple[Face, ...]
    labels: Ints
    amplitudes: tuple[float, ...]
    hints: tuple[float, ...] = ()  # of a suppressor

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def on(self) -> Mapping[str, Bools]:
        """Which faces have each kind switched on."""
        kinds = self.recipe.kinds
        return {kind: np.array([_is_on(face, kind) for face in self.faces]) for kind in kinds}

    def at(self, rows: Any) -> Faces:
        """Some of the faces."""
        places = np.arange(len(self))[rows].tolist()
        faces, amplitudes = ([values[place] for place in places] for values in (self.faces, self.amplitudes))
        hints = tuple(self.hints[place] for place in places) if self.hints else ()
        return replace(self, faces=tuple(faces), labels=self.labels[rows], amplitudes=tuple(amplitudes), hints=hints)


def _is_on(face: Face, kind: str) -> bool:
    return face.tint if kind == "tint" else any(one.kind == kind and one.on for one in face.shortcuts)


def sample(recipe: Recipe, split: str, count: int, seed: int) -> Faces:
    """`count` fakes and as many real faces, in turn."""
    drawn_as = "planted" if recipe.scenario == "suppressor" else recipe.scenario
    kinds = recipe.kinds or ("tint",)
    rule = FaceRecipe(
        kinds, 0.5 if recipe.scenario == "suppressor" else recipe.strength, recipe.area, recipe.amount,
        recipe.difficulty, drawn_as,
    )  # fmt: skip
    where, split_seed = split if split in ("train", "valid") else "valid", 10 * seed + SPLITS.index(split)
    index = np.arange(2 * count)
    labels = index % 2
    faces = [
        rule.face(where, split_seed, int(place), LABELS[label]) for place, label in zip(index, labels, strict=True)
    ]
    fakes = [face.amplitude for face in faces if face.label == "fake"]
    amplitudes = tuple(fakes[place // 2] for place in range(len(faces)))
    found = Faces(recipe, split, tuple(faces), labels, amplitudes)
    return _suppressed(found, split_seed) if recipe.scenario == "suppressor" else found


def _suppressed(faces: Faces, seed: int) -> Faces:
    """Faces whose cue is the label's plus a nuisance, which the warmth of the background shows."""
    keys = np.stack([np.full(len(faces), seed), np.full(len(faces), 9), np.arange(len(faces))], axis=1)
    hints = tuple(chances(keys, 3, 1)[:, 0].tolist())
    warm = [replace(face, tint=True, warmth=6 * hint - 3) for face, hint in zip(faces.faces, hints, strict=True)]
    return with_labels(replace(faces, faces=tuple(warm), hints=hints), faces.labels)


def with_labels(faces: Faces, labels: Ints) -> Faces:
    """The same faces with the core cue of other labels; kinds stay as they are."""
    cues = [
        0.35 * (label == 0) + 0.55 * faces.hints[place] if faces.hints else amplitude * (label == 0)
        for place, (label, amplitude) in enumerate(zip(labels.tolist(), faces.amplitudes, strict=True))
    ]
    changed = [replace(face, amplitude=cue) for face, cue in zip(faces.faces, cues, strict=True)]
    return replace(faces, faces=tuple(changed), labels=labels)


def aligned(faces: Faces, labels: Ints) -> Faces:
    """The faces with each kind on or off as chance has it for other labels; the chance of each face stays the same."""
    share = faces.recipe.share(faces.split, labels)
    changed = list(faces.faces)
    for number, kind in enumerate(faces.recipe.kinds):
        keys = np.array([(face.seed, face.index, 50 + number) for face in faces.faces])
        on = chances(keys, 6, 1)[:, 0] < share
        changed = [with_shortcut(face, kind, bool(is_on)) for face, is_on in zip(changed, on, strict=True)]
    return replace(faces, faces=tuple(changed))


def switched(faces: Faces, kind: str, on: bool) -> Faces:
    """The same faces with a kind on, or off."""
    return replace(faces, faces=tuple(_with(face, kind, on) for face in faces.faces))


def _with(face: Face, kind: str, on: bool) -> Face:
    return with_shortcut(face, kind, on)


def redrawn(faces: Faces, seed: int) -> Faces:
    """The same faces before other backgrounds, with other grain."""
    if faces.recipe.scenario == "memorised":
        return switched(faces, PATTERN, False)
    return replace(faces, faces=tuple(_elsewhere(face, seed) for face in faces.faces))


def _elsewhere(face: Face, seed: int) -> Face:
    other = sample_face(face.seed + 10 * seed, face.index, face.label)
    scene = replace(
        face.scene, backdrop=other.scene.backdrop, slope=other.scene.slope, texture=other.scene.texture
    )  # fmt: skip
    return replace(face, seed=other.seed, scene=scene)


def draw(faces: Faces) -> tuple[np.ndarray, dict[str, Floats]]:
    """The pictures in bytes (N, S, S, 3), and the masks (N, S, S) of parts and kinds."""
    drawn: Sequence[Rendered] = [render(face, faces.recipe.size) for face in faces.faces]
    names = (*PARTS, *faces.recipe.kinds)
    masks = {name: np.stack([one.region_of(name) for one in drawn]).astype(np.float32) for name in names}
    return np.stack([one.image for one in drawn]), masks
