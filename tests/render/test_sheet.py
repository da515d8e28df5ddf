"""Sheets of any content, and the mean maps of known maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest

from seewhy.explanation import sheets as pages
from seewhy.records import Image, MapKey, MapStat, Outcome
from seewhy.render.color import WRONG, heat
from seewhy.render.sheet import TILE, Tile, mean_map_tile, page


def solid(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> PIL.Image.Image:
    return PIL.Image.new("RGB", size, colour)


def sheet_of(tiles: list[Tile], **options: Any) -> np.ndarray:
    return np.asarray(page("title", "subtitle", tiles, heat(), ("0", "1"), **options))


@pytest.mark.parametrize("size", [(1, 1), (1000, 1), (1, 1000), (3, 2000), (64, 64)], ids=str)
def test_pictures_of_any_shape_stand_on_a_sheet(size: tuple[int, int]) -> None:
    pixels = sheet_of([Tile(solid((0, 200, 0), size), ("name", "cat 1.00", "max 1"))] * 3)
    assert (pixels == (0, 200, 0)).all(2).sum() >= 3 * min(size) / max(size) * 100


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_every_tile_is_on_the_sheet(count: int) -> None:
    # Each picture has a colour of its own; all are found, and none twice.
    colours = [(10 + 2 * number, 250 - 2 * number, 7) for number in range(count)]
    packed = sheet_of([Tile(solid(colour), ("n", "p", "m")) for colour in colours]) @ [1 << 16, 1 << 8, 1]
    found = dict(zip(*np.unique(packed, return_counts=True), strict=True))
    for red, green, blue in colours:
        assert found[(red << 16) + (green << 8) + blue] == TILE * TILE


def test_every_wrong_tile_is_framed_in_red() -> None:
    def red(*wrong: bool) -> int:
        tiles = [Tile(solid((0, 0, 0)), ("name", "cat 0.90", "max 1"), one) for one in wrong]
        return int((sheet_of(tiles) == WRONG).all(2).sum())

    one = red(True, False, False)
    assert one > 4 * TILE and red(False, False, False) == 0
    assert red(True, True, False) == 2 * one and red(False, False, True) == one


def test_an_image_without_a_result_leaves_an_empty_frame() -> None:
    pixels = sheet_of([Tile(None, ("name", "no result", "the file is empty"))])
    assert (pixels == (0, 0, 0)).all(2).sum() == 0 and (pixels < 200).all(2).sum() > 4 * TILE


def test_a_mean_map_is_coloured_on_the_scale_given() -> None:
    mean = np.array([[0, 1], [2, 4]], np.float32)
    for top, index in ((4, [[0, 63], [127, 255]]), (2, [[0, 127], [255, 255]]), (8, [[0, 31], [63, 127]])):
        picture = np.asarray(mean_map_tile(mean, top, ("a",)).picture)
        assert picture.shape == (TILE, TILE, 3)
        for (y, x), place in np.ndenumerate(index):
            np.testing.assert_array_equal(picture[y and -1, x and -1], heat()[place])


@pytest.mark.parametrize(("shape", "width"), [((4, 8), 2 * TILE), ((8, 4), TILE // 2), ((300, 1), 1)])
def test_a_mean_map_keeps_its_shape(shape: tuple[int, int], width: int) -> None:
    picture = mean_map_tile(np.zeros(shape, np.float32), 0.0, ("a",)).picture
    assert picture is not None and picture.size == (width, TILE)
    assert (np.asarray(picture) == heat()[0]).all()


# The mean maps of a run.


class Known:
    """An explanation with these maps; NaN where an image has no result."""

    def __init__(self, maps: dict[str, np.ndarray], labels: list[str | None], splits: list[str | None]) -> None:
        self.layers, self.method, self.score = tuple(maps), "hirescam", "a"
        self.keys = [MapKey("hirescam", layer, "a") for layer in maps]
        self.held = dict(zip(self.keys, maps.values(), strict=True))
        self.outcomes = [
            Outcome(Image(str(row), label=label, split=split), prediction="p")
            for row, (label, split) in enumerate(zip(labels, splits, strict=True))
        ]
        self._stats = {
            key: {
                row: MapStat(str(row), *key, 1.0, 0.0, one.max(), 0.0, 0.0, empty=bool(one.max() <= 0))
                for row, one in enumerate(held)
            }
            for key, held in self.held.items()
        }

    def chunks(self, key: MapKey) -> Any:
        maps = self.held[key]
        return ((start, maps[start : start + 2]) for start in range(0, len(maps), 2))


def panels(
    monkeypatch: pytest.MonkeyPatch, known: Known
) -> dict[tuple[str, str], tuple[np.ndarray | None, float, str]]:
    """What is drawn, by (group, layer): the mean map, the top of the scale, and the captions."""
    drawn: dict[int, tuple[np.ndarray, float]] = {}
    found: list[Tile] = []

    def tile(mean: np.ndarray, top: float, caption: tuple[str, ...]) -> Tile:
        made = Tile(solid((0, 0, 0)), caption)
        drawn[id(made)] = mean, top
        return made

    def keep(title: str, subtitle: str, tiles: list[Tile], *rest: Any, **options: Any) -> PIL.Image.Image:
        found.extend(tiles)
        return page(title, subtitle, tiles, *rest, **options)

    monkeypatch.setattr(pages, "mean_map_tile", tile)
    monkeypatch.setattr(pages, "page", keep)
    assert pages.mean_maps(known).size[0] > 100
    return {
        (one.caption[0], one.caption[1].split(",")[0]): (*drawn.get(id(one), (None, 0.0)), ", ".join(one.caption[1:]))
        for one in found
    }


def test_mean_maps_weigh_every_image_alike_and_share_a_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    spot = np.array([[1, 0], [0, 0]], np.float32)  # in multiples of an even spread: 4, 0, 0, 0
    row = np.array([[1, 1], [0, 0]], np.float32)
    maps = np.stack([spot, 1000 * row, spot - 5 * row[::-1], row, 0 * row])
    known = Known({"near": maps, "far": -maps[::-1]}, ["a", "a", "b", "b", "b"], [None] * 5)
    found = panels(monkeypatch, known)
    mean, top, words = found["a", "near"]
    np.testing.assert_allclose(mean, [[3, 1], [0, 0]])
    assert "n = 2" in words and "empty" not in words and "peak x 3.0" in words
    other, other_top, words = found["b", "near"]
    np.testing.assert_allclose(other, [[3, 1], [0, 0]])  # the negative part does not count
    assert "n = 2, 1 empty left out" in words
    assert top == other_top == pytest.approx(np.quantile(mean, 0.995))
    assert found["a", "far"][0] is None and "all 2 maps empty" in found["a", "far"][2]
    np.testing.assert_allclose(found["b", "far"][0], [[0, 0], [2, 2]])  # of one map: only the third had negative cells
    assert "n = 1, 2 empty left out" in found["b", "far"][2]


def test_mean_maps_go_by_label_and_split_else_by_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = {"conv": np.ones((4, 2, 2), np.float32)}
    found = panels(monkeypatch, Known(maps, ["a", "a", "b", None], ["train", "valid", "train", None]))
    assert set(found) == {("a, train", "conv"), ("a, valid", "conv"), ("b, train", "conv")}
    found = panels(monkeypatch, Known(maps, [None] * 4, [None] * 4))
    assert set(found) == {("predicted p", "conv")} and "n = 4" in found["predicted p", "conv"][2]


def test_mean_maps_leave_out_images_without_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.ones((3, 2, 2), np.float32)
    maps[1] = np.nan
    known = Known({"conv": maps}, ["a", "a", "b"], [None] * 3)
    known.outcomes[1] = Outcome(Image("1", label="a"), error="the file is empty")
    del known._stats[known.keys[0]][1]
    found = panels(monkeypatch, known)
    np.testing.assert_array_equal(found["a", "conv"][0], maps[0])
    assert "n = 1" in found["a", "conv"][2] and "empty" not in found["a", "conv"][2]
