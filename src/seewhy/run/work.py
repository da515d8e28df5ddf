"""One shard of the plan: images in, rows, raw maps and overlay bytes out. No files are written here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.cam.attribute import Attribution, attribute
from seewhy.cam.scores import predicted, probabilities
from seewhy.data.decode import UnreadableError, file_digest
from seewhy.data.reader import Loaded, batch_of, load_image
from seewhy.errors import WorkError
from seewhy.maps import empty_reason
from seewhy.records import Image, MapStat, Outcome
from seewhy.render.overlay import encode
from seewhy.run.draw import draw_overlay, overlay_name
from seewhy.run.machine import cores
from seewhy.run.plan import Plan, Shard

A = TypeVar("A")
B = TypeVar("B")
Maps = NDArray[np.float32]
_NO_NUMBERS = np.full(4, np.nan)


@dataclass
class ShardResult:
    """What one shard gives: a row and, by layer, a map for each image; NaN maps where there is none."""

    shard: Shard
    outcomes: list[Outcome]
    stats: list[MapStat]
    maps: dict[str, Maps]
    overlays: list[tuple[str, bytes]] = field(default_factory=list)


def explain_shard(plan: Plan, shard: Shard, *, overlays: bool = True) -> ShardResult:
    """The rows, maps and overlays of one shard; an unreadable image is a row with its reason."""
    images = plan.table.images[shard.start : shard.stop]
    maps = {layer: np.full((len(images), *grid), np.nan, np.float32) for layer, grid in plan.grids.items()}
    result = ShardResult(shard, [], [], maps)
    for start in range(0, len(images), plan.batch_size):
        readable: list[tuple[int, Loaded]] = []
        batch = images[start : start + plan.batch_size]
        for place, (image, one) in enumerate(zip(batch, _each(plan, partial(_read, plan), batch), strict=True), start):
            if isinstance(one, UnreadableError):
                result.outcomes.append(Outcome(image, digest=_digest_of(image), error=str(one)))
            else:
                readable.append((place, one))
                result.outcomes.append(Outcome(image))  # filled in below
        if readable:
            _explain_batch(plan, result, readable, overlays)
    return result


def _each(plan: Plan, function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """The function of each item, in threads where a GPU would wait; a Dataset's own code is never run in several."""
    if plan.classifier.device.type == "cpu" or plan.table.items is not None:
        return [function(item) for item in items]
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(function, items))


def _read(plan: Plan, image: Image) -> Loaded | UnreadableError:
    try:
        return load_image(plan.table, image, plan.classifier.preprocess)
    except UnreadableError as error:
        return error


def _explain_batch(plan: Plan, result: ShardResult, readable: list[tuple[int, Loaded]], overlays: bool) -> None:
    loaded = [one for _, one in readable]
    attribution = _attributed(plan, loaded, [result.outcomes[place].image for place, _ in readable])
    logits = attribution.logits.double().cpu()
    shares = probabilities(logits)
    decided = predicted(logits)
    values = attribution.values.double().cpu()
    on_cpu = {layer: maps.float().cpu().numpy() for layer, maps in attribution.maps.items()}
    numbers = {layer: _numbers(maps) for layer, maps in on_cpu.items()}
    drawn: list[tuple[int, Loaded, set[str]]] = []
    for row, (place, one) in enumerate(readable):
        image = result.outcomes[place].image
        label = image.label or (one.label if one.label in plan.classes else None)
        outcome = _outcome(plan, image, one, label, logits[row], shares[row], int(decided[row]))
        explained = outcome.error is None and not (plan.score.needs_labels and label not in plan.classes)
        result.outcomes[place] = outcome
        for layer in plan.grids:
            if explained:
                result.maps[layer][place] = on_cpu[layer][row]
            found = numbers[layer][row] if explained else _NO_NUMBERS
            result.stats.append(_stat(plan, image, layer, found, float(values[row])))
        if outcome.error is None:
            empty = {stat.layer for stat in result.stats[-len(plan.grids) :] if stat.empty}
            drawn.append((place, one, empty))
    if overlays:
        result.overlays += _each(plan, partial(_drawn, plan, result), drawn)


def _drawn(plan: Plan, result: ShardResult, what: tuple[int, Loaded, set[str]]) -> tuple[str, bytes]:
    """The name and the bytes of one overlay."""
    place, one, empty = what
    own = {layer: torch.from_numpy(result.maps[layer][place]) for layer in plan.grids}
    picture = encode(draw_overlay(one, own, empty, plan.preset), plan.image_format)
    return overlay_name(result.outcomes[place].image.id, plan.image_format), picture


def _attributed(plan: Plan, loaded: list[Loaded], images: list[Image]) -> Attribution:
    labels = None
    if plan.score.needs_labels:
        names = [image.label or one.label for image, one in zip(images, loaded, strict=True)]
        labels = torch.tensor([plan.classes.index(name) if name in plan.classes else 0 for name in names])
    model = plan.classifier.model
    try:
        inputs = batch_of(loaded, plan.classifier.preprocess, plan.memory_format)
        return attribute(model, inputs, plan.layers, plan.cam, plan.score, labels)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "memory" in str(error).lower():
            raise WorkError(
                f"Out of memory with {len(loaded)} images at once.\n  Type:  --batch-size {max(1, len(loaded) // 4)}",
                slug="out-of-memory",
            ) from error
        raise


def _outcome(
    plan: Plan, image: Image, one: Loaded, label: str | None, logits: Tensor, shares: Tensor, decided: int
) -> Outcome:
    height, width = one.size
    if label is not None and label != image.label:
        image = Image(image.id, image.path, label, image.split)
    if not bool(logits.isfinite().all()):
        return Outcome(image, width, height, one.digest, error="the network gave NaN or infinite logits")
    prediction = plan.classes[decided]
    return Outcome(
        image,
        width,
        height,
        one.digest,
        prediction,
        float(shares[decided].float()),  # as records.parquet has it
        None if label is None else prediction == label,
        tuple(float(value) for value in logits.float()),
    )


def _digest_of(image: Image) -> str | None:
    """The hash of a file that is no image, so that another one in its place is noticed; None where there is none."""
    try:
        return file_digest(image.path) if image.path else None
    except UnreadableError:
        return None


def _numbers(maps: Maps) -> NDArray[np.float64]:
    """Minimum, maximum, sum and sum of the positive cells of each map: (N, 4)."""
    wide = maps.reshape(len(maps), -1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf; the reason says it
        return np.stack([wide.min(1), wide.max(1), wide.sum(1), wide.clip(min=0).sum(1)], axis=1)


def _stat(plan: Plan, image: Image, layer: str, numbers: NDArray[np.float64], value: float) -> MapStat:
    low, high, total, positive = numbers.tolist()
    height, width = plan.grids[layer]
    reason = empty_reason(high, height * width, value, in_score_units=plan.cam.in_score_units)
    if not math.isfinite(low) or not math.isfinite(high):
        reason = "not finite"
    return MapStat(
        image.id, plan.method, layer, plan.score.name, value, low, high, total, positive, reason is not None, reason
    )
