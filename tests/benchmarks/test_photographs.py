"""Shortcuts planted in photographs: each changes its own place, and the page says what was missed."""

from __future__ import annotations

import numpy as np
from benchmarks.photographs.cases import PLANTS, SIDE, WIDTH, Case, cases
from benchmarks.photographs.page import page_of
from benchmarks.photographs.work import AUDITS

GREY = np.full((SIDE, SIDE, 3), 100, np.uint8)


def test_each_plant_changes_its_own_place() -> None:
    changed = {kind: (plant(GREY) != GREY).any(axis=-1) for kind, plant in PLANTS.items()}
    assert changed["tint"].all()
    assert not changed["border"][WIDTH:-WIDTH, WIDTH:-WIDTH].any() and changed["border"][:WIDTH].all()
    rows, columns = np.nonzero(changed["watermark"])
    assert rows.min() > SIDE / 2 and columns.min() > SIDE / 4 and len(rows) > 50


def test_there_are_nine_of_each_and_six_clean_and_the_actions() -> None:
    kinds = [(case.data, case.kind) for case in cases()]
    assert [kinds.count(("rvf10k", kind)) for kind in (*PLANTS, "")] == [9, 9, 9, 6] and kinds.count(("bar", "")) == 1
    assert len({case.name for case in cases()}) == len(cases())


def test_the_page_names_what_was_missed_first() -> None:
    told = {"factor": "border", "title": "STRONG  border: depends, shortcut", "claims": ["depends", "shortcut"]}
    audits = {way: {"findings": [told]} for way in AUDITS["rvf10k"]}
    records = [
        (Case("rvf10k", kind, share, 0), {"accuracy": 0.7, "effect": 0.2 * share, "audits": audits})
        for kind, share in (("border", 1.0), ("tint", 1.0), ("", 0.0))
    ]
    page = page_of(records, 34)
    failures = page[page.index("What it gets wrong") : page.index("The figures")]
    assert "**3 of 34" in page and "border in" not in failures
    assert failures.count("tint in 100% of fake") == 3 and failures.count("none was planted") == 3
