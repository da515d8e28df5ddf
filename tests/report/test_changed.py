"""The pages of a repair and of a comparison: the proof first, the numbers of the results, pictures of both runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from seewhy.errors import OptionError, StoreError
from seewhy.estimates import wilson
from seewhy.learn.compare.compare import compare
from seewhy.learn.repair.arm import Try
from seewhy.learn.repair.proof import EffectProof
from seewhy.learn.repair.readings import CellAccuracy
from seewhy.report.write import write_report
from tests.report.changed import comparison_folder, difference, repair_folder, repair_of
from tests.report.names import PLAIN
from tests.report.pages import Page, target_of


def heading(page: Page) -> str:
    """The words of the page up to its first section."""
    return page.text.partition("The effect of")[0]


def test_a_repair_begins_with_its_proof(plain: dict[str, Path]) -> None:
    page = Page(plain["repair"] / "index.html")
    said = "background: exchange beats its control by 22.0 points [+18.0, +26.0]"
    assert "PROVED" in heading(page) and said in heading(page)
    for words in ("31.0 → 3.0", "plain fine-tuning: the arm plain", "22.0 points", "should decide, may rise"):
        assert words in page.text, words
    for words in ("exchange chosen half of them exchanged", "not tried: no image format", "says it 80 0 60"):
        assert words in page.text, words
    charts = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(charts) == 6  # effect, accuracy, class by group: each for a page and for a telephone


@pytest.mark.parametrize(("n", "is_drawn"), [(1, False), (20, True)])
def test_of_many_classes_and_groups_those_with_enough_images_are_drawn(tmp_path: Path, n: int, is_drawn: bool) -> None:
    cells = tuple(CellAccuracy(f"class {at}", "the mark is left out", wilson(n, n)) for at in range(30))
    arms = {name: replace(arm, cells=cells) for name, arm in repair_of(PLAIN).arms.items()}
    page = Page(write_report(repair_folder(tmp_path / "many", arms=arms)) / "index.html")
    assert ("class 29" in page.text) is is_drawn


def test_a_repair_that_failed_says_why_first(tmp_path: Path) -> None:
    shaky = {"plain": difference(0.01), "unrelated": difference(0.24)}
    reasons = ("It is not shown to leave less than its control.", "It costs 5.0 points of accuracy.")
    page = Page(write_report(repair_folder(tmp_path / "repair", margins=shaky, reasons=reasons)) / "index.html")
    assert "FAILED" in heading(page) and "background: exchange does not beat its control by 1.0 points" in heading(page)
    assert all(reason in heading(page) for reason in reasons) and "not shown" in page.text
    page = Page(write_report(repair_folder(tmp_path / "mark", is_mark=True, donors=0, cells=())) / "index.html")
    assert "the mark laid over" in page.text
    none = {"arms": {}, "margins": {}, "reduction": None, "cost": None, "others": (), "cells": (), "tried": ()}
    bare = repair_folder(tmp_path / "none", **none, reasons=("No way could be tried.",))
    page = Page(write_report(bare) / "index.html")
    assert "background: no repair, since no way could be tried." in page.text and "last-layer" in page.text


def test_what_was_taken_out_with_it_stands_in_a_table_of_its_own(tmp_path: Path) -> None:
    margins = {"plain": difference(0.2), "unrelated": difference(0.01)}
    means = {"before": 0.18, "repaired": 0.02, "plain": 0.22, "unrelated": 0.03}
    proof = EffectProof("a <b>", "real", means, 40, 50, margins, difference(0.16), difference(-0.16))
    tried = (Try("exchange", "w", 0.02, 0.9, -0.01, further={"a <b>": 0.03}),)
    folder = repair_folder(tmp_path / "repair", further=(proof,), tried=tried)
    page = Page(write_report(folder) / "index.html")
    said = "beats its control by 22.0 points [+18.0, +26.0]; a <b>: does not beat its own: 1.0 points [-3.0, +5.0]"
    assert said in heading(page) and "effect of a <b> 18.0 → 2.0 points of P(real)" in heading(page)
    assert "Repair of background and a <b>" in page.text
    told = "a <b> P(real) 18.0 3.0 (something else) 2.0 1.0 points [-3.0, +5.0] p = 0.6 not shown"
    assert told in page.text and "2.0 points; 3.0 of a <b>" in page.text
    assert "Asked with it" not in Page(write_report(repair_folder(tmp_path / "alone")) / "index.html").text
    (line,) = [line for line in repair_of(PLAIN, further=(proof,)).lines() if line.startswith("a <b>, asked with it")]
    assert "18.0 points of P(real) before, 2.0 repaired; does not beat its control" in line
    assert "40 images edited, 50 donors" in line


def test_classes_and_groups_of_too_few_images_are_named_beside_the_worst(tmp_path: Path) -> None:
    whole = repair_of(PLAIN).arms
    few = {name: replace(arm, cells=(replace(arm.cells[0], accuracy=wilson(1, 4)),)) for name, arm in whole.items()}
    page = Page(write_report(repair_folder(tmp_path / "few", arms=few)) / "index.html")
    assert f"{PLAIN.classes[0]} where says not: 0.480" in page.text
    assert "with fewer than 10 images: 4 of " in page.text and "(right: 1 before, 1 repaired, 1 plain" in page.text


def test_a_comparison_shows_both_runs(plain: dict[str, Path]) -> None:
    page = Page(plain["compare"] / "index.html")
    stored = json.loads((plain["compare"].parent / "comparison.json").read_text())
    assert stored["headline"] in page.text and "Decisions that flipped" in page.text
    flips = stored["flipped"]
    assert len(flips) == stored["decisions"]["flipped"] == 1 and flips[0]["id"] in page.text
    pictures = [url for tag, url in page.links() if tag == "img"]
    assert len(pictures) >= 2 + 3 and all(url.startswith("data:image/") for url in pictures)
    assert "second less first" in page.text and "hirescam of conv4 for predicted" in page.text
    links = [url for tag, url in page.links() if tag == "a"]
    assert all(target_of(page.path, url)[0].exists() for url in links)


def test_a_comparison_whose_runs_have_moved_says_so_and_is_whole_when_they_are_back(tmp_path: Path) -> None:
    folder = comparison_folder(tmp_path)
    shutil.move(tmp_path / "second", tmp_path / "elsewhere")
    page = Page(write_report(folder) / "index.html")
    assert "runs that have moved" in page.text and "no picture" in page.text
    assert not (folder / "report" / "stamp.txt").exists()
    shutil.move(tmp_path / "elsewhere", tmp_path / "second")
    assert "no picture" not in Page(write_report(folder) / "index.html").text
    before = (folder / "report" / "index.html").stat().st_mtime_ns
    write_report(folder)
    assert (folder / "report" / "index.html").stat().st_mtime_ns == before  # nothing to do


def test_results_in_memory_say_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r'Make it in a folder:  repair\(…, out="folder"\)'):
        write_report(repair_of(PLAIN))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="not of explain, check, audit"):
        compare(repair_folder(tmp_path / "repair"), tmp_path)
