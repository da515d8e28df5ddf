"""The price of an edit: what content of the image's own class does to the margin of that class."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seewhy.estimates import Estimate
from seewhy.evidence.findings.safeguards.price import Price
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.trial import Scores, Trials
from tests.evidence.findings.test_sentences import case, effect

EACH = 400
LABELS = np.arange(2 * EACH) % 2


def scores(margins: np.ndarray) -> Scores:
    """Scores of two classes, from the margins (T,) of the first."""
    told = margins.astype(np.float32)[:, None]
    return Scores(told, 1 / (1 + np.exp(-told)), (margins < 0).astype(np.int64))


def trials(content: np.ndarray, kept: float) -> Trials:
    """A margin of its own and of the content, which each image swaps with another; `kept` of it survives."""
    own = 1.0 - 2 * LABELS
    before = own + content
    recipients = np.repeat(np.arange(2 * EACH), 2)
    donors = np.random.default_rng(1).permuted(np.arange(2 * EACH).reshape(-1, 2), axis=0)  # one of each class
    donors = donors[np.arange(2 * EACH) // 2].reshape(-1)
    after = kept * (own[recipients] + content[donors])
    key = TrialKey("tint", EXCHANGE, "valid")
    return Trials(key, recipients, donors, scores(before[recipients]), scores(after), LABELS, np.arange(2 * EACH))


def measured(of: Trials) -> Any:
    evidence: Any = SimpleNamespace(of=lambda factor, edit: of)
    return Price().measure(evidence, case())


def with_flips(own: float, others: float) -> Any:
    share = {name: Estimate(value, value, value, 400) for name, value in (("flips_own", own), ("flips", others))}
    return replace(case(), effect=replace(effect(0.3), **share))


def test_content_that_an_image_could_have_had_itself_costs_nothing_however_much_it_varies() -> None:
    content = (1.0 - 2 * LABELS) + 3 * np.random.default_rng(0).standard_normal(2 * EACH)
    share = measured(trials(content, kept=1.0))
    assert abs(share) < 0.1
    assert Price().outcome(with_flips(0.3, 0.5), share) is None


def test_an_edit_that_takes_half_of_every_margin_is_told() -> None:
    content = (1.0 - 2 * LABELS) + 0.3 * np.random.default_rng(0).standard_normal(2 * EACH)
    share = measured(trials(content, kept=0.5))
    assert share == pytest.approx(0.5, abs=0.05)
    outcome = Price().outcome(with_flips(0.3, 0.5), share)
    assert outcome is not None and not outcome.passed and "takes 50% of its margin" in outcome.words
    assert Price().outcome(with_flips(0.05, 0.5), share) is None  # next to no decision turns
    assert Price().outcome(with_flips(0.3, 0.95), share) is None  # three times as many with another class's content


def test_without_donors_of_the_own_class_nothing_is_said() -> None:
    of = trials(np.zeros(2 * EACH), kept=0.5)
    of = of.at(np.flatnonzero(of.recipient_labels != of.donor_labels))
    assert measured(of) is None and Price().outcome(with_flips(0.3, 0.5), None) is None
