"""One shard of the plan: images in, rows, raw maps and overlay bytes out. No files are written here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.cam.attribute import Attribution, Subject, attribute
from seewhy.cam.scores.score import Score
from seewhy.data.pictures.decode import UnreadableError, file_digest
from seewhy.data.reader import Loaded, batch_of, load_image, refuse_others
from seewhy.data.sources.addresses import any_address, each
from seewhy.data.tables.labels import NO_LABEL, read_label
from seewhy.errors import SeewhyError
from seewhy.explanation.overlays import draw_overlay, overlay_name
from seewhy.maps import ALL_ZERO, empty_reason
from seewhy.records import Image, MapKey, MapStat, Outcome
from seewhy.render.overlay import encode
from seewhy.run.machine import cores, out_of_memory
from seewhy.run.outcomes import NOT_FINITE, decisions, read_outcome
from seewhy.run.plan import Plan, Shard

A = TypeVar("A")
B = TypeVar("B")
Maps = NDArray[np.float32]
_NO_NUMBERS = np.full(4, np.nan)


@dataclass
class ShardResult:
    """What one shard gives: a row and every map for each image; NaN maps where there is none."""

    shard: Shard
    outcomes: list[Outcome]
    stats: list[MapStat]
    maps: dict[MapKey, Maps]
    overlays: list[tuple[str, str, bytes]] = field(default_factory=list)  # method, name, bytes


def explain_shard(plan: Plan, shard: Shard, *, overlays: bool = True) -> ShardResult:
    """The rows, maps and overlays of one shard; an unreadable image is a row with its reason."""
    images = plan.table.images[shard.start : shard.stop]
    maps = {key: np.full((len(images), *plan.grid(key)), np.nan, np.float32) for key in plan.keys}
    result = ShardResult(shard, [], [], maps)
    for start in range(0, len(images), plan.batch_size):
        readable: list[tuple[int, Loaded]] = []
        batch = images[start : start + plan.batch_size]
        for place, (image, loaded) in enumerate(zip(batch, _read_all(plan, batch), strict=True), start):
            if isinstance(loaded, UnreadableError):
                result.outcomes.append(Outcome(image, digest=_digest_of(image), error=str(loaded)))
            else:
                readable.append((place, loaded))
                result.outcomes.append(Outcome(image))  # filled in below
        if readable:
            _explain_each(plan, result, readable, overlays)
    return result


def _explain_each(plan: Plan, result: ShardResult, readable: list[tuple[int, Loaded]], overlays: bool) -> None:
    """Explain a batch; where the network fails on it, one by one, so that only what it fails on has no result.

    Raises the network's own error where that is of no single image: all of several fail, or none does when it is alone.
    """
    try:
        _explain_batch(plan, result, readable, overlays)
        return
    except Exception as error:
        if not _is_networks(error):
            raise
        failure = error
    several = len(readable) > 1
    reasons: dict[int, Exception] = {} if several else {readable[0][0]: failure}
    for place, loaded in readable if several else ():
        try:
            _explain_batch(plan, result, [(place, loaded)], overlays)
        except Exception as error:
            if not _is_networks(error):
                raise
            reasons[place] = error
    if len(plan.table) == 1 or (several and len(reasons) in (0, len(readable))):
        raise failure
    for place, loaded in readable:
        if (reason := reasons.get(place)) is not None:
            words = f"the network failed: {type(reason).__name__}: {reason}"[:200]
            height, width = loaded.size
            image = result.outcomes[place].image
            result.outcomes[place] = Outcome(image, width, height, loaded.digest, error=words)


def _is_networks(error: Exception) -> bool:
    """Whether an error comes from the network's own code: ours are SeewhyErrors, and say more."""
    return not isinstance(error, SeewhyError) or error.slug == "network-failed"


def with_overlays(plan: Plan, result: ShardResult) -> ShardResult:
    """The result with the overlays of its images, which are read again; one that cannot be read any more has none."""
    empty: dict[str, set[MapKey]] = defaultdict(set)
    for stat in result.stats:
        empty[stat.id] |= {MapKey(stat.method, stat.layer, stat.score)} if stat.empty else set()
    images = list(plan.table.images[result.shard.start : result.shard.stop])
    jobs = [
        (method, place, loaded, empty[images[place].id])
        for place, loaded in enumerate(_read_all(plan, images))
        if isinstance(loaded, Loaded) and result.outcomes[place].error is None
        for method in plan.methods
    ]
    return replace(result, overlays=_each(plan, partial(_drawn, plan, result), jobs))


def _each(plan: Plan, function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """The function of each item, in threads where a GPU would wait; a Dataset's own code is never run in several."""
    if plan.classifier.device.type == "cpu" or plan.table.items is not None:
        return [function(item) for item in items]
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(function, items))


def _read_all(plan: Plan, images: Sequence[Image]) -> list[Loaded | UnreadableError]:
    """The images, several on their way at once where they lie in an object store."""
    if not any_address(image.path for image in images):
        return _each(plan, partial(_read, plan), images)
    return list(each(partial(_read, plan), images, lambda image: image.path))


def _read(plan: Plan, image: Image) -> Loaded | UnreadableError:
    try:
        loaded = load_image(plan.table, image, plan.classifier.preprocess)
        refuse_others(loaded, plan.channels)
    except UnreadableError as error:
        return error
    return loaded


def _explain_batch(plan: Plan, result: ShardResult, readable: list[tuple[int, Loaded]], overlays: bool) -> None:
    batch = [loaded for _, loaded in readable]
    places = [place for place, _ in readable]
    attribution = _attributed(plan, batch, [result.outcomes[place].image for place in places], result.shard, places)
    logits = attribution.logits.double().cpu()
    decided = decisions(logits, plan.classes, plan.task)
    values = {name: value.double().cpu() for name, value in attribution.values.items()}
    on_cpu = {key: maps.float().cpu().numpy() for key, maps in attribution.maps.items()}
    numbers = {key: _numbers(maps) for key, maps in on_cpu.items()}
    drawn: list[tuple[int, Loaded, set[MapKey]]] = []
    for row, (place, loaded) in enumerate(readable):
        image = result.outcomes[place].image
        outcome = _outcome(plan, image, loaded, logits[row], decided[row])
        result.outcomes[place] = outcome
        label, at = outcome.image.label, result.shard.start + place
        unlabelled = {score.name: why for score in plan.scores if (why := _why_unlabelled(plan, score, label, at))}
        stats = []
        for key in result.maps:
            if (why := unlabelled.get(key.score)) is not None:
                stats.append(_without_map(image, key, why))
                continue
            if outcome.error is None:
                result.maps[key][place] = on_cpu[key][row]
            figures = _NO_NUMBERS if outcome.error else numbers[key][row]
            stats.append(_stat(plan, image, key, figures, float(values[key.score][row])))
        result.stats += stats
        if outcome.error is None:
            drawn.append((place, loaded, {MapKey(stat.method, stat.layer, stat.score) for stat in stats if stat.empty}))
    if overlays:
        jobs = [(method, *what) for what in drawn for method in plan.methods]
        result.overlays += _each(plan, partial(_drawn, plan, result), jobs)


def _why_unlabelled(plan: Plan, score: Score, label: str | None, at: int) -> str | None:
    """Why the image in this row of the table has no map of a score that is of its label; None where it has."""
    asked = score.parts[score.which[at]] if score.which else score
    if not asked.needs_labels or label in plan.classes:
        return None
    return NO_LABEL if label in (None, NO_LABEL) else "several labels"


def _drawn(plan: Plan, result: ShardResult, what: tuple[str, int, Loaded, set[MapKey]]) -> tuple[str, str, bytes]:
    """The method, the name and the bytes of one overlay."""
    method, place, loaded, empty = what
    raw_maps = {key: torch.from_numpy(maps[place]) for key, maps in result.maps.items() if key.method == method}
    picture = encode(draw_overlay(loaded, raw_maps, empty, plan), plan.image_format)
    return method, overlay_name(result.outcomes[place].image.id, plan.image_format), picture


def _attributed(
    plan: Plan, batch: list[Loaded], images: list[Image], shard: Shard, places: Sequence[int]
) -> Attribution:
    labels = None
    if any(score.needs_labels for score in plan.scores):
        names = [
            image.label or read_label(loaded.label, plan.classes, plan.task)
            for image, loaded in zip(images, batch, strict=True)
        ]
        labels = torch.tensor([plan.classes.index(name) if name in plan.classes else 0 for name in names])
    model = plan.classifier.model
    subject = Subject(plan.scores, plan.task, labels, torch.tensor(places) + shard.start)
    methods = {name: plan.method(name) for name in plan.methods}
    try:
        inputs = batch_of(batch, plan.classifier.preprocess, plan.memory_format)
        augment = "augment" in plan.smooth
        return attribute(model, inputs, plan.layers, methods, subject, augment=augment, seed=plan.seed)
    except (RuntimeError, MemoryError) as error:
        if (full := out_of_memory(error, len(batch))) is not None:
            raise full from error
        raise


def _outcome(
    plan: Plan, image: Image, loaded: Loaded, logits: Tensor, decided: tuple[str | None, float | None]
) -> Outcome:
    read = read_outcome(image, loaded, plan.classes, plan.task)
    if not bool(logits.isfinite().all()):
        return replace(read, error=NOT_FINITE)
    prediction, probability = decided
    label = read.image.label
    correct = None if label is None or prediction is None else prediction == label
    numbers = tuple(float(value) for value in logits.float())
    return replace(read, prediction=prediction, probability=probability, correct=correct, logits=numbers)


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


def _without_map(image: Image, key: MapKey, why: str) -> MapStat:
    nan = math.nan
    return MapStat(image.id, *key, nan, nan, nan, nan, nan, empty=True, reason=why)


def _stat(plan: Plan, image: Image, key: MapKey, numbers: NDArray[np.float64], value: float) -> MapStat:
    low, high, total, positive = numbers.tolist()
    height, width = plan.grid(key)
    reason = empty_reason(high, height * width, value, in_score_units=plan.method(key.method).in_score_units)
    if not math.isfinite(low) or not math.isfinite(high):
        reason = "not finite"
    elif low == high == 0:
        reason = ALL_ZERO
    return MapStat(image.id, *key, value, low, high, total, positive, reason is not None, reason)
