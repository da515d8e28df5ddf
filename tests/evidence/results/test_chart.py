from __future__ import annotations

import json
import math
from typing import Any

import pytest

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.chart import kind_of, rows_of_findings
from seewhy.evidence.trials.contrast import OWN_CLASS
from seewhy.render.rows import KINDS

ONE = {"value": 0.25, "low": 0.2, "high": 0.3}


def finding(claims: tuple[str, ...] = (), level: str = "STRONG", **numbers: Any) -> dict[str, Any]:
    return {"factor": "background", "level": level, "claims": claims, "numbers": {"contrast": "fake", **numbers}}


@pytest.mark.parametrize(
    ("claims", "level", "kind"),
    [
        (("depends", "shortcut"), "STRONG", "shortcut"),
        (("depends", "shortcut", "overfit"), "STRONG", "overfit"),
        (("depends", "intended"), "STRONG", "intended"),
        (("depends", "jointly"), "MODERATE", "depends"),
        (("depends", "through the core"), "WEAK", "through the core"),
        (("depends", "against the label"), "WEAK", "against the label"),
        (("fragile", "core not used"), "NONE LARGER THAN", "core not used"),
        (("fragile",), "NONE LARGER THAN", "fragile"),
        ((), "NONE LARGER THAN", "none"),
        ((), "CANNOT SAY", "cannot say"),
        (("overfit",), "CANNOT SAY", "overfit"),
    ],
)
def test_the_gravest_claim_decides_what_a_row_looks_like(claims: tuple[str, ...], level: str, kind: str) -> None:
    assert kind_of(finding(claims, level)) == kind and kind in KINDS
    assert [row.kind for row in rows_of_findings([finding(claims, level, probability=ONE)])] == [kind]


def test_a_dependence_has_the_interval_of_its_words() -> None:
    numbers = {"probability": ONE, "selected_interval": [0.15, 0.35]}
    shown, none = rows_of_findings([finding(("depends",), **numbers), finding((), "NONE LARGER THAN", **numbers)])
    assert (shown.value, shown.low, shown.high) == (0.25, 0.15, 0.35)
    assert (none.value, none.low, none.high) == (0.25, 0.2, 0.3)


def test_a_row_has_train_controls_and_counts() -> None:
    numbers = {"probability": ONE, "train": {**ONE, "value": 0.22}, "control": {"limit": 0.03}, "recipients": 1500}
    (row,) = rows_of_findings([finding(("depends",), **numbers)])
    assert (row.name, row.beside, row.control) == ("background", (0.22, 0.2, 0.3), 0.03)
    assert row.note == "P(fake); 1,500 images"
    (own,) = rows_of_findings([finding(**{**numbers, "contrast": OWN_CLASS, "recipients": None})])
    assert own.note == "P(label)"


def test_those_not_separated_stand_below_their_leader() -> None:
    members = {"tint": {**ONE, "value": 0.08}, "border": {**ONE, "train": ONE, "control": {"limit": 0.01}}}
    rows = rows_of_findings([finding(("depends",), probability=ONE, members=members, recipients=9), finding()])
    assert [(row.name, row.kind) for row in rows] == [
        ("background", "depends"),
        ("tint", "not separated"),
        ("border", "not separated"),
    ]
    assert {row.note for row in rows} == {"P(fake); 9 images"}
    assert rows[1].beside is None and rows[2].beside == (0.25, 0.2, 0.3) and rows[2].control == 0.01


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf], ids=["none", "nan", "infinite"])
def test_what_is_not_known_has_no_row_and_an_interval_without_end_reaches_everything(nothing: float | None) -> None:
    endless = {"value": 0.1, "low": nothing, "high": nothing}
    (row,) = rows_of_findings(
        [
            finding(probability={**ONE, "value": nothing}),
            finding(("depends",), probability=None, benefit=ONE),
            finding(("classifier",), "CANNOT SAY"),
            finding(probability=endless, train={**ONE, "value": nothing}, control={"limit": nothing}),
        ]
    )
    assert (row.value, row.low, row.high, row.beside, row.control) == (0.1, -1.0, 1.0, None, None)


def test_verdicts_and_what_is_stored_of_them_give_the_same_rows() -> None:
    finding = Finding("a", "STRONG", ("depends",), "words", numbers={"probability": ONE, "contrast": "fake"})
    assert rows_of_findings([vars(finding)]) == rows_of_findings([json.loads(json.dumps(vars(finding)))])
