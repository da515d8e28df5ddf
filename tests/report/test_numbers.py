"""A finding's table has a line for each number that a safeguard stores."""

from __future__ import annotations

from typing import Any

import pytest

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.report.numbers import numbers_of
from seewhy.store.schema import NUMBERS

ESTIMATE = {"value": 0.2, "low": 0.1, "high": 0.3, "n": 40}
STORED: dict[str, Any] = {
    "control": {"kind": "regions", "limit": 0.03, "values": [0.01, 0.02]},
    "outside": ESTIMATE,
    "core_property": {"tint": ESTIMATE},
    "rim": {"4": ESTIMATE},
    "beside": ESTIMATE,
    "own_fall": 0.38,
    "families": {"blur": ESTIMATE},
    "edge": {"4": ESTIMATE},
    "overfit": {"margin": ESTIMATE},
}


def lines_of(**numbers: Any) -> set[str]:
    plain = {"kind": "region", "contrast": "fake", "split": "valid", "probability": ESTIMATE, "margin": ESTIMATE}
    finding = Finding("tint", "STRONG", ("depends",), "", numbers={**plain, **numbers})
    return {f"{line.what}: {line.value}" for line in numbers_of(finding)}


@pytest.mark.parametrize("key", STORED)
def test_each_number_of_a_safeguard_has_its_line(key: str) -> None:
    assert len(lines_of(**{key: STORED[key]}) - lines_of()) == 1


def test_these_are_all_that_safeguards_store_and_each_has_its_meaning() -> None:
    known = {key for names in NUMBERS for key in names.split(", ")}
    assert {key for safeguard in SAFEGUARDS for key in safeguard.stored(None)} <= STORED.keys() <= known


def test_a_share_may_be_more_than_all_and_less_than_nothing() -> None:
    lost = "Margin that the own class loses to content of its own"
    assert f"{lost}: 138 %" in lines_of(own_fall=1.38) and f"{lost}: -4 %" in lines_of(own_fall=-0.04)
