"""Words on pictures, in letters that some font on this machine has."""

from __future__ import annotations

import importlib.util
import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

from seewhy.render.color import font

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_WIDER = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc")
_IN_MATPLOTLIB = "mpl-data/fonts/ttf/DejaVuSans.ttf"
_NOT_COMPOSED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
     "ı": "i", "þ": "th", "ð": "d", "–": "-", "—": "-", "−": "-"}
)  # fmt: skip


def write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: tuple[int, int, int], width: int
) -> None:
    """Draw one line of a text that is at most `width` pixels wide; what is too long loses its middle."""
    face, text = spelled(text, size)
    draw.text(at, _cut(draw, text, face, width), colour, face)


def spelled(text: str, size: int) -> tuple[Font, str]:
    """The font here that lacks the fewest letters, and the text in those that it has: é else as e, 日 else as a dot."""
    text = "".join(letter if letter.isprintable() else "·" for letter in unicodedata.normalize("NFC", text))
    usual = font(size)
    if not _lacking(usual, text):
        return usual, text
    others = [face for name in _names() if (face := _face(name, size)) is not None]
    face = min([usual, *others], key=lambda face: _lacking(face, text))
    return face, "".join(letter if _has(face, letter) else _spelled_otherwise(face, letter) for letter in text)


def _spelled_otherwise(face: Font, letter: str) -> str:
    """A letter without its accents, or as two, in letters that a font has."""
    simple = unicodedata.normalize("NFKD", letter.translate(_NOT_COMPOSED))
    return "".join(one if _has(face, one) else "·" for one in simple if not unicodedata.combining(one))


@cache
def _names() -> tuple[str, ...]:
    """What a font with more letters may be called here, with the one that matplotlib brings along."""
    found = importlib.util.find_spec("matplotlib")
    brought = [str(Path(found.origin).parent / _IN_MATPLOTLIB)] if found is not None and found.origin else []
    return (*_WIDER, *brought)


@cache
def _face(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:  # this machine has none of that name
        return None


def _lacking(face: Font, text: str) -> int:
    return sum(not _has(face, letter) for letter in text)


def _has(face: Font, letter: str) -> bool:
    return letter.isascii() or letter.isspace() or _draws(face, letter)


@cache
def _draws(face: Font, letter: str) -> bool:
    """Whether a letter looks otherwise than one that no font has."""
    if not isinstance(face, ImageFont.FreeTypeFont):  # letters of a fixed size, ASCII alone for certain
        return False
    return bytes(face.getmask(letter)) != bytes(face.getmask("\uffff"))


def _cut(draw: ImageDraw.ImageDraw, text: str, face: Font, width: int) -> str:
    """As much of a line as fits; a name too long loses its middle."""
    if draw.textlength(text, face) <= width:
        return text
    keep = len(text) - 1
    while keep > 2 and draw.textlength(text[: keep - keep // 2] + "…" + text[-(keep // 2) :], face) > width:
        keep -= 1
    return text[: keep - keep // 2] + "…" + text[-(keep // 2) :]
