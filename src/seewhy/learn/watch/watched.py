"""What a watch leaves to read: the effect of each factor by epoch, in words, as a table and as a curve."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from seewhy.errors import counted
from seewhy.estimates import Estimate, p_words
from seewhy.evidence.findings.effects import Effect
from seewhy.evidence.findings.figures import interval, signed_points, watched_of
from seewhy.evidence.inference.ranks import holm
from seewhy.evidence.results.class_table import STEPS
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES

TABLE, MAPS = "watch.csv", "watch_maps.npz"


@dataclass(frozen=True)
class WatchRow:
    """What one factor does to one class in one epoch: the change of its probability, with its 95 % interval.

    `effect` is how far donors of the class raise its probability beyond donors of the others, `margin` how far they
    raise the margin, in logits, `p` the two-sided p-value of the margin before any correction, as in an audit, `flips`
    the share of decisions that another class's content changes. `images` were edited; `donors` counts who gave content,
    near-duplicates once, `fewest` those of the class that has fewest.
    """

    epoch: int
    factor: str
    contrast: str
    effect: float
    low: float
    high: float
    p: float
    flips: float
    images: int
    donors: int
    fewest: int = LEAST_IMAGES  # which tables of earlier versions lack, as they do the margin
    margin: float = math.nan

    @property
    def estimate(self) -> Estimate:
        """The effect with its interval; `n` counts the donors."""
        return Estimate(self.effect, self.low, self.high, self.donors)


@dataclass(frozen=True)
class Course:
    """How one factor's effect on one class went: its rows by epoch, and those epochs in which it is shown.

    Shown is what an audit would call a dependence: beyond chance after Holm's correction over all epochs, factors and
    classes of the watch, at least 2 points, the interval without 0, the margin moving the same way, and enough images.
    """

    factor: str
    contrast: str
    rows: tuple[WatchRow, ...]
    shown: tuple[WatchRow, ...]
    p_holm: tuple[float, ...]
    n_tests: int

    @property
    def label(self) -> str:
        """The factor and whose probability it moves."""
        return f"{self.factor}, {watched_of(self.contrast)}"

    def cell(self, epoch: int) -> tuple[str, str, int]:
        """The effect of an epoch in points, its interval, and how deep its colour is: 0 where nothing is shown."""
        row = next((row for row in self.rows if row.epoch == epoch), None)
        if row is None:
            return "", "", 0
        size = sum(abs(row.effect) >= step for step in STEPS) if row in self.shown else 0
        return f"{100 * row.effect:+.1f}", interval(row.estimate), size if row.effect > 0 else -size

    def __str__(self) -> str:
        last = self.rows[-1]
        if last.fewest < LEAST_IMAGES:
            had = f"{counted(last.fewest, 'distinct image')} of a class"
            return f"{self.factor}: cannot say, with {had}; {LEAST_IMAGES} are needed."
        whom = watched_of(self.contrast)
        basis = f"{counted(last.images, 'image')} edited, {counted(last.donors, 'donor')}"
        tests = f"by Holm over {counted(self.n_tests, 'test')}"
        if not self.shown:
            lowest, floor = min(self.p_holm), round(100 * AUDIT_THRESHOLDS["floor"])
            return (
                f"{self.factor}: no effect of {floor} points or more on {whom} is shown in "
                f"{counted(len(self.rows), 'epoch')} (smallest {p_words(lowest)} {tests}); "
                f"epoch {last.epoch}: {_words(last)}; {basis}."
            )
        first = self.shown[0]
        p_value = self.p_holm[self.rows.index(first)]
        largest = max(self.rows, key=lambda row: abs(row.effect))
        parts = [f"first shown in epoch {first.epoch}: {_words(first)} of {whom} ({p_words(p_value)} {tests})"]
        parts += [f"largest in epoch {largest.epoch}: {_words(largest)}"] if largest not in (first, last) else []
        parts += [f"epoch {last.epoch}: {_words(last)}"] if last is not first else []
        return f"{self.factor}: {'; '.join(parts)}; {basis}."


def _words(row: WatchRow) -> str:
    return f"{signed_points(row.effect)} {interval(row.estimate)}"


def courses_of(rows: Sequence[WatchRow]) -> list[Course]:
    """The course of every factor and class, in the order in which they were first measured."""
    adjusted = holm([row.p for row in rows])
    courses = []
    for factor, contrast in dict.fromkeys((row.factor, row.contrast) for row in rows):
        places = [place for place, row in enumerate(rows) if (row.factor, row.contrast) == (factor, contrast)]
        own = tuple(rows[place] for place in places)
        p_holm = tuple(adjusted[place] for place in places)
        shown = tuple(row for row, p_value in zip(own, p_holm, strict=True) if _is_shown(row, p_value))
        courses.append(Course(factor, contrast, own, shown, p_holm, len(rows)))
    return courses


def _is_shown(row: WatchRow, p_holm: float) -> bool:
    beyond = p_holm < AUDIT_THRESHOLDS["level"] and abs(row.effect) >= AUDIT_THRESHOLDS["floor"]
    is_told = row.fewest >= LEAST_IMAGES and not row.effect * row.margin < 0
    return is_told and beyond and (row.low > 0 or row.high < 0)


def largest_courses(rows: Sequence[WatchRow]) -> list[Course]:
    """One course for each factor: that of the class whose probability it moves most in any epoch."""
    best: dict[str, Course] = {}
    for course in courses_of(rows):
        reached = max(abs(row.effect) for row in course.rows)
        held = best.get(course.factor)
        if held is None or reached > max(abs(row.effect) for row in held.rows):
            best[course.factor] = course
    return list(best.values())


def row_of(epoch: int, effect: Effect) -> WatchRow:
    """An effect as the row of an epoch."""
    difference = effect.probability
    return WatchRow(
        epoch=epoch,
        factor=effect.factor,
        contrast=effect.contrast.name,
        effect=difference.value,
        low=difference.low,
        high=difference.high,
        p=effect.margin.p_value,
        flips=effect.flips.value,
        images=effect.n_recipients,
        donors=effect.n_donors,
        fewest=effect.fewest,
        margin=effect.margin.value,
    )


def rows_in(text: str) -> list[WatchRow]:
    """The rows that `table_of` wrote."""
    kinds: dict[str, Callable[[str], Any]] = {
        "epoch": int,
        "factor": str,
        "contrast": str,
        "images": int,
        "donors": int,
        "fewest": int,
    }
    return [
        WatchRow(**{name: kinds.get(name, float)(value) for name, value in row.items()})
        for row in csv.DictReader(io.StringIO(text))
    ]


def table_of(rows: Sequence[WatchRow]) -> bytes:
    """The rows as CSV under the names of their fields."""
    text = io.StringIO()
    names = [field.name for field in fields(WatchRow)]
    csv.writer(text, lineterminator="\n").writerows([names, *map(astuple, rows)])
    return text.getvalue().encode()


def draw_courses(axes: Any, rows: Sequence[WatchRow]) -> None:
    """Draw each factor's largest course with its interval on matplotlib axes, the floor of ±2 points shaded."""
    floor = 100 * AUDIT_THRESHOLDS["floor"]
    axes.axhspan(-floor, floor, color="0.92", linewidth=0)
    axes.axhline(0, color="0.6", linewidth=1)
    for course in largest_courses(rows):
        epochs = [row.epoch for row in course.rows]
        (line,) = axes.plot(epochs, [100 * row.effect for row in course.rows], marker="o", label=course.factor)
        low, high = ([100 * min(1.0, max(-1.0, getattr(row, end))) for row in course.rows] for end in ("low", "high"))
        axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="epoch", ylabel="points of probability")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
