"""The benchmark without hints: places are compared as sets, and claims of other tools are scored like our own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.planted.cache import Cache
from benchmarks.planted.cases import Case, cases
from benchmarks.planted.names import RIGHT
from benchmarks.unaided import __main__ as command
from benchmarks.unaided.ours import best_overlaps, by_closed_list, overlap, place_of
from benchmarks.unaided.page import SEEWHY, Read, main_table, write_page


def case_of(words: str) -> Case:
    return next(case for case in cases() if words in case.name and case.recipe.classes == 2)


def square(rows: slice, columns: slice) -> np.ndarray:
    place = np.zeros((10, 10), dtype=bool)
    place[rows, columns] = True
    return place


def row(factor: str, *claims: str) -> dict[str, Any]:
    title = f"STRONG  {factor}: {', '.join(claims)}"
    return {"factor": factor, "level": "STRONG", "claims": list(claims), "title": title, "value": 0.2, "members": []}


def read(words: str, effect: float, findings: list[dict[str, Any]], **more: Any) -> Read:
    """A case whose kind does so much, by drawing and outside of the core."""
    case = case_of(words)
    kinds = {kind: {"value": effect, "error": 0.0} for kind in case.recipe.kinds}
    ours = {"findings": findings, "places": (), "overlaps": {}, "areas": {}, "seconds": 60.0, "effects": {}, **more}
    return Read(case, ours, {}, {"kinds": kinds, "memory": {"value": 0.0}}, kinds)


def test_places_are_compared_as_sets() -> None:
    whole, half, other = (
        square(slice(0, 4), slice(0, 4)),
        square(slice(0, 4), slice(0, 2)),
        square(slice(6, 9), slice(0, 4)),
    )
    assert overlap(whole, whole) == {"iou": 1.0, "holds": 1.0}
    assert overlap(half, whole) == {"iou": 0.5, "holds": 0.5} and overlap(whole, half) == {"iou": 0.5, "holds": 1.0}
    assert overlap(other, whole) == {"iou": 0.0, "holds": 0.0}


def test_a_frame_lies_at_the_border_and_blur_nowhere() -> None:
    place = place_of(case_of("cells planted frame"), "frame")
    assert place is not None and place[0].mean() > 0.5 and place[:, -1].mean() > 0.5 and not place[20:40, 20:40].any()
    assert place_of(case_of("cells planted blur"), "blur") is None


@pytest.mark.parametrize(
    ("shared", "found", "named"),
    [({"iou": 0.6, "holds": 0.7}, 1, 1), ({"iou": 0.2, "holds": 1.0}, 1, 0), ({"iou": 0.1, "holds": 0.3}, 0, 0)],
)
def test_a_place_that_was_found_is_named_by_what_it_shares(shared: dict[str, float], found: int, named: int) -> None:
    told = read(
        "cells planted frame", 0.5, [row("patch top", "depends", "shortcut")],
        places=("patch top",), overlaps={"patch top": {"frame": shared}}, areas={"frame": 0.1},
    )  # fmt: skip
    score = told.score()
    assert sum(score.found.values()) == found and sum(score.named.values()) == named
    assert best_overlaps(told.ours) == {"frame": shared["iou"]}
    kept = by_closed_list(told.ours, told.case)["findings"][0]["factor"]
    assert (kept in RIGHT["cells"]["frame"]) is bool(named)


def test_a_claim_of_another_tool_is_scored_like_a_finding() -> None:
    claims = {"zone": ("border",), "oracle": ("frame",), "other": ("centre",), "silent": ()}
    peers = {name: {"names": names, "note": "", "seconds": 1.0} for name, names in claims.items()}
    asked = read("cells planted frame", 0.5, [])
    asked = Read(asked.case, asked.ours, peers, asked.oracle, asked.outside)
    found = {name: all(asked.peer_score(name).found.values()) for name in peers}
    assert found == {"zone": True, "oracle": True, "other": False, "silent": False}
    clean = Read(asked.case, asked.ours, peers, {**asked.oracle, "kinds": {"frame": {"value": 0.0}}}, {})
    assert [clean.peer_score(name).is_false for name in peers] == [True, True, True, False]


def test_the_page_tells_failures_first(tmp_path: Path) -> None:
    missed = read("cells planted frame", 0.5, [row("nuclei", "depends", "intended")])
    false = read("cells planted logo", 0.0, [row("border", "depends", "shortcut")])
    table = write_page([missed, false], tmp_path, tmp_path)
    assert table == main_table([missed, false]) and SEEWHY in table
    assert "100.0 %" in table and "(1 of 1)" in table and "(0 of 1)" in table
    text = (tmp_path / "unaided.md").read_text()
    assert text.index("What it gets wrong") < text.index("The figures")
    assert missed.case.name in text and "frame +" in text


def test_what_was_published_goes_on_elsewhere_unless_other_code_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = read("cells planted frame", 0.5, [row("border", "depends", "shortcut")])
    claim = {"names": ["border"], "note": "", "seconds": 1.0}
    here = replace(here, keys=command.keys_of(here.case), peers={"a tool": claim})
    write_page([here], tmp_path, tmp_path)
    rows = command.published(tmp_path)
    (there,) = command.records_in(Cache(tmp_path / "empty"), rows)
    assert there.case == here.case and there.peers == here.peers
    assert there.score().found == here.score().found == {"frame": True}
    assert there.peer_score("a tool").named == here.peer_score("a tool").named
    code_of = command.code_of
    monkeypatch.setattr(command, "code_of", lambda stage: code_of(stage) + "-" * (stage == "peers"))
    (others,) = command.records_in(Cache(tmp_path / "empty"), rows)
    assert others.peers == {} and others.ours == there.ours
    monkeypatch.setattr(command, "code_of", lambda stage: f"other {stage}")
    assert command.records_in(Cache(tmp_path / "empty"), rows) == []
