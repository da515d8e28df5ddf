"""The parts that charts are made of, as SVG that a strict page may hold inline: no scripts, no styles, no addresses."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

from seewhy.render.page import INK, LINE, PANEL, QUIET, one_line

Point = tuple[float, float]
Stretch = tuple[float, float, float, float]  # x, y, x2, y2
WIDE, NARROW = 720, 360  # pixels: for a page, and for a telephone
LETTERS, SMALL = 12, 11  # pixels
LEGEND_LINE = 22

_FOLDED = 480  # charts that are narrower have names and numbers above the intervals, not beside them
_SYMBOL = 26  # pixels that a legend's symbol is wide
_TICKS = 6  # about so many, where an axis names none
_TITLE_LINE = 14  # pixels from line to line of an axis title
_CORNERS: dict[str, Sequence[Point]] = {  # of shapes that are two wide; a circle has none
    "square": [(-0.89, -0.89), (0.89, -0.89), (0.89, 0.89), (-0.89, 0.89)],
    "diamond": [(0, -1), (1, 0), (0, 1), (-1, 0)],
    "triangle-up": [(0, -0.87), (1, 0.87), (-1, 0.87)],
    "triangle-down": [(0, 0.87), (1, -0.87), (-1, -0.87)],
    "triangle-right": [(0.87, 0), (-0.87, 1), (-0.87, -1)],
    "triangle-left": [(-0.87, 0), (0.87, -1), (0.87, 1)],
    "cross": [
        *((-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4)),
        *((0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4)),
    ],
}


@dataclass(frozen=True)
class Axis:
    """What stands below a plot: lines of words, and numbers at round places or at `ticks`, signed or not."""

    title: tuple[str, ...]
    ticks: tuple[float, ...] = ()
    is_signed: bool = False


@dataclass(frozen=True)
class ChartFrame:
    """Where the plot lies in a chart of `width`, in pixels, and what its axis spans.

    Marks have x in the units of the axis and y in pixels from the plot's top.
    """

    width: int
    height: float
    left: float
    right: float
    top: float
    bottom: float
    low: float
    high: float
    axis: Axis

    @property
    def plot(self) -> float:
        """The width of the plot in pixels."""
        return self.width - self.left - self.right

    def at(self, pixels: float) -> float:
        """The x that lies so many pixels from the chart's left edge."""
        return self.low + (pixels - self.left) / self.plot * (self.high - self.low)

    def place(self, value: float) -> float:
        """The pixels from the chart's left edge at which an x lies."""
        return self.left + (value - self.low) / (self.high - self.low) * self.plot


@dataclass(frozen=True)
class Style:
    """How a thing is drawn and what a legend calls it: `shape` is one of this file's names, "" for none."""

    words: str
    colour: str
    shape: str = ""
    is_hollow: bool = False
    dash: tuple[float, ...] = ()
    thick: float = 2.0
    opacity: float = 1.0
    size: float = 70.0


def is_folded(width: int) -> bool:
    """Whether names and numbers stand above the intervals, since there is no room beside them."""
    return width < _FOLDED


def lines(frame: ChartFrame, rows: Iterable[tuple[Style, Stretch]]) -> list[Element]:
    """Straight lines, each from x, y to x2, y2; one group for each look."""
    by_look: dict[Style, list[str]] = {}
    for look, (x, y, x2, y2) in rows:
        by_look.setdefault(look, []).append(_path(frame, [(x, y), (x2, y2)]))
    return [_stroked(look, "".join(paths)) for look, paths in by_look.items()]


def symbols(frame: ChartFrame, rows: Iterable[tuple[Style, Point]]) -> list[Element]:
    """The looks' symbols at x, y; looks without a shape have none."""
    return [_symbol(look, frame.place(x), frame.top + y) for look, (x, y) in rows if look.shape]


def _symbol(look: Style, x: float, y: float) -> Element:
    r = math.sqrt(look.size) / 2
    corners = _CORNERS.get(look.shape)
    if corners is None:
        path = f"M{_short(x - r)},{_short(y)}a{r:.2f},{r:.2f},0,1,1,{2 * r:.2f},0a{r:.2f},{r:.2f},0,1,1,{-2 * r:.2f},0"
    else:
        path = "M" + "L".join(f"{_short(x + r * dx)},{_short(y + r * dy)}" for dx, dy in corners) + "Z"
    fill = PANEL if look.is_hollow else look.colour
    return Element("path", {"d": path, "fill": fill, "stroke": look.colour, "stroke-width": "1.5"})


def steps(frame: ChartFrame, look: Style, points: Sequence[Point], *, is_filled: bool) -> list[Element]:
    """An outline that keeps each point's y until the next one's x, and a light area below it."""
    corners = [corner for (x, y), (after, _) in pairwise(points) for corner in ((x, y), (after, y))]
    corners += points[-1:]
    outline = _stroked(look, _path(frame, corners))
    if not is_filled:
        return [outline]
    base = [(corners[-1][0], frame.height), (corners[0][0], frame.height)]
    area = {"d": _path(frame, [*corners, *base]) + "Z", "fill": look.colour, "fill-opacity": "0.1"}
    return [outline, Element("path", area)]


def boxes(frame: ChartFrame, places: Iterable[Stretch], colour: str, opacity: float) -> Element:
    """Filled rectangles, each from x, y to x2, y2."""
    return Element("path", {"d": "".join(_box(frame, place) for place in places), **_filled(colour, opacity)})


def tips(frame: ChartFrame, rows: Sequence[tuple[str, float, float]]) -> Element:
    """What a pointer that rests on a stripe of the chart is told: words, and from which y to which."""
    group = Element("g", _filled(INK, 0))
    for words, top, bottom in rows:
        stripe = SubElement(group, "path", d=_box(frame, (frame.at(0), top, frame.at(frame.width), bottom)))
        SubElement(stripe, "title").text = one_line(words)
    return group


def _filled(colour: str, opacity: float) -> dict[str, str]:
    return {"fill": colour, "fill-opacity": f"{opacity:g}"}


def _stroked(look: Style, path: str) -> Element:
    style = {"fill": "none", "stroke": look.colour, "stroke-width": f"{look.thick:g}"}
    style |= {"stroke-dasharray": ",".join(map(str, look.dash))} if look.dash else {}
    style |= {"opacity": f"{look.opacity:g}"} if look.opacity < 1 else {}
    return Element("path", {"d": path, **style})


def _path(frame: ChartFrame, points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{_short(frame.place(x))},{_short(frame.top + y)}" for x, y in points)


def _box(frame: ChartFrame, place: Stretch) -> str:
    x, y, x2, y2 = place
    return _path(frame, [(x, y), (x2, y), (x2, y2), (x, y2)]) + "Z"


def _short(pixels: float) -> str:
    return f"{pixels:.2f}".rstrip("0").rstrip(".")


def texts(
    frame: ChartFrame, rows: Iterable[tuple[float, float, str]], *, limit: float, colour: str = INK,
    size: int = LETTERS, anchor: str = "start", is_bold: bool = False,
) -> Element:  # fmt: skip
    """Words at x and y, the middle of their line, cut with "…" where they are wider than `limit` pixels."""
    style = {"fill": colour, "font-size": f"{size}px", "text-anchor": anchor}
    group = Element("g", style | ({"font-weight": "600"} if is_bold else {}))
    for x, y, words in rows:
        place = {"x": _short(frame.place(x)), "y": _short(frame.top + y + 0.33 * size)}
        SubElement(group, "text", place).text = _cut(one_line(words), limit / size)
    return group


def wrapped(words: str, limit: float, size: int, *, most: int) -> list[str]:
    """The words in lines of at most `limit` pixels, broken after blanks and signs, and within what is longer than that.

    Of more than `most` lines the last is cut with "…"; no words are no lines.
    """
    room, said = limit / size, one_line(words)
    lines: list[str] = []
    while said and len(lines) < most - 1:
        fits = _fitting(said, room)
        breaks = [at.end() for at in re.finditer(r"[ _/.-]+", said) if len(said[: at.end()].rstrip()) <= fits]
        end = len(said) if fits == len(said) else max(breaks, default=0) or max(1, fits)
        lines.append(said[:end].strip())
        said = said[end:].lstrip()
    return [*lines, _cut(said, room)] if said else lines


def _fitting(words: str, limit: float) -> int:
    """How many of the first letters `limit` times their size has room for."""
    widths = accumulate(map(_width, words))
    return sum(width <= limit for width in widths)


def _cut(words: str, limit: float) -> str:
    """As many letters as `limit` times their size has room for."""
    fits = _fitting(words, limit)
    return words if fits == len(words) else words[: _fitting(words, limit - 1)] + "…"  # which is as wide


def _width(letter: str) -> float:
    """How wide a letter is at most in common fonts without serifs, by its height."""
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in "mwMW@%—…":
        return 0.98
    if letter in "ijlI.,:;'|! ":
        return 0.35
    if letter in "tfr()[]/-":
        return 0.41
    if letter in "+−<>=~":
        return 0.84
    return 0.72 if letter.isupper() else 0.63


def legend_height(looks: Sequence[Style], width: int) -> int:
    """The pixels that a legend takes below the axis."""
    columns = _columns(looks, width)
    return 12 + LEGEND_LINE * -(-len(looks) // columns) if looks else 0


def _columns(looks: Sequence[Style], width: int) -> int:
    longest = max((len(look.words) for look in looks), default=1)
    return max(1, int((width - 16) // (longest * 6.4 + _SYMBOL + 24)))


def legend(frame: ChartFrame, looks: Sequence[Style]) -> list[Element]:
    """The looks with their words in columns, at the chart's bottom."""
    columns = min(_columns(looks, frame.width), max(1, len(looks)))
    each = (frame.width - 16) / columns
    top = frame.height + frame.bottom - legend_height(looks, frame.width) + 12 + LEGEND_LINE / 2
    places = [(8 + each * (k % columns), top + LEGEND_LINE * (k // columns)) for k in range(len(looks))]
    placed = list(zip(looks, places, strict=True))
    drawn_lines = [(look, (frame.at(x), y, frame.at(x + _SYMBOL), y)) for look, (x, y) in placed]
    middles = [(look, (frame.at(x + _SYMBOL / 2), y)) for look, (x, y) in placed]
    words = [(frame.at(x + _SYMBOL + 8), y, look.words) for look, (x, y) in placed]
    if not looks:
        return []
    limit = each - _SYMBOL - 12
    return [*lines(frame, drawn_lines), *symbols(frame, middles), texts(frame, words, limit=limit, colour=QUIET)]


def drawn(frame: ChartFrame, layers: Iterable[Element], title: str, describe: str) -> str:
    """The chart as SVG text, its axis below all layers; `title` and `describe` are for those who cannot see it."""
    inside = [*_below(frame), *layers]
    content = "".join(tostring(element, encoding="unicode") for element in inside)
    name = "chart-" + hashlib.sha256("\n".join((title, describe, content)).encode("utf-8", "replace")).hexdigest()[:10]
    box = f"0 0 {frame.width} {_short(frame.top + frame.height + frame.bottom)}"
    classes = "chart narrow" if is_folded(frame.width) else "chart"
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "class": classes, "viewBox": box, "width": "100%"})
    root.attrib |= {"font-family": "system-ui, sans-serif", "role": "img"}
    root.attrib |= {"aria-labelledby": f"{name}-title", "aria-describedby": f"{name}-words"}
    for tag, part, words in (("title", "title", title), ("desc", "words", describe)):
        SubElement(root, tag, id=f"{name}-{part}").text = one_line(words)
    root.extend(inside)
    return tostring(root, encoding="unicode")


def _below(frame: ChartFrame) -> list[Element]:
    """The axis: a line at each tick, its number and the title below the plot."""
    axis, bottom = frame.axis, frame.height
    ticks = axis.ticks or ticks_of(frame.low, frame.high)
    grid = lines(frame, [(Style("", LINE, thick=1), (tick, 0.0, tick, bottom)) for tick in ticks])
    words = [(tick, bottom + 12, number_of(tick, ticks, is_signed=axis.is_signed)) for tick in ticks]
    middle = (frame.low + frame.high) / 2
    titles = [(middle, bottom + 30 + _TITLE_LINE * k, line) for k, line in enumerate(axis.title)]
    said = [
        texts(frame, rows, limit=limit, colour=QUIET, size=SMALL, anchor="middle")
        for rows, limit in ((words, 60), (titles, frame.width))
    ]
    return [*grid, *said]


def ticks_of(low: float, high: float) -> list[float]:
    """About six round numbers within low and high, one, two or five times a power of ten apart."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    each = power * min((1, 2, 5, 10), key=lambda step: abs(math.log(step * power / rough)))
    return [each * k for k in range(math.ceil(low / each), math.floor(high / each) + 1)]


def number_of(tick: float, ticks: Sequence[float], *, is_signed: bool) -> str:
    """A tick in words, with as many decimals as tell it from its neighbours."""
    apart = min((after - before for before, after in pairwise(ticks)), default=1.0)
    decimals = max(0, -math.floor(math.log10(apart) + 1e-9))
    sign = "+" if is_signed and round(tick, decimals) > 0 else ""
    return f"{sign}{tick + 0.0:.{decimals}f}".replace("-", "−")
