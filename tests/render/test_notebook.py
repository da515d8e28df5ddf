from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from seewhy.render import notebook
from seewhy.render.page import BAD

HOSTILE = "<img src=x onerror=alert(1)>\"'&</div>\u202e\n\ud800"


class Elements(HTMLParser):
    """The elements and attributes of a page, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.open += [] if tag == "img" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def all_parts(word: str) -> str:
    return notebook.page(
        notebook.heading(word, [word, word]),
        notebook.picture("<svg/>", word),
        notebook.card(word, word, word, [word], word, colour=BAD),
        notebook.bullets([word]),
        notebook.sentence(word),
        notebook.typed(word, word),
        notebook.side_by_side([notebook.sentence(word)]),
    )


def test_every_word_is_escaped() -> None:
    tame, hostile = Elements(all_parts("word")), Elements(all_parts(HOSTILE))
    assert [tag for tag, _ in tame.seen] == [tag for tag, _ in hostile.seen] and not hostile.open
    assert [sorted(own) for _, own in tame.seen] == [sorted(own) for _, own in hostile.seen]
    assert tame.words.count("word") == hostile.words.count("<img src=x onerror=alert(1)>\"'&</div>\ufffd \ufffd")
    assert all_parts(HOSTILE).isprintable()


def test_a_picture_is_a_document_of_its_own() -> None:
    html = notebook.picture("<svg>é</svg>", "words")
    data = re.search(r'src="data:image/svg\+xml;base64,(.*?)"', html)
    assert data is not None and base64.b64decode(data[1]).decode() == "<svg>é</svg>" and 'alt="words"' in html


@pytest.mark.parametrize(
    ("colour", "light"), [(BAD, "#b5391c"), ("#123456", "#123456")], ids=["of a page", "by itself"]
)
def test_a_card_has_a_colour_that_no_page_can_change(colour: str, light: str) -> None:
    html = notebook.card("STRONG", "title", "text", colour=colour)
    assert f"background:{light}" in html and "var(" not in html


def test_nothing_is_said_where_there_is_nothing() -> None:
    assert notebook.bullets([]) == ""
    assert "italic" not in notebook.card("GOOD", "", "text") and "italic" in notebook.card("GOOD", "", "text", (), "do")
