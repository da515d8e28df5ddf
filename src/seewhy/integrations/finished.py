"""What a finished run, or the folder of a watched training, has to tell: read from disk, without the network."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError
from seewhy.explanation.overlays import overlay_name
from seewhy.integrations.content import Content, EffectRow, ImageRow
from seewhy.learn.watch.watched import TABLE, WatchRow, rows_in
from seewhy.records import MapKey
from seewhy.report.stored import StoredRun, read_run
from seewhy.store import manifest
from seewhy.store.tables import read_columns

PROBES = "probes.csv"
_FILES = ("manifest.json", "findings.json", "records.parquet", "map_stats.parquet", "class_effects.parquet")
_PICTURES = ("sheet.jpg", "mean_maps.png", "pictures")


def contents_of(folder: Path) -> list[Content]:
    """One Content of a run; one for each epoch of a folder that a watched training wrote.

    Raises StoreError where the folder is neither, or the run is not finished.
    """
    if (folder / TABLE).is_file() and not (folder / manifest.NAME).exists():
        return _of_training(folder)
    return [content_of(read_run(folder))]


def content_of(run: StoredRun) -> Content:
    """What a finished run tells."""
    return Content(
        title=run.folder.resolve().name,
        command=run.command,
        images=_images_of(run),
        effects=_effects_of(run),
        numbers=_numbers_of(run),
        facts=_facts_of(run),
        said=_said_of(run),
        folder=run.folder,
        files=[name for name in (*_FILES, *_PICTURES) if (run.folder / name).exists()],
    )


def map_names(keys: Sequence[MapKey]) -> dict[MapKey, str]:
    """A name for each map: the parts in which they differ, or the layer of a single one."""
    several = [len(set(parts)) > 1 for parts in zip(*keys, strict=True)]
    if not any(several):
        return {key: key.layer for key in keys}
    return {key: "/".join(part for part, differs in zip(key, several, strict=True) if differs) for key in keys}


def _images_of(run: StoredRun) -> list[ImageRow]:
    names = map_names(run.keys) if run.keys else {}
    own = defaultdict[str, dict[str, float]](dict)
    columns = run.table("image_effects")
    for image_id, factor, value in zip(*(columns.get(name, ()) for name in ("id", "factor", "necessity")), strict=True):
        if value is not None and value == value:
            own[image_id][factor] = float(value)
    groups = _groups_of(run.folder / "trends" / "groups.parquet")
    return [
        ImageRow.of(
            outcome,
            peaks={name: run.stats[key][row].maximum for key, name in names.items() if row in run.stats[key]},
            picture=_overlay_of(run, outcome.image.id) if outcome.error is None else None,
            effects=own.get(outcome.image.id, {}),
            groups=groups.get(outcome.image.id, {}),
        )
        for row, outcome in enumerate(run.outcomes)
    ]


def _groups_of(path: Path) -> dict[str, dict[str, str]]:
    """The groups that `seewhy trends` put each image into, by its id and by who proposed them: fake, group 2."""
    groups = defaultdict[str, dict[str, str]](dict)
    held = read_columns(path) if path.is_file() else {}
    for image_id, proposer, predicted, group in zip(
        *(held.get(name, ()) for name in ("id", "proposer", "predicted", "group")), strict=True
    ):
        groups[image_id][proposer] = f"{predicted}, group {group}"
    return groups


def _overlay_of(run: StoredRun, image_id: str) -> Path | None:
    """The overlay of the first method; None where the run has none."""
    for method in dict.fromkeys(key.method for key in run.keys):
        for image_format in ("jpg", "png"):
            path = run.folder / "overlays" / method / overlay_name(image_id, image_format)
            if path.is_file():
                return path
    return None


def _effects_of(run: StoredRun) -> list[EffectRow]:
    columns = run.table("class_effects")
    marks = [_mark_row(finding) for finding in run.found.get("findings", ()) if _is_of_a_mark(finding)]
    if not columns:
        return marks
    names = ("factor", "label", "effect", "low", "high", "said")
    rows = zip(*(columns[name] for name in names), strict=True)
    return marks + [
        EffectRow(factor, label, float(effect), float(low), float(high), said)
        for factor, label, effect, low, high, said in rows
    ]


def _is_of_a_mark(finding: Mapping[str, Any]) -> bool:
    numbers = finding.get("numbers") or {}
    return numbers.get("kind") == "insert" and bool(numbers.get("probability"))


def _mark_row(finding: Mapping[str, Any]) -> EffectRow:
    """What laying a mark over does, by the contrast that its finding tells."""
    numbers = finding["numbers"]
    told = numbers["probability"]
    value, low, high = (math.nan if told[name] is None else float(told[name]) for name in ("value", "low", "high"))
    said = {"NONE LARGER THAN": "none", "CANNOT SAY": "cannot say"}.get(finding["level"], "shown")
    return EffectRow(finding["factor"], numbers["contrast"], value, low, high, said)


def _numbers_of(run: StoredRun) -> dict[str, float]:
    judged = defaultdict[str | None, list[bool]](list)
    for outcome in run.outcomes:
        if outcome.correct is not None:
            judged[outcome.image.split].append(outcome.correct)
    is_all = "only" not in run.found
    numbers = {"images": float(len(run.outcomes))}
    numbers["without_result"] = float(sum(outcome.error is not None for outcome in run.outcomes))
    for split, right in judged.items() if is_all else ():  # of train and valid together it would say nothing
        numbers[f"accuracy/{split}" if len(judged) > 1 else "accuracy"] = sum(right) / len(right)
    if run.command == "audit":
        numbers["findings"] = float(len(run.found.get("findings", ())))
    return numbers


def _facts_of(run: StoredRun) -> dict[str, str]:
    maps = dict(zip(("method", "layer", "score"), zip(*run.keys, strict=True), strict=True)) if run.keys else {}
    facts = {name: ", ".join(dict.fromkeys(parts)) for name, parts in maps.items()}
    facts |= {"command": run.command, "seewhy": str(run.manifest.get("seewhy", run.identity.get("seewhy", "")))}
    typed = {"typed": run.typed} if run.typed else {}
    told = {"classes": ", ".join(run.classes)}
    return {name: text for name, text in {**facts, **typed, **told}.items() if text}


def _said_of(run: StoredRun) -> list[str]:
    """A sentence or more for each finding of an audit or a check, as its page says it."""
    said = []
    for finding in run.found.get("findings", ()):
        claims = ", ".join(finding.get("claims", ()))
        named = " or ".join((finding["factor"], *finding.get("alternatives", ()))) if "factor" in finding else ""
        title = named if claims == named else ": ".join(part for part in (named, claims) if part)
        told = ", ".join(part for part in (str(finding["level"]).upper(), title) if part)
        said.append(f"{told}. {finding['text']}")
    return said


def _of_training(folder: Path) -> list[Content]:
    by_epoch = defaultdict[int, list[WatchRow]](list)
    for row in rows_in((folder / TABLE).read_text(encoding="utf-8")):
        by_epoch[row.epoch].append(row)
    probes = defaultdict[int, list[ImageRow]](list)
    for cells in _rows_of(folder / PROBES):
        probes[int(cells["epoch"])].append(_probe_of(folder, cells))
    epochs = sorted({*by_epoch, *probes})
    if not epochs:
        raise StoreError(f"Nothing was watched yet in {folder}.", slug="no-run")
    return [
        Content(
            title=folder.resolve().name,
            command="watch",
            images=probes[epoch],
            effects=effects_of(by_epoch[epoch]),
            folder=folder,
            step=epoch,
        )
        for epoch in epochs
    ]


def effects_of(rows: Sequence[WatchRow]) -> list[EffectRow]:
    """The effects of one epoch."""
    return [EffectRow(row.factor, row.contrast, row.effect, row.low, row.high) for row in rows]


def _rows_of(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _probe_of(folder: Path, cells: Mapping[str, Any]) -> ImageRow:
    picture = folder / cells["overlay"] if cells["overlay"] else None
    return ImageRow(
        id=cells["id"],
        label=cells["label"] or None,
        prediction=cells["prediction"] or None,
        probability=float(cells["probability"]) if cells["probability"] else None,
        correct=cells["prediction"] == cells["label"] if cells["prediction"] and cells["label"] else None,
        peaks={"map": float(cells["peak"])} if cells["peak"] else {},
        picture=picture if picture is not None and picture.is_file() else None,
        error=cells["error"] or None,
    )
