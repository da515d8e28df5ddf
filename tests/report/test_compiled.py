"""Templates are compiled once: what is kept gives the same pages, and nothing depends on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from seewhy.report import pages

NAME = "legend.html"


@pytest.fixture(autouse=True)
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one template, whose compiled form goes elsewhere."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / NAME).write_text("<p>{{ key }} {{ word }}</p>")
    monkeypatch.setattr(pages, "TEMPLATES", tmp_path / "templates")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "kept"))
    yield tmp_path / "kept"
    pages._templates.cache_clear()


def page_in(folder: Path) -> str:
    pages._templates.cache_clear()  # as in another process
    pages.write_page(folder / NAME, NAME, "stamp", word="a < b\u202e")
    return (folder / NAME).read_text()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_page_is_the_same_from_what_was_kept(
    tmp_path: Path, templates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = page_in(tmp_path)
    assert "a &lt; b\\x202e" in first
    assert len(files_in(templates)) == 1
    monkeypatch.setattr(jinja2.Environment, "compile", None)
    assert page_in(tmp_path) == first


def test_a_template_that_changed_and_a_damaged_one_are_compiled_again(tmp_path: Path, templates: Path) -> None:
    first = page_in(tmp_path)
    (path,) = files_in(templates)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"j2" + b"x" * 80, whole[:40]):
        path.write_bytes(damaged)
        assert page_in(tmp_path) == first
        assert path.read_bytes() == whole
    (tmp_path / "templates" / NAME).write_text("<b>{{ word }}</b>")
    assert page_in(tmp_path) == first.replace("p>", "b>").replace(first[3:26], "")


def test_where_nothing_may_be_written_pages_are(
    tmp_path: Path, templates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates.write_text("a file where the folder would be")
    assert page_in(tmp_path).startswith("<p>")
    templates.unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert page_in(tmp_path).startswith("<p>")
    assert files_in(templates) == []
