"""Words on pictures: every letter is drawn as itself, or spelled with letters that there are; never as a box."""

from __future__ import annotations

import unicodedata

import numpy as np
import PIL.Image
import pytest
from PIL import ImageDraw

from seewhy.render import captions
from seewhy.render.color import font

BOX = "\uffff"  # which no font has


def drawn(text: str, width: int = 400) -> np.ndarray:
    page = PIL.Image.new("RGB", (400, 20), (255, 255, 255))
    captions.write(ImageDraw.Draw(page), (0, 0), text, 12, (0, 0, 0), width)
    return np.asarray(page)


@pytest.fixture
def only_the_usual_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "_names", lambda: ())


@pytest.mark.usefixtures("only_the_usual_font")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Straße", "Strasse"), ("Müll", "Mull"), ("naïf", "naif"), ("Öl, Café", "Ol, Cafe"), ("Łódź", "Lodz"),
        (unicodedata.normalize("NFD", "für"), "fur"), ("−3 – 4", "-3 - 4"), ("a日b", "a·b"), ("a\x1bb", "a·b"),
    ],
)  # fmt: skip
def test_letters_that_the_font_lacks_are_spelled_with_others(name: str, shown: str) -> None:
    assert captions.spelled(name, 12) == (font(12), shown)
    assert np.array_equal(drawn(name), drawn(shown))


@pytest.mark.parametrize("letter", "ßüïöéçøŁ–")
def test_no_letter_of_european_names_is_a_box(letter: str) -> None:
    face, text = captions.spelled(letter, 12)
    assert bytes(face.getmask(text)) != bytes(face.getmask(BOX))


def test_a_font_that_has_all_letters_is_taken_before_they_are_changed() -> None:
    face, text = captions.spelled("Straße, Київ", 12)
    assert (text == "Straße, Київ") == (face is not font(12))


def test_one_letter_that_no_font_has_does_not_change_the_others() -> None:
    face, text = captions.spelled("Straße \U0003134a", 12)
    assert text == captions.spelled("Straße ", 12)[1] + "·" and face == captions.spelled("Straße", 12)[0]


def test_names_that_need_no_other_font_have_the_usual_one() -> None:
    assert captions.spelled("real ± 0.1 · “a”…", 12) == (font(12), "real ± 0.1 · “a”…")


def test_a_name_too_long_loses_its_middle() -> None:
    assert (drawn("a" * 500, 100)[:, 101:] == 255).all() and (drawn("a" * 500, 100)[:, 80:] < 255).any()
