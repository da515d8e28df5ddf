"""The files of a report: links, safety and words, read without a browser."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from seewhy.report.write import write_report
from tests.report.folders import check_folder, explain_folder
from tests.report.names import NOT_UTF8
from tests.report.pages import Page, called_with, files_of, pages_of, pictures_of, table_of, target_of
from tests.words import BANNED

COMMANDS = ("explain", "check", "audit")
DOCUMENTATION = ("https://github.com/", "https://doi.org/", "https://arxiv.org/")
INSIDE = ("data:image/", "data:,")  # the latter is the icon: none, so that the browser asks for none
POLICY = (
    "default-src 'none'; script-src 'nonce-KEY'; style-src 'nonce-KEY'; img-src 'self' file: data:; "
    "base-uri 'none'; form-action 'none'"
)
RISKY = re.compile(
    r"\binnerHTML\b|\bouterHTML\b|\binsertAdjacentHTML\b|\bdocument\.write|\beval\(|\bnew Function\b|\bfetch\(|"
    r"\bXMLHttpRequest\b|\bimport\(|\bWebSocket\b|\bsendBeacon\b|\bimportScripts\b"
)


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("words", ["plain", "hostile"])
def test_every_link_and_asset_resolves(request: pytest.FixtureRequest, command: str, words: str) -> None:
    report: Path = request.getfixturevalue(words)[command]
    pages = {path.resolve(): Page(path) for path in pages_of(report)}
    assert report.resolve() / "index.html" in pages
    home = report.parent.parent.resolve()
    for page in pages.values():
        for tag, url in page.links():
            if url.startswith((*INSIDE, *DOCUMENTATION)):
                continue
            path, fragment = target_of(page.path, url)
            assert path.resolve().is_relative_to(report.resolve() if tag != "a" else home), f"{page.path.name}: {url}"
            assert path.is_file(), f"{page.path.name} links {url}"
            if fragment and "=" not in fragment:  # with =, it is a state of the images page
                assert fragment in pages[path.resolve()].ids, f"{page.path.name} links {url}"


def test_every_page_can_be_reached(plain: dict[str, Path], command: str) -> None:
    report = plain[command].resolve()
    seen, left = set(), [report / "index.html"]
    while left:
        seen.add(page := left.pop())
        linked = {
            target_of(page, url)[0].resolve() for tag, url in Page(page).links() if tag == "a" and not _is_far(url)
        }
        left += [
            one for one in linked if one not in seen | {*left} and one.suffix == ".html" and one.is_relative_to(report)
        ]
    assert seen == {path.resolve() for path in pages_of(report)}


@pytest.mark.parametrize("words", ["plain", "hostile"])
def test_the_pictures_data_names_files_that_are_there(request: pytest.FixtureRequest, words: str) -> None:
    report: Path = request.getfixturevalue(words)["explain"]
    for one in pictures_of(report):
        for url in one["o"].get("overlays", []):
            path = target_of(report / "images.html", url)[0]
            assert path.is_file() and path.resolve().is_relative_to(report.parent.resolve())


@pytest.mark.parametrize("words", ["plain", "hostile"])
def test_no_path_of_this_machine_is_written(request: pytest.FixtureRequest, command: str, words: str) -> None:
    report: Path = request.getfixturevalue(words)[command]
    own = [str(report.parent.parent), str(Path.cwd()), sys.prefix, str(Path.home()) + "/"]
    for name, content in files_of(report).items():
        for path in own:
            assert path.encode() not in content, f"{name} holds {path}"


@pytest.mark.parametrize("words", ["plain", "hostile"])
def test_a_copy_elsewhere_gives_the_same_bytes(
    request: pytest.FixtureRequest, tmp_path: Path, command: str, words: str
) -> None:
    report: Path = request.getfixturevalue(words)[command]
    before = files_of(write_report(report.parent))
    shutil.copytree(report.parent.parent, tmp_path / "other", ignore=shutil.ignore_patterns("report", "*-images"))
    again = write_report(tmp_path / "other" / report.parent.name)
    after = files_of(again)
    assert sorted(after) == sorted(before)
    assert [name for name in before if after[name] != before[name]] == []


def test_writing_again_leaves_pages_that_are_up_to_date_and_the_run_alone(tmp_path: Path) -> None:
    folder = explain_folder(tmp_path / "run")
    run = files_of(folder)
    report = write_report(folder)
    assert report == folder / "report"
    first = files_of(report)
    times = {path: path.stat().st_mtime_ns for path in report.rglob("*")}
    assert write_report(folder) == report
    assert {path: path.stat().st_mtime_ns for path in report.rglob("*")} == times
    (report / "stamp.txt").write_text("of an older run")
    (report / "finding-99.html").write_text("of an older run")
    assert files_of(write_report(folder)) == first
    assert {name: one for name, one in files_of(folder).items() if not name.startswith("report/")} == run


def test_a_check_that_is_made_later_is_taken_in(tmp_path: Path) -> None:
    folder = explain_folder(tmp_path / "run")
    before = Page(write_report(folder) / "index.html").text
    check_folder(tmp_path / "check")
    after = Page(write_report(folder) / "index.html").text
    assert "Fed as BGR" in after and "Fed as BGR" not in before


def test_images_are_copied_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = explain_folder(tmp_path / "run")
    assert not any("original" in one["o"] for one in pictures_of(write_report(folder)))
    report = write_report(folder, copy_images=True)
    originals = [one["o"].get("original") for one in pictures_of(report)]
    assert [row for row, one in enumerate(originals) if one is None] == [5]
    for row, url in enumerate(originals):
        if url is not None:
            path = target_of(report / "images.html", url)[0]
            assert path.resolve().is_relative_to(report.resolve())
            wanted = tmp_path / "run-images" / table_of(report)["ids"][row]
            assert path.read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize("words", ["plain", "hostile"])
def test_pages_hold_no_inline_code_and_say_what_they_may_load(
    request: pytest.FixtureRequest, command: str, words: str
) -> None:
    for path in pages_of(request.getfixturevalue(words)[command]):
        page = Page(path)
        assert page.inline == [], path.name
        policies = [one["content"] for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
        key = re.findall(r"nonce-([0-9a-f]{22})", policies[0])[0]
        assert [" ".join(one.split()) for one in policies] == [POLICY.replace("KEY", key)], path.name
        needed = [
            attributes for tag, attributes in page.elements if tag == "script" or attributes.get("rel") == "stylesheet"
        ]
        assert needed and all(attributes["nonce"] == key for attributes in needed), path.name
        for tag, attributes in page.elements:
            bad = [name for name in attributes if name == "style" or name.startswith("on")]
            assert tag not in ("style", "iframe", "object", "embed", "base") and not bad, f"{path.name}: {tag} {bad}"


@pytest.mark.parametrize("words", ["plain", "hostile"])
def test_no_page_names_a_place_on_the_net_but_documentation(
    request: pytest.FixtureRequest, command: str, words: str
) -> None:
    for path in pages_of(request.getfixturevalue(words)[command]):
        far = [url for _, url in Page(path).links() if _is_far(url)]
        assert [url for url in far if not url.startswith(DOCUMENTATION)] == [], path.name
        assert b"file://" not in path.read_bytes()


def test_style_sheets_load_nothing(plain: dict[str, Path]) -> None:
    for path in plain["audit"].rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert "@import" not in text and "http" not in text, path.name
        assert [url for url in re.findall(r"url\(([^)]*)\)", text) if not url.strip("'\"").startswith("data:")] == []


def test_scripts_make_no_markup_of_strings_and_ask_for_nothing(plain: dict[str, Path]) -> None:
    for path in (plain["audit"] / "assets").rglob("*.js"):
        assert RISKY.findall(path.read_text(encoding="utf-8")) == [], path.name


def test_data_files_cannot_end_a_script_element(hostile: dict[str, Path], command: str) -> None:
    for path in (hostile[command] / "data").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not set("<>&\u2028\u2029") & set(text), path.name
        called_with(path, "table" if path.name == "table.js" else "pictures")


def test_data_is_called_once_for_each_file(plain: dict[str, Path]) -> None:
    for report in (plain[command] for command in ("explain", "check", "audit")):
        n_files = -(-table_of(report)["n"] // table_of(report)["chunk"])
        assert len(list((report / "data").glob("pictures-*.js"))) == n_files
        assert len(called_with(report / "data" / "table.js", "table")) == 1


def test_ids_stand_once_and_headings_in_order(plain: dict[str, Path], command: str) -> None:
    for path in pages_of(plain[command]):
        page = Page(path)
        assert len(page.ids) == len(set(page.ids)), path.name
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
        assert levels[:1] == [1] and levels.count(1) == 1, path.name
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), f"{path.name} {levels}"


def test_banned_words_do_not_stand_in_a_report(plain: dict[str, Path], command: str) -> None:
    for path in [*pages_of(plain[command]), *(plain[command] / "assets").glob("*.js")]:
        text = Page(path).text if path.suffix == ".html" else path.read_text(encoding="utf-8")
        assert [word for word in BANNED if re.search(rf"\b{word}\b", text, re.IGNORECASE)] == [], path.name


def test_every_finding_stands_on_the_first_page(plain: dict[str, Path]) -> None:
    text = Page(plain["audit"] / "index.html").text
    for name in ("background", "face", "sticker", "everything outside the core", "brightness"):
        assert name in text
    assert "25.6" in text and "54.4" in text


def test_a_name_that_is_no_utf8_is_written_out(hostile: dict[str, Path]) -> None:
    shown = table_of(hostile["explain"])["ids"]
    assert any(NOT_UTF8.replace("\udcff", "") != one and "bad" in one and "dcff" in one for one in shown)


def _is_far(url: str) -> bool:
    return bool(urlsplit(url).scheme) and not url.startswith(INSIDE)
