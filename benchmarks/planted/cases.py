"""All cases: which networks are trained and audited, in an order of which every beginning is a fair sample."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from benchmarks.planted.latents import Recipe
from benchmarks.planted.names import half_of
from benchmarks.planted.networks import Network
from benchmarks.planted.planting import EVERYWHERE
from benchmarks.planted.renderers import RENDERERS

STRENGTHS = ((0.9, 1.0), (0.8, 1.5), (0.95, 0.7), (0.7, 2.0), (1.0, 0.5), (0.6, 2.5))  # with what amount
USUAL = {"faces": 1.0, "objects": 0.6, "cells": 1.0}  # amounts at which kinds are learned beside the core, not instead
FAINT = {("faces", "brightness"): 2.0, ("faces", "hair"): 2.0, ("cells", "logo"): 1.5}  # kinds that need more
AREAS = (0.04, 0.02, 0.08, 0.05)
PER_KIND = 4  # networks of each kind alone
PAIRS = {
    "faces": (
        ("tint", "logo"), ("frame", "hair"), ("brightness", "watermark"), ("blur", "tint"), ("logo", "jpeg"),
        ("hair", "blur"), ("tint", "brightness"), ("frame", "logo"),
    ),
    "objects": (
        ("tint", "stamp"), ("logo", "blur"), ("frame", "saturation"), ("brightness", "logo"), ("tint", "noise"),
        ("contrast", "stamp"), ("jpeg", "frame"), ("saturation", "logo"),
    ),
    "cells": (
        ("tint", "debris"), ("logo", "blur"), ("frame", "contrast"), ("brightness", "logo"), ("tint", "noise"),
        ("saturation", "debris"), ("jpeg", "frame"), ("contrast", "logo"),
    ),
}  # fmt: skip
HEADS = ("pooled", "flat", "pooled", "flat", "residual")
CORES = {
    "faces": ("mask", "ellipse", "eroded", "centre", "dilated", "jittered"),
    "objects": ("mask", "ellipse", "eroded", "dilated", "jittered"),
    "cells": ("mask", "eroded", "dilated", "jittered"),
}
BESIDE = ("halo", "membrane", "dot", "hair")  # kinds that touch the object: only with cores that leave them out
LEAVING_OUT = ("mask", "eroded")
NEGATIVES = {"clean": 20, "decoy": 12, "legit": 6, "suppressor": 6, "memorised": 6}  # networks of each renderer
WRONG_CORES = 8  # clean networks of each renderer that are audited with a core too small, and too large
EARLY = 4  # networks of each renderer that are audited before they converge


@dataclass(frozen=True)
class Case:
    """A network that is audited with a core of some form. `group` says what was meant; the oracle says what is so."""

    group: str
    network: Network
    core: str = "mask"
    part: str = ""  # of the picture that is named as core, if not the renderer's own

    @property
    def recipe(self) -> Recipe:
        return self.network.recipe

    @property
    def name(self) -> str:
        """As "cells tint 0.9 x1 flat 12 eroded"."""
        recipe, network = self.recipe, self.network
        what = "+".join(recipe.kinds) if self.group in ("planted", "early", "decoy") else ""
        much = f"{recipe.strength:g} x{recipe.amount:g}" if what else ""
        return " ".join(
            filter(None, (recipe.renderer, self.group, what, much, network.head, str(network.seed), self.core))
        )

    @property
    def half(self) -> str:
        kinds = self.recipe.kinds if self.group in ("planted", "early", "decoy") else ()
        return half_of(self.recipe.renderer, kinds, self.network.head, self.network.seed)

    @property
    def images(self) -> int:
        """How many pictures of each class are audited."""
        return 150 if self.recipe.classes == 2 else 300 // self.recipe.classes


def cases() -> list[Case]:
    """All of them, mixed."""
    return sorted((*negatives(), *positives()), key=lambda case: hashlib.sha256(case.name.encode()).digest())


def negatives() -> Iterator[Case]:
    for number, (renderer, kinds) in enumerate((name, one.kinds) for name, one in RENDERERS.items()):
        seeds = count(1000 * number)
        for group, many in NEGATIVES.items():
            for turn in range(many):
                yield _negative(renderer, kinds, group, turn, next(seeds))
        for turn in range(WRONG_CORES):
            clean = _negative(renderer, kinds, "clean", turn, 1000 * number + turn)
            yield replace(clean, group="small core", core="small")
            yield replace(clean, group="large core", core="large")


def _negative(renderer: str, kinds: tuple[str, ...], group: str, turn: int, seed: int) -> Case:
    two = (kinds[turn % len(kinds)], kinds[(turn + 5) % len(kinds)])
    planted = {"clean": two, "decoy": two[:1]}.get(group, ())
    recipe = Recipe(
        renderer, planted, group, 0.9, AREAS[turn % len(AREAS)], 1.5 * USUAL[renderer], 0.0,
        classes=_classes(renderer, turn) if group in ("clean", "decoy", "legit") else 2, variant=turn % 3,
    )  # fmt: skip
    network = Network(recipe, HEADS[turn % len(HEADS)], n_train=_n_train(recipe), seed=seed)
    if group == "memorised":
        recipe = replace(recipe, difficulty=min(0.6, recipe.difficulty + 0.3))
        network = replace(network, recipe=recipe, head="flat", n_train=60, epochs=60)
    return Case(group, network, CORES[renderer][turn % len(CORES[renderer])])


def positives() -> Iterator[Case]:
    for number, (renderer, rules) in enumerate(RENDERERS.items()):
        seeds = count(1000 * number + 500)
        for place, kind in enumerate(rules.kinds):
            for turn in range(PER_KIND):
                yield _positive(renderer, (kind,), place + turn, next(seeds))
        for turn, pair in enumerate(PAIRS[renderer]):
            yield _positive(renderer, pair, 3 * (turn % 2), next(seeds))
        for turn in range(EARLY):
            case = _positive(renderer, (rules.kinds[3 * turn % len(rules.kinds)],), turn, next(seeds))
            yield replace(case, group="early", network=replace(case.network, epochs=4))


def _positive(renderer: str, kinds: tuple[str, ...], turn: int, seed: int) -> Case:
    strength, amount = STRENGTHS[seed % len(STRENGTHS)]
    amount *= USUAL[renderer] * FAINT.get((renderer, kinds[0]), 1.0)
    recipe = Recipe(
        renderer, kinds, "planted", strength, AREAS[turn % len(AREAS)], round(amount, 3), 0.0,
        classes=_classes(renderer, turn), variant=turn % 3,
    )  # fmt: skip
    beside = set(kinds) & set(BESIDE)
    choice = LEAVING_OUT if beside else CORES[renderer]
    network = Network(recipe, HEADS[(turn + seed // 3) % len(HEADS)], n_train=_n_train(recipe), seed=seed)
    return Case("planted", network, choice[seed % len(choice)], "nuclei" if "dot" in kinds else "")


def _classes(renderer: str, turn: int) -> int:
    return {"faces": 2, "objects": (2, 2, 2, 4)[turn % 4], "cells": (2, 2, 4, 2, 2, 6)[turn % 6]}[renderer]


def _n_train(recipe: Recipe) -> int:
    return 400 if recipe.classes == 2 else 800 // recipe.classes


@dataclass(frozen=True)
class Planted:
    """Of one kind: the effect that an audit could see, from the oracle."""

    kind: str
    effect: float


def asked_of(
    case: Case, oracle: Mapping[str, Mapping[str, Any]], outside: Mapping[str, Mapping[str, float]]
) -> list[Planted]:
    """What goes with the label in what is audited, and by how much the network uses it: (2 strength - 1) times tau.

    Of kinds that lie somewhere what they do outside of the core. One of the whole picture, like a file's compression,
    has no outside: where it ends at the core, there is an edge that no picture has.
    """
    share = 2 * case.recipe.strength - 1 if case.recipe.is_aligned("valid") else 0.0
    placed = {kind: effect for kind, effect in outside.items() if kind not in EVERYWHERE}
    return [
        Planted(kind, share * placed.get(kind, oracle["kinds"].get(kind))["value"])
        for kind in case.recipe.kinds
        if kind in oracle["kinds"]
    ]
