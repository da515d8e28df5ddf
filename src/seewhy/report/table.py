"""The columns that the images page filters and sorts by, as plain values."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seewhy.errors import printable
from seewhy.evidence.trials.edit import EXCHANGE, MARKED, PATCHED
from seewhy.maps import is_cut, is_smoothed
from seewhy.records import MapKey
from seewhy.render.color import heat, jet, signed
from seewhy.render.overlay import OPACITY
from seewhy.report.gallery import CHUNK
from seewhy.report.stored import StoredRun
from seewhy.store.arrays import grid_of

EXCHANGED = (
    "how far the exchange moved the image's margin, in logits (median over all its donors), and in what share of its "
    "exchanges with other classes the decision flipped"
)
LAID_OVER = (
    "how far the mark moved the image's margin beside a neutral patch, in logits, and whether the decision flipped"
)


@dataclass(frozen=True)
class Filter:
    """A finding whose images can be looked for: the factor, its title, and its page."""

    factor: str
    title: str
    page: str


def table_of(
    stored: StoredRun, findings: Sequence[Filter], notes: Sequence[str], tops: Mapping[MapKey, Sequence[float]]
) -> dict[str, Any]:
    """Everything about all images but their pictures and maps, whose colours are full from `tops` on."""
    outcomes = stored.outcomes
    return {
        "n": len(outcomes),
        "chunk": CHUNK,
        "ids": [printable(outcome.image.id) for outcome in outcomes],
        "classes": [printable(name) for name in stored.classes],
        "split": _coded(outcome.image.split for outcome in outcomes),
        "label": _coded(outcome.image.label for outcome in outcomes),
        "prediction": _coded(outcome.prediction for outcome in outcomes),
        "error": _coded(outcome.error for outcome in outcomes),
        "warning": _coded(_warnings(stored)),
        "probability": [_digits(outcome.probability) for outcome in outcomes],
        "correct": [-1 if outcome.correct is None else int(outcome.correct) for outcome in outcomes],
        "regions": _regions(stored),
        "findings": _changes(stored, findings),
        "maps": _maps(stored, tops),
        "colours": {name: _bytes(table) for name, table in (("heat", heat()), ("jet", jet()), ("signed", signed()))},
        "opacity": OPACITY,
        "bold": "jet" if stored.identity.get("preset") else "heat",
        "notes": [printable(note) for note in notes],
    }


def names_of(keys: Sequence[MapKey]) -> list[str]:
    """What tells maps apart: layers where nothing else differs, else what differs, joined by slashes."""
    differing = [len(set(part)) > 1 for part in zip(*keys, strict=True)]
    shown = [[part for part, differs in zip(key, differing, strict=True) if differs] or [key.layer] for key in keys]
    return ["/".join(parts) for parts in shown]


def _coded(words: Iterable[str | None]) -> dict[str, list[Any]]:
    places: dict[str, int] = {}
    codes = [-1 if word is None else places.setdefault(printable(word), len(places)) for word in words]
    return {"values": list(places), "codes": codes}


def _warnings(stored: StoredRun) -> list[str | None]:
    """What is wrong with an image's maps, as the runs have it."""
    said: dict[int, list[str]] = {}
    for key, name in zip(stored.keys, names_of(stored.keys), strict=True):
        for row, stat in stored.stats[key].items():
            if stat.empty and stored.outcomes[row].error is None:
                said.setdefault(row, []).append(f"empty map of {name}: {stat.reason}")
    return ["; ".join(said[row]) if row in said else None for row in range(len(stored.outcomes))]


def _maps(stored: StoredRun, tops: Mapping[MapKey, Sequence[float]]) -> list[dict[str, Any]]:
    maps = []
    for key, name in zip(stored.keys, names_of(stored.keys), strict=True):
        peaks = [top for top in tops[key] if top > 0]
        lows = [stat.minimum for stat in stored.stats[key].values()]
        maps.append(
            {
                **{part: printable(word) for part, word in key._asdict().items()},
                "name": printable(name),
                "cut": is_cut(grid := grid_of(stored.folder, key)),
                "fine": is_smoothed(grid),
                "top": float(f"{np.quantile(peaks, 0.995):.5g}") if peaks else 0.0,
                "signed": any(low < 0 for low in lows),
            }
        )
    return maps


def _regions(stored: StoredRun) -> list[dict[str, Any]]:
    shares = stored.table("map_shares")
    if not shares:
        return []
    columns: dict[str, _Column] = {}
    rows = stored.rows()
    for name, region, share in zip(shares["id"], shares["region"], shares["share"], strict=True):
        if name in rows:
            columns.setdefault(region, _Column(len(rows))).put(rows[name], share)
    return [{"name": printable(region), "shares": column.values} for region, column in columns.items()]


def _changes(stored: StoredRun, findings: Sequence[Filter]) -> list[dict[str, Any]]:
    """How far each finding's factor moved every image it was tried on, and how often its decision flipped."""
    rows = stored.rows()
    moved: dict[str, _Column] = {}
    for name, factor, value in _columns(stored.table("image_effects"), "id", "factor", "necessity"):
        if name in rows:
            moved.setdefault(factor, _Column(len(rows))).put(rows[name], value)
    flips, marks = _flips(stored), _marks(stored)
    entries = []
    for finding in findings:
        changes, shares = moved.get(finding.factor, _Column(len(rows))), _Column(len(rows))
        for name, share in flips.get(finding.factor, {}).items():
            shares.put(rows[name], share)
        for name, (change, flip) in marks.get(finding.factor, {}).items():
            changes.put(rows[name], change)
            shares.put(rows[name], flip)
        entries.append(
            {
                "factor": printable(finding.factor),
                "title": printable(finding.title),
                "page": finding.page,
                "tested": LAID_OVER if finding.factor in marks else EXCHANGED,
                "changes": changes.values,
                "flips": shares.values,
            }
        )
    return entries


def _flips(stored: StoredRun) -> dict[str, dict[str, float]]:
    """By factor the share of each recipient's exchanges with other classes that changed the decision."""
    labels = {outcome.image.id: outcome.image.label for outcome in stored.outcomes}
    counts: dict[str, dict[str, list[int]]] = {}
    names, exchange = ("factor", "edit", "recipient", "donor", "prediction_before", "prediction"), str(EXCHANGE)
    for factor, edit, name, donor, before, after in _columns(stored.table("trials"), *names):
        if edit == exchange and name in labels and labels[name] != labels.get(donor):
            cell = counts.setdefault(factor, {}).setdefault(name, [0, 0])
            cell[0] += before != after
            cell[1] += 1
    return {factor: {name: flips / n for name, (flips, n) in cells.items()} for factor, cells in counts.items()}


def _marks(stored: StoredRun) -> dict[str, dict[str, tuple[float, float]]]:
    """By mark how far it moved each image beside the neutral patch (largest contrast), and whether it flipped it."""
    labels = {outcome.image.id for outcome in stored.outcomes}
    answers: dict[str, dict[str, dict[str, tuple[Any, Any]]]] = {}
    names, marked, patched = ("factor", "edit", "recipient", "margins", "prediction"), str(MARKED), str(PATCHED)
    for factor, edit, name, margins, prediction in _columns(stored.table("trials"), *names):
        if edit in (marked, patched) and name in labels:
            answers.setdefault(factor, {}).setdefault(name, {})[edit] = (margins, prediction)
    moved: dict[str, dict[str, tuple[float, float]]] = {}
    for factor, images in answers.items():
        for name, both in images.items():
            if len(both) == 2:
                (with_it, judged), (beside, judged_beside) = both[marked], both[patched]
                change = float(np.abs(with_it - beside).max())
                moved.setdefault(factor, {})[name] = (change, float(judged != judged_beside))
    return moved


def _columns(table: Mapping[str, Any], *names: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(table[name] for name in names), strict=True) if table else ()


@dataclass
class _Column:
    """A number for some of n images."""

    n: int
    values: list[float | None] = field(init=False)

    def __post_init__(self) -> None:
        self.values = [None] * self.n

    def put(self, row: int, value: float | None) -> None:
        self.values[row] = _digits(value)


def _digits(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")


def _bytes(table: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    return base64.b64encode(table.tobytes()).decode()
