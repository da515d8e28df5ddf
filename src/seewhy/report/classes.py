"""Factor by class, and what is called what: the table with its colours, and a card for each frequent confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seewhy.evidence.results.class_table import SIGNS, class_table, interval_of, step_of
from seewhy.render.rows import Row
from seewhy.report.charts import interval_svg
from seewhy.report.links import images_of

MOST_MOVES = 8  # factors with a row in the chart of a confusion
KINDS = {"shown": "depends", "the other way": "against the label"}  # of a chart's row, by what is said of a factor
WORDS = {
    "shown": "a dependence is shown",
    "none": "an effect of 2 points or more is excluded",
    "cannot say": "neither shown nor excluded",
}


@dataclass(frozen=True)
class EffectCell:
    """The effect of a factor on a class; `look` names its colour, `hint` says it in words, `plain` is for a sheet."""

    value: str
    interval: str
    look: str
    hint: str
    plain: str


@dataclass(frozen=True)
class ClassGrid:
    """The table: the classes, what stands behind it, and for each factor its cells with the link to its page, or ""."""

    labels: tuple[str, ...]
    count: str
    rows: tuple[tuple[str, str, tuple[EffectCell, ...]], ...]


@dataclass(frozen=True)
class ConfusionCard:
    """One frequent confusion: how it looks and reads, the chart of what moves it, and the link to its images."""

    level: str
    title: str
    tone: str
    text: str
    todo: str
    chart: str
    images: str


def grid_of(found: Mapping[str, Any], pages: Mapping[str, str]) -> ClassGrid | None:
    """The table of findings.json, with the pages of factors by name; None where the findings say as much."""
    table = class_table(found.get("by_class") or ())
    if not table.is_by_class:
        return None
    rows = tuple(
        (factor, pages.get(factor, ""), tuple(_cell(one) for one in effects)) for factor, effects in table.rows()
    )
    counts = (_range([one.images for one in table]), _range([one.donors for one in table]))
    return ClassGrid(table.labels, "{} edited images, {} donors".format(*counts), rows)


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _cell(one: Any) -> EffectCell:
    step, interval = step_of(one), interval_of(one)
    known = one.effect == one.effect
    value = f"{100 * one.effect:+.1f}" if known else SIGNS["cannot say"]
    look = f"{'up' if step > 0 else 'down'}-{abs(step)}" if step else one.said.replace(" ", "-")
    hint = f"{one.factor} on P({one.label}): {value} points, {interval}; {WORDS.get(one.said, one.said)}"
    plain = f"{value}|{interval}|{one.said}" if known else f"||{one.said}"
    return EffectCell(value, interval if known else "", look, hint, plain)


def confusion_cards(found: Mapping[str, Any], split: str | None, floor: float) -> list[ConfusionCard]:
    """The confusions of findings.json."""
    return [_card(one, split, floor) for one in found.get("confusions") or ()]


def _card(one: Mapping[str, Any], split: str | None, floor: float) -> ConfusionCard:
    level, _, title = one["title"].partition("  ")
    tone = {"shown": "caution", "none": "none"}.get(one["said"], "unknown")
    chart = interval_svg(
        _rows(one["moves"]),
        floor,
        f"What moves {one['label']} to {one['prediction']}",
        f"How far P({one['prediction']}) rises with each factor of {one['prediction']} in place of {one['label']}.",
    )
    state = {"label": one["label"], "prediction": one["prediction"]} | ({"split": split} if split else {})
    return ConfusionCard(
        level=level, title=title, tone=tone, text=one["text"], todo=one["todo"], chart=chart, images=images_of(**state)
    )


def _rows(moves: Sequence[Mapping[str, Any]]) -> list[Row]:
    known = [move for move in moves if move["effect"] is not None and move["low"] is not None]
    return [
        Row(move["factor"], move["effect"], move["low"], move["high"], KINDS.get(move["said"], move["said"]))
        for move in known[:MOST_MOVES]
    ]
