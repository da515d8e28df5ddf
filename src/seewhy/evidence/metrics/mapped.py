"""What is compared: the images with every method's map of each, and pictures that know nothing of the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.data.reader import batch_of, load_image
from seewhy.errors import DataError, listed
from seewhy.evidence.metrics.rescoring import Rescoring, rescoring
from seewhy.explanation.shard import explain_shard
from seewhy.maps import resize
from seewhy.records import INPUT, MapKey, Outcome, Progress
from seewhy.run.plan import Plan
from seewhy.run.workers import run_shards

CENTRE, RANDOM = "centre blob", "random map"


@dataclass(frozen=True)
class Column:
    """One of what is compared: a method of a layer, or a picture that knows nothing (`key` is None)."""

    method: str
    layer: str = ""
    key: MapKey | None = None

    def __str__(self) -> str:
        return f"{self.method} of {self.layer}" if self.layer and self.layer != INPUT else self.method


@dataclass(frozen=True)
class Batch:
    """Some images: `rows` among all that are compared, `places` in the table, inputs (n, C, H, W), how to ask anew."""

    rows: slice
    inputs: Tensor
    places: list[int]
    rescore: Rescoring


@dataclass(frozen=True)
class Mapped:
    """The images (N) that have a result, their maps, and why the others have none.

    `places` are their rows in the plan's table.
    """

    plan: Plan
    outcomes: list[Outcome]
    places: list[int]
    maps: dict[MapKey, NDArray[np.float32]]
    left_out: dict[str, int]
    noise: Tensor = field(repr=False)  # (N, h, w), of the random map

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def columns(self) -> list[Column]:
        """The methods and layers, then the pictures that know nothing."""
        known = [Column(key.method, key.layer, key) for key in self.plan.keys]
        return [*known, Column(CENTRE), Column(RANDOM)]

    def on_canvas(self, column: Column, rows: slice) -> Tensor:
        """The maps (n, H, W) of some images, raw and signed, resized to the network's input."""
        if column.key is not None:
            return on_canvas(torch.from_numpy(self.maps[column.key][rows]), self.plan.canvas)
        if column.method == RANDOM:
            return on_canvas(self.noise[rows], self.plan.canvas)
        return centre_blob(self.plan.canvas).expand(len(self.outcomes[rows]), -1, -1)

    def batches(self) -> Iterator[Batch]:
        """All images, some at a time, read again."""
        plan = self.plan
        device = plan.classifier.device if plan.classifier.device.type == "cuda" else torch.device("cpu")
        for start in range(0, len(self), plan.batch_size):
            rows = slice(start, min(start + plan.batch_size, len(self)))
            images = [plan.table.images[place] for place in self.places[rows]]
            loaded = [load_image(plan.table, image, plan.classifier.preprocess) for image in images]
            inputs = batch_of(loaded, plan.classifier.preprocess, plan.memory_format).to(device)
            places = self.places[rows]
            yield Batch(rows, inputs, places, rescoring(plan, inputs, self._labels(rows), places))

    def _labels(self, rows: slice) -> Tensor | None:
        """The index of each image's label, where that is what is explained."""
        if not self.plan.scores[0].needs_labels:
            return None
        return torch.tensor([self.plan.classes.index(o.image.label or "") for o in self.outcomes[rows]])


def mapped(plan: Plan, *, progress: Progress) -> Mapped:
    """The maps of all images of a plan. Raises DataError where fewer than two images have them."""
    outcomes: list[Outcome] = []
    parts: dict[MapKey, list[NDArray[np.float32]]] = {key: [] for key in plan.keys}
    for result in run_shards(partial(explain_shard, plan, overlays=False), plan.shards()):
        outcomes += result.outcomes
        for key, maps in result.maps.items():
            parts[key].append(maps)
        progress(result.shard.stop, len(plan.table))
    whole = {key: np.concatenate(pieces) for key, pieces in parts.items()}
    finite = np.logical_and.reduce([np.isfinite(maps).all(axis=(1, 2)) for maps in whole.values()])
    kept = [place for place, outcome in enumerate(outcomes) if outcome.error is None and finite[place]]
    reasons = Counter(_reason(plan, outcomes[place]) for place in sorted({*range(len(outcomes))} - {*kept}))
    if len(kept) < 2:
        why = listed([f"{reason} ({count})" for reason, count in reasons.most_common(3)]) or "no other was given"
        raise DataError(
            f"Methods are compared over images, and of {len(outcomes)} only {len(kept)} can be used: {why}.\n"
            "  Give two at least; intervals that tell methods apart need some 60."
        )
    generator = torch.Generator().manual_seed(plan.seed)
    noise = torch.randn((len(kept), *plan.grid(plan.keys[0])), generator=generator)
    return Mapped(
        plan,
        [outcomes[place] for place in kept],
        kept,
        {key: maps[kept] for key, maps in whole.items()},
        dict(reasons.most_common()),
        noise,
    )


def _reason(plan: Plan, outcome: Outcome) -> str:
    """Why an image has no maps that can be compared."""
    if outcome.error is None and plan.scores[0].needs_labels and outcome.image.label not in plan.classes:
        return "no label"
    return outcome.error or "a map that is not finite"


def on_canvas(maps: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) at the size of the network's input."""
    return maps if tuple(maps.shape[1:]) == canvas else resize(maps, canvas)


def centre_blob(canvas: tuple[int, int]) -> Tensor:
    """A blob (H, W) in the centre: what a map is worth that always points there."""
    down, across = (torch.linspace(-1, 1, side) for side in canvas)
    return torch.exp(-2 * (down[:, None] ** 2 + across[None] ** 2))
