"""What logits say about a classifier, from logits that are known."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.evidence.checks.behaviour import Behaviour, behaviour_of
from seewhy.evidence.checks.findings import CheckFinding, behaviour_findings

CLASSES = ("cat", "dog", "fox")


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def classifier_that(
    n: int, accuracy: float, order: tuple[int, ...] = (0, 1, 2), size: float = 3.0, seed: int = 0
) -> Behaviour:
    """The behaviour of a classifier that is right so often, with its classes in another order."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % len(order)
    said = np.where(rng.random(n) < accuracy, truth, rng.integers(0, len(order), n))
    logits = rng.normal(size=(n, len(order)))
    logits[np.arange(n), np.array(order)[said]] += size
    names = CLASSES if len(order) == 3 else tuple(map(str, range(len(order))))
    return behaviour_of(logits, softmax(logits), [names[t] for t in truth], names)


def texts(found: Behaviour) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in behaviour_findings(found)]


def only(findings: list[CheckFinding], level: str) -> CheckFinding:
    (found,) = [one for one in findings if one.level == level]
    return found


def test_a_working_classifier_is_said_to_work() -> None:
    found = classifier_that(300, 0.9)
    assert found.accuracy is not None and found.confusion is not None and found.recall is not None
    assert found.confusion.sum() == 300 and np.trace(found.confusion) == round(found.accuracy.value * 300)
    assert found.recall["fox"].value == found.confusion[2, 2] / 100
    (first, *_) = behaviour_findings(found)
    assert first.level == "good" and "300 labelled" in first.text and f"{found.accuracy}" in first.text
    assert found.permutation is None and found.collapsed_to is None and not found.is_constant


def test_a_collapse_is_found_only_where_the_labels_are_spread() -> None:
    logits = np.tile([0.0, 2.0, 1.0], (40, 1)) + np.random.default_rng(0).normal(size=(40, 3)) * 0.1
    spread = behaviour_of(logits, softmax(logits), [CLASSES[n % 3] for n in range(40)], CLASSES)
    assert spread.collapsed_to == "dog"
    assert "Every one of the 40 images is predicted as 'dog'" in behaviour_findings(spread)[0].text
    same = behaviour_of(logits, softmax(logits), ["dog"] * 40, CLASSES)
    assert same.collapsed_to is None, "all labels are that class: the classifier may well be right"
    assert same.chance == pytest.approx(1 / 3)
    assert behaviour_findings(same)[0].level == "cannot say", (
        "right for every image of the only class, as a constant is"
    )
    assert not any("Recognised less" in one.text for one in behaviour_findings(same))
    unknown = behaviour_of(logits, softmax(logits), [None] * 40, CLASSES)
    assert unknown.collapsed_to == "dog" and unknown.accuracy is None
    assert [one.level for one in behaviour_findings(unknown)] == ["bad", "cannot say"]


def test_constant_logits_are_the_only_finding() -> None:
    logits = np.tile([0.3, 2.0, 1.0], (20, 1))
    logits[3] += 1e-7
    found = behaviour_of(logits, softmax(logits), [CLASSES[n % 3] for n in range(20)], CLASSES)
    assert found.is_constant
    assert [level for level, _ in texts(found)] == ["bad"]


@pytest.mark.parametrize("order", [(1, 0), (1, 2, 0), (0, 2, 1)])
def test_another_order_of_the_classes_is_named(order: tuple[int, ...]) -> None:
    found = classifier_that(200, 0.95, order)
    names = CLASSES if len(order) == 3 else ("0", "1")
    assert found.permutation is not None and found.permuted_accuracy is not None and found.accuracy is not None
    want = [""] * len(order)
    for truth, said in enumerate(order):
        want[said] = names[truth]
    assert list(found.permutation) == want
    assert found.permuted_accuracy.low > found.accuracy.high
    told = only(behaviour_findings(found), "bad")
    assert told.todo == f"--classes {','.join(want)}"


@pytest.mark.parametrize("seed", range(20))
def test_guessing_is_never_another_order(seed: int) -> None:
    """The best order on the same images always looks better; judged on the others it must not."""
    assert classifier_that(120, 0.0, tuple(range(6)), seed=seed).permutation is None
    assert classifier_that(1000, 0.0, tuple(range(200)), seed=seed).permutation is None


def test_clusters_are_the_units_of_another_order_and_are_named() -> None:
    """Two patients of each class, of 15 alike images: never right, and four clusters do not say why."""
    truth = np.repeat([0, 0, 1, 1], 15)
    logits = np.stack([truth, 1 - truth], axis=1) * 8.0
    patients = [f"p{place}" for place in np.repeat(range(4), 15)]
    found = behaviour_of(logits, softmax(logits), [CLASSES[k] for k in truth], CLASSES[:2], clusters=patients)
    assert found.permutation is None and found.n_clusters == 4
    assert "on 60 labelled images of 4 clusters" in behaviour_findings(found)[0].text
    right = behaviour_of(logits[:, ::-1], softmax(logits[:, ::-1]), [CLASSES[k] for k in truth], CLASSES, (), patients)
    finding, *_ = behaviour_findings(right)
    assert finding.level == "cannot say" and "too few clusters to tell" in finding.text
    assert finding.todo == "Check labelled images of more clusters."
    alone = behaviour_of(logits, softmax(logits), [CLASSES[k] for k in truth], CLASSES[:2])
    assert alone.is_order_clear and alone.n_clusters is None


def test_guessing_is_said_to_be_no_better_than_guessing() -> None:
    (level, text), *_ = texts(classifier_that(300, 0.0))
    assert level == "bad" and "not shown to be better" in text


def test_a_class_that_is_hardly_recognised_is_named() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    said = np.where(truth == 2, np.where(rng.random(300) < 0.9, 1, 2), truth)
    logits = rng.normal(size=(300, 3)) * 0.1
    logits[np.arange(300), said] += 2
    found = behaviour_of(logits, softmax(logits), [CLASSES[t] for t in truth], CLASSES)
    assert any(level == "caution" and "fox" in text and "of 100" in text for level, text in texts(found))


@pytest.mark.parametrize(("size", "word"), [(30.0, "high"), (0.05, "low")])
def test_probabilities_that_are_off_are_said_to_be(size: float, word: str) -> None:
    found = classifier_that(600, 0.7, size=size)
    if word == "low":  # decided, but with hardly any confidence
        truth = np.arange(600) % 3
        logits = np.eye(3)[truth] * size
        found = behaviour_of(logits, softmax(logits), [CLASSES[t] for t in truth], CLASSES)
    assert found.overconfidence is not None and found.confidence is not None and found.accuracy is not None
    assert found.overconfidence.value == pytest.approx(found.confidence - found.accuracy.value)
    assert any(f"too {word}" in text for level, text in texts(found) if level == "caution")


def test_calibrated_probabilities_raise_no_doubt() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3000, 3)) * 2
    shares = softmax(logits)
    truth = [int(rng.choice(3, p=row)) for row in shares]  # right as often as it says
    found = behaviour_of(logits, shares, [CLASSES[t] for t in truth], CLASSES)
    assert not [text for level, text in texts(found) if level == "caution"]


def test_a_classifier_is_judged_by_the_images_that_it_was_not_trained_on() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(900) % 3
    in_train = np.arange(900) < 300
    said = np.where(in_train | (rng.random(900) < 0.4), truth, rng.integers(0, 3, 900))
    logits = rng.normal(size=(900, 3))
    logits[np.arange(900), said] += 4
    labels, splits = [CLASSES[t] for t in truth], ["training_set" if t else "val" for t in in_train]
    told = behaviour_of(logits, softmax(logits), labels, CLASSES, splits)
    alone = behaviour_of(logits[~in_train], softmax(logits[~in_train]), [CLASSES[t] for t in truth[~in_train]], CLASSES)
    assert told.judged_on == "valid" and told.accuracy == alone.accuracy and told.recall == alone.recall
    assert told.gap is not None and told.accuracy is not None
    right = float((logits.argmax(1) == truth)[in_train].mean())
    assert told.gap.value == pytest.approx(right - told.accuracy.value)
    (gap,) = [finding for finding in behaviour_findings(told) if "gap" in finding.numbers]
    assert gap.level == "caution" and "points more often" in gap.text and "than on valid" in gap.text


def test_one_split_alone_is_judged_whole() -> None:
    logits = np.eye(3)[np.arange(30) % 3] * 5
    told = behaviour_of(logits, softmax(logits), [CLASSES[k % 3] for k in range(30)], CLASSES, ["train"] * 30)
    assert told.judged_on == "" and told.gap is None and told.accuracy is not None and told.accuracy.n == 30


def test_images_of_one_class_say_nothing_of_the_order_of_classes() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 3))
    logits[:50, 2] += 9
    told = behaviour_of(logits, softmax(logits), ["cat"] * 60, CLASSES)
    assert told.permutation is None and told.accuracy is not None and told.accuracy.value < 0.5
