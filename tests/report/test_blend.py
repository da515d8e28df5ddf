"""What the pages blend is what the overlays of a run folder show."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from seewhy.geometry import Geometry, geometry_of, lay
from seewhy.maps import scale_to_draw
from seewhy.records import Preprocess
from seewhy.render.color import heat, jet, signed
from seewhy.render.overlay import OPACITY, overlay
from tests.report.conftest import Opener
from tests.report.folders import (
    CANVAS,
    CROP,
    EMPTY,
    GRIDS,
    HEIGHT,
    LETTERBOX,
    STRETCH,
    UNREADABLE,
    WIDTH,
    map_of,
    pixels_of,
)
from tests.report.looking import drawn
from tests.report.names import N_IMAGES
from tests.report.pages import pictures_of, table_of

LEVELS = 2  # grey levels that may lie between JavaScript's arithmetic and Python's
ROWS = (0, 1, 4, 11)
MAPS = {"conv2": 0, "conv4": 1}  # their places among an image's maps
BLEND = (
    "([pixels, width, height, map, look, rectangle]) => Array.from(seewhy.blend.overlay("
    "Uint8ClampedArray.from(pixels), width, height, map,"
    "{...look, colours: Uint8Array.from(look.colours)}, rectangle || undefined))"
)
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@pytest.fixture(params=["stretch", "crop", "letterbox"])
def run(request: pytest.FixtureRequest) -> tuple[Path, Geometry]:
    """A report, and how its photographs lie on the canvas."""
    kind = str(request.param)
    how = {"stretch": STRETCH, "crop": CROP, "letterbox": LETTERBOX}[kind]
    report: Path = request.getfixturevalue("fitted")[kind]
    return report, geometry_of((HEIGHT, WIDTH), Preprocess(size=CANVAS, **how))


@pytest.fixture(scope="module")
def still(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """Gives a report's page of images, opened once: these tests compute in it, and change nothing."""
    opener, pages = Opener(browser), dict[Path, Any]()

    def page_of(report: Path) -> Any:
        if report not in pages:
            pages[report] = opener(report / "images.html")
        return pages[report]

    yield page_of
    for context in opener.contexts:
        context.close()
    assert opener.wrong == []


def stored_values(entry: dict[str, Any], is_signed: bool = False) -> Floats:
    """The map as it is stored: steps of the values that get the full colour; what is against it where it is asked."""
    low, high = entry.get("p", (entry["lo"], entry["hi"]))
    nothing = base64.b64encode(bytes(math.prod(entry["g"])))
    steps, against = (
        np.frombuffer(base64.b64decode(text), np.int8).reshape(entry["g"]).astype(np.float32)
        for text in (entry["d"], entry.get("n", nothing) if is_signed else nothing)
    )
    values = np.where(steps > 0, steps / 127 * high, steps / 127 * abs(low)) - against / 127 * abs(low)
    return values.astype(np.float32)


def blended(page: Any, picture: Pixels, entry: dict[str, Any], one: dict[str, Any], **look: Any) -> Pixels:
    """What the page makes of a photograph and a map."""
    height, width = picture.shape[:2]
    rgba = np.dstack([picture, np.full((height, width), 255, np.uint8)])
    asked = {
        "isSigned": False,
        "opacity": OPACITY,
        "peak": None,
        **look,
        "colours": look["colours"].reshape(-1).tolist(),
    }
    found = page.evaluate(BLEND, [rgba.reshape(-1).tolist(), width, height, entry, asked, one.get("r")])
    pixels = np.array(found, np.uint8).reshape(height, width, 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


def laid(values: Floats, geometry: Geometry, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Floats:
    """Values of a grid on the photograph, of that size."""
    return np.asarray(lay(torch.from_numpy(np.ascontiguousarray(values))[None], geometry, size)[0].numpy())


def shown_by_python(picture: Pixels, values: Floats, geometry: Geometry) -> Pixels:
    return overlay(picture, laid(values.clip(min=0) / values.max(), geometry, picture.shape[:2]).clip(0, 1))


def apart(one: Pixels, other: Pixels) -> int:
    """The most grey levels between two pictures."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("layer", MAPS)
def test_a_stored_map_is_blended_as_the_overlay_is(
    still: Callable[[Path], Any], run: tuple[Path, Geometry], layer: str
) -> None:
    report, geometry = run
    page = still(report)
    for row in ROWS:
        one = pictures_of(report)[row]
        entry = one["m"][MAPS[layer]]
        want = shown_by_python(pixels_of(row), stored_values(entry), geometry)
        assert apart(want, pixels_of(row)) > 50  # there is something to be seen
        assert apart(blended(page, pixels_of(row), entry, one, colours=heat()), want) <= LEVELS


@pytest.mark.parametrize("layer", MAPS)
def test_storing_in_steps_moves_no_colour_by_more_than_a_step(
    still: Callable[[Path], Any], run: tuple[Path, Geometry], layer: str
) -> None:
    report, geometry = run
    page = still(report)
    for row in ROWS:
        one = pictures_of(report)[row]
        scaled = scale_to_draw(torch.from_numpy(map_of(row, GRIDS[MAPS[layer]]))[None])[0].numpy()
        want = overlay(pixels_of(row), laid(scaled, geometry).clip(0, 1))
        assert apart(blended(page, pixels_of(row), one["m"][MAPS[layer]], one, colours=heat()), want) <= 3 * LEVELS


def test_a_larger_map_is_made_smaller_without_moving(run: tuple[Path, Geometry]) -> None:
    report, geometry = run
    for row in ROWS:
        entry = pictures_of(report)[row]["m"][MAPS["conv2"]]
        rows, columns = entry["g"]
        assert rows == columns < 48
        full = laid(map_of(row, (48, 48)).clip(0, entry["p"][1]), geometry)
        small = laid(stored_values(entry).clip(min=0), geometry)
        assert np.abs(full - small).max() < 0.15 * full.max()
        places = [
            np.average(np.indices(one.shape).reshape(2, -1), axis=1, weights=one.reshape(-1)) for one in (full, small)
        ]
        assert np.abs(places[0] - places[1]).max() < 0.35  # of a pixel, the centre of mass


def test_a_common_scale_divides_by_the_same_peak(still: Callable[[Path], Any], run: tuple[Path, Geometry]) -> None:
    report, geometry = run
    page = still(report)
    one = pictures_of(report)[0]
    entry = one["m"][MAPS["conv4"]]
    peak = 2.5 * entry["hi"]
    mask = laid(stored_values(entry).clip(min=0) / np.float32(peak), geometry).clip(0, 1)
    found = blended(page, pixels_of(0), entry, one, colours=heat(), peak=peak)
    assert apart(found, overlay(pixels_of(0), mask)) <= LEVELS


@pytest.mark.parametrize("layer", MAPS)
@pytest.mark.parametrize("opacity", [0.0, 0.4, 1.0])
def test_jet_and_signed_colours_follow_the_formula(
    still: Callable[[Path], Any], run: tuple[Path, Geometry], opacity: float, layer: str
) -> None:
    report, geometry = run
    page = still(report)
    one = pictures_of(report)[1]
    entry = one["m"][MAPS[layer]]
    low, high = entry.get("p", (entry["lo"], entry["hi"]))
    for table, is_signed in ((jet(), False), (signed(), True)):
        values = stored_values(entry, is_signed)
        peak = max(high, -low) if is_signed else high
        value = (laid(values if is_signed else values.clip(min=0), geometry) / peak).clip(-1, 1)
        level = np.rint(np.abs(value) * 255)
        index = np.rint(128 + 127 * value).astype(int) if is_signed else level.astype(int)
        alpha = (np.rint((level / 255) ** 0.8 * opacity * 255) / 255)[..., None]
        want = np.rint(pixels_of(1) * (1 - alpha) + table[index] * alpha).astype(np.uint8)
        found = blended(page, pixels_of(1), entry, one, colours=table, isSigned=is_signed, opacity=opacity)
        assert apart(found, want) <= 2 * LEVELS


def test_an_empty_map_and_none_leave_the_photograph(still: Callable[[Path], Any], fitted: dict[str, Path]) -> None:
    report = fitted["stretch"]
    page = still(report)
    one = pictures_of(report)[EMPTY]
    assert one["m"][MAPS["conv4"]]["e"] == "no positive part"
    for entry in (one["m"][MAPS["conv4"]], None):
        assert apart(blended(page, pixels_of(EMPTY), entry, one, colours=heat()), pixels_of(EMPTY)) == 0


def test_nothing_is_drawn_off_the_canvas(still: Callable[[Path], Any], fitted: dict[str, Path]) -> None:
    page = still(fitted["crop"])
    one = pictures_of(fitted["crop"])[0]
    x, y, width, height = one["r"]
    assert 0 < x < 0.5 and 0 < y < 0.5 and x + width < 1 and y + height < 1  # CROP shows 80 % of the shorter side
    full = {"g": [1, 1], "d": base64.b64encode(bytes([127])).decode(), "lo": 0, "hi": 1, "s": 1}
    changed = (blended(page, pixels_of(0), full, one, colours=heat()) != pixels_of(0)).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert abs(rows[0] - y * HEIGHT) <= 1 and abs(rows[-1] + 1 - (y + height) * HEIGHT) <= 1
    assert abs(columns[0] - x * WIDTH) <= 1 and abs(columns[-1] + 1 - (x + width) * WIDTH) <= 1
    assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_tiles_show_the_thumbnail_under_its_map(opened: Opener, run: tuple[Path, Geometry]) -> None:
    report, geometry = run
    page = opened(report / "images.html", urlencode({"map": table_of(report)["maps"][MAPS["conv4"]]["name"]}))
    one = pictures_of(report)[0]
    data = base64.b64decode(one["t"].partition(",")[2])
    thumbnail = np.asarray(Picture.open(io.BytesIO(data)).convert("RGB"))
    assert apart(thumbnail, pixels_of(0)) < 90  # JPEG, and sharp edges
    shown = drawn(page)[..., :3]
    assert shown.shape == thumbnail.shape
    want = shown_by_python(thumbnail, stored_values(one["m"][MAPS["conv4"]]), geometry)
    assert apart(shown, want) <= 2 * LEVELS  # the browser's own JPEG decoder has its part in it


def test_what_cannot_be_read_has_neither_picture_nor_map(fitted: dict[str, Path]) -> None:
    pictures = pictures_of(fitted["stretch"])
    assert len(pictures) == N_IMAGES
    assert pictures[UNREADABLE]["t"] is None
    assert pictures[UNREADABLE]["m"] == [None] * 3
