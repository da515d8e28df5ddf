"""Run folders made by hand, without a network: exact, deterministic, through the functions that real runs use."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from seewhy.data.pictures.decode import file_digest
from seewhy.explanation.overlays import overlay_name
from seewhy.maps import empty_reason
from seewhy.records import Image, MapKey, MapStat, Outcome
from seewhy.store import arrays, manifest, tables
from seewhy.store.schema import MAP_STATS, RECORDS
from tests.report.names import NOT_UTF8, PLAIN, Names

WIDTH, HEIGHT = 40, 30  # of every photograph
CANVAS = (24, 24)
GRIDS = ((48, 48), (5, 4))  # of the two layers
UNREADABLE, EMPTY = 5, 7  # rows
WRONG = (3, 8)
FINE = "guided-backprop"
STRETCH = {"fit": "stretch", "crop_share": 1.0}
CROP = {"fit": "crop", "crop_share": 0.8}
LETTERBOX = {"fit": "letterbox", "crop_share": 1.0}
ENVIRONMENT = {
    "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6", "pillow": "13.0.0", "machine": "x86_64", "device": "cpu"
}  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """A run folder that is being made by hand: where, of which words, and how the photographs lie on the canvas."""

    path: Path
    names: Names = PLAIN
    preprocess: dict[str, Any] | None = None
    splits: tuple[str, str] | None = None
    wrong: tuple[int, ...] = WRONG

    @property
    def classifier(self) -> dict[str, Any]:
        """As a manifest's identity has it."""
        how = {"size": list(CANVAS), "interpolation": "bilinear", "mean": [0.0], "std": [1.0], "range": "0-1"}
        return {
            "classes": list(self.names.classes),
            "network": "Net",
            "preprocess": {**how, "channels": "rgb", **(self.preprocess or STRETCH)},
            "source": "net.py:Net",
            "weights": "bd1efe980aff3287124912dcd0ed25ea",
        }

    def identity(self, command: str) -> dict[str, Any]:
        """What decides the result, as far as pages read it."""
        count = len(self.names.ids)
        return {
            "seewhy": "0.1.0", "command": command, "classifier": self.classifier, "code": "8dfb165e",
            "images": {"count": count, "ids": "f09f61b697b397b6", "content": "b31801485472bc92"},
            "target": [self.names.classes[0]], "task": "classification",
            "layers": {name: f"{h} x {w}" for name, (h, w) in zip(self.names.layers, GRIDS, strict=True)},
            "method": ["hirescam"], "preset": None, "smooth": [], "seed": 0, "batch_size": 16, "shard_size": 16,
            "device": "cpu", "image_format": "jpg",
        }  # fmt: skip


def pixels_of(row: int) -> NDArray[np.uint8]:
    """The photograph (30, 40, 3) of a row: a slope of colour, and a bright square that moves from row to row."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    found = np.stack([x * 6, y * 8, np.full_like(x, row * 20)], axis=2).astype(np.uint8)
    found[4 + row : 12 + row, 2 * row : 2 * row + 8] = (250, 240, 200)
    return found


def map_of(row: int, grid: tuple[int, int]) -> NDArray[np.float32]:
    """The raw map of a row, exact in binary: a pyramid that moves from row to row, below zero around it."""
    height, width = grid
    y, x = np.mgrid[:height, :width]
    away = np.abs(x - 3 * row % width) + np.abs(y - 2 * row % height)
    found = ((height + width) // 4 + 1 - away).astype(np.float32) / 8
    return found.clip(max=0) if row == EMPTY and grid == GRIDS[1] else found


def keys_of(folder: Folder) -> dict[MapKey, tuple[int, int]]:
    """The maps of an explain run with the grid of each: two layers, and single pixels of the input."""
    score = folder.names.classes[0]
    found = {MapKey("hirescam", layer, score): grid for layer, grid in zip(folder.names.layers, GRIDS, strict=True)}
    return {**found, MapKey(FINE, "input", score): CANVAS}


def explain_folder(path: Path, names: Names = PLAIN, preprocess: dict[str, Any] | None = None) -> Path:
    """A finished `explain` of 12 photographs: three maps each, one empty, one unreadable image, two wrong answers."""
    folder = Folder(path, names, preprocess)
    identity = {**folder.identity("explain"), "method": ["hirescam", FINE]}
    manifest.begin(path, identity)
    outcomes = write_records(folder)
    stats = write_maps(folder, keys_of(folder))
    _write_pictures(folder)
    counts = {name: sum(one.prediction == name for one in outcomes) for name in names.classes}
    summary = {
        "images": len(outcomes), "labelled": len(outcomes), "without_result": 1, "reasons": {names.reason: 1},
        "accuracy": sum(bool(one.correct) for one in outcomes) / (len(outcomes) - 1), "predictions": counts,
        "layers": list(names.layers), "method": f"hirescam, {FINE}", "score": names.classes[0], "preset": None,
        "empty_maps": {name: sum(one.empty for one in stats if one.layer == name) for name in names.layers},
        "notes": [names.note], "environment": ENVIRONMENT,
    }  # fmt: skip
    manifest.finish(path, identity, summary)
    return path


def check_folder(path: Path, names: Names = PLAIN) -> Path:
    """A finished `check` with bad, dubious and good news, and a grade for each layer."""
    folder = Folder(path, names)
    identity = {**folder.identity("check"), "method": "hirescam"}
    manifest.begin(path, identity)
    outcomes = [one for one in write_records(folder) if one.prediction]
    manifest.finish(path, identity, _checked(folder, outcomes))
    return path


def write_records(folder: Folder) -> list[Outcome]:
    """The photographs beside the run's folder, and records.parquet with a row for each."""
    found = []
    for row, name in enumerate(folder.names.ids):
        path = _file_of(folder, row, name)
        if row == UNREADABLE:
            path.write_bytes(b"this is no picture")
        else:
            Picture.fromarray(pixels_of(row)).save(path, "PNG")
        found.append(_outcome(folder, row, Image(name, str(path), *_label_and_split(folder, row))))
    tables.write_rows(folder.path / "records.parquet", map(tables.record_row, found), RECORDS)
    return found


def write_maps(folder: Folder, keys: dict[MapKey, tuple[int, int]]) -> list[MapStat]:
    """maps.zarr with NaN for the unreadable image, and map_stats.parquet with a row for every other."""
    every = range(len(folder.names.ids))
    for key, grid in keys.items():
        maps = np.stack(
            [np.full(grid, np.nan, np.float32) if row == UNREADABLE else map_of(row, grid) for row in every]
        )
        arrays.create_maps(folder.path, key, len(maps), grid, 16)
        arrays.write_maps(folder.path, key, 0, maps)
    rows = [row for row in every if row != UNREADABLE]
    stats = [_stat(folder.names.ids[row], row, key, grid) for row in rows for key, grid in keys.items()]
    tables.write_rows(folder.path / "map_stats.parquet", map(tables.stat_row, stats), MAP_STATS)
    return stats


def _stat(name: str, row: int, key: MapKey, grid: tuple[int, int]) -> MapStat:
    raw = map_of(row, grid).astype(np.float64)
    reason = empty_reason(float(raw.max()), raw.size, row / 4, in_score_units=False)
    total, kept = float(raw.sum()), float(raw.clip(0).sum())
    return MapStat(name, *key, row / 4, float(raw.min()), float(raw.max()), total, kept, reason is not None, reason)


def _outcome(folder: Folder, row: int, image: Image) -> Outcome:
    if row == UNREADABLE:
        return Outcome(image, error=folder.names.reason)
    classes, label = folder.names.classes, folder.names.classes.index(image.label or "")
    chosen = (label + 1) % len(classes) if row in folder.wrong else label
    logits = tuple(1 + row / 4 if index == chosen else -1 - index / 8 for index in range(len(classes)))
    whole = sum(map(math.exp, logits))
    digest = file_digest(image.path or "")
    probability = float(np.float32(math.exp(logits[chosen]) / whole))
    return Outcome(
        image, WIDTH, HEIGHT, digest, classes[chosen], probability, chosen == label, logits
    )  # fmt: skip


def _label_and_split(folder: Folder, row: int) -> tuple[str, str]:
    classes, splits = folder.names.classes, folder.splits or folder.names.splits
    return classes[row // 2 % len(classes)], splits[row % 2]


def _file_of(folder: Folder, row: int, name: str) -> Path:
    """Where a photograph lies; one whose id leads out of the folder has a plain place."""
    home = folder.path.parent / f"{folder.path.name}-images"
    raw = name if row not in folder.names.outside else "elsewhere.png"
    path = home / (f"valid/{NOT_UTF8}" if "\\udcff" in raw else raw)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert os.fspath(path).startswith(os.fspath(home))
    return path


def _write_pictures(folder: Folder) -> None:
    """An overlay for each readable image whose id stays in the folder, the sheet and the mean maps."""
    for row, name in enumerate(folder.names.ids):
        if row in (UNREADABLE, *folder.names.outside):
            continue
        path = folder.path / "overlays" / "hirescam" / overlay_name(name, "jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(pixels_of(row)).save(path, "JPEG", quality=95)
    for name in ("sheet.jpg", "mean_maps.png"):
        Picture.fromarray(pixels_of(0)).resize((400, 300)).save(folder.path / name)


def _checked(folder: Folder, outcomes: list[Outcome]) -> dict[str, Any]:
    """The summary of a check."""
    names, n = folder.names, len(outcomes)
    right = sum(bool(one.correct) for one in outcomes) / n
    share = {"value": right, "low": right - 0.2, "high": min(1.0, right + 0.1), "n": n}
    counts = {name: sum(one.prediction == name for one in outcomes) for name in names.classes}
    behaviour = {
        "accuracy": share, "chance": 0.5, "classes": list(names.classes), "collapsed_to": None, "confidence": 0.9,
        "confusion": None, "n_images": n, "overconfidence": {**share, "value": 0.05}, "permutation": None,
        "permuted_accuracy": None, "predictions": counts, "recall": {name: share for name in names.classes},
        "spread": 1.5,
    }  # fmt: skip
    findings = [
        {"level": "bad", "part": "fed", "numbers": {"n": n}, "todo": "If it was trained so:  --channels bgr",
         "text": f"Fed as BGR it separates {names.classes[0]} better."},
        {"level": "caution", "part": "maps", "numbers": {}, "text": f"{names.layers[1]}: maps of grade B.", "todo": ""},
        {"level": "cannot say", "part": "works", "numbers": {}, "text": names.note, "todo": names.reason},
        {"level": "good", "part": "works", "numbers": {"n": n}, "text": f"accuracy {right:.3f}, n = {n}.", "todo": ""},
    ]  # fmt: skip
    return {
        "behaviour": behaviour, "classes": list(names.classes), "feeding": {"auc": 0.9, "n": n}, "findings": findings,
        "grades": {names.layers[0]: "C", names.layers[1]: "B"}, "images": len(names.ids), "layers": list(names.layers),
        "maps": [_trust(name, n) for name in names.layers], "method": "hirescam", "notes": [names.note],
        "preprocess": "24 x 24 stretch, RGB, 0..1", "reasons": {names.reason: 1}, "score": names.classes[0],
        "sampled": "", "thresholds": {"empty": 0.05, "trivial": 0.5}, "without_result": 1, "environment": ENVIRONMENT,
    }  # fmt: skip


def _trust(layer: str, n: int) -> dict[str, Any]:
    """What the maps of a layer stand up to."""
    return {
        "layer": layer, "method": "hirescam", "n_images": n, "empty": 0.1,
        "completeness_error": 0.01, "flipped": 0.98, "no_gradient": 0.0, "noisy": 0.99, "null_shape": 0.1,
        "other_class": -0.9, "randomised": [[0.5, 0.9], [1.0, 0.2]], "with_hirescam": None,
        "trivial": {"brightness": 0.6, "edges": -0.1, "the centre": 0.1},
        "reasons": [{"grade": "B", "text": f"it follows brightness ({layer})", "todo": "--layers …", "value": 0.6}],
    }  # fmt: skip
