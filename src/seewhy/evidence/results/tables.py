"""What the tables of an audit's folder hold: rows of images, maps and effects, made of an audit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seewhy.evidence.findings.effects import image_effects
from seewhy.evidence.results.map_shares import MapRecords
from seewhy.evidence.results.result import Audit
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.records import Outcome
from seewhy.run.outcomes import judged, unread_outcome
from seewhy.store import arrays
from seewhy.store.schema import CLASS_EFFECTS, CONFUSION_EFFECTS, DONOR_EFFECTS, IMAGE_EFFECTS, MAP_STATS
from seewhy.store.tables import stat_row, write_rows


def outcomes_of(audit: Audit) -> Iterator[Outcome]:
    """A row for every image that was read, with its prediction, and one with the reason for every other."""
    for split, sample in audit.design.samples.items():
        known = zip(sample.images, sample.sizes, sample.digests, strict=True)
        read = [Outcome(image, width, height, digest) for image, (height, width), digest in known]
        logits = torch.from_numpy(audit.before[split].logits)
        yield from judged(read, logits, audit.design.classes, audit.design.plan.task)
        yield from (unread_outcome(image, reason) for image, reason in sample.unreadable)


def write_map_tables(folder: Path, design: AuditDesign, maps: Mapping[str, MapRecords]) -> None:
    """Write maps.zarr, a row for each of `outcomes_of`, NaN for those that could not be read, and map_stats.parquet.

    Where no maps could be made, there is no maps.zarr, and the table is empty.
    """
    samples = design.samples
    starts = np.cumsum([0, *(len(sample) + len(sample.unreadable) for sample in samples.values())]).tolist()
    shutil.rmtree(folder / "maps.zarr", ignore_errors=True)  # of a try that did not end, whose chunks may be damaged
    for key in design.plan.keys if maps else ():
        arrays.create_maps(folder, key, starts[-1], design.plan.grid(key), design.plan.shard_size)
        for start, split in zip(starts, samples, strict=False):
            arrays.write_maps(folder, key, start, maps[split].maps[key])
    rows = (stat_row(stat) for split in samples if maps for stat in maps[split].stats)
    write_rows(folder / "map_stats.parquet", rows, MAP_STATS)


def image_effect_columns(audit: Audit) -> dict[str, list[Any]]:
    """The columns of image_effects.parquet."""
    columns: dict[str, list[Any]] = {name: [] for name in IMAGE_EFFECTS}
    for key, trials in audit.trials.items():
        if key.edit != EXCHANGE:
            continue
        sample = audit.design.samples[key.split]
        needed, enough = image_effects(trials)
        columns["id"] += [image.id for image in sample.images]
        columns["split"] += [key.split] * len(sample)
        columns["factor"] += [trials.name] * len(sample)
        columns["necessity"] += [None if math.isnan(value) else value for value in needed.tolist()]
        columns["sufficiency"] += [None if math.isnan(value) else value for value in enough.tolist()]
    return columns


def donor_effect_columns(audit: Audit) -> dict[str, list[Any]]:
    """The columns of donor_effects.parquet: every factor and contrast, and pairs that are told."""
    columns: dict[str, list[Any]] = {name: [] for name in DONOR_EFFECTS}
    sample, classes = audit.design.audited, audit.design.classes
    for case in (*audit.cases.singles, *audit.cases.pairs):
        effect = case.effect
        trials = audit.trials.get(TrialKey(case.pair or case.factor, EXCHANGE, sample.split))
        if trials is None:
            continue
        moved = np.isfinite(trials.probability_changes(effect.contrast))
        uses = np.bincount(trials.donors[moved], minlength=len(sample))
        places = np.flatnonzero(np.isfinite(effect.donors)).tolist()
        columns["factor"] += [case.factor] * len(places)
        columns["split"] += [sample.split] * len(places)
        columns["contrast"] += [effect.contrast.name] * len(places)
        columns["donor"] += [sample.images[place].id for place in places]
        columns["label"] += [classes[sample.labels[place]] for place in places]
        columns["effect"] += effect.donors[places].tolist()
        columns["n"] += uses[places].tolist()
    return columns


def class_columns(audit: Audit) -> Iterator[tuple[str, dict[str, list[Any]], dict[str, Any]]]:
    """The name, columns and kinds of class_effects.parquet and of confusion_effects.parquet."""
    effects = [vars(one) for one in audit.by_class]
    moves = [{"label": one.label, "prediction": one.prediction, **row} for one in audit.confusions for row in one.moves]
    for name, rows, kinds in (
        ("class_effects.parquet", effects, CLASS_EFFECTS),
        ("confusion_effects.parquet", moves, CONFUSION_EFFECTS),
    ):
        yield name, {column: [_known(row[column]) for row in rows] for column in kinds}, kinds


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
