"""Scores of single labels beside scikit-learn's, and the sentences about networks whose labels are known."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.evidence.checks.behaviour import Behaviour, behaviour_of_labels
from seewhy.evidence.checks.label_findings import label_findings
from seewhy.evidence.checks.label_scores import label_scores, truth_of
from seewhy.evidence.inference.ranks import label_auc, mean_label_auc, rank_auc

CLASSES = ("edema", "mass", "nodule")


def data(n: int = 200, seed: int = 0, gain: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 3) and labels (n, 3): each label is told by its own logit."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 3)) < (0.5, 0.3, 0.1)
    return (truth * 2 - 1) * gain / 2 + rng.normal(size=(n, 3)).round(1), truth


def texts_of(truth: np.ndarray) -> list[str]:
    return ["|".join(name for name, has in zip(CLASSES, row, strict=True) if has) or "no label" for row in truth]


def behaviour(logits: np.ndarray, truth: np.ndarray, splits: list[str] | None = None) -> Behaviour:
    return behaviour_of_labels(logits, texts_of(truth), CLASSES, splits or ())


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    logits, truth = data(seed=seed)
    scores = label_scores(logits, truth, CLASSES, np.arange(len(truth)))
    for k, score in enumerate(scores):
        assert score.auc is not None and score.name == CLASSES[k]
        assert score.auc.value == pytest.approx(metrics.roc_auc_score(truth[:, k], logits[:, k]))
        assert score.f1 == pytest.approx(metrics.f1_score(truth[:, k], logits[:, k] >= 0))
        assert score.bias.value == pytest.approx((1 / (1 + np.exp(-logits[:, k]))).mean() - truth[:, k].mean())
        assert (score.count, score.decided) == (truth[:, k].sum(), (logits[:, k] >= 0).sum())
    found = behaviour(logits, truth)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(truth, logits >= 0))
    assert mean_label_auc(logits, truth)[0] == pytest.approx(metrics.roc_auc_score(truth, logits, average="macro"))


def test_the_area_of_one_label_is_that_of_two_classes() -> None:
    logits, truth = data(80)
    value, influence = label_auc(logits[:, 0], truth[:, 0])
    both, of_both = rank_auc(np.stack([-logits[:, 0], logits[:, 0]], axis=1), truth[:, 0].astype(np.int64))
    assert value == pytest.approx(both)
    np.testing.assert_allclose(influence, of_both, atol=1e-12)


def test_by_hand() -> None:
    logits = np.array([[2.0, -1.0], [-1.0, -1.0], [0.0, -1.0], [1.0, -1.0]])
    labels = ["a", "b", "no label", "a|b"]
    found = behaviour_of_labels(logits, labels, ("a", "b"))
    a, b = found.by_label or ()
    assert a.auc is not None and (a.auc.value, a.f1) == (1.0, pytest.approx(4 / 5))
    assert a.auc.high == 1.0 and a.auc.low < 0.5, "two images cannot show that it is perfect"
    assert b.auc is not None and (b.auc.value, b.f1, b.decided) == (0.5, 0.0, 0)
    assert found.accuracy is not None and found.accuracy.value == 0.25 and found.accuracy.n == 4
    assert found.predictions == {"a": 3, "no label": 1}
    np.testing.assert_array_equal(truth_of(labels, ("a", "b")), [[1, 0], [0, 1], [0, 0], [1, 1]])


def test_unknown_labels_do_not_count_and_labels_of_all_or_none_have_no_area() -> None:
    logits, truth = data(60)
    truth[:, 2] = False
    labels: list[str | None] = [*texts_of(truth)[:50], *[None] * 10]
    found = behaviour_of_labels(logits, labels, CLASSES, ["train"] * 20 + ["valid"] * 40)
    assert found.n_images == 60 and found.accuracy is not None and found.accuracy.n == 30 and found.judged_on == "valid"
    assert found.by_split is not None and {name: part.n for name, part in found.by_split.items()} == {
        "train": 20,
        "valid": 30,
    }
    assert found.by_label is not None and found.by_label[2].auc is None


def test_a_working_network_is_good_and_its_labels_are_kept() -> None:
    first, *_ = label_findings(behaviour(*data(600, gain=4)))
    assert first.level == "good" and set(first.numbers["labels"]) == {*CLASSES}


def test_a_guessing_network_is_bad() -> None:
    logits, truth = data(300, gain=0)
    first, *_ = label_findings(behaviour(logits, truth))
    assert first.level == "bad" and first.stops_audit


def test_a_label_that_is_turned_round_is_bad_and_the_rest_are_told() -> None:
    logits, truth = data(600, gain=4)
    logits[:, 1] *= -1
    turned, told, *_ = label_findings(behaviour(logits, truth))
    assert (turned.level, turned.numbers["turned"]) == ("bad", 1) and "mass" in turned.text
    assert told.level == "caution"


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_another_order_of_the_labels_is_named(order: tuple[int, ...]) -> None:
    logits, truth = data(400, gain=4)
    found = behaviour(logits[:, order], truth)  # output j means label order[j]
    assert found.permutation == tuple(CLASSES[label] for label in order)
    first, *_ = label_findings(found)
    assert first.level == "bad" and first.todo == f"--classes {','.join(found.permutation)}"


@pytest.mark.parametrize("seed", range(20))
def test_guessing_and_a_right_order_are_never_another_one(seed: int) -> None:
    for gain in (0, 1, 4):
        assert behaviour(*data(300, seed, gain)).permutation is None


def test_copies_of_images_are_one_cluster_and_add_nothing() -> None:
    logits, truth = data(120)
    places = np.repeat(np.arange(120), 4)
    alone = label_scores(logits, truth, CLASSES, np.arange(120))
    copied = label_scores(logits[places], truth[places], CLASSES, places)
    for one, other in zip(alone, copied, strict=True):
        assert one.auc is not None and other.auc is not None and (one.n, other.n) == (120, 480)
        assert (one.auc.low, one.auc.high) == pytest.approx((other.auc.low, other.auc.high))
        assert (one.bias.low, one.bias.high) == pytest.approx((other.bias.low, other.bias.high))


def test_few_clusters_are_in_no_other_order_of_the_labels() -> None:
    """Four patients of each label, of twenty alike images: all outputs are turned, and patients may be why."""
    truth = np.eye(3, dtype=bool)[np.repeat(np.arange(12) % 3, 20)]
    units = [f"p{place}" for place in np.repeat(np.arange(12), 20)]
    logits = np.roll(truth * 8.0 - 4, 1, axis=1)
    assert behaviour_of_labels(logits, texts_of(truth), CLASSES, clusters=units).permutation is None
    found = behaviour_of_labels(logits, texts_of(truth), CLASSES)
    assert found.permutation is not None and found.is_order_clear


def test_labels_that_are_never_given_are_named_and_their_share_is_off() -> None:
    logits, truth = data(600, gain=4)
    logits[:, 0] -= 20
    findings = label_findings(behaviour(logits, truth))
    assert [finding.numbers["never"] for finding in findings if "never" in finding.numbers] == [["edema"]]
    (off,) = [finding for finding in findings if "bias" in finding.numbers]
    assert "edema" in off.numbers["bias"] and findings[0].level == "good", "the order is as good as before"


def test_without_labels_nothing_can_be_said_and_constant_logits_are_bad() -> None:
    logits, _ = data(40)
    (said,) = label_findings(behaviour_of_labels(logits - 9, [None] * 40, CLASSES))
    assert said.level == "cannot say"
    (said,) = label_findings(behaviour_of_labels(np.ones((40, 3)), ["mass"] * 40, CLASSES))
    assert said.level == "bad"


@pytest.mark.parametrize("seed", range(5))
def test_an_order_that_is_shown_and_helps_nobody_is_no_advice(seed: int) -> None:
    """Many images show that a guessing network ranks two labels a little better in each other's place."""
    logits, truth = data(6000, seed, gain=0.1)
    found = behaviour(logits[:, [1, 0, 2]], truth)
    assert found.permutation is None
    assert behaviour(data(6000, seed, gain=2)[0][:, [1, 0, 2]], truth).permutation == ("mass", "edema", "nodule")


def test_a_label_that_is_turned_by_next_to_nothing_is_not_told() -> None:
    logits, truth = data(6000, gain=4)
    noise = np.random.default_rng(3).normal(size=len(truth))
    for size, told in ((0.1, False), (1.0, True)):
        turned = logits.copy()
        turned[:, 1] = noise - size * truth[:, 1]
        levels = [
            finding.numbers for finding in label_findings(behaviour(turned, truth)) if "turned" in finding.numbers
        ]
        assert bool(levels) is told


@pytest.mark.parametrize(("gain", "is_clear"), [(4.0, True), (0.3, False)])
def test_an_order_of_labels_is_clear_where_much_is_gained(gain: float, is_clear: bool) -> None:
    logits, truth = data(1500, gain=gain)
    assert behaviour(logits[:, [1, 0, 2]], truth).is_order_clear is is_clear
