"""Findings of which nothing is claimed, in one paragraph: what is counted there, and what would tell more."""

from __future__ import annotations

import pytest

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.paragraphs import paragraphs_of


@pytest.mark.parametrize(
    ("unit", "needed", "used"),
    [
        ("image", "~: images of each class that would tell", "28 of each class were used. Add images, or where"),
        (
            "cluster",
            "~: clusters of each class that would tell",
            "28 clusters of each class were used. Add images of other clusters, or where",
        ),
    ],
)
def test_what_is_open_says_what_would_tell(unit: str, needed: str, used: str) -> None:
    numbers = {
        "probability": {"value": 0.01, "low": -0.02, "high": 0.04},
        "unit": unit,
        "fewest": 28,
        "images_needed": 540.0,
    }
    found = Finding("tint", "CANNOT SAY", (), "", numbers=numbers)
    (told,) = paragraphs_of([found])
    assert "tint +1.0 [-2.0, +4.0] ~540" in told.text and needed in told.text and told.todo.startswith(used)
