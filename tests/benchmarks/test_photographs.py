"""Shortcuts planted in photographs: each changes its own place, and the page says what was missed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.photographs.cases import PLANTS, SIDE, WIDTH, Case, cases
from benchmarks.photographs.page import page_of
from benchmarks.photographs.repairs_page import BEGIN, END, section_of, write_docs
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


def test_the_section_on_repairs_names_what_failed_first_and_counts_the_rest(tmp_path: Path) -> None:
    def network(effect: float, like: float, fair: float, worst: float) -> dict[str, float]:
        return {"effect": effect, "like": like, "fair": fair, "worst": worst}

    good, bad, none = (Case("rvf10k", kind, 0.9, 0) for kind in PLANTS)
    three = {
        "before": network(0.4, 0.9, 0.6, 0.3), "plain": network(0.38, 0.9, 0.62, 0.3),
        "repaired": network(0.04, 0.87, 0.82, 0.7),
    }  # fmt: skip
    told = {"factor": "border", "way": "exchange", "cpu_s": 240.0, "networks": three}
    records = [
        (good, {**told, "factor": "bottom-right", "proved": True, "reasons": []}),
        (bad, {**told, "proved": False, "reasons": ["It costs too much."]}),
        (none, {"factor": None, "networks": {"before": three["before"]}}),
    ]
    section = section_of(records, 27, "abc")
    failures, figures = section[: section.index("| figure |")], section[section.index("| figure |") :]
    assert good.name not in failures and f"{bad.name}: border, exchange. It costs too much." in failures
    assert f"{none.name}: the audit tells no shortcut; by planting it does +40.0 points." in failures
    assert "(1 of 2)" in figures and "90 [range 90, 90] (n = 2)" in figures and "3.0 [range 3.0, 3.0]" in figures
    assert "+20.0 [range +20.0, +20.0]" in figures and "+40.0 [range +40.0, +40.0]" in figures
    assert "| +40.0, +38.0, +4.0 | 0.90, 0.90, 0.87 | 0.60, 0.62, 0.82 | 0.30, 0.30, 0.70 |" in figures
    left = {**three, "repaired": network(0.3, 0.9, 0.6, 0.3)}
    records = [(bad, {**told, "proved": True, "reasons": [], "networks": left})]
    assert "border, exchange. **Said to be repaired, and planting shows +40.0 → +30.0" in section_of(records, 27, "abc")
    small = {**three, "before": network(0.0, 0.9, 0.6, 0.3)}
    records = [(good, {**told, "proved": True, "reasons": [], "networks": small})]
    assert "not what was planted" in section_of(records, 27, "abc") and "| none, worst" in section_of(
        records, 27, "abc"
    )
    page = tmp_path / "repair.md"
    page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n", encoding="utf-8")
    write_docs(section, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "stale" not in text and section in text
