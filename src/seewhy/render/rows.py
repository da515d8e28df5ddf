"""The rows of a chart: how kinds of findings look, intervals at their places, names and numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from seewhy.render.page import ACCENT, BAD, CAUTION, GOOD, INK, LINE, QUIET, UNKNOWN
from seewhy.render.svg import (
    LETTERS,
    SMALL,
    Axis,
    ChartFrame,
    Stretch,
    Style,
    boxes,
    is_folded,
    lines,
    symbols,
    texts,
    wrapped,
)

KINDS: dict[str, Style] = {  # in the order of legends; told apart by shape as well as by colour
    "shortcut": Style("shortcut", BAD, "diamond", size=110),
    "overfit": Style("overfit", BAD, "cross", size=90),
    "against the label": Style("goes against the label", CAUTION, "triangle-down", size=80),
    "depends": Style("depends", CAUTION, "triangle-up", size=80),
    "through the core": Style("acts through the core", GOOD, "square"),
    "intended": Style("intended evidence", GOOD, "circle", size=80),
    "core not used": Style("core, hardly used", CAUTION, "circle", is_hollow=True),
    "fragile": Style("fragile", CAUTION, "square", is_hollow=True),
    "explained": Style("explained by another factor", QUIET, "triangle-right", is_hollow=True, thick=1.5),
    "alternative": Style("may be the cause in its place", ACCENT, "triangle-right", is_hollow=True, thick=1.5),
    "not separated": Style("told with a factor above it", QUIET, "triangle-left", is_hollow=True, thick=1.5),
    "at the core's rim": Style("at the core's rim: may be no shortcut", UNKNOWN, "square", is_hollow=True),
    "cannot say": Style("cannot say whether {} points or more", UNKNOWN, "diamond", is_hollow=True),
    "none": Style("none larger than {} points", QUIET, "circle", is_hollow=True, thick=1.5, size=40),
}
ARMS: dict[str, Style] = {  # of a repair
    "before": Style("before the repair", QUIET, "diamond", is_hollow=True),
    "control": Style("control arm", CAUTION, "square", is_hollow=True),
    "repaired": Style("repaired", GOOD, "circle", size=80),
}
ARM_NAMES = {"plain": "plain fine-tuning", "unrelated": "something else", "scrambled": "groups by chance"}
CHANGES: dict[str, Style] = {  # between two runs
    "larger": Style("depends more", CAUTION, "triangle-up", size=80),
    "turned": Style("depends the other way", BAD, "diamond", size=110),
    "smaller": Style("depends less", ACCENT, "triangle-down", size=80),
    "first": Style("first run", QUIET, "square", is_hollow=True, thick=1.5, size=50),
    "second": Style("second run", ACCENT, "circle"),
}
LOOKS = {**ARMS, **CHANGES, **KINDS}
TRAIN = Style("the same on train", QUIET, "circle", thick=1.25, size=12)
ZERO = Style("", INK, thick=1)
CONTROL = Style("controls reach this far", QUIET, thick=12, opacity=0.22)
GUESS = Style("", INK, dash=(4, 3), thick=1.5)
SPLITS = (
    Style("", GOOD, "circle"),
    Style("", QUIET, "square", is_hollow=True, thick=1.5, size=50),
    Style("", INK, "diamond"),
)
GROUPS = (
    Style("", GOOD, "circle"),
    Style("", BAD, "diamond", dash=(7, 3)),
    Style("", UNKNOWN, "square", dash=(2, 2)),
    Style("", CAUTION, "triangle-up", dash=(9, 3, 2, 3)),
    Style("", ACCENT, "triangle-down", dash=(4, 2)),
    Style("", QUIET, "cross", dash=(1, 3)),
)
_OTHER = Style("", INK, "square", is_hollow=True)
BESIDE = 11  # pixels down to the interval of train
_NAME_LINE, _NOTE_LINE = 15, 14  # pixels from line to line
_NAMES, _NUMBERS, _EDGE = 200, 152, 14  # pixels beside the plot of a wide chart; left and right of a narrow one


@dataclass(frozen=True)
class Caption:
    """What stands beside a row, line by line: its name, its notes, and its numbers."""

    name: list[str]
    note: list[str]
    number: str


@dataclass(frozen=True)
class Spacing:
    """The pixels from row to row, down to its interval (less `up` where another is below it), and around its stripe."""

    each: int
    down: int
    up: int
    top: int
    bottom: int


@dataclass(frozen=True)
class Row:
    """One tested factor: its effect with its interval, in shares; `kind`, one of `LOOKS`, decides colour and shape.

    `beside` is the same on train (value, low, high), `control` how far the controls reach either way; quiet lines below
    the name are `under`, how it is told with another factor, and `note`.
    """

    name: str
    value: float
    low: float
    high: float
    kind: str
    beside: tuple[float, float, float] | None = None
    control: float | None = None
    note: str = ""
    under: str = ""


def look_of(kind: str, floor: float) -> Style:
    """The colour and shape of a kind of row; a kind that nobody foresaw is a square with its own name."""
    look = LOOKS.get(kind) or replace(_OTHER, words=kind)
    return replace(look, words=look.words.format(f"{100 * floor:g}")) if kind in LOOKS else look


def looks_of(rows: Sequence[Row], floor: float) -> list[Style]:
    """The legend: what occurs, and nothing else; `floor` is the share that is large enough to report."""
    occurring = {row.kind for row in rows}
    looks = [look_of(kind, floor) for kind in LOOKS if kind in occurring]
    looks += [look_of(kind, floor) for kind in sorted(occurring - set(LOOKS))]
    looks += [TRAIN] if any(row.beside for row in rows) else []
    return looks + ([CONTROL] if any(row.control for row in rows) else [])


def shared_note(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The rows without the note that all of them share, and that note; "" where there is none."""
    notes = {row.note for row in rows}
    if len(notes) != 1:
        return list(rows), ""
    return [replace(row, note="") for row in rows], notes.pop()


def ends_of(row: Row) -> list[float]:
    """Every share that the chart must have room for."""
    control = row.control or 0.0
    return [row.value, row.low, row.high, control, -control, *(row.beside or ())]


def captions_of(rows: Sequence[tuple[str, str, str]], width: int) -> list[Caption]:
    """Names, notes and numbers in lines that have room, at most three and four."""
    folded = is_folded(width)
    beside = _NUMBERS if any(number for _, _, number in rows) else 0
    names, notes = (width - 2 * _EDGE - beside, width - 2 * _EDGE) if folded else (_NAMES - 16, _NAMES - 16)
    return [
        Caption(wrapped(name, names, LETTERS, most=3), wrapped(note, notes, SMALL, most=4), number)
        for name, note, number in rows
    ]


def height_of(captions: Sequence[Caption]) -> int:
    """The pixels that the longest name and the longest note take."""
    names = max((1, *(len(one.name) for one in captions)))
    return _NAME_LINE * names + _NOTE_LINE * max((len(one.note) for one in captions), default=0)


def spacing_of(captions: Sequence[Caption], width: int, *, has_two: bool) -> Spacing:
    """The spacing that the captions need, and second intervals where rows have them."""
    high = height_of(captions)
    if is_folded(width):
        down, below = 12 + high, 10 + (BESIDE if has_two else 0)
        return Spacing(down + below + 6, down, 0, down - 10, down + below)
    each = max(34 if has_two else 30, 11 + high)
    return Spacing(each, each // 2, 5, 0, each)


def line_of(row: Row, spacing: Spacing, place: int) -> float:
    """The y of a row's interval."""
    return spacing.each * place + spacing.down - (spacing.up if row.beside else 0)


def frame_of(width: int, height: float, low: float, high: float, below: int, axis: Axis) -> ChartFrame:
    """A frame with room for names and numbers; `low` and `high` are shares, the axis is in points, with some room."""
    low, high = 100 * max(-1.0, min(1.0, low)), 100 * max(-1.0, min(1.0, high))
    room = max(0.04 * (high - low), 0.1)  # also where all is 0
    left, right = (_EDGE, _EDGE) if is_folded(width) else (_NAMES, _NUMBERS)
    titles = 14 * len(axis.title)
    return ChartFrame(
        width=width,
        height=height,
        left=left,
        right=right,
        top=26,
        bottom=30 + titles + below,
        low=low - room,
        high=high + room,
        axis=axis,
    )


def span(low: float, high: float, y: float) -> Stretch:
    """A level line between two shares, in points, cut at ±100."""
    return 100 * max(-1.0, low), y, 100 * min(1.0, high), y


def intervals(frame: ChartFrame, rows: Sequence[tuple[Style, tuple[float, float, float], float]]) -> list[Element]:
    """Intervals (value, low, high) with their points at y."""
    spans = [(look, span(low, high, y)) for look, (_, low, high), y in rows]
    points = [(look, (100 * value, y)) for look, (value, _, _), y in rows]
    return [*lines(frame, spans), *symbols(frame, points)]


def band(frame: ChartFrame, floor: float, spacing: Spacing, count: int) -> list[Element]:
    """The line of no effect, the effects that are too small to report, shaded, with words above; `floor` in points."""
    words = f"within ±{floor:g}: too small to report"
    half = len(words) * 2.9
    middle = min(max(frame.place(0), half + 2), frame.width - half - 2)
    tops = [spacing.each * place for place in range(count)]
    small = [(-floor, top + spacing.top, floor, top + spacing.bottom) for top in tops]
    zeros = [(ZERO, (0.0, top + spacing.top, 0.0, top + spacing.bottom)) for top in tops]
    said = [(frame.at(middle), -12.0, words)]
    return [
        boxes(frame, small, LINE, 0.55),
        texts(frame, said, limit=300, colour=QUIET, anchor="middle", size=SMALL),
        *lines(frame, zeros),
    ]


def names(frame: ChartFrame, captions: Sequence[Caption], each: int) -> list[Element]:
    """Names, notes and numbers: beside the plot, or above each row where the chart is narrow."""
    folded = is_folded(frame.width)
    edge = _EDGE if folded else 4
    start, end = frame.at(edge), frame.at(frame.width - edge)
    columns: dict[str, list[tuple[float, float, str]]] = {"name": [], "note": [], "number": []}
    for place, one in enumerate(captions):
        middle = each * place + (10 if folded else each / 2)
        top = middle if folded else middle - (_NAME_LINE * (len(one.name) - 1) + _NOTE_LINE * len(one.note)) / 2
        below = top + _NAME_LINE * len(one.name)
        columns["name"] += [(start, top + _NAME_LINE * k, line) for k, line in enumerate(one.name)]
        columns["number"] += [(end, middle, one.number)] if one.number else []
        columns["note"] += [(start, below + _NOTE_LINE * k, line) for k, line in enumerate(one.note)]
    room = frame.width - 2 * _EDGE if folded else _NAMES - 16
    return [
        texts(frame, columns["name"], limit=room, is_bold=True),
        texts(frame, columns["note"], limit=room, colour=QUIET, size=SMALL),
        texts(frame, columns["number"], limit=_NUMBERS, anchor="end"),
    ]


def points(value: float, low: float, high: float) -> str:
    """A share with its interval in percentage points: "+25.6 [+20.9, +30.4]"."""
    ends = [f"{100 * min(1.0, max(-1.0, share)):+.1f}".replace("-", "−") for share in (value, low, high)]
    return f"{ends[0]} [{ends[1]}, {ends[2]}]"
