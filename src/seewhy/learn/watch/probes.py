"""The few images whose maps a watch makes in each epoch: what the network says of each, its raw maps and overlays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from seewhy.errors import SeewhyError
from seewhy.explanation.overlays import overlay_name
from seewhy.explanation.shard import explain_shard
from seewhy.records import Image, Outcome
from seewhy.run.plan import Plan

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class ProbeImage:
    """One image as the network sees it after an epoch: `peak` is the raw map's largest cell, None where it has no map.

    `overlay` are the bytes of a JPEG; None where the image has no result.
    """

    epoch: int
    outcome: Outcome
    peak: float | None = None
    overlay: bytes | None = field(default=None, repr=False)


def probe(plan: Plan, images: Sequence[Image], epoch: int) -> tuple[tuple[ProbeImage, ...], Maps | None]:
    """The probes of an epoch, and their raw maps (N, h, w); none of either where the network makes no maps."""
    key, chosen = plan.keys[0], replace(plan, table=replace(plan.table, images=tuple(images)))
    try:
        results = [explain_shard(chosen, shard) for shard in chosen.shards()]
    except SeewhyError:
        return (), None
    if not results:
        return (), None
    maps = np.concatenate([result.maps[key] for result in results])
    pictures = {name: picture for result in results for method, name, picture in result.overlays if method == key[0]}
    stats = [stat for result in results for stat in result.stats]
    peaks = {stat.id: stat.maximum for stat in stats if (stat.method, stat.layer, stat.score) == key}
    outcomes = [outcome for result in results for outcome in result.outcomes]
    probes = tuple(
        ProbeImage(
            epoch,
            outcome,
            peaks.get(outcome.image.id) if outcome.error is None else None,
            pictures.get(overlay_name(outcome.image.id, plan.image_format)),
        )
        for outcome in outcomes
    )
    return probes, maps
