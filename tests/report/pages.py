"""What the files of a report say: their links, their ids, and the data in their script files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LINKS = ("href", "src", "action", "poster", "data", "srcset", "xlink:href")
VOID = ("meta", "link", "img", "br", "hr", "input", "col", "source")


@dataclass
class Page(HTMLParser):
    """One page, read without a browser: elements with their attributes, ids, and the words between the tags."""

    path: Path
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open = ""
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag if tag not in VOID else self._open

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        (self.inline if self._open in ("script", "style") and data.strip() else self.words).append(data)

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def links(self) -> Iterator[tuple[str, str]]:
        """Every url with the element that names it."""
        for tag, attributes in self.elements:
            for name in LINKS:
                if name in attributes and tag != "meta":
                    yield tag, attributes[name]


def pages_of(report: Path) -> list[Path]:
    """Every page of a report."""
    return sorted(report.rglob("*.html"))


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file by its relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def target_of(page: Path, url: str) -> tuple[Path, str]:
    """The file that a relative url names, seen from a page, and its fragment."""
    parts = urlsplit(url)
    assert not parts.scheme and not parts.netloc and not parts.query, url
    return (page.parent / unquote(parts.path) if parts.path else page), unquote(parts.fragment)


def called_with(path: Path, function: str) -> list[Any]:
    """The arguments with which a data file calls `seewhy.<function>`."""
    text = path.read_text(encoding="utf-8").strip()
    start = f"seewhy.{function}("
    assert start in text, f"{path.name} does not call {start}"
    inner = text[text.index(start) + len(start) : text.rindex(")")]
    found: list[Any] = json.loads(f"[{inner}]")
    return found


def table_of(report: Path) -> dict[str, Any]:
    """The table of the images page."""
    (found,) = called_with(report / "data" / "table.js", "table")
    return dict(found)


def pictures_of(report: Path) -> list[dict[str, Any]]:
    """The pictures of the images page, of all its files, in order."""
    found = []
    for number, path in enumerate(sorted((report / "data").glob("pictures-*.js"))):
        index, rows = called_with(path, "pictures")
        assert index == number
        found += rows
    return found
