"""Charts as SVG text for a page, without scripts: effects and shares with their intervals, distributions, changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from seewhy.render import rows as layout
from seewhy.render.rows import CONTROL, GROUPS, GUESS, SPLITS, TRAIN, ZERO, Row, look_of, points
from seewhy.render.vega import (
    BAD,
    INK,
    LINE,
    NARROW,
    QUIET,
    SMALL,
    WIDE,
    Frame,
    Json,
    Look,
    counted,
    drawn,
    is_folded,
    legend,
    legend_height,
    lines,
    marks,
    symbols,
    texts,
    tips,
)

__all__ = [
    "NARROW",
    "WIDE",
    "Pair",
    "Row",
    "Share",
    "before_after_chart",
    "histogram_chart",
    "interval_chart",
    "share_chart",
]
PERCENT = {"title": ["% of images, with 95 % interval"], "values": [0, 25, 50, 75, 100]}
SIGNED = {"labelExpr": "(datum.value > 0 ? '+' : '') + datum.label"}  # of the ticks of an axis
STAYED = Look("the decision stays", QUIET, thick=1, opacity=0.4)
FLIPPED = Look("the decision flips", BAD, "circle", thick=1.25, opacity=0.7, size=14)
MEAN = Look("mean", INK, "diamond", thick=3)
MOST_PAIRS = 300
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


@dataclass(frozen=True)
class Pair:
    """A probability before and after one exchange; `group` names the panel, such as "donors of another class"."""

    group: str
    before: float
    after: float
    is_flipped: bool


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
    spacing, looks = layout.spacing_of(told, width), layout.looks_of(rows, floor)
    each = spacing.each
    spans = [0.0, floor, -floor, *(end for row in rows for end in layout.ends_of(row))]
    axis = {"title": [f"change in {unit}, with 95 % interval", *([note] if note else [])], **SIGNED}
    frame = layout.frame_of(width, each * len(rows), min(spans), max(spans), legend_height(looks, width), axis)
    placed = [(row, layout.line_of(row, spacing, place)) for place, row in enumerate(rows)]
    layers = [
        *layout.band(frame, 100 * floor, spacing, len(rows)),
        *lines(frame, [(CONTROL, layout.span(-row.control, row.control, y)) for row, y in placed if row.control]),
        *layout.intervals(frame, [(TRAIN, row.beside, y + layout.BESIDE) for row, y in placed if row.beside]),
        *layout.intervals(frame, [(look_of(row.kind, floor), (row.value, row.low, row.high), y) for row, y in placed]),
        *layout.names(frame, [(row.name, row.note, points(row.value, row.low, row.high)) for row in told], each),
        *legend(frame, looks),
        tips(frame, [(_told(row, unit, floor), each * place, each * (place + 1)) for place, row in enumerate(rows)]),
    ]
    return drawn(frame, layers, title, describe)


def _told(row: Row, unit: str, floor: float) -> str:
    train = f"; on train {points(*row.beside)}" if row.beside else ""
    control = f"; controls reach ±{100 * row.control:.1f}" if row.control else ""
    note = f" ({row.note})" if row.note else ""
    effect = f"{points(row.value, row.low, row.high)} {unit}"
    return f"{row.name}{note}: {effect}{train}{control}; {look_of(row.kind, floor).words}"


def share_chart(shares: Sequence[Share], *, guess: float | None, title: str, describe: str, width: int = WIDE) -> str:
    """An SVG: for each name the share on each split with its interval, 0 to 100 %, and the line of guessing."""
    shares = [one for one in shares if math.isfinite(one.value)]
    every = list(dict.fromkeys(one.name for one in shares))
    own = {name: (place, [one for one in shares if one.name == name]) for place, name in enumerate(every)}
    splits = list(dict.fromkeys(one.split for one in shares))
    looks = {split: replace(SPLITS[k % len(SPLITS)], words=split or "all") for k, split in enumerate(splits)}
    line = [] if guess is None else [replace(GUESS, words=f"guessing: {guess:.0%}")]
    shown = [*(looks.values() if len(splits) > 1 else ()), *line]
    above = 16 if is_folded(width) else 0  # the name's line
    each = above + 14 + 16 * len(splits)
    frame = layout.frame_of(width, each * len(own), 0.0, 1.0, legend_height(shown, width), PERCENT)
    frame = replace(frame, top=10, right=_SHARES)
    placed = [(one, each * own[one.name][0] + above + 15 + 16 * splits.index(one.split)) for one in shares]
    said = [(frame.at(width - 4), y, _told_share(one)) for one, y in placed]
    stripes = [{"y": each * k + above, "y2": each * (k + 1)} for k in range(len(own))]
    layers = [
        *lines(frame, [(look, {"x": 100 * (guess or 0.0), **stripe}) for look in line for stripe in stripes]),
        *layout.intervals(frame, [(looks[one.split], (one.value, one.low, one.high), y) for one, y in placed]),
        *layout.names(frame, [(name, "", "") for name in own], each),
        texts(frame, said, limit=_SHARES, align="right", fontSize=SMALL),
        *legend(frame, shown),
        tips(frame, [(_told_shares(mine), each * k, each * (k + 1)) for k, mine in own.values()]),
    ]
    return drawn(frame, layers, title, describe)


def _told_share(one: Share) -> str:
    return f"{one.value:.0%} [{100 * one.low:.0f}, {100 * one.high:.0f}] of {one.n:,}"


def _told_shares(shares: Sequence[Share]) -> str:
    said = [f"{one.split or 'all'} {_told_share(one)} images" for one in shares]
    return f"{shares[0].name}: {'; '.join(said)}"


def histogram_chart(
    groups: Mapping[str, Sequence[float]], *, title: str, unit: str, describe: str, width: int = WIDE
) -> str:
    """An SVG: how the groups' values are distributed, each with its own colour, line pattern and mean.

    Values are shares and are shown as percentage points; what is not finite is left out. Of more than six groups the
    five largest are shown by themselves, and the rest as one.
    """
    kept = _few({name: [100 * one for one in values if math.isfinite(one)] for name, values in groups.items()})
    looks = {name: replace(GROUPS[k], words=_described(name, own)) for k, (name, own) in enumerate(kept.items())}
    edges = _edges([one for own in kept.values() for one in own])
    axis = {"title": [f"change in {unit}"], **SIGNED}
    below = legend_height(list(looks.values()), width)
    frame = Frame(width, 170, 14, 14, 30, 44 + below, edges[0], edges[-1], axis)
    heights = [_heights(own, edges) for own in kept.values()]
    most = max((max(own) for own in heights), default=0.0)
    words = f"height: share of the group's donors; the highest is {most:.0%}"
    layers = [
        *lines(frame, [(ZERO, {"x": 0.0, "y": 0, "y2": frame.height})] if edges[0] < 0 < edges[-1] else []),
        *_steps(frame, list(looks.values()), edges, heights),
        *_means(frame, [(looks[name], fmean(own)) for name, own in kept.items()]),
        texts(frame, [(edges[0], -20.0, words)], limit=width - 28, colour=QUIET, fontSize=SMALL),
        *legend(frame, list(looks.values())),
    ]
    return drawn(frame, layers, title, describe)


def _few(groups: Mapping[str, list[float]]) -> dict[str, list[float]]:
    full = {name: own for name, own in groups.items() if own}
    if len(full) <= len(GROUPS):
        return full
    largest = sorted(full, key=lambda name: -len(full[name]))[: len(GROUPS) - 1]
    rest = [name for name in full if name not in largest]
    return {name: full[name] for name in full if name in largest} | {
        f"{len(rest)} others": [one for name in rest for one in full[name]]
    }


def _described(name: str, own: Sequence[float]) -> str:
    mean = f"{fmean(own):+.1f}".replace("-", "−")
    return f"{name}: mean {mean} ({counted(len(own), 'donor')})"


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
    found = [0.0] * (len(edges) - 1)
    for one in values:
        found[min(len(found) - 1, max(0, int((one - edges[0]) / each)))] += 1 / len(values)
    return found


def _steps(frame: Frame, looks: Sequence[Look], edges: Sequence[float], heights: Sequence[list[float]]) -> list[Json]:
    """The outlines of the groups; filled where they are so few that they can be told apart."""
    most = max((max(own) for own in heights), default=1.0)
    found = []
    for look, own in zip(looks, heights, strict=True):
        ys = [frame.height * (1 - share / most) for share in (*own, 0.0)]
        rows = [{"x": x, "y": y} for x, y in zip(edges, ys, strict=True)]
        style = {"stroke": look.colour, "strokeWidth": 1.75, "strokeDash": list(look.dash), "interpolate": "step-after"}
        found.append(marks(frame, "line", rows, **style))
        if len(looks) <= _FILLED:
            below = [{**row, "y2": frame.height} for row in rows]
            found.append(marks(frame, "area", below, fill=look.colour, fillOpacity=0.1, interpolate="step-after"))
    return found


def _means(frame: Frame, means: Sequence[tuple[Look, float]]) -> list[Json]:
    """A line from top to bottom at each mean, with the group's symbol on it."""
    rules = [(replace(look, thick=1.25), {"x": mean, "y": 0, "y2": frame.height}) for look, mean in means]
    return [*lines(frame, rules), *symbols(frame, [(look, {"x": mean, "y": 0}) for look, mean in means])]


def before_after_chart(pairs: Sequence[Pair], *, watched: str, title: str, describe: str, width: int = WIDE) -> str:
    """An SVG: probabilities before and after exchanges as paired lines, one panel for each group, with the means.

    `watched` says which probability, such as "P(fake)". Of more than 300 pairs of a group 300 are drawn, evenly chosen.
    """
    groups = {name: [one for one in pairs if one.group == name] for name in dict.fromkeys(one.group for one in pairs)}
    shown = [look for look, occurs in ((STAYED, False), (FLIPPED, True)) if any(p.is_flipped is occurs for p in pairs)]
    shown.append(MEAN)
    below, axis = legend_height(shown, width), {"title": None, "labels": False, "grid": False}
    frame = Frame(width, 200, 44, 8, 64, 26 + below, 0.0, float(width - 52), axis)
    ticks = [(share, frame.height * (1 - share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    grid = Look("", LINE, thick=1)
    layers = [
        *lines(frame, [(grid, {"x": 0.0, "x2": frame.high, "y": y}) for _, y in ticks]),
        texts(
            frame,
            [(-8.0, y, f"{share:.0%}") for share, y in ticks],
            limit=40,
            colour=QUIET,
            align="right",
            fontSize=SMALL,
        ),
        texts(frame, [(frame.at(8), -52.0, watched)], limit=width - 16, colour=QUIET, fontSize=SMALL),
    ]
    each = frame.high / max(1, len(groups))
    for place, (name, own) in enumerate(groups.items()):
        layers += _panel(frame, name, own, (each * place + 8, each * (place + 1) - 8))
    return drawn(frame, [*layers, *legend(frame, shown)], title, describe)


def _panel(frame: Frame, name: str, pairs: Sequence[Pair], place: tuple[float, float]) -> list[Json]:
    start, end = place
    left, right = start + 40, end - 40
    step = max(1.0, len(pairs) / MOST_PAIRS)
    chosen = [pairs[int(k * step)] for k in range(min(len(pairs), MOST_PAIRS))]
    some = "" if len(chosen) == len(pairs) else f", {len(chosen)} drawn"
    before, after = fmean(one.before for one in pairs), fmean(one.after for one in pairs)
    ys = [frame.height * (1 - share) for share in (before, after)]
    words = [(left, frame.height + 14, "before"), (right, frame.height + 14, "after")]
    counts = [(start, -16.0, f"{counted(len(pairs), 'trial')}{some}")]
    return [
        *_slopes(frame, sorted(chosen, key=lambda one: one.is_flipped), left, right),
        *lines(frame, [(MEAN, {"x": left, "x2": right, "y": ys[0], "y2": ys[1]})]),
        *symbols(frame, [(MEAN, {"x": x, "y": y}) for x, y in zip((left, right), ys, strict=True)]),
        texts(frame, [(left - 10, ys[0], f"{before:.0%}")], limit=44, align="right", fontWeight=600),
        texts(frame, [(right + 10, ys[1], f"{after:.0%}")], limit=44, fontWeight=600),
        texts(frame, words, limit=60, colour=QUIET, align="center", fontSize=SMALL),
        texts(frame, [(start, -32.0, name)], limit=end - start, fontWeight=600),
        texts(frame, counts, limit=end - start, colour=QUIET, fontSize=SMALL),
    ]


def _slopes(frame: Frame, pairs: Sequence[Pair], left: float, right: float) -> list[Json]:
    """A line for each pair; those whose decision flips end in a dot."""
    ends = [(frame.height * (1 - one.before), frame.height * (1 - one.after)) for one in pairs]
    looks = [FLIPPED if one.is_flipped else STAYED for one in pairs]
    slopes = [{"x": left, "x2": right, "y": before, "y2": after} for before, after in ends]
    dots = [{"x": right, "y": after} for _, after in ends]
    return [*lines(frame, zip(looks, slopes, strict=True)), *symbols(frame, zip(looks, dots, strict=True))]
