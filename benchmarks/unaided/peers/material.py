"""What every peer gets of a case, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from benchmarks.planted.audits import core_name, regions_of
from benchmarks.planted.cases import Case
from benchmarks.planted.networks import canvases_of, inputs_of, normal, predicted
from benchmarks.planted.renderers import RENDERERS
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from seewhy.evidence.factors.zones import ZONES

LEVEL = 0.05
LEAST_AREA = 0.005  # of the picture: a place of which less lies outside of the core is not asked about

Floats = NDArray[Any]


@dataclass(frozen=True)
class Material:
    """The audited pictures of a case and its network.

    `zones` are the named places, one mask (S, S) for all pictures or one each (N, S, S). `kinds` says by planted kind
    in which picture it is on, for oracle readers alone. `truth` is the true mask of the core, for tools that were
    published with true masks; where it is not given, they get the core as it is named.
    """

    case: Case
    module: nn.Module
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    core: NDArray[np.float32]
    zones: Mapping[str, Floats]
    kinds: Mapping[str, NDArray[np.bool_]]
    truth: NDArray[np.float32] | None = None

    @property
    def inputs(self) -> Tensor:
        """What the network reads (N, 3, S, S)."""
        return inputs_of(self.images)

    @property
    def canvases(self) -> Tensor:
        """The pictures (N, 3, S, S) in [0, 1]."""
        return canvases_of(self.images)

    @property
    def answers(self) -> NDArray[np.int64]:
        """The class (N,) that the network gives."""
        return self.logits.argmax(axis=1)


@dataclass(frozen=True)
class Claim:
    """What a tool names as a shortcut: zones, properties, a planted kind that an oracle reader found; () is none."""

    names: tuple[str, ...]
    note: str = ""


def material_of(case: Case, module: nn.Module) -> Material:
    """The pictures of "valid" as an audit of the case has them, drawn once."""
    renderer = RENDERERS[case.recipe.renderer]
    latents = renderer.sample(case.recipe, "valid", case.images, case.network.seed)
    drawn = renderer.draw(latents)
    regions = regions_of(case, drawn)
    core = np.asarray(1 - regions["background"] if case.core == "centre" else regions[core_name(case)], np.float32)
    side = case.recipe.size
    zones = {name: zone((side, side)).astype(np.float32) / 255 for name, zone in ZONES.items()}
    logits = torch.cat(predicted(module, inputs_of(drawn.images))).double().numpy()
    return Material(
        case, module, drawn.images, np.asarray(latents.labels, np.int64), logits, core,
        {**zones, "background": 1 - core}, {kind: np.asarray(on, bool) for kind, on in latents.on.items()},
        np.asarray(drawn.masks[case.part or renderer.core], np.float32),
    )  # fmt: skip


def outside(material: Material) -> dict[str, NDArray[np.float32]]:
    """By zone what of it lies outside of the core (N, S, S); zones that lie within the core are left out."""
    found = {name: (zone * (1 - material.core)).astype(np.float32) for name, zone in material.zones.items()}
    return {name: masks for name, masks in found.items() if masks.mean() >= LEAST_AREA}


def going_with_label(material: Material) -> dict[str, NDArray[np.bool_]]:
    """Of the planted kinds those that go with the label in these pictures: all that a knowing reader would suspect.

    That is p < .05 in Fisher's exact test of being on against being of the first class.
    """
    first = material.labels == 0

    def p(on: NDArray[np.bool_]) -> float:
        table = [
            [int((on & first).sum()), int((~on & first).sum())],
            [int((on & ~first).sum()), int((~on & ~first).sum())],
        ]
        return float(stats.fisher_exact(table).pvalue)

    return {kind: on for kind, on in material.kinds.items() if p(on) < LEVEL}


def shares(module: nn.Module, canvases: Tensor) -> NDArray[np.float64]:
    """The probabilities (N, K) of pictures in [0, 1]."""
    return torch.cat(predicted(module, normal(canvases))).double().softmax(dim=1).numpy()


def last_layer(module: nn.Module) -> nn.Module:
    """The layer that maps are made of: the last residual block, else the last convolution."""
    blocks = getattr(module, "blocks", None)
    if isinstance(blocks, nn.Sequential):
        return blocks[-1]
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)][-1]


def with_torchvision() -> None:
    """Lets packages that import torchvision load beside a CPU build of torch."""
    if not hasattr(torch.ops.torchvision, "nms"):
        import benchmarks.torchvision_shim  # noqa: F401  # declares the operators once
