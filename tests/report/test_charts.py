"""The chart of effects: rows that are told with another factor name it."""

from __future__ import annotations

from typing import Any

import pytest

from seewhy.evidence.findings.finding import Finding
from seewhy.report.charts import effect_chart
from tests.render.test_chart import texts_of, tips_of

ONE = {"value": 0.25, "low": 0.2, "high": 0.3}


@pytest.mark.parametrize(
    ("told", "row", "legend"),
    [
        ({"numbers": {"held": {}}}, "explained by background", "explained by another factor"),
        (
            {"numbers": {"held": {}}, "alternatives": ("tint",)},
            "may be the cause in place of background",
            "may be the cause in its place",
        ),
        ({}, "not separated from background", "told with a factor above it"),
    ],
    ids=["explained", "alternative", "core"],
)
def test_a_row_says_with_which_factor_it_is_told_and_how(told: dict[str, Any], row: str, legend: str) -> None:
    numbers = {"probability": ONE, "contrast": "fake", "members": {"tint": ONE}, **told.get("numbers", {})}
    others = {name: value for name, value in told.items() if name != "numbers"}
    leader = Finding("background", "STRONG", ("depends",), "words", numbers=numbers, members=("tint",), **others)
    last = Finding("face", "STRONG", ("intended",), "words", numbers={"probability": ONE, "contrast": "fake"})
    svg = effect_chart([leader, last], 0.02, "Effects")
    assert legend in texts_of(svg.partition("</svg>")[0] + "</svg>")
    assert [one.partition(":")[0] for one in tips_of(svg.partition("</svg>")[0] + "</svg>")] == [
        "background (P(fake))", f"tint ({row}; P(fake))", "face (P(fake))",
    ]  # fmt: skip
