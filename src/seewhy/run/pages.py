"""The pictures of a whole run: the contact sheet and the mean maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from seewhy.maps import share
from seewhy.render.color import heat
from seewhy.render.overlay import encode
from seewhy.render.sheet import Tile, mean_map_tile, page
from seewhy.run.explanation import Explanation

MOST_GROUPS = 48  # panels a layer in mean_maps.png


def write_pages(explanation: Explanation, folder: Path, overlays: bool) -> None:
    """Write sheet.jpg (where there are overlays) and mean_maps.png, each complete or absent."""
    with ThreadPoolExecutor() as pool:
        means = pool.submit(mean_maps, explanation)
        if overlays:
            _write_picture(folder / "sheet.jpg", explanation.show())
        _write_picture(folder / "mean_maps.png", means.result())


def _write_picture(path: Path, picture: PIL.Image.Image) -> None:
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(encode(np.asarray(picture), path.suffix[1:]))
    temporary.replace(path)


def mean_maps(explanation: Explanation) -> PIL.Image.Image:
    """The mean map of each class and split, one row of panels per layer, all on one scale per layer.

    Each map counts with its positive part as multiples of an even spread, so that no image outweighs another; empty
    maps are left out and counted. Classes are the labels, or the predictions where there are no labels.
    """
    labelled = any(outcome.image.label for outcome in explanation.outcomes)
    groups: list[str | None] = []
    for outcome in explanation.outcomes:
        name = outcome.image.label if labelled else outcome.prediction
        what = f"{name}" if labelled else f"predicted {name}"
        split = f", {outcome.image.split}" if outcome.image.split else ""
        groups.append(None if outcome.error or name is None else f"{what}{split}")
    counts = Counter(group for group in groups if group is not None)
    shown = {group for group, _ in counts.most_common(MOST_GROUPS)}
    tiles: list[Tile] = []
    for layer in explanation.layers:
        tiles += _mean_tiles(explanation, layer, [group if group in shown else None for group in groups])
    title = f"Mean map by class: {explanation.method} for {explanation.score}"
    some = f"the {len(shown)} largest of {len(counts)} groups; " if len(shown) < len(counts) else ""
    subtitle = f"{some}positive part, each image with equal weight; x 1 is an even spread over the picture"
    columns = len(shown) if len(shown) <= 8 else 0
    return page(title, subtitle, tiles, heat(), ("x 0", "brightest 0.5 % of the layer"), columns=columns)


def _mean_tiles(explanation: Explanation, layer: str, groups: Sequence[str | None]) -> list[Tile]:
    sums: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    counts: dict[str, list[int]] = {}
    for start, maps in explanation.chunks(layer):
        shares = share(torch.from_numpy(maps).double()).numpy()
        for place, spread in enumerate(shares):
            group = groups[start + place]
            stat = explanation._stats[layer].get(start + place)
            if group is None or stat is None:
                continue
            counts.setdefault(group, [0, 0])[int(stat.empty)] += 1
            if not stat.empty:
                sums[group] = sums.get(group, np.zeros(spread.shape)) + spread
    means = {group: (total / counts[group][0]).astype(np.float32) for group, total in sums.items()}
    # Not the largest cell: in sparse maps a single place would leave all others dark.
    top = max((float(np.quantile(mean, 0.995)) for mean in means.values()), default=1.0)
    tiles = []
    for group in sorted(counts):
        used, empty = counts[group]
        left_out = f", {empty} empty left out" if empty else ""
        if group not in means:
            tiles.append(Tile(None, (group, f"{layer}, all {empty} maps empty", "")))
            continue
        peak = f"peak x {means[group].max():.1f}"
        tiles.append(mean_map_tile(means[group], top, (group, f"{layer}, n = {used}{left_out}", peak)))
    return tiles
