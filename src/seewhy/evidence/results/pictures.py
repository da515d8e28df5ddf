"""Pictures of the interventions behind findings: examples and counter-examples, before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Job
from seewhy.render.exchange import DONATED, MARKED, Exchange, exchange_sheet, write_pictures, write_sheet
from seewhy.store import manifest

_HOW = "trials at the 99, 95, 75, 25, 5 and 1 % quantile of the effect; a red line marks those against it"
_GIVEN, _PATCHED = ("before", "donor", "after"), ("before", "patch", "after")  # the ends of the pictures' names


def with_pictures(design: AuditDesign, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings, whose examples say as "pictures" where below pictures/ theirs lie: "background/00"."""
    return tuple(_placed(finding) if is_drawn(design, finding) else finding for finding in findings)


def is_drawn(design: AuditDesign, finding: Finding) -> bool:
    """Whether a finding's examples are drawn: trials of a single factor or mark, on canvases that can be seen."""
    known = {*(factor.name for factor in design.factors), *(mark.name for mark in design.marks)}
    return finding.factor in known and bool(_trials(finding)) and design.audited.preprocess is not None


def draw_examples(design: AuditDesign, findings: Sequence[Finding], folder: Path) -> None:
    """One sheet for each dependence into `folder`: trials at the 99, 95, 75, 25, 5 and 1 % quantile of the effect.

    Beside it lies a folder with its pictures one by one, named by row: 00-before.png, 00-donor.png, 00-after.png, of
    a mark 00-patch.png in place of the donor.
    """
    sample = design.audited
    scorer = Scorer(design.plan.classifier.model, sample, design.plan.batch_size, design.plan.memory_format)
    factors = {factor.name: factor for factor in design.factors}
    marks = {mark.name: mark for mark in design.marks}
    for finding in findings:
        if not is_drawn(design, finding):
            continue
        shown = _trials(finding)
        if finding.factor in marks:
            rows, what, heads, names = _marked_rows(marks[finding.factor], shown, sample), "laid over", MARKED, _PATCHED
        else:
            rows = _rows(scorer, factors[finding.factor], shown, sample)
            what, heads, names = "exchanged between", DONATED, _GIVEN
        alone = folder / picture_folder(finding.factor)
        alone.mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(rows):
            write_pictures(row, alone / f"{number:02d}", names)
        page = exchange_sheet(f"{finding.factor}: {what} images of {sample.split}", _HOW, rows, heads)
        write_sheet(page, str(folder / picture_name(finding.factor)))


def picture_name(factor: str) -> str:
    """The file name of a factor's sheet; a long one loses its end to a hash."""
    name = quote(factor, safe=" +-_")
    return f"{name}.png" if len(name) <= 120 else f"{name[:109]}~{manifest.digest_of(factor, 10)}.png"


def picture_folder(factor: str) -> str:
    """The name of the folder of a factor's pictures, which can stand in a path and in an address as it is.

    A name with anything but small letters, digits, - and _ loses it, and gets a hash of the whole name.
    """
    if re.fullmatch(r"[a-z0-9_-]{1,60}", factor):
        return factor
    shown = re.sub("[^a-z0-9_-]+", "-", factor.lower())[:48].strip("-")
    return f"{shown or 'factor'}-{manifest.digest_of(factor, 10)}"


def _trials(finding: Finding) -> list[Mapping[str, Any]]:
    """The examples that are trials; the others are images as they are."""
    return [example for example in (*finding.examples, *finding.counter_examples) if "recipient" in example]


def _placed(finding: Finding) -> Finding:
    folder, numbers = picture_folder(finding.factor), count()

    def placed(examples: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        return tuple(
            {**example, "pictures": f"{folder}/{next(numbers):02d}"} if "recipient" in example else example
            for example in examples
        )

    return replace(finding, examples=placed(finding.examples), counter_examples=placed(finding.counter_examples))


def _rows(scorer: Scorer, factor: Factor, shown: Sequence[Mapping[str, Any]], sample: Sample) -> list[Exchange]:
    places = {image.id: row for row, image in enumerate(sample.images)}
    pairs = np.array([[places[example["recipient"]], places[example["donor"]]] for example in shown], dtype=np.int64)
    edited = scorer.edited(Job(TrialKey(factor.name, EXCHANGE, sample.split), pairs, (factor,)), pairs)
    originals, given = (sample.canvases(torch.from_numpy(column.copy())) for column in pairs.T)
    return [
        Exchange(
            (_bytes(originals[row]), _bytes(given[row]), _bytes(edited[row])),
            (
                _before(example),
                (f"labelled {example['donor_label']}", example["donor"].rpartition("/")[2]),
                _after(example),
            ),
            example["quantile"] < 0.5,
        )
        for row, example in enumerate(shown)
    ]


def _marked_rows(mark: Mark, shown: Sequence[Mapping[str, Any]], sample: Sample) -> list[Exchange]:
    places = {image.id: row for row, image in enumerate(sample.images)}
    originals = sample.canvases(torch.tensor([places[example["recipient"]] for example in shown]))
    patched, marked = mark.patched(originals), mark.laid(originals)
    return [
        Exchange(
            (_bytes(originals[row]), _bytes(patched[row]), _bytes(marked[row])),
            (
                _before(example),
                (f"{watched_of(example['contrast'])} {example['patch']:.3f}",),
                _after(example),
            ),
            example["quantile"] < 0.5,
        )
        for row, example in enumerate(shown)
    ]


def _before(example: Mapping[str, Any]) -> tuple[str, ...]:
    judged = f"labelled {example['label']}, judged {example['prediction_before']}"
    return f"{watched_of(example['contrast'])} {example['before']:.3f}", judged, example["recipient"].rpartition("/")[2]


def _after(example: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{watched_of(example['contrast'])} {example['after']:.3f}",
        f"judged {example['prediction']}",
        f"quantile {example['quantile']:.2f}",
    )


def _bytes(canvas: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray((canvas.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())
