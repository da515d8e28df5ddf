"""The page of trends in a browser: a frame around points, and a group's button, show their images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="scikit-learn groups the maps, which is not there")

import seewhy
from tests.evidence.trends.drawn import CORNERS, draw, explained
from tests.report.looking import SWITCHES

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of a run in which a name would be a tag; `page.wrong` tells what went wrong in it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium to open pages with (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are opened with playwright, which is not there")
    home = tmp_path_factory.mktemp("page")
    draw(home / "data", [CORNERS[number % 2] for number in range(60)])
    first = home / "data" / "train" / "red" / "000.png"
    first.rename(first.with_name(f"{HOSTILE}.png"))
    run = explained(home / "data", home / "run")
    seewhy.trends(run)
    pages = seewhy.write_report(run)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        opened = browser.new_page(viewport={"width": 1280, "height": 1400})
        opened.wrong = []
        opened.on("console", lambda said: said.type in ("error", "warning") and opened.wrong.append(said.text))
        opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
        opened.on("dialog", lambda dialog: opened.wrong.append("a dialog") or dialog.dismiss())
        opened.goto((pages / "trends.html").as_uri())
        yield opened
        browser.close()


def test_a_groups_button_shows_all_of_its_images(page: Any) -> None:
    page.locator("button[data-group]").first.click()
    assert page.locator("#chosen").inner_text() == "Group 1: 30 images."
    assert page.locator("#pictures canvas").count() == 30 == page.locator("circle.chosen").count()
    page.wait_for_function("[...document.querySelectorAll('#pictures canvas')].every((one) => one.width === 32)")
    assert page.wrong == []


def test_a_frame_around_all_points_shows_all_images_and_names_stay_words(page: Any) -> None:
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#points").bounding_box()
    page.mouse.move(box["x"] + 6, box["y"] + 6)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 6, box["y"] + box["height"] - 6)
    page.mouse.up()
    assert page.locator("#chosen").inner_text() == "In the frame: 60 images."
    assert f"{HOSTILE}.png" in page.locator("#pictures").inner_text()
    assert page.locator("img[src='x']").count() == 0 and page.wrong == []


def test_the_link_of_a_picture_leads_to_its_large_view(page: Any) -> None:
    link = page.locator("#pictures a").first.get_attribute("href")
    assert link.startswith("images.html#image=train%2Fred%2F")
