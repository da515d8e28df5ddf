"""Charts as SVG text for a page, without scripts: effects and shares with their intervals, distributions, changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from xml.etree.ElementTree import Element

from seewhy.errors import counted
from seewhy.render import rows as layout
from seewhy.render.page import QUIET
from seewhy.render.rows import CONTROL, GROUPS, GUESS, SPLITS, TRAIN, ZERO, Row, look_of, points
from seewhy.render.svg import (
    NARROW,
    SMALL,
    WIDE,
    Axis,
    ChartFrame,
    Style,
    drawn,
    is_folded,
    legend,
    legend_height,
    lines,
    steps,
    symbols,
    texts,
    tips,
)

__all__ = [
    "NARROW",
    "WIDE",
    "Row",
    "Share",
    "histogram_chart",
    "interval_chart",
    "share_chart",
]
PERCENT = Axis(("% of images, with 95 % interval",), (0, 25, 50, 75, 100))
_BINS, _FILLED, _SHARES = 32, 3, 136


@dataclass(frozen=True)
class Share:
    """The share of one class on one split, 0 to 1, with its interval and the number of images behind it."""

    name: str
    split: str
    value: float
    low: float
    high: float
    n: int


def interval_chart(
    rows: Sequence[Row],
    *,
    floor: float,
    title: str,
    describe: str,
    unit: str = "points of probability",
    width: int = WIDE,
) -> str:
    """An SVG: one row for each factor with its interval, the band of ±`floor` shaded, what controls reach in grey.

    Shares are shown as percentage points; an interval is cut at ±100. Rows keep their order.
    """
    told, note = layout.shared_note(rows)
    captions = layout.captions_of(
        [(row.name, _quietly(row), points(row.value, row.low, row.high)) for row in told], width
    )
    spacing = layout.spacing_of(captions, width, has_two=any(row.beside for row in rows))
    each, looks = spacing.each, layout.looks_of(rows, floor)
    spans = [0.0, floor, -floor, *(end for row in rows for end in layout.ends_of(row))]
    axis = Axis((f"change in {unit}, with 95 % interval", *([note] if note else ())), is_signed=True)
    frame = layout.frame_of(width, each * len(rows), min(spans), max(spans), legend_height(looks, width), axis)
    placed = [(row, layout.line_of(row, spacing, place)) for place, row in enumerate(rows)]
    layers = [
        *layout.band(frame, 100 * floor, spacing, len(rows)),
        *lines(frame, [(CONTROL, layout.span(-row.control, row.control, y)) for row, y in placed if row.control]),
        *layout.intervals(frame, [(TRAIN, row.beside, y + layout.BESIDE) for row, y in placed if row.beside]),
        *layout.intervals(frame, [(look_of(row.kind, floor), (row.value, row.low, row.high), y) for row, y in placed]),
        *layout.names(frame, captions, each),
        *legend(frame, looks),
        tips(frame, [(_told(row, unit, floor), each * place, each * (place + 1)) for place, row in enumerate(rows)]),
    ]
    return drawn(frame, layers, title, describe)


def _quietly(row: Row) -> str:
    """What stands below a row's name."""
    return "; ".join(filter(None, (row.under, row.note)))


def _told(row: Row, unit: str, floor: float) -> str:
    train = f"; on train {points(*row.beside)}" if row.beside else ""
    control = f"; controls reach ±{100 * row.control:.1f}" if row.control else ""
    note = f" ({said})" if (said := _quietly(row)) else ""
    effect = f"{points(row.value, row.low, row.high)} {unit}"
    return f"{row.name}{note}: {effect}{train}{control}; {look_of(row.kind, floor).words}"


def share_chart(
    shares: Sequence[Share],
    *,
    guess: float | Mapping[str, float] | None,
    title: str,
    describe: str,
    width: int = WIDE,
) -> str:
    """An SVG: for each name the share on each split with its interval, 0 to 100 %, and the line of guessing.

    In its place can stand, for each name, the share that the network itself expects.
    """
    shares = [share for share in shares if math.isfinite(share.value)]
    every = list(dict.fromkeys(share.name for share in shares))
    shares_by_name = {
        name: (place, [share for share in shares if share.name == name]) for place, name in enumerate(every)
    }
    splits = list(dict.fromkeys(share.split for share in shares))
    looks = {split: replace(SPLITS[k % len(SPLITS)], words=split or "all") for k, split in enumerate(splits)}
    expected = guess if isinstance(guess, Mapping) else {} if guess is None else dict.fromkeys(every, guess)
    words = f"guessing: {guess:.0%}" if isinstance(guess, float) else "as often as it says"
    line = [replace(GUESS, words=words)] if expected else []
    shown = [*(looks.values() if len(splits) > 1 else ()), *line]
    captions = layout.captions_of([(name, "", "") for name in shares_by_name], width)
    high = layout.height_of(captions)
    above = high + 1 if is_folded(width) else 0  # the name's lines
    each = max(above + 14 + 16 * len(splits), high + 6)
    frame = layout.frame_of(width, each * len(shares_by_name), 0.0, 1.0, legend_height(shown, width), PERCENT)
    frame = replace(frame, top=10, right=_SHARES)
    placed = [
        (share, each * shares_by_name[share.name][0] + above + 15 + 16 * splits.index(share.split)) for share in shares
    ]
    said = [(frame.at(width - 4), y, _told_share(share)) for share, y in placed]
    stripes = [
        (100 * expected[name], each * k + above, 100 * expected[name], each * (k + 1))
        for name, (k, _) in shares_by_name.items()
        if name in expected
    ]
    layers = [
        *lines(frame, [(look, stripe) for look in line for stripe in stripes]),
        *layout.intervals(
            frame, [(looks[share.split], (share.value, share.low, share.high), y) for share, y in placed]
        ),
        *layout.names(frame, captions, each),
        texts(frame, said, limit=_SHARES, anchor="end", size=SMALL),
        *legend(frame, shown),
        tips(frame, [(_told_shares(mine), each * k, each * (k + 1)) for k, mine in shares_by_name.values()]),
    ]
    return drawn(frame, layers, title, describe)


def _told_share(share: Share) -> str:
    return f"{share.value:.0%} [{100 * share.low:.0f}, {100 * share.high:.0f}] of {share.n:,}"


def _told_shares(shares: Sequence[Share]) -> str:
    said = [f"{share.split or 'all'} {_told_share(share)} image{'' if share.n == 1 else 's'}" for share in shares]
    return f"{shares[0].name}: {'; '.join(said)}"


def histogram_chart(
    groups: Mapping[str, Sequence[float]], *, title: str, unit: str, describe: str, width: int = WIDE
) -> str:
    """An SVG: how the groups' values are distributed, each with its own colour, line pattern and mean.

    Values are shares and are shown as percentage points; what is not finite is left out. Of more than six groups the
    five largest are shown by themselves, and the rest as one.
    """
    kept = _few({name: [100 * value for value in values if math.isfinite(value)] for name, values in groups.items()})
    looks = {name: replace(GROUPS[k], words=_described(name, values)) for k, (name, values) in enumerate(kept.items())}
    edges = _edges([value for values in kept.values() for value in values])
    axis = Axis((f"change in {unit}",), is_signed=True)
    below = legend_height(list(looks.values()), width)
    frame = ChartFrame(
        width=width, height=170, left=14, right=14, top=30, bottom=44 + below, low=edges[0], high=edges[-1], axis=axis
    )
    heights = [_heights(values, edges) for values in kept.values()]
    most = max((max(shares) for shares in heights), default=0.0)
    words = f"height: share of the group's donors; the highest is {most:.0%}"
    layers = [
        *lines(frame, [(ZERO, (0.0, 0.0, 0.0, frame.height))] if edges[0] < 0 < edges[-1] else []),
        *_steps(frame, list(looks.values()), edges, heights),
        *_means(frame, [(looks[name], fmean(values)) for name, values in kept.items()]),
        texts(frame, [(edges[0], -20.0, words)], limit=width - 28, colour=QUIET, size=SMALL),
        *legend(frame, list(looks.values())),
    ]
    return drawn(frame, layers, title, describe)


def _few(groups: Mapping[str, list[float]]) -> dict[str, list[float]]:
    full = {name: values for name, values in groups.items() if values}
    if len(full) <= len(GROUPS):
        return full
    largest = sorted(full, key=lambda name: -len(full[name]))[: len(GROUPS) - 1]
    rest = [name for name in full if name not in largest]
    return {name: full[name] for name in full if name in largest} | {
        f"{len(rest)} others": [value for name in rest for value in full[name]]
    }


def _described(name: str, values: Sequence[float]) -> str:
    mean = f"{fmean(values):+.1f}".replace("-", "−")
    return f"{name}: mean {mean} ({counted(len(values), 'donor')})"


def _edges(values: Sequence[float]) -> list[float]:
    """The edges of the bins, which begin at a round number of points."""
    low, high = min(values, default=-1.0), max(values, default=1.0)
    rough = max(high - low, 0.1) / _BINS
    size = 10.0 ** math.floor(math.log10(rough))
    each = next(size * step for step in (1, 2, 2.5, 5, 10) if size * step >= rough)
    start, stop = math.floor(low / each) - 1, math.floor(high / each) + 2
    return [each * step for step in range(start, stop + 1)]


def _heights(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    """The share of the values in each bin."""
    each = edges[1] - edges[0]
    heights = [0.0] * (len(edges) - 1)
    for value in values:
        heights[min(len(heights) - 1, max(0, int((value - edges[0]) / each)))] += 1 / len(values)
    return heights


def _steps(
    frame: ChartFrame, looks: Sequence[Style], edges: Sequence[float], heights: Sequence[list[float]]
) -> list[Element]:
    """The outlines of the groups; filled where they are so few that they can be told apart."""
    most = max((max(shares) for shares in heights), default=1.0)
    layers = []
    for look, shares in zip(looks, heights, strict=True):
        ys = [frame.height * (1 - share / most) for share in (*shares, 0.0)]
        corners = list(zip(edges, ys, strict=True))
        layers += steps(frame, replace(look, thick=1.75), corners, is_filled=len(looks) <= _FILLED)
    return layers


def _means(frame: ChartFrame, means: Sequence[tuple[Style, float]]) -> list[Element]:
    """A line from top to bottom at each mean, with the group's symbol on it."""
    rules = [(replace(look, thick=1.25), (mean, 0.0, mean, frame.height)) for look, mean in means]
    return [*lines(frame, rules), *symbols(frame, [(look, (mean, 0.0)) for look, mean in means])]
