"""Summaries for notebooks as HTML: no style sheet or script is needed, and every word is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from seewhy.render.page import one_line

INK, QUIET, LINE = "#202024", "#5b5e66", "#d8d9de"
_PAGE = (
    f"max-width:760px;padding:16px 18px;background:#ffffff;color:{INK};border:1px solid {LINE};border-radius:8px;"
    "font:14px/1.5 system-ui,sans-serif;text-align:left;white-space:normal"
)
_BADGE = "display:inline-block;padding:1px 8px;border-radius:9px;color:#ffffff;font-size:12px;font-weight:600"
_CARD = f"margin:10px 0 0;padding:8px 12px;border:1px solid {LINE};border-radius:6px;border-left:4px solid"


def page(*parts: str) -> str:
    """The parts on white, so that they can be read in dark notebooks, too."""
    return f'<div style="{_PAGE}">{"".join(parts)}</div>'


def heading(title: str, facts: Sequence[str]) -> str:
    """A title, and below it a line of facts."""
    line = f'<div style="color:{QUIET}">{" · ".join(map(_escaped, facts))}</div>'
    return f'<div style="font-size:17px;font-weight:600">{_escaped(title)}</div>{line}'


def picture(svg: str, words: str) -> str:
    """A chart as a picture of its own, so that it and the notebook leave each other's styles alone."""
    data = base64.b64encode(svg.encode()).decode()
    style = "display:block;width:100%;max-width:720px;margin:12px 0 0;background:#ffffff"
    return f'<img alt="{_escaped(words)}" style="{style}" src="data:image/svg+xml;base64,{data}">'


def card(badge: str, title: str, text: str, lines: Iterable[str] = (), todo: str = "", *, colour: str = INK) -> str:
    """A finding: its level as a badge, its title, words, evidence line by line, and advice."""
    colour = _light(colour)
    head = f'<span style="{_BADGE};background:{colour}">{_escaped(badge)}</span>'
    head += f'<span style="margin-left:8px;font-weight:600">{_escaped(title)}</span>' if title else ""
    evidence = "".join(f'<div style="color:{QUIET};font-size:13px">{_escaped(line)}</div>' for line in lines)
    advice = f'<div style="margin-top:4px;font-style:italic">{_escaped(todo)}</div>' if todo else ""
    body = f'<div style="margin-top:4px">{_escaped(text)}</div>{evidence}{advice}'
    return f'<div style="{_CARD} {colour}">{head}{body}</div>'


def grid(head: Sequence[str], rows: Iterable[tuple[str, Iterable[tuple[str, str, int]]]], deepest: int) -> str:
    """A table of numbers, each with its interval below it; a step from -deepest to deepest colours its cell."""
    line = f"padding:3px 8px;border-bottom:1px solid {LINE};text-align:right;font-weight:400"
    names = "".join(f'<th style="{line};color:{QUIET}">{_escaped(name)}</th>' for name in head)
    lines = [f"<tr><th></th>{names}</tr>"]
    for name, cells in rows:
        told = "".join(
            f'<td style="{line};background:{_wash(step, deepest)}">{_escaped(value)}'
            f'<div style="color:{QUIET};font-size:11px">{_escaped(interval)}</div></td>'
            for value, interval, step in cells
        )
        lines.append(f'<tr><th style="{line};text-align:left">{_escaped(name)}</th>{told}</tr>')
    return f'<table style="border-collapse:collapse;margin:10px 0 0;font-size:13px">{"".join(lines)}</table>'


def _wash(step: int, deepest: int) -> str:
    """Orange for what rises, blue for what falls, on white; no colour for 0."""
    return f"rgba({'217,119,6' if step > 0 else '37,99,195'},{0.5 * abs(step) / deepest:.2f})"


def sentence(words: str) -> str:
    """A quiet sentence by itself."""
    return f'<div style="margin:10px 0 0;color:{QUIET}">{_escaped(words)}</div>'


def bullets(sentences: Iterable[str]) -> str:
    """Sentences as a list; nothing where there is none."""
    told = "".join(f"<li>{_escaped(text)}</li>" for text in sentences)
    return f'<ul style="margin:8px 0 0;padding-left:20px">{told}</ul>' if told else ""


def typed(words: str, code: str) -> str:
    """What to type next, and what that gives."""
    style = f"display:block;margin:2px 0 0;padding:4px 8px;background:#f2f2f4;color:{INK};border-radius:4px"
    return f'{sentence(words)}<code style="{style}">{_escaped(code)}</code>'


def side_by_side(figures: Iterable[str]) -> str:
    """Figures in a row that breaks where it is too long; each is HTML already."""
    each = "".join(f'<div style="margin:10px 12px 0 0;max-width:256px">{figure}</div>' for figure in figures)
    return f'<div style="display:flex;flex-wrap:wrap">{each}</div>'


def _light(colour: str) -> str:
    """A colour by itself: of one that pages may choose, "var(--bad, #b5391c)", what it is where they do not."""
    return colour.rpartition(",")[2].strip(" )")


def _escaped(words: str) -> str:
    return escape(one_line(words), quote=True)
