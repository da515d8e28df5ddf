"""What so many images can show: the arithmetic against simulation, and against what an audit measures of itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seewhy.evidence.inference.differences import class_difference, difference_of, equivalent
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.resolution import (
    EFFECTS,
    MANY,
    SPREADS,
    advice,
    images_needed,
    in_short,
    needed_words,
    shown_effect,
    shows,
)

FLOOR = AUDIT_THRESHOLDS["floor"]


@pytest.mark.parametrize(("each", "n_classes"), [(28, 6), (60, 2), (150, 2), (300, 6)])
def test_the_effect_that_is_said_to_show_shows_in_nine_of_ten_simulations(each: int, n_classes: int) -> None:
    effect, rng, n_tests = shown_effect(each, n_classes, 20), np.random.default_rng(0), 20
    spread, classes = np.interp(effect, EFFECTS, SPREADS), np.repeat(np.arange(n_classes), each)
    weights = {0: 1.0} | {other: -1 / (n_classes - 1) for other in range(1, n_classes)}
    drawn = rng.normal(0, spread, (600, len(classes))) + effect * (classes == 0)
    found = [class_difference(one, classes, weights).p_value < AUDIT_THRESHOLDS["level"] / n_tests for one in drawn]
    power = np.mean(found)
    assert power >= 0.86 and (power <= 0.94 or effect == pytest.approx(FLOOR)), "9 of 10"


def test_more_images_show_smaller_effects_and_more_tests_larger_ones() -> None:
    effects = [shown_effect(each, 2, 20) for each in (10, 30, 100, 300, 3000)]
    assert effects == sorted(effects, reverse=True) and effects[-1] == pytest.approx(FLOOR)
    assert shown_effect(100, 2, 1) < shown_effect(100, 2, 1000)
    assert shown_effect(100, 2, 20) > shown_effect(100, 6, 20), "the others' mean is surer than one class"
    assert shown_effect(1, 2, 20) == math.inf and shown_effect(2, 2, 1000) == math.inf


def test_the_sentence_says_images_effect_and_what_many_would_show() -> None:
    few = shows(28, 6, 120)
    assert few.startswith("With 28 images of a class and 120 tests, an effect of about ")
    assert f"; {MANY} of each show about" in few and "9 of 10" in few
    assert f"{MANY} of each show" not in shows(MANY, 6, 120)
    assert "hardly any effect" in shows(2, 2, 1000)


def test_the_sentence_counts_what_there_is() -> None:
    assert shows(10, 3, 18, "cluster").startswith("With 10 clusters of a class and 18 tests, ")
    assert shows(1, 2, 1).startswith("With 1 image of a class and 1 test, ")
    assert shows(300, 2, 0) == "Nothing is exchanged between images."


@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_with_as_many_images_as_are_needed_nothing_is_excluded_in_nine_of_ten(spread: float) -> None:
    rng, now = np.random.default_rng(1), 40
    error = spread * math.sqrt(2 / now)
    needed = images_needed(difference_of(0.0, error, 2 * now - 2.0, {0: now, 1: now}))
    each = int(needed)
    means = rng.normal(0, spread * math.sqrt(2 / each), 4000)
    excluded = np.mean(
        [
            equivalent(difference_of(one, spread * math.sqrt(2 / each), 2 * each - 2.0, {0: each}), FLOOR, level=0.95)
            for one in means
        ]
    )
    assert excluded == pytest.approx(0.9, abs=0.02)


def test_what_is_known_to_suffice_needs_no_more_and_what_is_unknown_is_not_said() -> None:
    assert images_needed(difference_of(0.0, 0.001, 78.0, {0: 40, 1: 50})) == 40
    for difference in (difference_of(0.1, math.inf, 1.0, {0: 1, 1: 40}), difference_of(0.1, 0.02, 10.0, {})):
        assert images_needed(difference) == math.inf
    assert advice(math.inf, 3).startswith("More images")
    assert "only far more than 40 images of each class" in advice(40, 40)
    of_clusters = advice(48, 20, "clusters of each class")
    assert of_clusters.startswith(
        "About 48 clusters of each class would tell; 20 were used. Add images of other clusters,"
    )
    assert "images of each class" not in of_clusters and advice(math.inf, 3, "clusters").startswith("More clusters, or")
    assert in_short({"images_needed": 40.0, "fewest": 40}) == ""
    assert in_short({"images_needed": None}) == in_short({}) == "" and in_short({"images_needed": 1234.0}) == " ~1,300"


@pytest.mark.parametrize(
    ("needed", "words"),
    [(29, "29"), (99, "99"), (541, "550"), (1201, "1,300"), (20_000, "20,000"), (20_001, ">20,000")],
)
def test_a_number_of_images_has_two_digits(needed: float, words: str) -> None:
    assert needed_words(needed) == words
    assert f"About {words} images of each class would tell; 28 were used." in advice(needed, 28)
