"""Which networks are repaired: kinds of shortcuts and seeds, in an order of which every beginning has all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.planted.latents import Recipe
from benchmarks.planted.names import is_right, is_true
from benchmarks.planted.networks import Network

SEEDS = 5  # networks of each kind, when run whole
HEADS = ("flat", "pooled")  # in turn
FIRST = 7000  # of the networks' own seeds, away from those of benchmarks/planted
MARK = "mark"  # lies within the face, so that its place is named as a region and left out of the core


@dataclass(frozen=True)
class Planting:
    """What is planted, and how clearly; `strength` 1 and `difficulty` 1: the images show nothing else."""

    kinds: tuple[str, ...]
    amount: float
    strength: float = 0.9
    difficulty: float = 0.3

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing but what is planted tells the classes apart."""
        return self.strength == 1 and self.difficulty == 1


PLANTINGS = {  # amounts at which a network learns the kind beside the core, not instead of it
    "tint": Planting(("tint",), 1.5),
    "logo": Planting(("logo",), 1.0),
    "frame": Planting(("frame",), 1.0),
    "hair": Planting(("hair",), 2.5),
    "brightness": Planting(("brightness",), 3.0),
    "mark": Planting((MARK,), 2.0),
    "tint and logo": Planting(("tint", "logo"), 1.0),
    "nothing but the tint": Planting(("tint",), 1.5, strength=1.0, difficulty=1.0),
}


@dataclass(frozen=True)
class Case:
    """A network that is audited and repaired."""

    planting: str
    seed: int

    @property
    def name(self) -> str:
        """As "tint 0 flat"."""
        return f"{self.planting} {self.seed} {self.network.head}"

    @property
    def planted(self) -> Planting:
        return PLANTINGS[self.planting]

    @property
    def network(self) -> Network:
        planted = self.planted
        recipe = Recipe(
            "faces", planted.kinds, "planted", planted.strength, 0.05, planted.amount, planted.difficulty
        )  # fmt: skip
        seed = FIRST + 100 * list(PLANTINGS).index(self.planting) + self.seed
        return Network(recipe, HEADS[self.seed % len(HEADS)], seed=seed)


def cases(kinds: Sequence[str] = tuple(PLANTINGS), seeds: int = SEEDS) -> list[Case]:
    """All cases of these plantings, one of each first."""
    return [Case(kind, seed) for seed in range(seeds) for kind in PLANTINGS if kind in kinds]


def names_right(factor: str, kind: str) -> bool:
    """Whether a factor's name tells a kind."""
    return factor == MARK if kind == MARK else is_right(factor, "faces", kind)


def names_roughly(factor: str, kind: str) -> bool:
    """Whether it tells a kind at least roughly."""
    return names_right(factor, kind) or is_true(factor, "faces", kind)
