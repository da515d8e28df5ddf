"""The pictures of a whole run: the contact sheet and the mean maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from sys import intern

import numpy as np
import PIL

from seewhy.explanation.mean_maps import brightest, mean_shares
from seewhy.explanation.result import Explanation
from seewhy.records import MapKey
from seewhy.render.color import heat
from seewhy.render.overlay import encode
from seewhy.render.sheet import Tile, mean_map_tile, page
from seewhy.store import durable

MOST_GROUPS = 48  # panels a layer in mean_maps.png


def write_pages(explanation: Explanation, folder: Path, overlays: bool) -> None:
    """Write sheet.jpg (where there are overlays) and mean_maps.png, each complete or absent."""
    if overlays:
        _write_picture(folder / "sheet.jpg", explanation.show())
    _write_picture(folder / "mean_maps.png", mean_maps(explanation))


def _write_picture(path: Path, picture: PIL.Image.Image) -> None:
    with durable.written(path) as temporary:
        temporary.write_bytes(encode(np.asarray(picture), path.suffix[1:]))


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
        groups.append(None if outcome.error or name is None else intern(f"{what}{split}"))
    counts = Counter(group for group in groups if group is not None)
    shown = {group for group, _ in counts.most_common(MOST_GROUPS)}
    tiles: list[Tile] = []
    several = len(explanation.keys) > len(explanation.layers)
    for key in explanation.keys:
        name = " ".join(dict.fromkeys((key.method, key.layer, key.score))) if several else key.layer
        tiles += _mean_tiles(explanation, key, name, [group if group in shown else None for group in groups])
    title = f"Mean map by class: {explanation.method} for {explanation.score}"
    some = f"the {len(shown)} largest of {len(counts)} groups; " if len(shown) < len(counts) else ""
    subtitle = f"{some}positive part, each image with equal weight; x 1 is an even spread over the picture"
    columns = len(shown) if len(shown) <= 8 else 0
    return page(title, subtitle, tiles, heat(), ("x 0", "brightest 0.5 % of the layer"), columns=columns)


def _mean_tiles(explanation: Explanation, key: MapKey, layer: str, groups: Sequence[str | None]) -> list[Tile]:
    names = sorted({group for group in groups if group is not None})
    empty = {row for row, stat in explanation._stats[key].items() if stat.empty}
    some = [group if row in explanation._stats[key] else None for row, group in enumerate(groups)]
    means = mean_shares(explanation.chunks(key), some, empty)
    # Not the largest cell: in sparse maps a single place would leave all others dark.
    top = brightest([mean_map.mean for mean_map in means.values() if mean_map.mean is not None])
    tiles = []
    for group in names:
        mean_map = means.get(group)
        if mean_map is None:
            continue
        left_out = f", {mean_map.n_empty} empty left out" if mean_map.n_empty else ""
        if mean_map.mean is None:
            tiles.append(Tile(None, (group, f"{layer}, all {mean_map.n_empty} maps empty", "")))
            continue
        peak = f"peak x {mean_map.mean.max():.1f}"
        tiles.append(mean_map_tile(mean_map.mean, top, (group, f"{layer}, n = {mean_map.n}{left_out}", peak)))
    return tiles
