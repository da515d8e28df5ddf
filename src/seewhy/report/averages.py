"""Mean maps of classes, splits and right and wrong answers, all on one scale for each layer."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seewhy.explanation.mean_maps import MeanMap, brightest, mean_shares
from seewhy.records import MapKey, Outcome
from seewhy.render.overlay import encode
from seewhy.render.sheet import mean_map_tile
from seewhy.report.stored import StoredRun
from seewhy.report.table import names_of
from seewhy.store.arrays import read_chunks

MOST_CLASSES = 12  # with rows of their own
LEAST_IMAGES = 5  # of a class that has one
EVERY_CLASS, OTHERS = "every class", None
EVERY = "all answers"
ANSWERS = {True: "right answers", False: "wrong answers", None: "without a label"}
MeanCell = tuple[str | None, str, str]  # class (None: of the others), split, answer


@dataclass(frozen=True)
class Mean:
    """One panel: `source` is a picture as data URI, "" where there is no map to draw."""

    source: str
    n: int
    n_empty: int
    peak: float
    place: str


@dataclass(frozen=True)
class MeanRow:
    """One class with a panel for each kind of answer and, within, each split; None where there are no images."""

    name: str
    panels: tuple[Mean | None, ...]


@dataclass(frozen=True)
class MeanTable:
    """One map (layer, method, score): rows of panels on the common scale from 0 to `top` times an even spread."""

    name: str
    answers: tuple[str, ...]
    splits: tuple[str, ...]
    rows: tuple[MeanRow, ...]
    top: float
    left_out: int

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The answer and the split of each panel of a row."""
        return [(answer, split) for answer in self.answers for split in self.splits]


def mean_tables(stored: StoredRun) -> list[MeanTable]:
    """A table of mean maps for each map of the run; classes are the labels, or the predictions where there are none.

    The first row is of all images; the largest classes have rows of their own, unless they are too small for a mean.
    """
    labelled = any(outcome.image.label for outcome in stored.outcomes)
    groups = [_cell(outcome, labelled) for outcome in stored.outcomes]
    counts = Counter(cell[0] for cell in groups if cell is not None)
    shown = {name for name, count in counts.most_common(MOST_CLASSES) if count >= LEAST_IMAGES or len(counts) < 3}
    kept = [cell if cell is None or cell[0] in shown else (OTHERS, *cell[1:]) for cell in groups]
    return [
        _table(stored, key, name, kept, len(counts) - len(shown))
        for key, name in zip(stored.keys, names_of(stored.keys), strict=True)
    ]


def picture_of(mean: NDArray[np.float32], top: float) -> str:
    """A mean map (h, w) in colours on the scale 0 to `top`, as data URI."""
    pixels = np.ascontiguousarray(np.asarray(mean_map_tile(mean, top, ()).picture))
    return f"data:image/png;base64,{base64.b64encode(encode(pixels, 'png')).decode()}"


def _cell(outcome: Outcome, labelled: bool) -> MeanCell | None:
    name = outcome.image.label if labelled else outcome.prediction
    return (
        None if outcome.error or name is None else (name, outcome.image.split or "all images", ANSWERS[outcome.correct])
    )


def _table(stored: StoredRun, key: MapKey, name: str, groups: Sequence[MeanCell | None], left_out: int) -> MeanTable:
    stats = stored.stats[key]
    empty = {row for row, stat in stats.items() if stat.empty}
    means = mean_shares(
        read_chunks(stored.folder, key), [g if row in stats else None for row, g in enumerate(groups)], empty
    )
    splits = tuple(sorted({cell[1] for cell in means}, key=lambda split: (split != "train", split)))
    given = [answer for answer in ANSWERS.values() if answer in {cell[2] for cell in means}]
    answers = (EVERY, *given) if len(given) > 1 else tuple(given)
    labels: list[str | None] = list(dict.fromkeys(cell[0] for cell in means))
    named: dict[str, list[str | None]] = {
        label: [label] for label in sorted(label for label in labels if label is not None)
    }
    of: dict[str, list[str | None]] = {EVERY_CLASS: labels, **named} if len(labels) > 1 or OTHERS in labels else named
    cells = {
        name: [
            _of(means, row_labels, split, given if answer == EVERY else [answer])
            for answer in answers
            for split in splits
        ]
        for name, row_labels in of.items()
    }
    top = brightest(
        [
            mean_map.mean
            for row in cells.values()
            for mean_map in row
            if mean_map is not None and mean_map.mean is not None
        ]
    )
    rows = tuple(MeanRow(label, tuple(_panel(mean_map, top) for mean_map in row)) for label, row in cells.items())
    return MeanTable(name, answers, splits, rows, top, left_out)


def _of(
    means: Mapping[MeanCell, MeanMap], labels: Sequence[str | None], split: str, answers: Sequence[str]
) -> MeanMap | None:
    return _joined(
        [
            mean_map
            for (label, cell_split, answer), mean_map in means.items()
            if label in labels and cell_split == split and answer in answers
        ]
    )


def _joined(parts: Sequence[MeanMap]) -> MeanMap | None:
    """The mean over several groups together, each map counting alike."""
    n, n_empty = sum(part.n for part in parts), sum(part.n_empty for part in parts)
    if not parts:
        return None
    weighted = [part.mean.astype(np.float64) * part.n for part in parts if part.mean is not None]
    return MeanMap((np.sum(weighted, axis=0) / n).astype(np.float32) if n else None, n, n_empty)


def _panel(mean_map: MeanMap | None, top: float) -> Mean | None:
    if mean_map is None:
        return None
    if mean_map.mean is None:
        return Mean("", mean_map.n, mean_map.n_empty, 0.0, "")
    return Mean(
        picture_of(mean_map.mean, top), mean_map.n, mean_map.n_empty, float(mean_map.mean.max()), _place(mean_map.mean)
    )


def _place(mean: NDArray[np.float32]) -> str:
    """Where the mean map's weight lies, in words for those who do not see the picture."""
    height, width = mean.shape
    total = float(mean.sum()) or 1.0
    y = float((mean.sum(axis=1) * (np.arange(height) + 0.5)).sum()) / total / height
    x = float((mean.sum(axis=0) * (np.arange(width) + 0.5)).sum()) / total / width
    return f"its centre lies {x:.0%} from the left and {y:.0%} from the top"
