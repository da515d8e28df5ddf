"""Findings of which nothing is claimed, in one paragraph: what is counted there, and what would tell more."""

from __future__ import annotations

import pytest

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.paragraphs import paragraphs_of
from seewhy.evidence.trials.contrast import OWN_CLASS


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


def test_of_many_classes_what_would_tell_is_counted_over_all_of_them() -> None:
    numbers = {
        "probability": {"value": 0.01, "low": -0.02, "high": 0.04}, "contrast": OWN_CLASS, "unit": "image",
        "fewest": 28, "donors": 57, "images_needed": 540.0,
    }  # fmt: skip
    of_classes = Finding("tint", "CANNOT SAY", (), "", numbers=numbers)
    (told,) = paragraphs_of([of_classes])
    assert "~1,100 " in told.text and "~: images of all classes that would tell" in told.text
    assert told.todo.startswith("57 of all classes were used.")


def test_what_a_budget_does_not_reach_is_one_paragraph() -> None:
    left = [Finding(name, "CANNOT SAY", (), "x", "A larger --budget.", numbers={"reason": "budget"}) for name in "ab"]
    (told,) = paragraphs_of(left)
    assert told.title == "CANNOT SAY: not tested" and told.text.endswith("the least suspect: a, b.")
    assert told.todo == "A larger --budget." and told.is_open
    assert paragraphs_of(left[:1])[0].title == "CANNOT SAY  a"
