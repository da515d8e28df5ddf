"""Confusions: which are asked about, and whether the contrast of two classes finds what was put in, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from seewhy.evidence.findings.confusion_words import told_of
from seewhy.evidence.findings.confusions import LEAST_UNITS, Confused, Confusion, Move, adjusted, frequent, move_of
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.trial import Scores, Trials

CLASSES = ("climbing", "diving", "fishing", "racing")
DIVING, RACING = 1, 3
ASKED = Confusion(DIVING, RACING, count=19, of=28, expected=7.0)


def sample_of(each: int, n_classes: int = len(CLASSES), copies: int = 1, recipients: int = 300) -> Sample:
    """So many distinct images of each class, each there so often, dealt as an audit deals them."""
    labels = np.repeat(np.arange(n_classes), each * copies)
    pixels = torch.zeros(len(labels), 3, 1, 1)
    sample = Sample("valid", (), labels, pixels, None, np.arange(len(labels)) // copies)
    return with_partners(sample, recipients, 4, seed=0)


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def scores(logits: np.ndarray) -> Scores:
    return Scores(logits.astype(np.float32), softmax(logits).astype(np.float32), logits.argmax(axis=1))


class World:
    """Images whose logits answer to a factor: donors of racing add `effect` to its logit, and every donor its own."""

    def __init__(self, effect: float, seed: int, *, spread: float = 0.8, noise: float = 0.4) -> None:
        self.effect, self.spread, self.noise = effect, spread, noise
        self.rng = np.random.default_rng(seed)

    def logits(self, labels: np.ndarray) -> np.ndarray:
        """The logits of images as they are: right more often than not."""
        return self.rng.normal(0, 0.7, (len(labels), len(CLASSES))) + np.eye(len(CLASSES))[labels]

    def added(self, labels: np.ndarray) -> np.ndarray:
        """What the content of images adds to each logit, wherever it is put in."""
        own = self.rng.normal(0, self.spread, (len(labels), len(CLASSES)))
        own[labels == RACING, RACING] += self.effect
        own[labels == 0, 0] += 1.0  # what other classes do between each other is of no account
        return own

    def trials(self, sample: Sample, copies: int = 1) -> Trials:
        """The exchanges of one factor; copies of an image have its logits and its content."""
        first = sample.labels[::copies]
        plain, content = (np.repeat(make(first), copies, axis=0) for make in (self.logits, self.added))
        answers = np.repeat(self.rng.uniform(0.5, 1.5, len(first)), copies)[:, None]  # how strongly each responds
        pairs = sample.pairs()
        rows, columns = pairs.T
        noise = self.rng.normal(0, self.noise, (len(pairs), len(CLASSES)))
        after = plain[rows] + answers[rows] * content[columns] + noise
        key = TrialKey("surround", EXCHANGE, "valid")
        return Trials(key, rows, columns, scores(plain).at(rows), scores(after), sample.labels, sample.clusters)

    def truth(self, n: int = 400_000) -> float:
        """The change of P(racing) of diving images, for endlessly many images and donors."""
        plain = self.logits(np.full(n, DIVING))
        answers, noise = self.rng.uniform(0.5, 1.5, n)[:, None], self.rng.normal(0, self.noise, plain.shape)
        given, kept = (self.added(np.full(n, label)) for label in (RACING, DIVING))
        racing, diving = (softmax(plain + answers * content + noise)[:, RACING] for content in (given, kept))
        return float((racing - diving).mean())


@pytest.mark.parametrize("each", [14, 28, 60])
def test_the_interval_holds_a_known_effect_between_two_classes(each: int) -> None:
    sample, truth = sample_of(each), World(2.0, 0).truth()
    moves = [move_of(World(2.0, 1 + seed).trials(sample), ASKED) for seed in range(100)]
    held = np.mean([move.probability.low <= truth <= move.probability.high for move in moves])
    in_logits = np.mean([move.margin.low <= 2.0 <= move.margin.high for move in moves])
    assert held >= 0.89 and in_logits >= 0.89, "of 95 %, within three standard errors"
    mean = np.mean([move.probability.value for move in moves])
    error = np.std([move.probability.value for move in moves]) / 10
    assert abs(mean - truth) < 4 * error + 0.002
    typical = np.median([move.probability.error for move in moves])
    assert typical < 2 * np.std([move.probability.value for move in moves]), "nor is it far too wide"


def test_where_nothing_moves_the_one_into_the_other_nothing_is_shown() -> None:
    sample, alarms = sample_of(28), 0
    for seed in range(30):
        tried = [move_of(World(0.0, 100 * seed + factor).trials(sample), ASKED) for factor in range(5)]
        alarms += any(
            move.said in ("shown", "the other way") for move in adjusted([Confused(ASKED, tuple(tried))])[0].moves
        )
    assert alarms <= 5, "5 % of 30 audits, of five factors each"


def test_what_another_class_does_is_no_answer() -> None:
    """Donors of climbing move everything to racing; asked is diving against racing."""
    trials = World(0.0, 3).trials(sample_of(28))
    given = trials.donor_labels == 0
    pushed = replace(
        trials.after,
        probabilities=np.where(given[:, None], np.eye(4, dtype=np.float32)[RACING], trials.after.probabilities),
    )
    plain, moved = move_of(trials, ASKED), move_of(replace(trials, after=pushed), ASKED)
    assert moved.probability.value == pytest.approx(plain.probability.value, abs=1e-9)


def test_copies_of_images_are_no_more_images() -> None:
    once = move_of(World(1.0, 5).trials(sample_of(28)), ASKED)
    thrice = move_of(World(1.0, 5).trials(sample_of(28, copies=3), copies=3), ASKED)
    assert max(thrice.probability.n.values()) <= 28 and thrice.n_recipients == once.n_recipients == 28
    assert thrice.probability.error > 0.6 * once.probability.error


def test_with_too_few_images_of_the_class_all_are_edited_and_it_is_said() -> None:
    trials = World(2.0, 6).trials(sample_of(28))
    few = np.isin(np.arange(trials.n_images), np.flatnonzero(trials.labels == DIVING)[9:], invert=True)
    move = move_of(trials.only(few), ASKED)
    assert not move.of_label and move.n_recipients == 28 * 3 + 9
    assert (
        "all images (fewer than 10 of diving are edited)"
        in told_of(Confused(ASKED, (shown(move),)), CLASSES, "valid").text
    )


def shown(move: Move) -> Move:
    return replace(move, p_holm=1e-6)


# Which are asked about.


def test_confusions_are_those_beyond_a_handful_and_beyond_chance() -> None:
    labels = np.repeat([0, 1, 2, 3], 28)
    predictions = labels.copy()
    predictions[28:47] = RACING  # 19 of 28
    predictions[47:50] = 0
    predictions[:4] = DIVING  # four are no handful
    predictions[56:74] = np.tile([0, 1, 3], 6)  # eighteen errors, spread over all
    clusters = np.arange(112)
    found = frequent(labels, predictions, clusters, 4)
    assert found == [Confusion(DIVING, RACING, 19, 28, pytest.approx(22 / 3))]
    assert frequent(labels, predictions, np.where(predictions == RACING, 0, clusters), 4) == [], "one picture in copies"
    predictions[28:47] = -1
    assert frequent(labels, predictions, clusters, 4) == [], "no answer is no confusion"


# Words.


def test_the_words_hold_effect_interval_and_count() -> None:
    confused = adjusted([Confused(ASKED, (move_of(World(3.0, 8).trials(sample_of(28)), ASKED),))])[0]
    told, move = told_of(confused, CLASSES, "valid"), confused.moves[0]
    value, low, high = (100 * each for each in (move.probability.value, move.told.low, move.told.high))
    donors = sum(move.probability.n.values())
    assert told.title == "CONFUSION  diving called racing: surround"
    assert told.text.startswith("19 of 28 diving images of valid are called racing; 7.0 would be")
    assert (
        f"P(racing) of diving images rises by {value:.1f} points [{low:+.1f}, {high:+.1f}] (28 images, {donors} donors"
        in told.text
    )
    assert told.said == "shown" and "no shortcut by itself" in told.todo and told.moves[0]["own_images"] is True


@pytest.mark.parametrize(("spread", "said"), [(0.001, "none"), (0.8, "cannot say")])
def test_nothing_shown_is_told_as_excluded_or_as_open(spread: float, said: str) -> None:
    trials = World(0.0, 9, spread=spread, noise=spread).trials(sample_of(28))
    told = told_of(adjusted([Confused(ASKED, (move_of(trials, ASKED),))])[0], CLASSES, "valid")
    assert told.said == said
    words = {"none": "No tested factor moves diving to racing by 2 points or more", "cannot say": "cannot be excluded"}
    assert words[said] in told.text
    if said == "cannot say":
        assert "images of the two classes each would tell" in told.todo


@pytest.mark.parametrize(("effect", "each"), [(3.0, 28), (0.0, 28), (0.0, 5)])
def test_clusters_are_called_so(effect: float, each: int) -> None:
    trials = replace(World(effect, 8).trials(sample_of(each, copies=2), copies=2), unit="cluster")
    told = told_of(adjusted([Confused(ASKED, (move_of(trials, ASKED),))])[0], CLASSES, "valid")
    if each < LEAST_UNITS:
        assert f"it takes {LEAST_UNITS} clusters of both" in told.text
        assert told.todo == f"Add clusters of diving and of racing: {LEAST_UNITS} of each at least."
    else:
        assert f"({each} clusters, {2 * each} clusters of donors" in told.text
    if each >= LEAST_UNITS and not effect:
        assert "clusters of the two classes each would tell" in told.todo and "images of other clusters" in told.todo


def test_trials_that_do_not_hold_the_classes_say_what_to_type() -> None:
    told = told_of(Confused(ASKED, ()), CLASSES, "valid")
    assert told.said == "cannot say" and "the logits 1 and 3" in told.todo
