"""Pictures of the interventions behind findings: examples and counter-examples, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.evidence.factors import Factor, Insert
from seewhy.evidence.prepare import Setting
from seewhy.evidence.sample import OWN_CLASS, Sample
from seewhy.evidence.trials import DONORS, Job, Scorer
from seewhy.evidence.verdict import Verdict
from seewhy.render.exchange import DONATED, MARKED, Exchange, exchange_sheet, write_sheet


def draw_examples(setting: Setting, findings: Sequence[Verdict], folder: Path) -> None:
    """One sheet for each dependence into `folder`: trials at the 99, 95, 75, 25, 5 and 1 % quantile of the effect."""
    factors = {one.name: one for one in setting.factors}
    marks = {one.name: one for one in setting.inserts}
    sample = setting.ground.audited
    scorer = Scorer(setting.plan.classifier.model, sample, setting.plan.batch_size, setting.plan.memory_format)
    for verdict in findings:
        shown = [one for one in (*verdict.examples, *verdict.counter_examples) if "recipient" in one]
        if verdict.factor not in {*factors, *marks} or not shown or sample.preprocess is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        is_mark = verdict.factor in marks
        rows = (
            _marked_rows(marks[verdict.factor], shown, sample)
            if is_mark
            else _rows(scorer, factors[verdict.factor], shown, sample)
        )
        how = "trials at the 99, 95, 75, 25, 5 and 1 % quantile of the effect; a red line marks those against it"
        what = "laid over" if is_mark else "exchanged between"
        page = exchange_sheet(
            f"{verdict.factor}: {what} images of {sample.split}", how, rows, MARKED if is_mark else DONATED
        )
        write_sheet(page, str(folder / picture_name(verdict.factor)))


def picture_name(factor: str) -> str:
    """The file name of a factor's sheet."""
    return f"{quote(factor, safe=' +-_')[:120]}.png"


def _rows(scorer: Scorer, factor: Factor, shown: Sequence[Mapping[str, Any]], sample: Sample) -> list[Exchange]:
    places = {image.id: row for row, image in enumerate(sample.images)}
    pairs = np.array([[places[one["recipient"]], places[one["donor"]]] for one in shown], dtype=np.int64)
    edited = scorer.edited(Job(factor.name, DONORS, sample.split, pairs, (factor,)), pairs)
    own, given = (sample.canvases(torch.from_numpy(column.copy())) for column in pairs.T)
    return [
        Exchange(
            (_bytes(own[row]), _bytes(given[row]), _bytes(edited[row])),
            (
                _before(one),
                (f"labelled {one['donor_label']}", one["donor"].rpartition("/")[2]),
                _after(one),
            ),
            one["quantile"] < 0.5,
        )
        for row, one in enumerate(shown)
    ]


def _marked_rows(mark: Insert, shown: Sequence[Mapping[str, Any]], sample: Sample) -> list[Exchange]:
    places = {image.id: row for row, image in enumerate(sample.images)}
    own = sample.canvases(torch.tensor([places[one["recipient"]] for one in shown]))
    patched, marked = mark.laid(own, neutral=True), mark.laid(own)
    return [
        Exchange(
            (_bytes(own[row]), _bytes(patched[row]), _bytes(marked[row])),
            (
                _before(one),
                (f"{_what(one)} {one['patch']:.3f}",),
                _after(one),
            ),
            one["quantile"] < 0.5,
        )
        for row, one in enumerate(shown)
    ]


def _before(one: Mapping[str, Any]) -> tuple[str, ...]:
    judged = f"labelled {one['label']}, judged {one['prediction_before']}"
    return f"{_what(one)} {one['before']:.3f}", judged, one["recipient"].rpartition("/")[2]


def _after(one: Mapping[str, Any]) -> tuple[str, ...]:
    return f"{_what(one)} {one['after']:.3f}", f"judged {one['prediction']}", f"quantile {one['quantile']:.2f}"


def _what(one: Mapping[str, Any]) -> str:
    return "P(label)" if one["contrast"] == OWN_CLASS else f"P({one['contrast']})"


def _bytes(canvas: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray((canvas.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())
