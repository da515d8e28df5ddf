"""What a reader does with the widget, in a real browser; the model is a plain one that keeps what is set."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seewhy.geometry import geometry_of, lay
from seewhy.integrations.widget import _subject_of
from seewhy.records import Preprocess
from seewhy.render.color import heat
from seewhy.render.overlay import overlay
from tests.integrations.test_widget import map_in, picture_in, states
from tests.report.conftest import Opener
from tests.report.folders import CANVAS, EMPTY, HEIGHT, STRETCH, UNREADABLE, WIDTH, explain_folder
from tests.report.looking import chromium, drawn, redrawn, until
from tests.report.names import HOSTILE, N_IMAGES, PLAIN

pytest.importorskip("anywidget", reason='the widget needs anywidget: pip install "seewhy[widget]"')
images_widget = pytest.importorskip("seewhy.integrations.images_widget")
CONV2, CONV4 = "hirescam/conv2", "hirescam/conv4"
LEVELS = 4  # grey levels that may lie between the browser's arithmetic, with its own JPEG decoder, and ours
BEGIN = """async ([code, css, state, bytes]) => {
  const { default: widget } = await import(`data:text/javascript;charset=utf-8;base64,${code}`);
  const [listeners, saved] = [{}, []];
  const view = (text) => new DataView(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);
  for (const name of bytes) state[name] = view(state[name]);
  const model = {
    state, saved, get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      for (const work of listeners[`change:${name}`] ?? []) work();
    },
    save_changes() { saved.push(1); },
    on(name, work) { (listeners[name] ??= []).push(work); },
    off(name, work) { listeners[name] = listeners[name].filter((one) => one !== work); },
    n: () => Object.values(listeners).flat().length,
  };
  document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  window.model = model;
  window.leave = widget.render({ model, el: document.querySelector("main") });
}"""
ROWS = "[...document.querySelectorAll('.seewhy-tile')].map((one) => Number(one.dataset.row))"
TILE = ".seewhy-tile[data-row='{}'] canvas"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    opener = Opener(browser)
    yield opener
    for context in opener.contexts:
        context.close()
    assert opener.wrong == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explain_folder(tmp_path_factory.mktemp("page") / "run", PLAIN)


@pytest.fixture
def widget(run: Path) -> Any:
    return images_widget.ImagesWidget(_subject_of(run), 200)


@pytest.fixture
def page(opened: Opener, widget: Any, tmp_path: Path) -> Any:
    return begun(opened, widget, tmp_path)


def begun(opened: Opener, widget: Any, home: Path, **more: Any) -> Any:
    """A page with nothing in it but the widget."""
    (home / "page.html").write_text("<!doctype html><html lang='en'><title>A notebook</title><main></main>")
    page = opened(home / "page.html", **more)
    names = ("pictures", "maps", "tables")
    every = ("text", "split", "label", "prediction", "right", "sort", "map", "colours", "scale", "opacity", "row")
    state = {name: getattr(widget, name) for name in ("table", *every)}
    state |= {name: base64.b64encode(getattr(widget, name)).decode() for name in names}
    code = base64.b64encode(images_widget.ImagesWidget._esm.encode()).decode()
    css = str(images_widget.ImagesWidget._css)
    page.evaluate(BEGIN, [code, css, json.loads(json.dumps(state)), list(names)])
    return page


def put(page: Any, **state: Any) -> None:
    for name, value in state.items():
        page.evaluate("([name, value]) => model.set(name, value)", [name, value])


def test_the_page_shows_the_rows_that_python_says_in_that_order(page: Any, widget: Any) -> None:
    for state in states():
        put(page, **state)
        widget.set_state(state)
        assert page.evaluate(ROWS) == widget.rows, state
        assert f"{len(widget.rows)} of 12 images" in page.inner_text(".seewhy-count")
        assert page.is_visible(".seewhy-empty") == (not widget.rows)


def test_hands_change_the_model_and_the_kernel_is_told(page: Any) -> None:
    page.select_option("[name=label]", "dog")
    page.select_option("[name=sort]", "-probability")
    page.fill("[name=text]", "1")
    page.locator("[name=opacity]").fill("0.3")
    state = page.evaluate("({label: model.state.label, sort: model.state.sort, text: model.state.text})")
    assert state == {"label": "dog", "sort": "-probability", "text": "1"}
    assert page.evaluate("model.state.opacity") == 0.3
    until(page, "model.saved.length > 0")


def test_the_kernel_changes_what_hands_see(page: Any) -> None:
    put(page, label="cat", opacity=0.2, map=CONV4)
    assert page.input_value("[name=label]") == "cat"
    until(page, "document.querySelector('[name=opacity]').value === '0.2'")
    until(page, "document.querySelector('[name=map]').value === 'hirescam/conv4'")


def test_each_tile_shows_its_own_photograph_under_its_own_map(page: Any, widget: Any) -> None:
    held = type("Held", (), {"table": widget.table, "pictures": widget.pictures, "maps": widget.maps})
    geometry = geometry_of((HEIGHT, WIDTH), Preprocess(size=CANVAS, **STRETCH))
    put(page, map=CONV4, sort="-name")
    names = [one["name"] for one in widget.table["maps"]]
    for row in (0, 3, 4, 11):
        page.locator(TILE.format(row)).scroll_into_view_if_needed()
        until(page, f"document.querySelector(\".seewhy-tile[data-row='{row}']\").dataset.drawn")
        photograph, values = picture_in(held, row), map_in(held, row, names.index(CONV4))
        assert photograph is not None and values is not None
        speaking = torch.from_numpy(values.clip(min=0).astype(np.float32))[None]
        laid = lay(speaking, geometry, (HEIGHT, WIDTH))[0].numpy()
        want = overlay(photograph, (laid / values.max()).clip(0, 1))
        assert np.abs(want.astype(int) - photograph).max() > 50  # there is something to be seen
        until(page, "new Promise((done) => requestAnimationFrame(() => done(1)))")
        found = drawn(page, TILE.format(row))[..., :3]
        assert np.abs(found.astype(int) - want).max() <= 2 * LEVELS


def test_map_colours_scale_and_opacity_change_the_pixels(page: Any) -> None:
    first = TILE.format(0)
    until(page, "document.querySelector('[data-drawn]')")
    before = drawn(page, first)
    for state in ({"map": CONV4}, {"colours": "jet"}, {"colours": "signed"}, {"opacity": 0.3}, {"scale": "common"}):
        put(page, **state)
        before = redrawn(page, before, first)
    put(page, opacity=0.0)
    plain = redrawn(page, before, first)
    put(page, map=CONV2)
    page.wait_for_timeout(100)
    assert np.array_equal(drawn(page, first), plain)  # nothing of a map is left


def test_the_colours_are_those_of_the_report(page: Any, widget: Any) -> None:
    assert widget.tables[: 256 * 3] == heat().tobytes()
    shown = drawn(page, ".seewhy-legend canvas")
    assert np.array_equal(shown[0, :, :3], heat())


def test_an_image_opens_large_with_all_of_its_maps_and_neighbours(page: Any, widget: Any) -> None:
    page.select_option("[name=label]", "dog")
    rows = page.evaluate(ROWS)
    page.click(f".seewhy-tile[data-row='{rows[1]}'] button")
    assert page.evaluate("model.state.row") == rows[1]
    assert page.inner_text(".seewhy-large h3") == PLAIN.ids[rows[1]]
    assert page.locator(".seewhy-figures figure").count() == 4  # the picture and three maps
    until(page, f"document.querySelector('.seewhy-large').dataset.drawn === '{rows[1]}'")
    assert min(drawn(page, ".seewhy-figures canvas").shape[:2]) >= 360
    page.click("text=Next")
    assert page.inner_text(".seewhy-large h3") == PLAIN.ids[rows[2]]
    page.click("text=Previous")
    page.click("text=Previous")
    assert page.evaluate("model.state.row") == rows[0] and page.is_disabled("text=Previous")
    page.click("text=Close")
    assert page.evaluate("model.state.row") is None and not page.is_visible(".seewhy-large")


def test_what_has_no_map_says_so(page: Any) -> None:
    unreadable = page.inner_text(f".seewhy-tile[data-row='{UNREADABLE}']")
    assert PLAIN.reason in unreadable and "no result" in unreadable
    put(page, row=EMPTY)
    assert "nothing drawn: no positive part" in page.inner_text(".seewhy-figures")


def test_every_name_is_text(opened: Opener, tmp_path: Path) -> None:
    hostile = images_widget.ImagesWidget(_subject_of(explain_folder(tmp_path / "run", HOSTILE)), 200)
    page = begun(opened, hostile, tmp_path)
    until(page, "document.querySelector('[data-drawn]')")
    for row in range(N_IMAGES):
        put(page, row=row)
        assert page.locator(".seewhy-large h3").text_content() == hostile.table["ids"][row]
    for place, name in enumerate(hostile.table["choices"]["label"]):
        put(page, row=None, label=name)
        assert page.evaluate(ROWS) == [n for n in range(N_IMAGES) if hostile.table["label"][n] == name], place
    assert page.evaluate("document.querySelectorAll('main :is(img, script, a, iframe)').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(opened: Opener, widget: Any, tmp_path: Path, scheme: str) -> None:
    checker = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = begun(opened, widget, tmp_path, scheme=scheme)
    page.add_style_tag(content=":root { color-scheme: light dark; }")
    put(page, row=0)
    until(page, "document.querySelector('.seewhy-large').dataset.drawn")
    asked = {"resultTypes": ["violations"], "preload": False, "rules": {"page-has-heading-one": {"enabled": False}}}
    found = checker.run(page, context=".seewhy-widget", options=asked).response["violations"]
    assert [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]] == []


def test_a_page_that_is_left_listens_no_more(page: Any) -> None:
    assert page.evaluate("model.n()") > 5
    page.evaluate("leave()")
    assert page.evaluate("model.n()") == 0


def test_a_run_without_maps_shows_its_pictures(opened: Opener, run: Path, tmp_path: Path) -> None:
    subject = _subject_of(run)
    bare: Callable[..., Any] = type(subject)
    plain = bare(**{**vars(subject), "keys": ()})
    page = begun(opened, images_widget.ImagesWidget(plain, 200), tmp_path)
    assert len(page.evaluate(ROWS)) == N_IMAGES and page.locator("[name=map]").count() == 0
