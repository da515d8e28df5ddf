"""Another order of the classes: which one is told, when it leaves no doubt, and what is typed."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.evidence.checks.class_order import ClassOrder, half_of, line_to_type, other_order
from seewhy.evidence.inference.units import share_of

Ints = np.ndarray


def answers(
    n: int, n_classes: int, accuracy: float, means: list[int] | None = None, seed: int = 0
) -> tuple[Ints, Ints]:
    """Labels and predictions of a network that is right so often once output j is read as class `means[j]`."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % n_classes
    said = np.where(rng.random(n) < accuracy, truth, rng.integers(0, n_classes, n))
    return truth, np.argsort(means)[said] if means is not None else said


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class{index}" for index in range(count))


@pytest.mark.parametrize("accuracy", [1.0, 0.9])
@pytest.mark.parametrize(
    "means",
    [[1, 0], [1, 2, 0], [0, 1, 4, 3, 2, 5], [5, 4, 3, 2, 1, 0]],
    ids=["two", "turned", "two-of-six", "reversed"],
)
def test_the_order_is_told_and_leaves_no_doubt(means: list[int], accuracy: float) -> None:
    truth, decided = answers(300, len(means), accuracy, means)
    found = other_order(truth, decided, names(len(means)))
    assert found is not None and list(found.order) == means and found.is_clear
    assert found.accuracy.value == pytest.approx(float((np.array(means)[decided] == truth).mean()))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("n_classes", [2, 3, 6, 12, 200])
def test_a_network_that_guesses_or_works_has_no_other_order(n_classes: int, seed: int) -> None:
    for accuracy in (0.0, 0.1, 0.5, 0.9):
        assert other_order(*answers(240, n_classes, accuracy, seed=seed), names(n_classes)) is None


@pytest.mark.parametrize("seed", range(10))
def test_two_classes_that_are_taken_for_each_other_are_no_clear_order(seed: int) -> None:
    """Six of ten images of each are given the other's name, by a network that is right about four more classes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(1200) % 6
    mixed = (truth < 2) & (rng.random(1200) < 0.6)
    found = other_order(truth, np.where(mixed, 1 - truth, truth), names(6))
    assert found is None or not found.is_clear


def test_an_order_that_is_better_than_the_given_one_and_still_guessing_is_not_told() -> None:
    """Given it is right for 2 of 100 images of ten classes, in the best order for 13: advice that helps nobody."""
    rng = np.random.default_rng(0)
    truth = np.arange(2000) % 10
    turned = (truth + 1) % 10
    decided = np.where(rng.random(2000) < 0.13, turned, (truth + rng.integers(2, 10, 2000)) % 10)
    assert (decided == truth).mean() < 0.02
    assert other_order(truth, decided, names(10)) is None


def test_the_order_must_hold_on_the_images_of_training_too() -> None:
    """On valid the cue is turned round, on train it is not: the classes are not in another order."""
    truth, decided = answers(300, 2, 0.95, [1, 0])
    right = answers(300, 2, 0.95)
    assert other_order(truth, decided, names(2)) is not None
    assert other_order(truth, decided, names(2), others=right) is None
    assert other_order(truth, decided, names(2), others=(truth, decided)) is not None


def test_names_sorted_as_text_are_told_where_each_class_has_one_image() -> None:
    """What ImageFolder does with 0, 1, … 199: found from the names alone."""
    classes = tuple(map(str, range(200)))
    sorted_as_text = sorted(range(200), key=str)
    truth, decided = answers(200, 200, 0.9, sorted_as_text)
    found = other_order(truth, decided, classes)
    assert found is not None and list(found.order) == sorted_as_text and found.is_clear and not found.was_found
    numbered = tuple(f"n{number}" for number in range(12))  # and the other way round
    as_text = tuple(sorted(numbered))
    truth, decided = answers(36, 12, 0.95, [as_text.index(name) for name in numbered])
    found = other_order(truth, decided, as_text)
    assert found is not None and tuple(as_text[index] for index in found.order) == numbered


@pytest.mark.parametrize(("shift", "first"), [(1, 1), (-1, 0)])
def test_labels_that_are_counted_from_another_number_are_told(shift: int, first: int) -> None:
    """Images of 100 of 1,000 classes, each label one further than the network's output."""
    meant = np.arange(400, 500)
    found = other_order(meant + shift, meant, tuple(map(str, range(1000))))
    assert found is not None and found.first_label == first and found.is_clear
    assert found.order[:2] == ((1, 2) if first else (999, 0))


def test_few_images_tell_nothing() -> None:
    truth, decided = answers(18, 2, 1.0, [1, 0])
    assert other_order(truth, decided, ("real", "fake")) is None or len(truth) >= 20


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_cluster_counts_once(n_classes: int) -> None:
    """Two patients of each class of 15 alike images: no order is told, of as many clusters of one image it is."""
    patients = np.arange(2 * n_classes)
    truth, units = np.repeat(patients % n_classes, 15), np.repeat(patients, 15)
    decided = (truth + 1) % n_classes
    assert other_order(truth, decided, names(n_classes), units=units) is None
    same = other_order(truth, decided, names(n_classes), units=np.arange(len(truth)))
    assert same == other_order(truth, decided, names(n_classes)) and same is not None and same.is_clear
    patients = np.arange(20 * n_classes)
    truth, units = np.repeat(patients % n_classes, 3), np.repeat(patients, 3)
    found = other_order(truth, (truth + 1) % n_classes, names(n_classes), units=units)
    assert found is not None and found.order == same.order and found.is_clear
    assert found.accuracy == share_of(np.ones(len(truth), bool), units)


@pytest.mark.parametrize("seed", range(20))
def test_a_network_that_tells_the_patient_has_no_other_order(seed: int) -> None:
    """Each of 24 patients gets one answer for all of its images, by chance: half of them the right one."""
    rng = np.random.default_rng(seed)
    patients = np.arange(24)
    truth, units = np.repeat(patients % 2, 40), np.repeat(patients, 40)
    decided = np.repeat(rng.permutation(patients // 12), 40)
    assert other_order(truth, decided, ("class0", "class1"), units=units) is None


@pytest.mark.parametrize("n_classes", [2, 5])
def test_no_cluster_is_divided_between_the_halves(n_classes: int) -> None:
    rng = np.random.default_rng(1)
    units = rng.integers(0, 40, 400)
    truth = np.where(rng.random(400) < 0.9, units % n_classes, rng.integers(0, n_classes, 400))
    half = half_of(truth, units)
    for unit in range(40):
        assert len({*half[units == unit]}) == 1
    assert abs(len(np.unique(units[half])) - 20) <= 0.5 and all((truth[half] == k).any() for k in range(n_classes))


@pytest.mark.parametrize(
    ("order", "first", "line"),
    [
        (("real", "fake"), None, "--classes real,fake"),
        (("a b", "it's"), None, "--classes 'a b,it'\"'\"'s'"),
        (("a, b", "c"), None, "--classes FILE  (a name in each line, in this order: a, b, c)"),
        (("1", "2", "0"), 1, "--first-label 1  where labels are numbers, else  --classes 1,2,0"),
    ],
)
def test_the_line_can_be_typed(order: tuple[str, ...], first: int | None, line: str) -> None:
    assert line_to_type(order, first) == line


def test_the_line_of_many_classes_names_a_file() -> None:
    assert line_to_type(tuple(map(str, range(1000)))).startswith(
        "--classes FILE  (a name in each line, in this order: 0,"
    )


def test_what_it_gives_is_plain() -> None:
    truth, decided = answers(300, 2, 0.95, [1, 0])
    found = other_order(truth, decided, names(2))
    assert isinstance(found, ClassOrder) and all(isinstance(index, int) for index in found.order)
