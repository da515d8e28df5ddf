"""The table of factor by class: as text, in a notebook, as rows, from an audit or from findings.json."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seewhy.errors import OptionError, listed
from seewhy.evidence.trials.contrast import OWN_CLASS
from seewhy.render import notebook
from seewhy.store.frames import frame_of

Said = Literal["shown", "none", "cannot say"]
MOST_ROWS = 10  # of the printed table
STEPS = (0.02, 0.05, 0.1, 0.2, 0.4)  # of an effect, as a share: how deep its colour is
SIGNS = {"shown": "*", "none": "·", "cannot say": "?"}
LEGEND = "points that each class's probability moves; * a dependence is shown, · 2 points are excluded, ? neither"


@dataclass(frozen=True)
class ClassEffect:
    """What one factor does to the probability of one class (`label`): its own content against the other classes'.

    `low` and `high` are the interval of 95 %, of what is shown that after the choice of findings; `p` is Holm's over
    all tests of the audit. `said`: a dependence is shown, one as large as the floor is excluded, or neither.
    """

    factor: str
    label: str
    effect: float
    low: float
    high: float
    p: float
    said: Said
    images: int
    donors: int


@dataclass(frozen=True, repr=False)
class ClassTable:
    """What each tested factor does to each class: `effects` row by row. A table in a notebook.

    `audit.by_class["tint", "cat"]` is one effect, `.records` are dicts, `.to_pandas()` is a DataFrame.
    """

    effects: tuple[ClassEffect, ...]

    def __len__(self) -> int:
        return len(self.effects)

    def __iter__(self) -> Iterator[ClassEffect]:
        return iter(self.effects)

    def __getitem__(self, key: tuple[str, str]) -> ClassEffect:
        factor, label = key
        for effect in self.effects:
            if (effect.factor, effect.label) == (factor, label):
                return effect
        raise OptionError(
            f"The table has no effect of {factor!r} on {label!r}; its factors are {listed(self.factors, 40)}, its "
            f"classes {listed(self.labels, 40)}."
        )

    @property
    def factors(self) -> tuple[str, ...]:
        """The tested factors: those with something shown first, each group by its largest effect."""
        sizes: dict[str, tuple[bool, float]] = {}
        for one in self.effects:
            size = (one.said == "shown", abs(one.effect) if one.effect == one.effect else 0.0)
            sizes[one.factor] = max(sizes.get(one.factor, (False, 0.0)), size)
        return tuple(sorted(sizes, key=lambda factor: (not sizes[factor][0], -sizes[factor][1])))

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that were asked about."""
        return tuple(dict.fromkeys(one.label for one in self.effects))

    @property
    def is_by_class(self) -> bool:
        """Whether there is more to see than the findings say: more than two classes, each asked about."""
        return len(self.labels) > 1 and OWN_CLASS not in self.labels

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each factor and class."""
        return [vars(one).copy() for one in self.effects]

    def to_pandas(self) -> Any:
        """`records` as a pandas DataFrame. Raises MissingExtraError without pandas."""
        return frame_of(self.records)

    def rows(self) -> list[tuple[str, list[ClassEffect]]]:
        """Each factor with its effects in the order of the classes."""
        return [(factor, [self[factor, label] for label in self.labels]) for factor in self.factors]

    def lines(self, width: int = 110) -> list[str]:
        """The factors that are shown to matter for a class as lines of at most `width`; [] where none is."""
        rows = [(factor, cells) for factor, cells in self.rows() if any(one.said == "shown" for one in cells)]
        if not rows:
            return []
        shown, first = rows[:MOST_ROWS], max(len(factor) for factor, _ in rows[:MOST_ROWS])
        room = max(7, (width - first) // len(self.labels) - 2)
        columns = [max(7, min(room, len(label))) for label in self.labels]
        head = "".join(f"  {_cut(label, wide):>{wide}}" for label, wide in zip(self.labels, columns, strict=True))
        lines = [f"{'':<{first}}{head}"]
        for factor, cells in shown:
            told = [f"  {_points(one):>{wide}}" for one, wide in zip(cells, columns, strict=True)]
            lines.append(f"{factor:<{first}}{''.join(told)}")
        left = len(self.factors) - len(shown)
        return [*lines, LEGEND, *([f"{left} more factors: class_effects.parquet and the report"] if left else [])]

    def __repr__(self) -> str:
        lines = "\n".join(f"  {line}" for line in self.lines())
        return f"<ClassTable of {len(self.factors)} factors by {len(self.labels)} classes>\n{lines}".rstrip()

    def _repr_html_(self) -> str:
        return notebook.page(notebook.heading("Factor by class", [LEGEND]), self.grid())

    def grid(self) -> str:
        """The table as HTML for notebooks, deeper colours for larger effects that are shown."""
        body = [
            (factor, [(_points(one), interval_of(one), step_of(one)) for one in cells]) for factor, cells in self.rows()
        ]
        return notebook.grid(self.labels, body, len(STEPS))


def class_table(rows: Iterable[Mapping[str, Any]]) -> ClassTable:
    """The table of rows as findings.json has them; what is not known there is NaN."""
    return ClassTable(tuple(map(_stored, rows)))


def _stored(row: Mapping[str, Any]) -> ClassEffect:
    fields: dict[str, Any] = {
        name: math.nan if row.get(name) is None else row[name] for name in ClassEffect.__dataclass_fields__
    }
    return ClassEffect(**fields)


def step_of(one: ClassEffect) -> int:
    """How deep the colour of an effect is, by its size, negative where it falls; 0 where nothing is shown."""
    if one.said != "shown":
        return 0
    size = sum(abs(one.effect) >= step for step in STEPS)
    return size if one.effect > 0 else -size


def interval_of(one: ClassEffect) -> str:
    """The interval in points."""
    low, high = (
        100 * min(1.0, max(-1.0, end)) if end == end else side for end, side in ((one.low, -100), (one.high, 100))
    )
    return f"{low:+.1f} to {high:+.1f}"


def _points(one: ClassEffect) -> str:
    return f"{100 * one.effect:+.1f}{SIGNS[one.said]}" if one.effect == one.effect else SIGNS["cannot say"]


def _cut(label: str, width: int) -> str:
    return label if len(label) <= width else f"{label[: width - 1]}…"
