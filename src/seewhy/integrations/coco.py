"""COCO: where each map is strongest, as a box and a mask that labelling tools and notebooks open.

COCO holds boxes and masks, no maps. What is written is where the strongest map of an image is at least half of its
peak, around that peak. It says where evidence lies, and is no object that was detected: its category is the map, never
a class, and it has no score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from seewhy.errors import StoreError
from seewhy.geometry import geometry_of, lay
from seewhy.records import MapKey, Outcome, Preprocess
from seewhy.report.stored import StoredRun
from seewhy.store import durable
from seewhy.store.arrays import read_map

LEVEL = 0.5  # of the peak, from which a place belongs to its region
_MEANING = (
    "Regions around the peak of each map, where it is at least half of that: where evidence lies, a hypothesis. They "
    "are no detected objects; their category is the map."
)
Mask = NDArray[np.bool_]


def write_coco(run: StoredRun, path: Path) -> Path:
    """Write a COCO file of a run's images, with a box and a mask (RLE) for each map that is not empty.

    Raises StoreError for a run without maps, or whose images a function made ready: where a map lies is not known then.
    """
    preprocess = run.preprocess
    if not run.keys:
        raise StoreError(
            f"The run in {run.folder} is of {run.command!r} and has no maps.  Export one of explain, or audit.",
            slug="no-run",
        )
    if preprocess is None:
        raise StoreError(
            f"The images of {run.folder} were made ready by a function of yours (--preprocess), so where a map's "
            "cells lie on the photograph is not known.\n  The maps themselves:  maps.zarr in the run folder",
            slug="no-run",
        )
    annotations: list[dict[str, Any]] = []
    content = {
        "info": {"description": _MEANING, "seewhy_run": run.folder.resolve().name},
        "categories": [
            {"id": number, "name": f"peak region of {key.method} at {key.layer} for {key.score}"}
            for number, key in enumerate(run.keys, 1)
        ],
        "images": [_image(number, outcome) for number, outcome in enumerate(run.outcomes, 1) if outcome.width],
        "annotations": annotations,
    }
    for row, outcome in enumerate(run.outcomes):
        for category, key in enumerate(run.keys, 1):
            if outcome.width is not None and (region := _region(run, key, row, outcome, preprocess)) is not None:
                numbers = {"id": len(annotations) + 1, "image_id": row + 1, "category_id": category}
                annotations.append({**numbers, **region})
    path.parent.mkdir(parents=True, exist_ok=True)
    with durable.written(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def _image(number: int, outcome: Outcome) -> dict[str, Any]:
    told = {"label": outcome.image.label, "prediction": outcome.prediction, "probability": outcome.probability}
    size = {"width": outcome.width, "height": outcome.height}
    return {"id": number, "file_name": outcome.image.id, **size, "attributes": told}


def _region(run: StoredRun, key: MapKey, row: int, outcome: Outcome, preprocess: Preprocess) -> dict[str, Any] | None:
    """Box, mask, area and raw peak of the region around a map's peak; None for an empty map."""
    stat = run.stats[key].get(row)
    if stat is None or stat.empty or not stat.maximum > 0:
        return None
    raw = read_map(run.folder, key, row)
    size = (outcome.height or 0, outcome.width or 0)
    laid = lay(torch.from_numpy(raw)[None], geometry_of(size, preprocess))[0].numpy()
    mask = peak_region(laid)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(size), "counts": run_lengths(mask)},
        "attributes": {"raw_peak": stat.maximum, "from_share_of_peak": LEVEL},
    }


def peak_region(values: NDArray[np.float32]) -> Mask:
    """Where a map (H, W) is at least half of its peak, of that the part that holds the peak; its peak is above 0."""
    parts, _ = ndimage.label(values >= LEVEL * values.max())
    return np.asarray(parts == parts.flat[values.argmax()], dtype=np.bool_)


def run_lengths(mask: Mask) -> list[int]:
    """COCO's uncompressed RLE: lengths of runs of 0 and 1 in turn, the first of 0, down the columns."""
    flat = mask.flatten(order="F")
    turns = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *turns, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths
