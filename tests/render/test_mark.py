"""Marks that are laid over pictures: their place, size and opacity, and their shuffled counterparts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from seewhy.errors import DataError, OptionError
from seewhy.render.mark import PLACES, against_of, find_mark


def logo(path: Path, size: tuple[int, int] = (60, 30), alpha: int = 255) -> Path:
    """Red on the left, blue on the right."""
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[:, : size[0] // 2, 0], pixels[:, size[0] // 2 :, 2], pixels[..., 3] = 255, 255, alpha
    PIL.Image.fromarray(pixels).save(path)
    return path


def box_of(mark: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(mark[3].any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (224, 224)])
@pytest.mark.parametrize("place", PLACES)
def test_a_mark_lies_at_its_place(tmp_path: Path, size: tuple[int, int], place: str) -> None:
    words, mark, neutral = find_mark(f"{logo(tmp_path / 'logo.png')}@{place}", size)
    assert mark.shape == neutral.shape == (4, *size) and mark.dtype == np.float32
    assert mark.min() >= 0 and mark.max() <= 1 and place in words
    top, bottom, left, right = box_of(mark)
    assert right - left == round(0.4 * size[1]) and abs((bottom - top) - (right - left) / 2) <= 1
    margin = round(min(size) * 0.02)
    if place == "centre":
        assert abs(top + bottom - size[0]) <= 1 and abs(left + right - size[1]) <= 1
    else:
        assert top == margin if "top" in place else bottom == size[0] - margin
        assert left == margin if "left" in place else right == size[1] - margin


def test_the_colours_are_those_of_the_picture(tmp_path: Path) -> None:
    _, mark, _ = find_mark(f"{logo(tmp_path / 'logo.png', alpha=128)}@top-left", (100, 100))
    top, bottom, left, right = box_of(mark)
    assert mark[3, top:bottom, left:right] == pytest.approx(128 / 255, abs=1e-6)
    quarter = (right - left) // 4
    assert mark[0, top + 2, left + quarter] == pytest.approx(1, abs=0.02) and mark[2, top + 2, left + quarter] < 0.02
    assert mark[2, top + 2, right - quarter] == pytest.approx(1, abs=0.02)
    outside = mark[3] == 0
    assert not mark[:, outside].any()


@pytest.mark.parametrize("spec", ["text:SAMPLE", "text:A@centre", "text:two words@top-left"])
def test_the_neutral_mark_has_the_same_pixels_in_another_order(spec: str) -> None:
    _, mark, neutral = find_mark(spec, (96, 96))
    one, other = (
        np.sort(np.ascontiguousarray(each.reshape(4, -1).T).view("f4,f4,f4,f4").ravel()) for each in (mark, neutral)
    )
    assert np.array_equal(one, other)  # pixels with their opacity, each once
    assert not np.array_equal(mark, neutral)


def test_neutral_marks_stay_where_the_mark_is(tmp_path: Path) -> None:
    _, mark, neutral = find_mark(f"{logo(tmp_path / 'logo.png')}@centre", (64, 64))
    assert box_of(mark) == box_of(neutral)


def test_text_is_white_and_lies_at_the_bottom_right_by_default() -> None:
    words, mark, _ = find_mark("text:SAMPLE", (128, 128))
    assert "bottom-right" in words and 0.7 < mark[3].max() < 0.85  # letters ring a little
    seen = mark[3] > 0.5
    assert seen.any() and mark[:3, seen].min() > 0.95
    assert not mark[3, :64].any() and not mark[3, :, :64].any()


def test_the_same_words_give_the_same_mark() -> None:
    assert all(
        np.array_equal(a, b)
        for a, b in zip(find_mark("text:X", (64, 64))[1:], find_mark("text:X", (64, 64))[1:], strict=True)
    )


def test_a_path_may_hold_an_at_sign(tmp_path: Path) -> None:
    home = tmp_path / "me@home"
    home.mkdir()
    _, mark, _ = find_mark(f"{logo(home / 'logo.png')}@centre", (64, 64))
    assert mark[3].any()


def test_a_path_with_an_at_sign_needs_no_place(tmp_path: Path) -> None:
    home = tmp_path / "me@home"
    home.mkdir()
    assert find_mark(str(logo(home / "logo.png")), (64, 64))[1][3].any()


@pytest.mark.parametrize("size", [(8, 8), (4, 64), (64, 4)])
def test_a_mark_fits_into_small_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    _, mark, neutral = find_mark(f"{logo(tmp_path / 'logo.png', (30, 90))}@top-right", size)
    assert mark.shape == neutral.shape == (4, *size) and mark[3].any()


def test_what_is_no_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    for spec, error, said in (
        ("text:A@midle", OptionError, "midle"),
        ("text: ", OptionError, "letters"),
        (str(tmp_path / "gone.png"), DataError, "gone.png"),
        (str(tmp_path / "bad.png"), DataError, "cannot be read"),
    ):
        with pytest.raises(error, match=said):
            find_mark(spec, (64, 64))


def letters(path: Path, size: tuple[int, int] = (224, 224), box: tuple[int, int, int, int] = (90, 130, 4, 220)) -> Path:
    """A transparent picture with half-opaque white bars, like letters, in rows and columns of its own."""
    pixels = np.zeros((size[0], size[1], 4), np.uint8)
    top, bottom, left, right = box
    pixels[top:bottom, left:right][:, ::7] = pixels[top:bottom, left:right][:, 1::7] = (255, 255, 255, 128)
    PIL.Image.fromarray(pixels).save(path)
    return path


def test_a_picture_over_the_whole_canvas_is_laid_as_it_is(tmp_path: Path) -> None:
    path = letters(tmp_path / "wm.png")
    words, mark, neutral = find_mark(f"{path}@full", (224, 224))
    drawn = np.asarray(PIL.Image.open(path), np.float32).transpose(2, 0, 1) / 255
    assert np.array_equal(mark, drawn) and words == f"{path} over the whole canvas"
    assert box_of(neutral) == box_of(mark)


@pytest.mark.parametrize("size", [(224, 224), (112, 160), (32, 32), (7, 5)])
def test_its_neutral_patch_has_the_same_pixels_near_their_place(tmp_path: Path, size: tuple[int, int]) -> None:
    _, mark, neutral = find_mark(f"{letters(tmp_path / 'wm.png')}@full", size)
    one, other = (np.sort(each.reshape(4, -1).T.round(6), axis=0) for each in (mark, neutral))
    assert np.array_equal(one, other), "as many pixels of each colour and opacity"
    assert mark.shape == neutral.shape == (4, *size)
    if min(size) >= 32:
        assert not np.array_equal(mark, neutral)
        near = 8 * max(1, min(size) // 56)
        coarse = [each[3, : size[0] // near * near].reshape(-1, near, size[1]).sum((1, 2)) for each in (mark, neutral)]
        assert abs(coarse[0] - coarse[1]).max() <= 0.6 * coarse[0].max(), "the band stays where it is"


def test_what_lies_at_the_rim_stays_there_when_it_is_shuffled(tmp_path: Path) -> None:
    pixels = np.zeros((224, 224, 4), np.uint8)
    pixels[:10], pixels[-10:], pixels[:, :10], pixels[:, -10:] = ((255, 0, 0, 200),) * 4
    PIL.Image.fromarray(pixels).save(tmp_path / "frame.png")
    _, mark, neutral = find_mark(f"{tmp_path / 'frame.png'}@full", (224, 224))
    assert not neutral[3, 40:-40, 40:-40].any() and neutral[3].sum() == pytest.approx(mark[3].sum())


def test_a_word_over_the_whole_canvas_keeps_its_shape() -> None:
    _, mark, _ = find_mark("text:SAMPLE@full", (100, 200))
    top, bottom, left, right = box_of(mark)
    assert right - left >= 190 and abs((top + bottom) / 2 - 50) <= 2
    _, small, _ = find_mark("text:SAMPLE", (100, 200))
    shape = [(b - t) / (r - le) for t, b, le, r in (box_of(mark), box_of(small))]
    assert shape[0] == pytest.approx(shape[1], rel=0.15)


def test_what_leaves_nothing_of_the_picture_is_refused(tmp_path: Path) -> None:
    logo(tmp_path / "opaque.png")
    with pytest.raises(OptionError, match=r"not transparent anywhere[\s\S]*opaque.png@centre"):
        find_mark(f"{tmp_path / 'opaque.png'}@full", (64, 64))
    assert find_mark(f"{tmp_path / 'opaque.png'}@centre", (64, 64))[1][3].any()


@pytest.mark.parametrize("place", ["full", "centre", "top-left"])
def test_another_mark_can_take_the_place_of_the_shuffled_one(tmp_path: Path, place: str) -> None:
    first, second = letters(tmp_path / "a@2x.png"), letters(tmp_path / "b@2x.png", box=(10, 50, 4, 220))
    words, mark, other = find_mark(f"{first}@{place}:{second}", (64, 64))
    assert np.array_equal(mark, find_mark(f"{first}@{place}", (64, 64))[1])
    assert np.array_equal(other, find_mark(f"{second}@{place}", (64, 64))[1])
    assert words.endswith(f"in place of {second}") and against_of(f"{first}@{place}:{second}") == str(second)
    assert against_of(f"{first}@{place}") == "the same pixels shuffled"
    assert np.array_equal(find_mark(f"{first}@{place}:text:A", (64, 64))[2], find_mark(f"text:A@{place}", (64, 64))[1])


def test_a_place_that_is_misspelt_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no place 'ful'.*Nearest: full[\s\S]*top-left.*full"):
        find_mark(f"{letters(tmp_path / 'wm.png')}@ful", (64, 64))
    with pytest.raises(OptionError, match="nothing after the colon"):
        find_mark(f"{letters(tmp_path / 'wm.png')}@full:", (64, 64))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("pixels", [(10, 1000), (1000, 10), (1500, 1000)])
@pytest.mark.parametrize("size", [(48, 48), (40, 64), (3, 2)])
def test_marks_of_any_shape_lie_within_the_canvas(
    tmp_path: Path, size: tuple[int, int], pixels: tuple[int, int], place: str
) -> None:
    _, mark, neutral = find_mark(f"{logo(tmp_path / 'logo.png', pixels)}@{place}:text:A", size)
    assert mark.shape == neutral.shape == (4, *size)
    top, bottom, left, right = box_of(mark)
    assert right - left == min(size[1], max(4, round(0.4 * size[1])))
    if place == "centre":
        assert abs(top + bottom - size[0]) <= 1 and abs(left + right - size[1]) <= 1
    else:  # as near to its corner as to the opposite one, at the most
        assert top <= size[0] - bottom if "top" in place else top >= size[0] - bottom
        assert left <= size[1] - right if "left" in place else left >= size[1] - right


@pytest.mark.parametrize(("name", "alpha"), [("solid.png", 255), ("glass.png", 128), ("dot.png", 255)])
@pytest.mark.parametrize("place", PLACES)
def test_a_mark_that_looks_the_same_shuffled_is_refused(tmp_path: Path, name: str, alpha: int, place: str) -> None:
    size = (1, 1) if name == "dot.png" else (50, 20)
    PIL.Image.new("RGBA", size, (255, 0, 0, alpha)).save(tmp_path / name)
    with pytest.raises(OptionError, match=rf"pixels are shuffled[\s\S]*{name}@{place}:other.png"):
        find_mark(f"{tmp_path / name}@{place}", (48, 48))
    assert find_mark(f"{tmp_path / name}@{place}:text:A", (48, 48))[1][3].any()
    with pytest.raises(OptionError, match=rf"{name} and .*{name} look the same"):
        find_mark(f"{tmp_path / name}@{place}:{tmp_path / name}", (48, 48))


def test_a_veil_of_one_colour_over_the_whole_canvas_is_refused(tmp_path: Path) -> None:
    PIL.Image.new("RGBA", (50, 50), (255, 0, 0, 90)).save(tmp_path / "veil.png")
    with pytest.raises(OptionError, match=r"pixels are shuffled[\s\S]*veil.png@full:other.png"):
        find_mark(f"{tmp_path / 'veil.png'}@full", (48, 48))


@pytest.mark.parametrize("place", [*PLACES, "full"])
def test_a_mark_that_cannot_be_seen_is_refused(tmp_path: Path, place: str) -> None:
    clear = logo(tmp_path / "clear.png", alpha=0)
    with pytest.raises(OptionError, match=r"clear\.png is transparent everywhere"):
        find_mark(f"{clear}@{place}", (48, 48))
    patch = find_mark(f"text:A@{place}:{clear}", (48, 48))[2]
    assert not patch[3].any(), "to compare with nothing is no mistake"


@pytest.mark.parametrize("behind", ["", "@full", "@top-left"])
def test_a_text_may_be_longer_than_a_files_name(behind: str) -> None:
    assert find_mark(f"text:{'A' * 300}{behind}", (64, 64))[1][3].any()
    with pytest.raises(DataError, match="no file"):
        find_mark(f"{'A' * 300}.png{behind}", (64, 64))
    with pytest.raises(DataError, match="no file"):
        find_mark(f"A\0.png{behind}", (64, 64))
