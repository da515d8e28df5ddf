"""Whether both sides gave the same maps: WORKLOAD IMAGES WEIGHTS OUR_RUN PEER_FOLDER, prints the numbers as JSON.

Ours are read from the run folder that the command line wrote; the truth is ours on a float64 copy of the network.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision_shim  # noqa: F401  # before seewhy looks for torchvision
from ours_maps import Found
from PIL import Image
from torch import Tensor
from workloads import MOST, P95, PRESET, WORKLOADS

import seewhy
from seewhy.data.reader import batch_of, load_image
from seewhy.data.sources.folder import read_table
from seewhy.maps import empty_reason, fuse


def main(name: str, images: Path, weights: Path, run: Path, peer: Path) -> None:
    workload = WORKLOADS[name]
    classifier = seewhy.load(workload.model, weights=weights, classes=workload.classes)
    options: dict[str, Any] = {"layers": workload.layers, "method": "grad-cam", "progress": False}
    found = seewhy.explain(classifier, images, target=workload.target, out=run, preset=workload.preset, **options)
    want = np.load(peer / "maps.npy")
    have = np.stack([_fused(found[row].maps, want.shape[1:]) for row in range(len(want))])
    table = read_table(images, limit=len(want))
    inputs = batch_of([load_image(table, one, classifier.preprocess) for one in table.images], classifier.preprocess)
    wide = copy.deepcopy(classifier.model).double()
    truth = seewhy.explain(wide, inputs.double(), target=workload.target, preset=PRESET, **options).maps
    empty = np.array([any(stat.empty for stat in found[row].map_stats.values()) for row in range(len(want))])
    pairs = [(run / "overlays" / "grad-cam" / Path(found[row].path).name, peer / Path(found[row].path).name)
             for row in range(len(want))]  # fmt: skip
    apart = [_levels_apart(*pair) for pair in pairs] if workload.same_pictures else []
    numbers = {
        **judge(have, want, truth, empty),
        "near_empty_images": [Path(found[int(row)].path).name for row in np.flatnonzero(empty)],
        "mean_grey_levels_between_pictures": float(max(apart, default=float("nan"))),
        "jpeg_tables": {side: sorted({_jpeg_quality(pair[place]) for pair in pairs})
                        for place, side in enumerate(("ours", "peer"))},
    }  # fmt: skip
    print(json.dumps(numbers))


def judge(have: np.ndarray, want: np.ndarray, truth: np.ndarray, empty: np.ndarray) -> dict[str, Any]:
    """How far ours are from the peer's, and both from float64: maps (N, H, W) in [0, 1], and which are near-empty."""
    apart, ours, peers = (np.abs(a - b).max((1, 2)) for a, b in ((have, want), (have, truth), (want, truth)))
    kept = apart[~empty]
    mine, theirs = _p95(ours[~empty]), _p95(peers[~empty])  # where the peer itself is far from float64, that decides
    return {
        "images": len(want),
        "near_empty": int(empty.sum()),
        "p95": (p95 := _p95(kept)),
        "max": (most := float(kept.max(initial=0))),
        "max_near_empty": float(apart[empty].max(initial=0)),
        "p95_to_float64": {"ours": mine, "peer": theirs},
        "max_to_float64": {"ours": float(ours.max()), "peer": float(peers.max())},
        "passed": bool(len(kept) and most <= MOST and (p95 <= P95 or mine <= min(P95, theirs))),
    }


def scaled(maps: Tensor, side: int = 224) -> np.ndarray:
    """Raw maps (N, h, w) of one layer as all packages show them: positive, resized, in [0, 1]."""
    return fuse([maps.detach().double()], (side, side)).numpy()


def near_empty(batches: Sequence[Found]) -> np.ndarray:
    """Which maps (of one layer) seewhy would draw empty."""
    reasons = []
    for found in batches:
        maps = next(iter(found.maps.values()))
        for most, value in zip(maps.amax((1, 2)).tolist(), found.values.tolist(), strict=True):
            reasons.append(empty_reason(most, maps[0].numel(), value, in_score_units=True))
    return np.array([reason is not None for reason in reasons])


def _fused(maps: np.ndarray | dict[str, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Raw maps by layer, fused as the peer does; what the preset gives is that already."""
    if isinstance(maps, np.ndarray):
        return maps
    return fuse([torch.from_numpy(one)[None] for one in maps.values()], size)[0].numpy()


def _levels_apart(ours: Path, peer: Path) -> float:
    one, other = (np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) for path in (ours, peer))
    return float(np.abs(one - other).mean())


def _jpeg_quality(path: Path) -> int:
    """The sum of the quantisation tables of a JPEG: it names the quality that it was written with."""
    with Image.open(path) as image:
        return sum(sum(table) for table in image.quantization.values())


def _p95(values: np.ndarray) -> float:
    return float(np.percentile(values, 95)) if len(values) else 0.0


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
