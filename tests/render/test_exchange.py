"""Sheets of interventions: three pictures in a row, with their words, to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from seewhy.render.exchange import Exchange, exchange_sheet, write_pictures, write_sheet

SIDE, MARGIN, GAP = 192, 20, 14


def row_of(colours: tuple[int, int, int], lines: int = 2, size: tuple[int, int] = (32, 32)) -> Exchange:
    pictures = tuple(np.full((*size, 3), one, np.uint8) for one in colours)
    words = tuple(f"line {number}" for number in range(lines))
    return Exchange(pictures, (words, words, words))


def test_every_picture_is_on_the_sheet_in_order() -> None:
    page = np.asarray(exchange_sheet("title", "how", [row_of((10, 60, 110)), row_of((160, 200, 240))]))
    assert page.dtype == np.uint8 and page.shape[2] == 3
    for number, colours in enumerate(((10, 60, 110), (160, 200, 240))):
        for column, colour in enumerate(colours):
            left = MARGIN + column * (SIDE + GAP)
            strip = page[:, left + 5 : left + SIDE - 5]
            rows = np.flatnonzero((strip == colour).all(axis=(1, 2)))
            assert len(rows) == SIDE and rows[-1] - rows[0] == SIDE - 1, (number, column)


def test_rows_do_not_overlap_and_all_words_have_room() -> None:
    few, many = (exchange_sheet("t", "s", [row_of((0, 0, 0), lines)] * 3) for lines in (1, 6))
    assert many.height > few.height and many.width == few.width
    assert (
        exchange_sheet("t", "s", [row_of((0, 0, 0))] * 2).height
        < exchange_sheet("t", "s", [row_of((0, 0, 0))] * 3).height
    )


def test_wide_pictures_keep_their_shape() -> None:
    page = exchange_sheet("t", "s", [row_of((90, 90, 90), size=(20, 40))])
    assert page.width == 3 * (2 * SIDE + GAP) + 2 * MARGIN


def test_hostile_names_are_drawn_as_dots_and_cut() -> None:
    harmless, hostile = (
        exchange_sheet("t", "s", [Exchange(row_of((9, 9, 9)).pictures, ((word,), (word,), (word,)))])
        for word in ("a·b", "a\x1bb")
    )
    assert np.array_equal(np.asarray(harmless), np.asarray(hostile))
    long = exchange_sheet("t", "s", [Exchange(row_of((9, 9, 9)).pictures, (("x" * 500,),) * 3)])
    assert long.size == harmless.size


def test_no_rows_are_an_empty_page() -> None:
    assert exchange_sheet("t", "s", []).width > 0


def test_a_sheet_is_written_as_png_with_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        write_sheet(exchange_sheet("title", "how", [row_of((1, 2, 3))]), str(tmp_path / name))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with PIL.Image.open(tmp_path / "one.png") as image:
        assert image.format == "PNG"


def test_pictures_one_by_one_keep_every_pixel(tmp_path: Path) -> None:
    shown = tuple(np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8) for seed in range(3))
    write_pictures(Exchange(shown, ((), (), ())), tmp_path / "00", ("before", "donor", "after"))
    assert {path.name for path in tmp_path.iterdir()} == {"00-before.png", "00-donor.png", "00-after.png"}
    for pixels, name in zip(shown, ("before", "donor", "after"), strict=True):
        with PIL.Image.open(tmp_path / f"00-{name}.png") as image:
            assert image.format == "PNG" and np.array_equal(np.asarray(image), pixels)
