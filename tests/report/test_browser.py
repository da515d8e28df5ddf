"""What a reader does in the pages, opened from disk in a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image as Picture

from tests.report.conftest import Opener
from tests.report.folders import UNREADABLE, WRONG
from tests.report.looking import TILES, choose, drawn, n_nodes, redrawn, saved, slide, tiles, until
from tests.report.names import N_IMAGES, PLAIN
from tests.report.pages import pages_of, pictures_of, table_of

COMMANDS = ("explain", "check", "audit")
WITH_PAGES = (*COMMANDS, "repair", "compare")
MANY = 10_000
MOST_NODES = 600
WIDTHS = (1280, 390)


def names(page: Any) -> list[str]:
    """The file names of the tiles."""
    return [found[0] for one in tiles(page) if (found := re.findall(r"\d\d\.png", one))]


@pytest.fixture
def images(opened: Opener, plain: dict[str, Path]) -> Any:
    """The images page of the explain run."""
    page = opened(plain["explain"] / "images.html")
    drawn(page)
    return page


@pytest.mark.parametrize("command", WITH_PAGES)
def test_every_page_can_be_read_by_everyone_light_and_dark_wide_and_narrow_and_printed(
    opened: Opener, plain: dict[str, Path], axe: Callable[[Any], list[str]], command: str
) -> None:
    wrong = []
    for path, page in opened.each(pages_of(plain[command])):
        if path.name == "images.html":
            drawn(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            wrong += [f"{path.name}, {scheme}: {one}" for one in axe(page)]
        assert page.pdf(format="A4").startswith(b"%PDF")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if (wide := page.evaluate("document.scrollingElement.scrollWidth")) > width:
                wrong.append(f"{path.name} is {wide} pixels wide in a window of {width}")
    assert wrong == []


def test_axe_finds_nothing_in_the_large_view(
    opened: Opener, plain: dict[str, Path], axe: Callable[[Any], list[str]]
) -> None:
    page = opened(plain["audit"] / "images.html")
    drawn(page)
    page.click(f"{TILES} >> nth=3")
    drawn(page, "#figures canvas")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert axe(page) == [], scheme


def test_the_button_turns_light_to_dark_and_back(opened: Opener, plain: dict[str, Path]) -> None:
    page = opened(plain["audit"] / "index.html")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("#theme")
    dark = page.evaluate(colour)
    page.click("#theme")
    assert page.evaluate(colour) == light != dark


def test_all_images_are_shown_in_the_order_of_the_table(images: Any) -> None:
    assert names(images) == [f"{row:02}.png" for row in range(N_IMAGES)]
    assert "12" in images.inner_text("#count")
    assert PLAIN.reason in tiles(images)[UNREADABLE]
    assert [row for row, text in enumerate(tiles(images)) if "wrong" in text.lower()] == list(WRONG)


def test_a_filter_leaves_what_passes_it_and_stands_in_the_address(images: Any) -> None:
    choose(images, "right", "wrong")
    assert names(images) == ["03.png", "08.png"]
    assert "2" in images.inner_text("#count")
    assert "right=wrong" in images.url
    choose(images, "label", "cat")
    assert names(images) == ["08.png"]
    images.click("#clear")
    assert len(tiles(images)) == N_IMAGES
    images.go_back()
    until(images, "document.querySelector('#label').value === 'cat'")
    assert names(images) == ["08.png"]
    images.fill("#text", "07")
    assert "No image" in images.inner_text("#empty")


def test_each_filter_selects_the_rows_that_the_table_says(images: Any, plain: dict[str, Path]) -> None:
    table = table_of(plain["explain"])
    for name in ("split", "label", "prediction"):
        for code, value in enumerate(table[name]["values"]):
            choose(images, name, value)
            assert names(images) == [f"{row:02}.png" for row in range(N_IMAGES) if table[name]["codes"][row] == code]
            choose(images, name, "")
    choose(images, "error", "any")
    assert names(images) == [f"{UNREADABLE:02}.png"]
    choose(images, "error", "")
    images.fill("#text", "/dog/")
    assert names(images) == ["02.png", "03.png", "06.png", "07.png", "10.png", "11.png"]


@pytest.mark.parametrize(("order", "sign"), [("", 1), ("-", -1)])
def test_sorting_by_probability_is_that_of_numpy(images: Any, plain: dict[str, Path], order: str, sign: int) -> None:
    shares = [sign * (1e9 * sign if one is None else one) for one in table_of(plain["explain"])["probability"]]
    choose(images, "sort", "probability")
    choose(images, "order", order)
    assert names(images) == [f"{row:02}.png" for row in np.argsort(shares, kind="stable")]
    assert f"sort={order}probability" in images.url


def test_layer_colours_opacity_and_scale_change_the_pixels_at_once(images: Any) -> None:
    before = drawn(images)
    for change in (
        lambda: choose(images, "layer", "conv4"),
        lambda: choose(images, "colours", "jet"),
        lambda: choose(images, "colours", "signed"),
        lambda: slide(images, "opacity", 30),
        lambda: choose(images, "scale", "common"),
    ):
        change()
        before = redrawn(images, before)


def test_an_address_brings_the_same_view_again(images: Any, opened: Opener, plain: dict[str, Path]) -> None:
    first = drawn(images)
    choose(images, "layer", "conv4")
    choose(images, "colours", "jet")
    choose(images, "split", "train")
    redrawn(images, first)
    state = images.url.partition("#")[2]
    page = opened(plain["explain"] / "images.html", state)
    assert np.array_equal(drawn(page), drawn(images))
    assert names(page) == names(images)


def test_the_large_view_shows_every_map_with_its_words(images: Any, plain: dict[str, Path]) -> None:
    images.click(f"{TILES} >> nth=7")
    drawn(images, "#figures canvas")
    text = " ".join(images.inner_text("#large").split())
    assert images.locator("#figures canvas").count() == 1 + 3
    for map_of in table_of(plain["explain"])["maps"]:
        assert map_of["name"] in text
    assert "no positive part" in text and "hypothesis" in text
    for index, value in pictures_of(plain["explain"])[7]["l"]:
        assert PLAIN.classes[index] in text and f"{abs(value):.3g}" in text
    images.click("#next")
    until(images, "document.querySelector('#large-title').textContent.includes('08.png')")
    images.keyboard.press("ArrowLeft")
    images.keyboard.press("ArrowLeft")
    until(images, "document.querySelector('#large-title').textContent.includes('06.png')")
    assert "06.png" in unquote(until(images, "location.hash.includes('06.png') && location.hash"))
    images.keyboard.press("Escape")
    assert not images.evaluate("document.querySelector('#large').open")
    until(images, "document.activeElement.textContent.includes('06.png')")


def test_the_keyboard_reaches_every_tile(images: Any) -> None:
    images.focus(f"{TILES} >> nth=0")
    focused = "document.activeElement.textContent.match(/\\d\\d[.]png/)[0]"
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
        images.keyboard.press(key)
        seen.append(images.evaluate(focused))
    assert seen == ["01.png", "02.png", "01.png", "11.png", "00.png"]
    assert images.locator(f"{TILES}[tabindex='0']").count() == 1
    images.keyboard.press("Enter")
    assert images.evaluate("document.querySelector('#large').open")
    images.keyboard.press("Escape")
    until(images, "!location.hash.includes('image=')")  # the page has heard of the close, and moved the focus
    images.keyboard.press("/")
    assert images.evaluate("document.activeElement.id") == "text"


def test_a_finding_leads_to_its_page_and_to_its_images(opened: Opener, plain: dict[str, Path]) -> None:
    page = opened(plain["audit"] / "index.html")
    page.click("#findings ~ .cards a:has-text('background') >> nth=0")
    until(page, "location.pathname.includes('finding-')")
    assert "background" in page.inner_text("h1")
    assert page.locator("svg").count() >= 1 and page.locator("figure img").count() >= 9
    assert page.evaluate("[...document.images].every((one) => one.loading === 'lazy' || one.naturalWidth > 0)")
    page.click("a[href^='images.html']")
    until(page, "location.pathname.endsWith('images.html')")
    drawn(page)
    table = table_of(plain["audit"])
    (finding,) = [one for one in table["findings"] if one["factor"] == "background"]
    assert [len(finding["changes"]), len(finding["flips"])] == [N_IMAGES, N_IMAGES]
    shown = names(page)
    flips = {f"{row:02}.png": share for row, share in enumerate(finding["flips"])}
    if "finding=" in page.url:
        assert set(shown) == {name for name, share in flips.items() if share}
    assert shown
    page.click(f"{TILES} >> nth=0")
    drawn(page, "#figures canvas")
    page.click("#large a[href^='finding-']:has-text('background')")
    until(page, "location.pathname.includes('finding-')")


def test_the_table_as_csv_holds_the_filtered_rows(images: Any, plain: dict[str, Path], tmp_path: Path) -> None:
    choose(images, "split", "train")
    text = saved(images, "#csv", tmp_path / "table.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    table = table_of(plain["explain"])
    assert [row[next(iter(row))] for row in rows] == [one for one in table["ids"] if one.startswith("train/")]
    shares = [one for name, one in zip(table["ids"], table["probability"], strict=True) if name.startswith("train/")]
    found = [float(row["probability"]) if row["probability"] else None for row in rows]
    assert [None if one is None else round(one, 3) for one in found] == [
        None if one is None else round(one, 3) for one in shares
    ]


def test_the_blended_picture_is_saved_as_png(images: Any, tmp_path: Path) -> None:
    choose(images, "layer", "conv4")
    images.click(f"{TILES} >> nth=0")
    drawn(images, "#figures canvas")
    until(images, "!document.querySelector('#save').disabled")
    with Picture.open(saved(images, "#save", tmp_path / "one.png")) as picture:
        assert picture.format == "PNG" and min(picture.size) >= 512
        assert abs(picture.width / picture.height - 4 / 3) < 0.01
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 100


def test_charts_and_tables_can_be_saved(opened: Opener, plain: dict[str, Path], tmp_path: Path) -> None:
    page = opened(plain["audit"] / "index.html")
    svg = saved(page, "button:has-text('Save as SVG') >> nth=0", tmp_path / "chart.svg").read_text(encoding="utf-8")
    assert svg.startswith("<svg") and "var(--" not in svg
    with Picture.open(saved(page, "button:has-text('Save as PNG') >> nth=0", tmp_path / "chart.png")) as picture:
        assert min(picture.size) > 200
    table = saved(page, "button:has-text('Save as CSV') >> nth=0", tmp_path / "table.csv").read_text(encoding="utf-8")
    assert len(list(csv.reader(io.StringIO(table)))) > 1


@pytest.fixture(scope="module")
def many(plain: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images page of the explain run with its images again and again, 10,000 in all."""
    report = tmp_path_factory.mktemp("many") / "report"
    shutil.copytree(plain["explain"], report)
    table, pictures = table_of(report), pictures_of(report)
    rows = [row % N_IMAGES for row in range(MANY)]
    for name in ("split", "label", "prediction", "error", "warning"):
        table[name]["codes"] = [table[name]["codes"][row] for row in rows]
    table |= {name: [table[name][row] for row in rows] for name in ("probability", "correct")}
    table |= {"n": MANY, "ids": [f"{number:05}.png" for number in range(MANY)]}
    (report / "data" / "table.js").write_text(f"seewhy.table({json.dumps(table)});\n")
    for number in range(-(-MANY // table["chunk"])):
        own = rows[number * table["chunk"] : (number + 1) * table["chunk"]]
        text = json.dumps([pictures[row] for row in own])
        (report / "data" / f"pictures-{number:04}.js").write_text(f"seewhy.pictures({number}, {text});\n")
    return report


def test_ten_thousand_images_hold_few_nodes_wherever_one_scrolls(opened: Opener, many: Path) -> None:
    page = opened(many / "images.html")
    drawn(page)
    assert "10,000" in page.inner_text("#count")
    most = [n_nodes(page)]
    for share in (0.25, 0.5, 1.0, 0.0):
        page.evaluate(f"scrollTo(0, {share} * document.scrollingElement.scrollHeight)")
        page.wait_for_timeout(150)
        drawn(page)
        most.append(n_nodes(page))
    assert max(most) <= MOST_NODES, most
    page.focus(f"{TILES} >> nth=0")
    page.keyboard.press("End")
    until(page, "document.activeElement.textContent.includes('09999.png')")
    choose(page, "right", "wrong")
    assert "1,666" in page.inner_text("#count") or "1,667" in page.inner_text("#count")
    assert n_nodes(page) <= MOST_NODES


def test_no_images_and_lost_files_are_said(opened: Opener, plain: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(plain["explain"], tmp_path / "none")
    table = table_of(plain["explain"])
    coded = {name: {"values": [], "codes": []} for name in ("split", "label", "prediction", "error", "warning")}
    table |= {"n": 0, "ids": [], "probability": [], "correct": [], **coded}
    (tmp_path / "none" / "data" / "table.js").write_text(f"seewhy.table({json.dumps(table)});\n")
    page = opened(tmp_path / "none" / "images.html")
    assert "no images" in page.inner_text("#empty").lower()
