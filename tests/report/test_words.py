"""What stands above an audit and in its tables: every number with its interval, unit and count."""

from __future__ import annotations

from typing import Any

import pytest

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.trials.contrast import OWN_CLASS
from seewhy.records import Image, Outcome
from seewhy.report.accuracy import accuracies, confusions
from seewhy.report.findings import effect_of, numbers_of, share_of, texts_of, tone_of, too_few
from seewhy.report.headline import headline_of


def contrast(value: float, low: float, high: float, n: int = 150) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": {"0": n, "1": n}, "p_value": 0.5, "df": 10.0, "error": 0.1}


def finding(level: str, *claims: str, value: float = 0.25, factor: str = "background", **numbers: Any) -> Finding:
    own = {
        "contrast": "fake",
        "split": "valid",
        "kind": "region",
        "probability": contrast(value, value - 0.04, value + 0.04),
        "selected_interval": [value - 0.05, value + 0.05],
        "flips": {"value": 0.3, "low": 0.2, "high": 0.4, "n": 600},
        "sensitivity": {"value": 2.0, "low": 1.5, "high": 2.5, "n": 300},
        **numbers,
    }
    return Finding(factor, level, claims, "words", numbers=own)


SHORTCUT = finding("STRONG", "depends", "shortcut")
NONE = finding("NONE LARGER THAN", value=0.001, factor="tint")
FRAGILE = finding("NONE LARGER THAN", "fragile", value=0.001, factor="low-frequency")
OVERFIT = finding(
    "NONE LARGER THAN", "overfit", value=0.004, overfit={"margin": {"value": 1.2, "low": 0.8, "high": 1.6, "n": 150}}
)
OPEN = finding("CANNOT SAY", value=0.01, factor="crop")
OUTSIDE = Finding(
    "everything outside the core",
    "STRONG",
    ("depends",),
    "With the face exchanged the labels are still predicted.",
    numbers={"benefit": {}},
)
INTENDED = finding("STRONG", "depends", "intended", factor="face")
BROKEN = Finding("classifier", "CANNOT SAY", ("classifier",), "Every image is predicted as 'real'.")

HEADLINES = {
    "shortcut": (
        [SHORTCUT, NONE],
        "A shortcut: background raises P(fake) by 25.0 points [+20.0 to +30.0] (300 donors)",
    ),
    "several": (
        [SHORTCUT, SHORTCUT],
        "2 shortcuts; first: background raises P(fake) by 25.0 points [+20.0 to +30.0] (300 donors)",
    ),
    "overfit": (
        [OVERFIT],
        "Overfit: background helps more on train than on valid: +1.20 logits [+0.80 to +1.60] (150 images)",
    ),
    "classifier": ([BROKEN, SHORTCUT], "Every image is predicted as 'real'."),
    "outside": (
        [OUTSIDE, INTENDED],
        "Something outside of the core is used: With the face exchanged the labels are still predicted",
    ),
    "fragile": ([FRAGILE, NONE], "Fragile: low-frequency flips 30 % of the decisions [20 to 40] (600 trials)"),
    "none": ([NONE, NONE], "None of 2 tested factors shifts its answers towards a class by 2 points or more"),
    "open": ([OPEN, NONE], "No dependence is shown; for 1 of 2 factors 2 points or more cannot be excluded"),
    "lowers": (
        [finding("WEAK", "depends", "against the label", value=-0.1)],
        "Against the label: background lowers P(fake) by 10.0 points [-15.0 to -5.0] (300 donors)",
    ),
    "nothing": ([], "Nothing could be tested"),
}


@pytest.mark.parametrize("name", HEADLINES)
def test_the_headline_is_the_gravest_claim_with_its_numbers(name: str) -> None:
    findings, words = HEADLINES[name]
    assert headline_of(texts_of(findings), 0.02) == words


def test_a_single_factor_without_effect_is_told_with_its_interval() -> None:
    words = "tint raises P(fake) by 0.1 points [-3.9 to +4.1] (300 donors): on average less than 2 points"
    assert headline_of(texts_of([NONE]), 0.02) == words


def test_a_dependence_has_the_interval_of_its_words_first_and_the_other_named() -> None:
    lines = {line.what: line for line in numbers_of(SHORTCUT)}
    assert lines["Effect on P(fake), valid"].interval == "+20.0 to +30.0"
    assert lines["Had it been the only test"].interval == "+21.0 to +29.0"
    assert lines["Effect on P(fake), valid"].plain == ("+25.0", "points", "+20.0", "+30.0", "300", "donors")
    assert lines["Decisions that flip with the content of another class"].count == "600 trials"
    assert "Had it been the only test" not in {line.what for line in numbers_of(NONE)}


def test_a_mark_has_images_and_no_donors() -> None:
    found = finding("STRONG", "depends", kind="insert", contrast=OWN_CLASS)
    lines = {line.what: line for line in numbers_of(found)}
    assert lines["Effect on P(label), valid"].count == "300 images"
    assert "Decisions that flip with it" in lines and not any("donor" in what for what in lines)


def test_with_too_few_images_no_number_is_told() -> None:
    few = finding("CANNOT SAY", probability=contrast(0.1, 0.05, 0.15, n=12))
    assert too_few(few) == 12 and too_few(OPEN) is None
    assert [(line.value, line.interval) for line in numbers_of(few)] == [("12", "")]


def test_ends_that_are_not_known_are_left_out_and_nothing_has_no_sign() -> None:
    assert share_of({"value": 0.1, "low": None, "high": None, "n": 5}).interval == ""
    assert share_of({"value": -0.0001, "low": -0.0003, "high": 0.0, "n": 5}).value == "+0.0 points"
    assert share_of({"value": 0.9, "low": 0.5, "high": 1.3, "n": 5}).interval == "+50.0 to +100.0"
    assert share_of(None) is None and effect_of(BROKEN) is None


@pytest.mark.parametrize(
    ("found", "tone"),
    [
        (SHORTCUT, "bad"),
        (finding("WEAK", "depends", "shortcut"), "caution"),
        (finding("STRONG", "depends", "intended"), "good"),
        (finding("STRONG", "depends"), "caution"),
        (OPEN, "unknown"),
        (NONE, "none"),
        (BROKEN, "bad"),
    ],
)
def test_how_grave_a_finding_is(found: Finding, tone: str) -> None:
    assert tone_of(found) == tone


def outcome(name: str, label: str, prediction: str, split: str | None = None) -> Outcome:
    return Outcome(Image(name, None, label, split), prediction=prediction, correct=label == prediction)


def test_a_class_that_is_called_like_a_word_of_ours_is_a_class() -> None:
    rows = [outcome("1", "all classes", "all classes"), outcome("2", "all classes", "b"), outcome("3", "b", "b")]
    found = {(one.split, one.label): (one.share.value, one.share.n) for one in accuracies(rows)}
    assert found == {(None, None): (2 / 3, 3), (None, "all classes"): (0.5, 2), (None, "b"): (1.0, 1)}
    assert confusions(rows, ["all classes", "b"])[0].counts == ((1, 1), (0, 1))


def test_the_link_of_a_cell_leaves_out_a_split_that_is_none() -> None:
    (matrix,) = confusions([outcome("1", "a", "b")], ["a", "b"])
    assert matrix.images("a", "b") == "images.html#label=a&prediction=b"
    (matrix,) = confusions([outcome("1", "a&b", "b", "valid")], ["a&b", "b"])
    assert matrix.images("a&b", "b") == "images.html#label=a%26b&prediction=b&split=valid"
