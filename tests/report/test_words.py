"""What stands above an audit and in its tables: every number with its interval, unit and count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.thresholds import THRESHOLD_WORDS
from seewhy.evidence.trials.contrast import OWN_CLASS
from seewhy.records import Image, Outcome
from seewhy.report.accuracy import accuracies, confusions
from seewhy.report.exchanges import exchanges_of
from seewhy.report.findings import texts_of, tone_of
from seewhy.report.headline import headline_of, plain_headline_of
from seewhy.report.numbers import effect_of, numbers_of, share_of, too_few
from seewhy.report.plain import plain_of


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
UNNAMED = replace(OUTSIDE, claims=("depends", "shortcut"))
PLACE = replace(UNNAMED, factor="place of the face", text="With the face moved, P(fake) rises. More.")


def at_the_rim(value: float) -> Finding:
    return finding("CANNOT SAY", "at the core's rim", factor="patch", value=value)


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
    "unnamed": ([UNNAMED, INTENDED], "A shortcut: With the face exchanged the labels are still predicted"),
    "place": ([PLACE, OUTSIDE], "A shortcut: With the face moved, P(fake) rises"),
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


def test_clusters_are_called_so_and_counted_once_though_classes_share_them() -> None:
    shared = finding("STRONG", "depends", unit="cluster", donors=78, outside=contrast(0.2, 0.1, 0.3, n=70))
    counts = {line.what: line.count for line in numbers_of(shared) if "of donors" in line.count}
    assert len(counts) >= 3 and set(counts.values()) == {"78 clusters of donors"}
    on_train = numbers_of(replace(shared, numbers={**shared.numbers, "train": contrast(0.2, 0.1, 0.3, n=150)}))
    assert "300 clusters of donors" in [line.count for line in on_train]  # as many as there are
    mark = finding("STRONG", "depends", kind="insert", unit="cluster", donors=81)
    assert effect_of(mark).count == "81 clusters of images"  # type: ignore[union-attr]


def test_with_too_few_images_no_number_is_told() -> None:
    few = finding("CANNOT SAY", probability=contrast(0.1, 0.05, 0.15, n=5))
    assert too_few(few) == "5 of a class" and too_few(OPEN) is None
    assert [(line.value, line.interval) for line in numbers_of(few)] == [("5 of a class", "")]


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


PLAIN_WORDS = {
    "shortcut": (
        SHORTCUT,
        "Each image was given the background of other images: of the class fake and, for comparison, of other "
        "classes. Where that comes from the class fake, the probability of that class rises by 25 percentage points on "
        "average, and 30 of 100 answers change. It goes with the label here, and was not named as what should matter: "
        "a shortcut, which fails where the two part. Accuracy on images like these cannot show it.",
    ),
    "mark": (
        finding("WEAK", "depends", value=-0.1, factor="logo", kind="insert", contrast=OWN_CLASS, flips=None),
        "The mark logo was laid over images, and beside that the same pixels in disorder. With the mark the "
        "probability of the right class falls by 10 percentage points on average. So the answers depend on it; whether "
        "they should is for you to say. This is shown weakly: not everything that was checked holds.",
    ),
    "own class": (
        finding("STRONG", "depends", "intended", value=0.5, factor="face", contrast=OWN_CLASS),
        "Each image was given the face of other images: of its own class and, for comparison, of other classes. Where "
        "that comes from its own class, the probability of the right class rises by 50 percentage points on average, "
        "and 30 of 100 answers change. It was named as what should matter, so that is as it should be.",
    ),
    "none": (
        NONE,
        "Each image was given the tint of other images: of the class fake and, for comparison, of other classes. On "
        "average that moves the probability of the class fake by next to nothing, and 30 of 100 answers change.",
    ),
    "open": (
        OPEN,
        "Each image was given the crop of other images: of the class fake and, for comparison, of other classes. "
        "Whether that moves the probability of the class fake by 2 percentage points or more cannot be said from "
        "these trials.",
    ),
    "nothing tested": (BROKEN, ""),
}


@pytest.mark.parametrize("words", THRESHOLD_WORDS.values())
def test_each_threshold_is_a_phrase_by_itself(words: str) -> None:
    # The page has one in a row with its value: none is the end of the one above it, or goes on below.
    assert words.split()[0] not in ("of", "by", "with", "than") and not words.endswith((", where", ", unless", " and"))
    assert list(THRESHOLD_WORDS.values()).count(words) == 1 and len(words) < 110


@pytest.mark.parametrize("name", PLAIN_WORDS)
def test_a_finding_is_told_in_plain_words_first(name: str) -> None:
    found, words = PLAIN_WORDS[name]
    assert plain_of(found) == words
    (paper,) = texts_of([found])
    assert paper.card.plain == words


def test_the_numbers_of_a_card_stand_apart_from_its_words() -> None:
    (paper,) = texts_of([SHORTCUT])
    assert paper.card.measured == (
        "effect on P(fake) +25.0 points [+20.0 to +30.0], 300 donors; answers that change 30 % [20 to 40], 600 trials"
    )
    (few,) = texts_of([finding("CANNOT SAY", probability=contrast(0.1, 0.05, 0.15, n=5))])
    assert few.card.plain == few.card.measured == ""


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ([SHORTCUT, NONE], "A shortcut: its answers depend on the background, which is not what should matter"),
        (
            [SHORTCUT, SHORTCUT],
            "A shortcut: its answers depend on the background, which is not what should matter (2 shortcuts in all)",
        ),
        ([PLACE], "A shortcut: its answers depend on the place of the face, which is not what should matter"),
        ([UNNAMED], "A shortcut: its answers depend on everything outside the core, which is not what should matter"),
        ([INTENDED, NONE], "Its answers depend on the face, as they should"),
        ([INTENDED, at_the_rim(0.24)], "Its answers depend on the face, as they should"),
        (
            [INTENDED, at_the_rim(-0.9)],
            "Its answers depend on the patch, at the edge of what should matter: that may be drawn too small",
        ),
        (
            [finding("WEAK", "depends", "against the label")],
            "The background leads its answers away from the right class",
        ),
        ([NONE, OPEN], ""),
    ],
)
def test_the_headline_in_plain_words(findings: list[Finding], words: str) -> None:
    assert plain_headline_of(texts_of(findings)) == words


def test_an_exchange_is_told_as_what_happened_and_how_usual_that_is(tmp_path: Path) -> None:
    trial = {
        "recipient": "a/1.png", "donor": "b/2.png", "donor_label": "real", "label": "fake", "contrast": "fake",
        "before": 0.95, "after": 0.08, "prediction_before": "fake", "prediction": "real", "pictures": "x/00",
    }  # fmt: skip
    same = {**trial, "before": 0.5, "after": 0.502, "prediction": "fake", "quantile": 0.25}
    found = Finding(
        "top", "STRONG", ("depends",), "", examples=({**trial, "quantile": 0.99},), counter_examples=(same,)
    )
    first, last = exchanges_of(found, tmp_path, tmp_path / "pictures", 1)
    given = "With what an image of the class real gives it, P(fake)"
    assert first.words == f"{given} falls from 95% to 8%; it is judged real. Of 100 such exchanges, 1 does more."
    assert last.words == (
        f"{given} stays at 50%; it is judged the same class. Of 100 such exchanges, 25 do less, or the opposite."
    )
