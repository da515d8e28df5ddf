"""The result of `compare_methods`: a ranking with intervals, and what it says in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from seewhy.errors import DataError, counted, listed
from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.metrics.catalogue import HITS, METRICS, PRIMARY
from seewhy.evidence.metrics.intervals import PairedMeans, paired_means
from seewhy.evidence.metrics.mapped import Column
from seewhy.render import notebook
from seewhy.store.frames import frame_of
from seewhy.store.plain import plain

Verdict = Literal["first", "cannot tell apart", "behind"]
WHY = (
    "Ranked by ROAD: it asks for both ends of a map's order, so that what a hole by itself does to the network "
    "cancels, and fills holes by what lies around them, so that their shape tells the network little."
)
INTERVALS = (
    "Intervals are 95 %, by bootstrap over {units}; of increase and pointing Wilson's. Those of the differences hold "
    "for all pairs at once, so that the first may be picked by the same images."
)
NOTHING = 0.001  # of a probability: a smaller difference is none, however sure it is
_HARDLY = 0.005  # a first row below it says that what is measured does not move
_MOVED = 0.02  # of the score, that is lost under a map where it moves at all
_UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class ComparedMethod:
    """A method of a layer, or a picture that knows nothing of the network (`knows_nothing`).

    `figures` are the means by metric; `to_first` is its primary figure less that of the first in rank, image by image;
    `over` its primary figure less that of each picture that knows nothing, and `beats_what_knows_nothing` whether it is
    better than all of these.
    """

    method: str
    layer: str
    knows_nothing: bool
    figures: dict[str, Estimate]
    to_first: Estimate
    over: dict[str, Estimate]
    verdict: Verdict
    beats_what_knows_nothing: bool

    def __str__(self) -> str:
        return str(Column(self.method, self.layer))


@dataclass(frozen=True, eq=False, repr=False)
class MethodComparison:
    """What `compare_methods` gives: `rows`, the best first by `primary`; in a notebook it shows itself.

    `measured` is the number that the metrics watch (`is_probability`: one of a class), `left_out` why images have no
    figures, `core` what the pointing games ask for, `clustered` what the clusters are by that the intervals are over.
    """

    rows: tuple[ComparedMethod, ...]
    n_images: int
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    measured: str
    is_probability: bool = True
    left_out: Mapping[str, int] = field(default_factory=dict)
    core: str = ""
    clustered: str = ""
    seed: int = 0
    primary: str = PRIMARY

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ComparedMethod]:
        return iter(self.rows)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the figures that there are."""
        return tuple(name for name in METRICS if name in self.rows[0].figures)

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each row: rank, method, layer, verdict, and every figure with its interval."""
        return [self._record(rank, row) for rank, row in enumerate(self.rows, 1)]

    def to_pandas(self) -> Any:
        """`records` as a pandas DataFrame. Raises MissingExtraError without pandas."""
        return frame_of(self.records)

    def summary(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        summary: dict[str, Any] = plain(
            {
                "images": self.n_images,
                "classes": list(self.classes),
                "measured": self.measured,
                "primary": self.primary,
                "core": self.core,
                "clusters": self.clustered,
                "seed": self.seed,
                "left_out": dict(self.left_out),
                "rows": [_stored(rank, row) for rank, row in enumerate(self.rows, 1)],
                "metrics": {name: vars(METRICS[name]) for name in self.metrics},
                "said": self.said(),
                "notes": list(self.notes),
            }
        )
        return summary

    def said(self) -> list[str]:
        """The result in sentences, the ranking first."""
        first, *rest = self.rows
        title = METRICS[self.primary].title
        sentences = [f"By {title} {first} is first, {_figure(first.figures[self.primary])}."]
        alike = [str(row) for row in rest if row.verdict == "cannot tell apart"]
        if alike:
            n = counted(first.figures[self.primary].n, "cluster" if self.clustered else "image")
            sentences.append(f"Cannot tell apart from it on {n}: {listed(alike, 20)}.")
        methods = [row for row in self.rows if not row.knows_nothing]
        better = [str(row) for row in methods if row.beats_what_knows_nothing]
        not_better = [str(row) for row in methods if not row.beats_what_knows_nothing]
        if better:
            sentences.append(f"Better than the centre blob and the random map: {listed(better, 20)}.")
        if not_better:
            sentences.append(
                f"Not shown to be better than a picture that knows nothing of the network: {listed(not_better, 20)}."
            )
        return [*sentences, *self._by_other_metric(), *self._hardly()]

    def _hardly(self) -> list[str]:
        """That what is measured hardly moves, where it does not; or that it moves whatever is taken out."""
        if not self.is_probability or max(abs(row.figures[self.primary].value) for row in self.rows) >= _HARDLY:
            return []
        lost = [row.figures["drop"].value for row in self.rows if "drop" in row.figures]
        if max(lost, default=0.0) >= _MOVED:
            title = METRICS[self.primary].title
            return [f"Both ends of a map's order move {self.measured} alike, so that {title} ranks nothing here."]
        return [f"What is measured, {self.measured}, hardly moves for any map.  Another target may:  --target margin"]

    def _by_other_metric(self) -> list[str]:
        """That SRG puts another row first, where it does."""
        by_srg = max(self.rows, key=lambda row: row.figures["srg"].value)
        if by_srg is self.rows[0]:
            return []
        return [f"By SRG, which fills with the mean colour, {by_srg} is first, {_figure(by_srg.figures['srg'])}."]

    def about(self) -> list[str]:
        """How it was measured, in sentences."""
        units = f"clusters ({self.clustered})" if self.clustered else "images"
        return [f"Measured is {self.measured}.", WHY, INTERVALS.format(units=units)]

    def table(self, metrics: Sequence[str]) -> list[tuple[str, ...]]:
        """A head and a line for each row: rank, method, layer, and the means of these metrics with their intervals."""
        head = ("", "method", "layer", *map(self._title, metrics))
        return [
            head,
            *(
                (str(rank), row.method, row.layer or "-", *(_figure(row.figures[name]) for name in metrics))
                for rank, row in enumerate(self.rows, 1)
            ),
        ]

    def ranking(self) -> list[tuple[str, ...]]:
        """A head and a line for each row: rank, method, layer, primary figure, how far to the first, verdict."""
        title = self._title(self.primary)
        lines: list[tuple[str, ...]] = [("", "method", "layer", title, "less the first's", "")]
        for rank, row in enumerate(self.rows, 1):
            apart = "" if row.verdict == "first" else _figure(row.to_first)
            verdict = "" if row.verdict == "first" else row.verdict
            figure = _figure(row.figures[self.primary])
            lines.append((str(rank), row.method, row.layer or "-", figure, apart, verdict))
        return lines

    def lines(self) -> list[str]:
        """What is said in a terminal, but for the tables."""
        return [*self.said(), *self.about()]

    def __repr__(self) -> str:
        said = "\n".join(f"  {sentence}" for sentence in self.said())
        return f"<MethodComparison of {counted(len(self.rows), 'row')} on {counted(self.n_images, 'image')}>\n{said}"

    def _repr_html_(self) -> str:
        rows = [
            (
                f"{rank} {row}",
                [(_rounded(row.figures[name].value), _interval(row.figures[name]), 0) for name in self.metrics],
            )
            for rank, row in enumerate(self.rows, 1)
        ]
        return notebook.page(
            notebook.heading("Methods", [counted(self.n_images, "image"), f"measured: {self.measured}"]),
            notebook.bullets(self.said()),
            notebook.grid(list(map(self._title, self.metrics)), rows, 1),
            *map(notebook.sentence, self.about()),
        )

    def _title(self, metric: str) -> str:
        """A figure's name, with the number of its images where it is not of all."""
        n = self.rows[0].figures[metric].n
        return METRICS[metric].title if n == self.n_images else f"{METRICS[metric].title} (n = {n:,})"

    def _record(self, rank: int, row: ComparedMethod) -> dict[str, Any]:
        numbers = {
            f"{name}{end}": getattr(row.figures[name], part)
            for name in self.metrics
            for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        return {"rank": rank, "method": row.method, "layer": row.layer, "verdict": row.verdict, **numbers}


def _stored(rank: int, row: ComparedMethod) -> dict[str, Any]:
    return {
        "rank": rank,
        "method": row.method,
        "layer": row.layer,
        "knows_nothing": row.knows_nothing,
        "verdict": row.verdict,
        "figures": {name: vars(figure) for name, figure in row.figures.items()},
        "to_first": vars(row.to_first),
        "over": {name: vars(figure) for name, figure in row.over.items()},
    }


def ranked_rows(
    columns: Sequence[Column],
    figures: Mapping[str, Floats],
    *,
    clusters: Integers | None = None,
    nothing: float = NOTHING,
    seed: int = 0,
) -> tuple[ComparedMethod, ...]:
    """The rows, best first, from the numbers (N, K) of N images and K columns by metric.

    Of each metric the images count that have it for every column, so that all stand on the same ones. A difference
    of less than `nothing` is none. Raises DataError where there is no image of the primary metric.
    """
    compared = {
        name: paired_means(
            values[kept], clusters=None if clusters is None else clusters[kept], are_hits=name in HITS, seed=seed
        )
        for name, values in figures.items()
        if (kept := np.isfinite(values).all(axis=1)).any()
    }
    if PRIMARY not in compared:
        raise DataError("The network gives no finite answer to any image of which pixels were taken out.")
    order = np.argsort([-mean.value for mean in compared[PRIMARY].means], kind="stable").tolist()
    return tuple(_row(columns, compared, figures, place, order[0], nothing) for place in order)


def _row(
    columns: Sequence[Column],
    compared: Mapping[str, PairedMeans],
    names: Iterable[str],
    place: int,
    first: int,
    nothing: float,
) -> ComparedMethod:
    column, apart = columns[place], compared[PRIMARY].differences[place]
    empty = {other.method: apart[at] for at, other in enumerate(columns) if other.key is None}
    return ComparedMethod(
        method=column.method,
        layer=column.layer,
        knows_nothing=column.key is None,
        figures={name: compared[name].means[place] if name in compared else _UNKNOWN for name in names},
        to_first=apart[first],
        over=empty,
        verdict="first" if place == first else _verdict(apart[first], nothing),
        beats_what_knows_nothing=all(
            over.low > 0 and over.value >= nothing for name, over in empty.items() if name != column.method
        ),
    )


def _verdict(to_first: Estimate, nothing: float) -> Verdict:
    return "behind" if to_first.high < 0 and to_first.value <= -nothing else "cannot tell apart"


def _figure(estimate: Estimate) -> str:
    return f"{_rounded(estimate.value)} {_interval(estimate)}" if math.isfinite(estimate.value) else "-"


def _interval(estimate: Estimate) -> str:
    return f"[{_rounded(estimate.low)}, {_rounded(estimate.high)}]"


def _rounded(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"  # never -0.000
