"""The notebook's widget holds the right picture and map for every row, and its state says which rows are shown."""

from __future__ import annotations

import base64
import io
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import seewhy
from seewhy.errors import OptionError, StoreError
from seewhy.integrations.widget import InlineSheet
from seewhy.integrations.widget_data import SIDE, Sent, held_of, of_explanation, of_folder, shown
from seewhy.maps import drawn_values
from seewhy.report.stored import read_run
from seewhy.store.arrays import read_maps
from tests.models import FourConv, seeded
from tests.report.folders import EMPTY, UNREADABLE, explain_folder, pixels_of
from tests.report.names import N_IMAGES, PLAIN

STATE = dict.fromkeys(("text", "split", "label", "prediction", "right", "sort"), "")
N = 7


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of twelve photographs, one of them unreadable."""
    return explain_folder(tmp_path_factory.mktemp("widget") / "run", PLAIN)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven photographs of two classes, each of one colour of its own, with one that cannot be read."""
    home = tmp_path_factory.mktemp("photos")
    for number in range(N):
        path = home / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(colour_of(number)).save(path)
    (home / "cat" / "bad.png").write_text("no picture")
    return home


def colour_of(number: int) -> np.ndarray[Any, Any]:
    pixels = np.full((32, 32, 3), 35 * number, np.uint8)
    pixels[8:24, 4 * number : 4 * number + 4] = (255, 40, 40)
    return pixels


@pytest.fixture(scope="module")
def explanation(photos: Path) -> seewhy.Explanation:
    classifier = seewhy.load(seeded(FourConv()), classes=["cat", "dog"], size=(32, 32))
    return seewhy.explain(classifier, photos, layers=["conv1", "conv2"], progress=False)


def picture_in(held: Sent, place: int) -> np.ndarray[Any, Any] | None:
    where = held.table["entries"][place]["t"]
    if where is None:
        return None
    with PIL.Image.open(io.BytesIO(held.pictures[slice(*where)])) as picture:
        return np.asarray(picture.convert("RGB"))


def map_in(held: Sent, place: int, which: int) -> np.ndarray[Any, Any] | None:
    """The stored map in its own units: what is for the score, less what is against it."""
    entry = held.table["entries"][place]["m"][which]
    if entry is None:
        return None
    low, high = entry.get("p", (entry["lo"], entry["hi"]))
    steps = np.frombuffer(held.maps[slice(*entry["d"])], np.int8).reshape(entry["g"]).astype(float)
    values = np.where(steps > 0, steps / 127 * high, steps / 127 * abs(low))
    against = np.frombuffer(held.maps[slice(*entry["n"])], np.int8).reshape(entry["g"]) if "n" in entry else 0
    return values - against / 127 * abs(low)


def test_every_row_of_a_folder_has_its_own_picture_and_map(run: Path) -> None:
    held = held_of(of_folder(read_run(run)), 200)
    assert held.table["ids"] == list(PLAIN.ids) and held.table["rows"] == list(range(N_IMAGES))
    for row in range(N_IMAGES):
        picture = picture_in(held, row)
        if row == UNREADABLE:
            assert picture is None and held.table["error"][row] == PLAIN.reason
            assert held.table["entries"][row]["m"] == [None] * 3
            continue
        assert picture is not None and picture.shape == (30, 40, 3)
        apart = [np.abs(picture.astype(int) - pixels_of(other)).mean() for other in range(N_IMAGES)]
        assert int(np.argmin(apart)) == row and apart[row] < 6  # JPEG
        entry = held.table["entries"][row]["m"][1]
        assert ("e" in entry) == (row == EMPTY)


def test_maps_are_those_of_the_store_to_half_a_step(run: Path) -> None:
    stored = read_run(run)
    held = held_of(of_folder(stored), 200)
    raw = torch.from_numpy(read_maps(run, stored.keys[1])).nan_to_num()  # 5 x 4 cells
    (speaking, _), (against, _) = drawn_values(raw), drawn_values(-raw)
    for row in range(N_IMAGES):
        if (values := map_in(held, row, 1)) is not None:
            step = max(float(raw[row].abs().max()) / 127, 1e-9)
            assert np.abs(values - (speaking - against)[row].numpy()).max() <= 1.1 * step  # half of each side's


def test_a_result_in_memory_and_its_folder_give_the_same_data(explanation: seewhy.Explanation, tmp_path: Path) -> None:
    in_memory = held_of(of_explanation(explanation), 200)
    assert in_memory.table["error"].count(None) == N
    for place, number in enumerate(n for n in (*[0, 2, 4, 6], None, *[1, 3, 5])):
        picture = picture_in(in_memory, place)
        if number is None:
            assert picture is None
            continue
        assert picture is not None and np.abs(picture.astype(int) - colour_of(number)).mean() < 12
    explanation.save(tmp_path / "run")
    of_run = held_of(of_folder(read_run(tmp_path / "run")), 200)
    assert of_run.table == in_memory.table
    assert (of_run.pictures, of_run.maps, of_run.colours) == (in_memory.pictures, in_memory.maps, in_memory.colours)
    explanation.folder = None  # as it was


def test_images_that_are_no_files_have_pictures_too() -> None:
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    held = held_of(of_explanation(seewhy.explain(seeded(FourConv()), images, progress=False)), 200)
    for place in range(3):
        picture = picture_in(held, place)
        assert picture is not None
        apart = [np.abs(picture - (one.permute(1, 2, 0).numpy() * 255)).mean() for one in images]
        assert int(np.argmin(apart)) == place


def test_large_photographs_are_made_small(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.zeros((300, 600, 3), np.uint8)).save(tmp_path / "a.png")
    classifier = seewhy.load(seeded(FourConv()), size=(32, 32))
    held = held_of(of_explanation(seewhy.explain(classifier, tmp_path / "a.png", progress=False)), 200)
    picture = picture_in(held, 0)
    assert picture is not None and picture.shape == (SIDE // 2, SIDE, 3)


def test_a_file_that_was_exchanged_since_is_not_shown(tmp_path: Path) -> None:
    PIL.Image.fromarray(colour_of(1)).save(tmp_path / "a.png")
    classifier = seewhy.load(seeded(FourConv()), size=(32, 32))
    explanation = seewhy.explain(classifier, tmp_path / "a.png", progress=False)
    PIL.Image.fromarray(colour_of(5)).save(tmp_path / "a.png")
    assert picture_in(held_of(of_explanation(explanation), 200), 0) is None


@pytest.mark.parametrize(
    ("most", "rows"), [(12, list(range(12))), (5, [0, 3, 6, 8, 11]), (1, [0]), (500, list(range(12)))]
)
def test_images_are_evenly_chosen_and_it_is_said(run: Path, most: int, rows: list[int]) -> None:
    held = held_of(of_folder(read_run(run)), most)
    step = [round(place * 11 / max(1, min(most, 12) - 1)) for place in range(min(most, 12))]
    assert held.table["rows"] == step and len(step) == len(rows)
    assert held.table["ids"] == [PLAIN.ids[row] for row in step]
    assert (f"{most} of 12 images, evenly chosen" in held.table["said"]) == (most < 12)


def by_hand(table: dict[str, Any], state: dict[str, str]) -> list[int]:
    """The places by numpy: masks, and a stable sort."""
    keep = np.ones(len(table["ids"]), bool)
    for name in ("split", "label", "prediction"):
        if state[name]:
            keep &= np.array([value == state[name] for value in table[name]])
    if state["right"]:
        keep &= np.array(table["correct"]) == {"right": 1, "wrong": 0, "unknown": -1}[state["right"]]
    keep &= np.array([state["text"].lower() in name.lower() for name in table["ids"]])
    places, name = np.flatnonzero(keep), state["sort"].lstrip("-")
    down = state["sort"].startswith("-")
    if not name:
        return [int(place) for place in (places[::-1] if down else places)]
    column = table["ranks"] if name == "name" else table[name]
    values = np.array([np.nan if column[p] is None else column[p] for p in places], float)
    return [int(place) for place in places[np.argsort(-values if down else values, kind="stable")]]


def states() -> list[dict[str, str]]:
    parts = {
        "text": ("", "0", "/DOG/"),
        "label": ("", "cat"),
        "right": ("", "right", "wrong", "unknown"),
        "sort": ("", "-", "name", "-name", "probability", "-probability"),
    }
    return [{**STATE, **dict(zip(parts, one, strict=True))} for one in itertools.product(*parts.values())]


def test_filters_and_orders_are_those_of_numpy(run: Path) -> None:
    table = held_of(of_folder(read_run(run)), 200).table
    found = {tuple(shown(table, state)) for state in states() if shown(table, state) == by_hand(table, state)}
    assert all(shown(table, state) == by_hand(table, state) for state in states())
    assert len(found) > 30  # they are not all the same


def test_names_are_ordered_by_their_numbers() -> None:
    images = [PIL.Image.fromarray(colour_of(n % N)) for n in range(12)]
    table = held_of(of_explanation(seewhy.explain(seeded(FourConv()), images, progress=False)), 200).table
    table = {**table, "ids": [f"a{n}.png" for n in range(12)]}
    assert table["ranks"] == list(range(12))


def test_without_the_package_there_is_the_sheet_and_the_line_to_type(
    explanation: seewhy.Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    page = seewhy.widget(explanation)
    assert isinstance(page, InlineSheet) and 'pip install "seewhy[widget]"' in repr(page)
    html = page._repr_html_()
    assert "seewhy[widget]" in html
    data = base64.b64decode(html.partition("base64,")[2].partition('"')[0])
    with PIL.Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "JPEG" and picture.width > 300


@pytest.mark.parametrize("most", [0, -1, 1001])
def test_a_number_that_no_page_holds_is_refused(explanation: seewhy.Explanation, most: int) -> None:
    with pytest.raises(OptionError, match=rf"most is {most}, but must be 1 to 1,000"):
        seewhy.widget(explanation, most=most)


def test_what_cannot_be_shown_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="this is Linear, in no folder"):
        seewhy.widget(nn.Linear(2, 2))
    with pytest.raises(StoreError, match="There is no run folder"):
        seewhy.widget(tmp_path / "nothing")


# With anywidget


@pytest.fixture
def page(explanation: seewhy.Explanation) -> Any:
    pytest.importorskip("anywidget", reason='the widget needs anywidget: pip install "seewhy[widget]"')
    return seewhy.widget(explanation)


def test_the_state_says_which_rows_are_shown(page: Any, explanation: seewhy.Explanation) -> None:
    assert page.rows == list(range(N + 1))
    page.label = "dog"
    assert [explanation[row].label for row in page.rows] == ["dog"] * 3
    page.sort = "-probability"
    shares = [explanation[row].probability for row in page.rows]
    assert shares == sorted(shares, reverse=True)
    page.text = "3"
    assert [explanation[row].outcome.image.id for row in page.rows] == ["dog/3.png"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("label", "dig", r"label is 'dig', but must be one of: cat, dog\. Nearest: dog"),
        ("map", "conv3", "map is 'conv3', but must be one of: conv1, conv2"),
        ("sort", "size", "sort is 'size', but must be one of: -, name, -name, probability, -probability"),
        ("colours", "viridis", "colours is 'viridis', but must be one of: heat, jet, signed"),
        ("row", 99, "row is 99, but must be one of: 0, 1"),
    ],
)
def test_a_value_that_the_page_has_not_is_refused(page: Any, name: str, value: Any, said: str) -> None:
    before = getattr(page, name)
    with pytest.raises(OptionError, match=said):
        setattr(page, name, value)
    assert getattr(page, name) == before


def test_pictures_and_maps_are_sent_once(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = page.get_state()
    assert all(len(state[name]) > 100 for name in ("pictures", "maps", "tables"))
    sent: list[set[str]] = []
    monkeypatch.setattr(
        type(page), "send_state", lambda self, key=None: sent.append(set([key] if isinstance(key, str) else key))
    )
    page.opacity, page.label, page.row = 0.3, "cat", 0
    assert len(sent) >= 3 and all(not keys & {"table", "pictures", "maps", "tables"} for keys in sent)


def test_what_cannot_show_widgets_gets_the_sheet(page: Any) -> None:
    bundle = page._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == page.model_id
    with PIL.Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"]))) as picture:
        assert picture.format == "JPEG"


def test_a_run_folder_opened_again_is_a_page(run: Path) -> None:
    pytest.importorskip("anywidget", reason='the widget needs anywidget: pip install "seewhy[widget]"')
    page = seewhy.widget(run, most=6)
    assert page.rows == [0, 2, 4, 7, 9, 11] and "6 of 12 images" in repr(page)
