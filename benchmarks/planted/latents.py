"""What chance decides about drawn pictures, and how a data set of them is drawn: a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "valid", "fresh", "more")  # what the network learns from, what is audited, what the oracle draws
SCENARIOS = ("planted", "clean", "decoy", "legit", "suppressor", "memorised")
KIND_STREAM = 10  # of random numbers: the object's is 0, the scene's 1, the camera's 2

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How the pictures of a data set are drawn.

    Each kind is on with probability `strength` in pictures of the first class and 1 - `strength` in the others. A patch
    takes the share `area` of the picture; `amount` multiplies what a kind changes. `difficulty`, 0 to 1, is the share
    of the core cue that is missing. `variant` chooses the core cues of the classes. The scenarios:

    planted     as it says above
    clean       the kinds are there, but go with no label
    decoy       not aligned in training, aligned in what is audited
    legit       no kinds; the core cue alone tells the classes apart
    suppressor  the background's colour says nothing of the label, but which core cue the label is to be read against
    memorised   no kinds; strong backgrounds, each picture's its own, to be learned by heart from few pictures
    """

    renderer: str
    kinds: tuple[str, ...] = ()
    scenario: str = "planted"
    strength: float = 0.9
    area: float = 0.04
    amount: float = 1.0
    difficulty: float = 0.0
    classes: int = 2
    variant: int = 0
    size: int = 64

    def is_aligned(self, split: str) -> bool:
        """Whether the kinds go with the label in a split."""
        return self.scenario == "planted" or (self.scenario == "decoy" and split != "train")

    def share(self, split: str, labels: Ints) -> NDArray[np.float64]:
        """The probability (N,) that a kind is on in pictures of these labels."""
        aligned = np.where(labels == 0, self.strength, 1 - self.strength)
        return aligned if self.is_aligned(split) else np.full(len(labels), 0.5)


@dataclass(frozen=True, eq=False)
class Latents:
    """What chance decided about N pictures; everything else follows from the keys, by streams of random numbers.

    `keys` and `scenes` (N, 3) are seed, split and index of the picture and of its background; `labels` (N,) the class
    whose core cue is drawn; `on` says by kind which pictures have it switched on (N,).
    """

    recipe: Recipe
    split: str
    keys: Ints
    scenes: Ints
    labels: Ints
    on: Mapping[str, Bools] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Any) -> Latents:
        """Some of the pictures."""
        on = {kind: values[rows] for kind, values in self.on.items()}
        return replace(self, keys=self.keys[rows], scenes=self.scenes[rows], labels=self.labels[rows], on=on)


def sample(recipe: Recipe, kinds: Sequence[str], split: str, count: int, seed: int) -> Latents:
    """`count` pictures of each class, the classes in turn; `kinds` are all that the renderer knows, in its order."""
    index = np.arange(count * recipe.classes)
    keys = np.stack([np.full_like(index, seed), np.full_like(index, SPLITS.index(split)), index], axis=1)
    latents = Latents(recipe, split, keys, keys, index % recipe.classes)
    return aligned(latents, kinds)


def aligned(latents: Latents, kinds: Sequence[str]) -> Latents:
    """The same pictures with the kinds on or off as their labels have it: with every other label, the same chance."""
    share = latents.recipe.share(latents.split, latents.labels)
    planted = latents.recipe.kinds if latents.recipe.scenario not in ("legit", "memorised", "suppressor") else ()
    on = {kind: chances(latents.keys, KIND_STREAM + kinds.index(kind), 1)[:, 0] < share for kind in planted}
    return replace(latents, on=on)


def switched(latents: Latents, kind: str, on: bool) -> Latents:
    """The same pictures with a kind on, or off, and nothing else changed."""
    return replace(latents, on={**latents.on, kind: np.full(len(latents), on)})


def redrawn(latents: Latents, seed: int) -> Latents:
    """The same objects with the same kinds before backgrounds of other pictures, which were never seen."""
    return replace(latents, scenes=np.concatenate([latents.scenes[:, :2] + [seed, 0], latents.scenes[:, 2:]], axis=1))


def generators(keys: Ints, stream: int) -> list[np.random.Generator]:
    """The random numbers of one stream of each picture: no stream disturbs another."""
    return [np.random.default_rng((*key, stream)) for key in keys.tolist()]


def chances(keys: Ints, stream: int, count: int) -> NDArray[np.float64]:
    """The first `count` numbers in [0, 1) of a stream of each picture: (N, count)."""
    return np.stack([rng.random(count) for rng in generators(keys, stream)]) if len(keys) else np.zeros((0, count))


def core_of(latents: Latents, least: float, most: float) -> tuple[Ints, Floats, Floats]:
    """Which class's cue is drawn (N,), how clearly (N,) in [0, 1], and the background's hint (N,) in [-1, 1].

    Clearness is even between `least` and `most`, less the recipe's difficulty. A suppressor: the cue is the label's
    (± .3) plus a nuisance (± .5) that the background's colour shows; below 0 it is the cue of the other class.
    """
    draw = chances(latents.keys, 3, 2)
    clear = (least + (most - least) * draw[:, 0]) * (1 - latents.recipe.difficulty)
    if latents.recipe.scenario != "suppressor":
        return latents.labels, clear.astype(np.float32), np.zeros(len(latents), np.float32)
    hint = 2 * draw[:, 1] - 1
    way = np.where(latents.labels == 0, 1.0, -1.0)
    signed = 0.3 * way + 0.5 * hint
    shown = np.where(signed > 0, 0, 1)
    return shown, (most * np.abs(signed) / 0.8).astype(np.float32), hint.astype(np.float32)
