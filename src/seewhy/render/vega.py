"""The parts that charts are made of, and their drawing: Vega-Lite to SVG text that a strict page may hold inline."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import vl_convert

from seewhy.render.page import INK, LINE, PANEL, QUIET, one_line

Json = dict[str, Any]
WIDE, NARROW = 720, 360  # pixels: for a page, and for a telephone
LETTERS, SMALL = 12, 11  # pixels
LEGEND_LINE = 22
_SLACK = 0.88  # a reader's letters may be wider than those that Vega measured

_FOLDED = 480  # charts that are narrower have names and numbers above the intervals, not beside them
_SYMBOL = 26  # pixels that a legend's symbol is wide
_VERSION = "5.20"  # of Vega-Lite, so that the same numbers give the same picture
_AXIS: Json = {
    "domain": False,
    "ticks": False,
    "grid": True,
    "gridColor": LINE,
    "gridWidth": 1,
    "labelColor": QUIET,
    "labelFontSize": SMALL,
    "labelPadding": 6,
    "titleColor": QUIET,
    "titleFontSize": SMALL,
    "titleFontWeight": "normal",
    "titlePadding": 8,
    "tickCount": 6,
}
_ATTRIBUTES = {
    *("d", "transform", "x2", "y2", "dx", "text-anchor", "fill", "fill-opacity", "opacity", "font-size"),
    *(
        "x",
        "dy",
        "font-weight",
        "stroke",
        "stroke-opacity",
        "stroke-width",
        "stroke-dasharray",
        "stroke-linecap",
        "viewBox",
    ),
}
_INHERITED = (
    *("fill", "fill-opacity", "font-size", "font-weight", "text-anchor"),
    *("stroke", "stroke-dasharray", "stroke-linecap", "stroke-opacity", "stroke-width"),
)
_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")


@dataclass(frozen=True)
class Frame:
    """Where the plot lies in a chart of `width`, in pixels, and what its axes span.

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
    axis: Mapping[str, Any]

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
class Look:
    """How a thing is drawn and what a legend calls it: `shape` is a name of Vega's or a path, "" for none."""

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


def marks(frame: Frame, mark: str, rows: Sequence[Json], **style: Any) -> Json:
    """A layer with one mark for each row, whose fields are channels of Vega-Lite; colours and shapes are as given."""
    fields = {name for row in rows for name in row}
    scale_x = {"domain": [frame.low, frame.high], "nice": False, "zero": False}
    scale_y = {"domain": [0, frame.height], "nice": False, "zero": False, "reverse": True}
    encoding: Json = {
        "x": {
            "field": "x",
            "type": "quantitative",
            "scale": scale_x,
            "axis": {**_AXIS, "titleLimit": _SLACK * frame.width, **frame.axis},
        },
        "y": {"field": "y", "type": "quantitative", "scale": scale_y, "axis": None},
    }
    for name in sorted(fields - {"x", "y"}):
        plain = {} if name in ("x2", "y2") else {"type": "nominal"}
        unscaled = {} if name in ("x2", "y2", "text", "description") else {"scale": None}
        encoding[name] = {"field": name, **plain, **unscaled}
    return {"data": {"values": list(rows)}, "mark": {"type": mark, **style}, "encoding": encoding}


def lines(frame: Frame, rows: Iterable[tuple[Look, Json]]) -> list[Json]:
    """Straight lines, each from x, y to x2 or y2, one layer for each look."""
    by_look: dict[Look, list[Json]] = {}
    for look, row in rows:
        by_look.setdefault(look, []).append({"y2": row["y"], "x2": row["x"], **row})
    return [
        marks(
            frame, "rule", look_rows, stroke=look.colour, strokeWidth=look.thick, opacity=look.opacity,
            strokeDash=list(look.dash), strokeCap="butt",
        )
        for look, look_rows in by_look.items()
    ]  # fmt: skip


def symbols(frame: Frame, rows: Iterable[tuple[Look, Json]]) -> list[Json]:
    """The looks' symbols at x, y, one layer for each look; looks without a shape have none."""
    by_look: dict[Look, list[Json]] = {}
    for look, row in rows:
        if look.shape:
            by_look.setdefault(look, []).append(row)
    return [
        marks(
            frame, "point", look_rows, shape=look.shape, size=look.size, fill=PANEL if look.is_hollow else look.colour,
            stroke=look.colour, strokeWidth=1.5, opacity=1,
        )
        for look, look_rows in by_look.items()
    ]  # fmt: skip


def texts(
    frame: Frame, rows: Iterable[tuple[float, float, str]], *, limit: float, colour: str = INK, **style: Any
) -> Json:
    """Words at x and y, cut with "…" where they are wider than `limit` pixels."""
    most = max(4, int(limit / 4))
    labels = [{"x": x, "y": y, "text": _cut(words, most)} for x, y, words in rows]
    return marks(
        frame,
        "text",
        labels,
        **{"fill": colour, "limit": _SLACK * limit, "fontSize": LETTERS, "align": "left", **style},
    )


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def tips(frame: Frame, rows: Sequence[tuple[str, float, float]]) -> Json:
    """What a pointer that rests on a stripe of the chart is told: words, and from which y to which."""
    stripes = [
        {"x": frame.at(0), "x2": frame.at(frame.width), "y": top, "y2": bottom, "description": words}
        for words, top, bottom in rows
    ]
    return marks(frame, "rect", stripes, fill=INK, fillOpacity=0)  # not "transparent", which Vega leaves out


def legend_height(looks: Sequence[Look], width: int) -> int:
    """The pixels that a legend takes below the axis."""
    columns = _columns(looks, width)
    return 12 + LEGEND_LINE * -(-len(looks) // columns) if looks else 0


def _columns(looks: Sequence[Look], width: int) -> int:
    longest = max((len(look.words) for look in looks), default=1)
    return max(1, int((width - 16) // (longest * 6.4 + _SYMBOL + 24)))


def legend(frame: Frame, looks: Sequence[Look]) -> list[Json]:
    """The looks with their words in columns, at the chart's bottom."""
    columns = min(_columns(looks, frame.width), max(1, len(looks)))
    each = (frame.width - 16) / columns
    top = frame.height + frame.bottom - legend_height(looks, frame.width) + 12 + LEGEND_LINE / 2
    places = [(8 + each * (k % columns), top + LEGEND_LINE * (k // columns)) for k in range(len(looks))]
    placed = list(zip(looks, places, strict=True))
    drawn_lines = [(look, {"x": frame.at(x), "x2": frame.at(x + _SYMBOL), "y": y}) for look, (x, y) in placed]
    middles = [(look, {"x": frame.at(x + _SYMBOL / 2), "y": y}) for look, (x, y) in placed]
    words = [(frame.at(x + _SYMBOL + 8), y, look.words) for look, (x, y) in placed]
    if not looks:
        return []
    limit = each - _SYMBOL - 12
    return [*lines(frame, drawn_lines), *symbols(frame, middles), texts(frame, words, limit=limit, colour=QUIET)]


def drawn(frame: Frame, layers: Sequence[Json], title: str, describe: str) -> str:
    """The chart as SVG text, without scripts and styles; `title` and `describe` are for those who cannot see it."""
    spec = {
        "width": frame.plot,
        "height": frame.height,
        "padding": {"left": frame.left, "right": frame.right, "top": frame.top, "bottom": frame.bottom},
        "autosize": {"type": "none"},
        "background": None,
        "config": {"view": {"stroke": None}, "text": {"baseline": "middle"}},
        "layer": list(layers),
    }
    picture = vl_convert.vegalite_to_svg(_printable(spec), vl_version=_VERSION, allowed_base_urls=[])
    digest = hashlib.sha256(json.dumps([spec, title, describe]).encode()).hexdigest()[:10]
    source = ElementTree.fromstring(picture)
    root = _root(f"chart-{digest}", "chart narrow" if is_folded(frame.width) else "chart", source.attrib["viewBox"])
    for tag, part, words in (("title", "title", title), ("desc", "words", describe)):
        ElementTree.SubElement(root, tag, id=f"chart-{digest}-{part}").text = one_line(words)
    root.extend(_inside(source))
    return ElementTree.tostring(root, encoding="unicode")


def _root(name: str, css_class: str, box: str) -> ElementTree.Element:
    root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "class": css_class, "viewBox": box})
    root.attrib |= {"width": "100%", "font-family": "system-ui, sans-serif", "role": "img"}
    root.attrib |= {"aria-labelledby": f"{name}-title", "aria-describedby": f"{name}-words"}
    return root


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(item) for item in value]
    return one_line(value) if isinstance(value, str) else value


def _inside(parent: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The plain children that can be seen, without Vega's frames and groups that do nothing."""
    for child in parent:
        if child.get("class") not in ("background", "foreground"):
            element = _plain(child)
            if element.tag != "g":
                yield element
            elif not element.attrib:
                yield from element
            elif len(element):
                yield element


def _plain(source: ElementTree.Element) -> ElementTree.Element:
    """The element without what Vega adds for its own scripts; a description becomes what a pointer is told."""
    element = ElementTree.Element(source.tag.rpartition("}")[2])
    element.attrib |= {
        name: _LONG.sub(lambda number: f"{float(number[0]):.2f}", value)
        for name, value in source.attrib.items()
        if name in _ATTRIBUTES and value and (name, value) != ("opacity", "1")
    }
    element.text = source.text
    described = source.get("aria-label")
    if described and source.get("fill-opacity") == "0":
        ElementTree.SubElement(element, "title").text = described
    element.extend(_inside(source))
    for name in _INHERITED if element.tag == "g" and len(element) > 1 else ():
        values = {child.get(name) for child in element}
        if len(values) == 1 and None not in values:  # said once, since a chart may have hundreds of lines
            element.set(name, values.pop() or "")
            for child in element:
                del child.attrib[name]
    return element
