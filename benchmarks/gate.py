"""Whether both sides gave the same maps: WORKLOAD IMAGES WEIGHTS OUR_RUN PEER_FOLDER, prints the numbers as JSON.

Ours are read from the run folder that the command line wrote; the truth is ours on a float64 copy of the network.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision_shim  # noqa: F401  # before seewhy looks for torchvision
from PIL import Image
from workloads import PRESET, WORKLOADS

import seewhy
from seewhy.data.folder import read_table
from seewhy.data.reader import batch_of, load_image
from seewhy.maps import fuse

P95, MOST = 1e-5, 1e-3


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
    apart, ours, peers = (np.abs(a - b).max((1, 2)) for a, b in ((have, want), (have, truth), (want, truth)))
    kept = apart[~empty]
    rows = range(len(want)) if workload.preset else ()
    pictures = [np.abs(_pixels(found, row) - _pixels_of(peer, found[row].path)).mean() for row in rows]
    numbers = {
        "images": len(want),
        "near_empty": int(empty.sum()),
        "p95": _p95(kept),
        "max": float(kept.max(initial=0)),
        "max_near_empty": float(apart[empty].max(initial=0)),
        "near_empty_images": [Path(found[int(row)].path).name for row in np.flatnonzero(empty)],
        "p95_to_float64": {"ours": _p95(ours[~empty]), "peer": _p95(peers[~empty])},
        "max_to_float64": {"ours": float(ours.max()), "peer": float(peers.max())},
        "mean_grey_levels_between_pictures": float(max(pictures, default=float("nan"))),
    }
    numbers["passed"] = bool(len(kept) and numbers["p95"] <= P95 and numbers["max"] <= MOST)
    print(json.dumps(numbers))


def _fused(maps: np.ndarray | dict[str, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Raw maps by layer, fused as the peer does; what the preset gives is that already."""
    if isinstance(maps, np.ndarray):
        return maps
    return fuse([torch.from_numpy(one)[None] for one in maps.values()], size)[0].numpy()


def _pixels(found: seewhy.Explanation, row: int) -> np.ndarray:
    return np.asarray(found[row].overlay, dtype=np.float32)


def _pixels_of(folder: Path, name: str) -> np.ndarray:
    with Image.open(folder / Path(name).name) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float32)


def _p95(values: np.ndarray) -> float:
    return float(np.percentile(values, 95)) if len(values) else 0.0


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
