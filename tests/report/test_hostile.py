"""Names that attack: they come out of every page as text, move nothing, run nothing and lead nowhere."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from seewhy.errors import printable
from tests.report.conftest import Opener
from tests.report.folders import UNREADABLE
from tests.report.looking import TILES, choose, drawn, saved, tiles
from tests.report.names import BIDI, HOSTILE, N_IMAGES
from tests.report.pages import Page, pages_of, table_of

COMMANDS = ("explain", "check", "audit")
WITH_PAGES = (*COMMANDS, "repair", "compare")
OURS = re.compile(r"assets/(report|blend|images)\.js|data/(table|pictures-\d{4})\.js")
SCRIPTS = "[...document.scripts].map((one) => one.getAttribute('src') || one.textContent)"
BAD = (  # looked for in the page itself, since to carry every attribute out of it takes a second
    "[...document.querySelectorAll('*')].flatMap((one) => [...one.attributes].filter((own) =>"
    " own.name.startsWith('on') || ['iframe', 'object', 'embed', 'base', 'form action'].includes(one.localName)"
    " || (['href', 'src', 'action', 'formaction', 'xlink:href'].includes(own.name)"
    " && /^\\s*(javascript:|vbscript:|data:text)/i.test(own.value)))"
    ".map((own) => [one.localName, own.name, own.value]))"
)


def check_nothing_ran(page: Any) -> None:
    """No script but ours, no handler, no picture but ours, and no link that runs; errors are the opener's affair."""
    assert [one for one in page.evaluate(SCRIPTS) if not OURS.fullmatch(one)] == []
    assert page.evaluate(BAD) == []
    images = page.evaluate("[...document.images].map((one) => one.getAttribute('src'))")
    assert [one for one in images if one == "x"] == []
    assert page.evaluate("Object.keys(Object.prototype).length") == 0


@pytest.mark.parametrize("command", WITH_PAGES)
def test_every_page_stays_whole(opened: Opener, hostile: dict[str, Path], command: str) -> None:
    wrong = []
    for path, page in opened.each(pages_of(hostile[command])):
        if path.name == "images.html":
            drawn(page)
        check_nothing_ran(page)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            if (wide := page.evaluate("document.scrollingElement.scrollWidth")) > width:
                wrong.append(f"{path.name} is {wide} pixels wide in a window of {width}")
    assert wrong == []


@pytest.mark.parametrize("command", WITH_PAGES)
def test_no_letter_turns_the_direction_of_writing_or_moves_a_cursor(hostile: dict[str, Path], command: str) -> None:
    for path in pages_of(hostile[command]):
        said = Page(path).text + "".join(value for _, one in Page(path).elements for value in one.values())
        assert [letter for letter in set(said) if letter in BIDI[:1] + BIDI[-1:] + "\u2028\x00"] == [], path.name
    for path in (hostile[command] / "data").glob("*.js"):
        assert path.read_text(encoding="ascii")


def test_names_are_shown_as_text(hostile: dict[str, Path]) -> None:
    text = Page(hostile["audit"] / "index.html").text
    for name in (HOSTILE.shortcut, HOSTILE.core, HOSTILE.mark, HOSTILE.nothing, *HOSTILE.classes[:3]):
        assert " ".join(printable(name).split()) in text
    method = Page(hostile["explain"] / "method.html").text
    assert printable(HOSTILE.layers[1]) in method


def test_names_that_javascript_knows_are_names(opened: Opener, hostile: dict[str, Path]) -> None:
    page = opened(hostile["explain"] / "images.html")
    drawn(page)
    table = table_of(hostile["explain"])
    for name, control in (("__proto__", "split"), ("__proto__", "label"), ("constructor", "label")):
        choose(page, control, name)
        code = table[control]["values"].index(name)
        assert len(tiles(page)) == table[control]["codes"].count(code) > 0
        choose(page, control, "")
    assert page.locator(TILES).count() == N_IMAGES


def test_every_image_opens_large_and_is_called_what_it_is(opened: Opener, hostile: dict[str, Path]) -> None:
    for command in ("explain", "audit"):
        page = opened(hostile[command] / "images.html", width=390)
        drawn(page)
        ids = table_of(hostile[command])["ids"]
        assert sorted(ids) == sorted(printable(one) for one in HOSTILE.ids)
        wide = {}
        for row, name in enumerate(ids):
            page.click(f"{TILES} >> nth=0") if row == 0 else page.click("#next")
            assert page.evaluate("document.querySelector('#large-title').textContent") == name
            if row != UNREADABLE:
                drawn(page, "#figures canvas")
            check_nothing_ran(page)
            wide[name] = page.evaluate("document.querySelector('#large').scrollWidth")
        assert max(wide.values()) <= 390, wide


def test_a_spreadsheet_runs_no_name(opened: Opener, hostile: dict[str, Path], tmp_path: Path) -> None:
    page = opened(hostile["explain"] / "images.html")
    drawn(page)
    text = saved(page, "#csv", tmp_path / "table.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 1 + N_IMAGES
    assert {len(row) for row in rows} == {len(rows[0])}
    for row in rows:
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t")) and not re.match(r"-(?!\d)", cell), cell
    assert any("HYPERLINK" in row[0] for row in rows)


def test_a_state_in_the_address_may_be_anything(opened: Opener, hostile: dict[str, Path]) -> None:
    for state in (
        "image=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&sort=-change:__proto__&size=1e9&opacity=-5&map=constructor",
        "__proto__=1&constructor=2&split=toString&sort=share:%00&colours=__proto__&scale=x&row=-1",
        "%E0%A4%A&&&===&text=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    ):
        page = opened(hostile["audit"] / "images.html", state)
        page.wait_for_timeout(200)
        assert "of 12" in page.inner_text("#count")
        check_nothing_ran(page)


def test_links_between_pages_find_hostile_names_again(opened: Opener, hostile: dict[str, Path]) -> None:
    for path in sorted(hostile["audit"].glob("finding-*.html")):
        page = opened(path)
        page.click("a[href^='images.html']")
        page.wait_for_selector("#count:has-text('of 12')")
        check_nothing_ran(page)
