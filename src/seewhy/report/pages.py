"""One folder of pages: the templates, the files that every page needs, and a page in it."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import jinja2
from markupsafe import Markup

from seewhy.errors import printable
from seewhy.records import Progress
from seewhy.report.compiled import Compiled
from seewhy.store import manifest
from seewhy.version import __version__

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = ("style.css", "images.css", "report.js", "blend.js", "images.js")
KEY = 22  # digits of a hash of the stamp: scripts and styles must bear it, and no name can hold what it decides
_TYPED = re.compile(r"(?<=  )((?:seewhy |--).+?)(?=\.?(?:  |$)| \()")


class Pages(Protocol):
    """What writes the pages of a run into a folder; `stamp` is what they are made of."""

    @property
    def folder(self) -> Path:
        """Where they go."""

    @property
    def stamp(self) -> str:
        """What they are made of."""

    def write(self, progress: Progress) -> bool:
        """Write them; whether every picture was there."""


def copy_assets(folder: Path) -> None:
    """Lay the styles and scripts of the pages into their folder."""
    (folder / "assets").mkdir(parents=True)
    for name in ASSETS:
        shutil.copyfile(TEMPLATES / name, folder / "assets" / name)


def write_page(path: Path, template: str, stamp: str, **values: Any) -> None:
    """Write one page from its template, every value escaped."""
    key = manifest.digest_of(stamp, KEY)
    text = _templates().get_template(template).render(version=__version__, key=key, **values)
    path.write_text(text, encoding="utf-8")


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        bytecode_cache=Compiled(),
    )
    environment.filters["svg"] = Markup  # of our own charts, whose names are escaped
    environment.filters["advice"] = advice
    return environment


def advice(text: str) -> Markup:
    """Advice in which each piece that has to be typed, which two blanks set off, is code."""
    parts = _TYPED.split(printable(text))  # words and code in turn
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _shown(value: Any) -> Any:
    """Text as it may stand on a page: what moves a cursor or turns the direction of writing is spelled out."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
