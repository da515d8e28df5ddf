"""What moves one class into another: for the most frequent confusions the contrast of just these two classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy import stats

from seewhy.estimates import Floats
from seewhy.evidence.findings.cases import AllTrials
from seewhy.evidence.inference.bootstrap import for_few_recipients
from seewhy.evidence.inference.differences import ClassDifference, class_difference, equivalent, fcr_level
from seewhy.evidence.inference.ranks import holm
from seewhy.evidence.inference.two_way import two_way
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.sample import Ints
from seewhy.evidence.trials.trial import Scores, Trials

MOST = 6  # confusions that are asked about
LEAST_COUNT = 5  # distinct images of a confusion
LEAST_UNITS = 10  # distinct recipients, and distinct donors of either class
CHANCE = 0.05  # of so many among the errors of a class, were these spread over all other classes alike
LEAST_PROBABILITY = 1e-30  # below it a logarithm says nothing

Moved = Literal["shown", "the other way", "none", "cannot say"]


@dataclass(frozen=True)
class Confusion:
    """Images of one class (`label`) that are called another (`prediction`), by class index: `count` of `of`.

    `expected` is how many there were if the errors of the class fell on all other classes alike.
    """

    label: int
    prediction: int
    count: int
    of: int
    expected: float


@dataclass(frozen=True)
class Move:
    """What one factor does to a confusion, taken from images of the one class in place of the other's.

    `probability` is the change of P(the class that it is called), `margin` that of its logit over the label's; units
    are distinct images, or clusters (`unit`). `selected` is the interval after the choice of what is told. `of_label`:
    the edited images are those of the label; where they are too few, all are.
    """

    factor: str
    probability: ClassDifference
    margin: ClassDifference
    n_recipients: int
    of_label: bool
    unit: str = "image"
    p_holm: float = 1.0
    selected: ClassDifference | None = field(default=None, repr=False)

    @property
    def fewest(self) -> int:
        """The fewest distinct recipients, or donors of one of the two classes."""
        return min(self.n_recipients, *self.probability.n.values())

    @property
    def told(self) -> ClassDifference:
        """The change with the interval that words have."""
        return self.selected or self.probability

    @property
    def said(self) -> Moved:
        """Whether it is shown to move the one class into the other by the floor or more, the other way, or not."""
        floor, value = AUDIT_THRESHOLDS["floor"], self.probability.value
        if self.fewest < LEAST_UNITS:
            return "cannot say"
        agrees = self.p_holm < AUDIT_THRESHOLDS["level"] and self.margin.value * value > 0
        if agrees and value >= floor and self.told.low > 0:
            return "shown"
        if agrees and value <= -floor and self.told.high < 0:
            return "the other way"
        return "none" if equivalent(self.probability, floor, level=0.95) else "cannot say"


@dataclass(frozen=True)
class Confused:
    """A confusion with what each tested factor does to it, the largest first; () where the trials do not hold it."""

    confusion: Confusion
    moves: tuple[Move, ...]


def confusions_of(design: AuditDesign, trials: AllTrials, before: Scores) -> tuple[Confused, ...]:
    """The most frequent confusions of the audited images with their tests, by Holm over all of them.

    Of two classes the findings themselves are that contrast; of more than ten the trials hold no class but the own.
    """
    sample, n_classes = design.audited, len(design.classes)
    if n_classes < 3:
        return ()
    confusions = frequent(sample.labels, before.predictions, sample.clusters, n_classes)
    keys = [TrialKey(factor.name, EXCHANGE, sample.split) for factor in design.factors]
    exchanges = [] if before.is_own_class else [trials[key] for key in keys if key in trials]
    return adjusted([Confused(one, tuple(move_of(tried, one) for tried in exchanges)) for one in confusions])


def frequent(labels: Ints, predictions: Ints, clusters: Ints, n_classes: int) -> list[Confusion]:
    """The confusions of images (M,) that are more than a handful and beyond chance, the most frequent first.

    Near-duplicates count once for that.
    """
    confusions = []
    for label in np.unique(labels):
        of_label = labels == label
        wrong = of_label & (predictions != label) & (predictions >= 0)
        errors = len(np.unique(clusters[wrong]))
        for prediction in np.unique(predictions[wrong]):
            confused = wrong & (predictions == prediction)
            distinct = len(np.unique(clusters[confused]))
            by_chance = float(stats.binom.sf(distinct - 1, errors, 1 / (n_classes - 1)))
            if distinct >= LEAST_COUNT and by_chance < CHANCE:
                expected = float(wrong.sum()) / (n_classes - 1)
                confusions.append(
                    Confusion(int(label), int(prediction), int(confused.sum()), int(of_label.sum()), expected)
                )
    return sorted(confusions, key=lambda one: -one.count)[:MOST]


def move_of(trials: Trials, confusion: Confusion) -> Move:
    """What a factor does to a confusion, from its exchanges; nothing yet about other tests."""
    label, prediction = confusion.label, confusion.prediction
    given = np.isin(trials.donor_labels, (label, prediction))
    own = given & (trials.recipient_labels == label)
    of_label = len(np.unique(trials.clusters[trials.recipients[own]])) >= LEAST_UNITS
    used = trials.at(np.flatnonzero(own if of_label else given))
    before, after = (scores.probabilities.astype(np.float64) for scores in (used.before, used.after))
    odds = [_log(each[:, prediction]) - _log(each[:, label]) for each in (before, after)]
    return Move(
        factor=trials.name,
        probability=_difference(used, after[:, prediction] - before[:, prediction], confusion),
        margin=_difference(used, odds[1] - odds[0], confusion),
        n_recipients=len(np.unique(used.clusters[used.recipients])),
        of_label=of_label,
        unit=trials.unit,
    )


def _log(probability: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probability, LEAST_PROBABILITY)))


def _difference(trials: Trials, change: Floats, confusion: Confusion) -> ClassDifference:
    """How much more donors of the one class do to a change (T,) than donors of the other; copies are one unit."""
    keys = np.stack([trials.clusters, trials.labels], axis=1)
    units, place = np.unique(keys, axis=0, return_inverse=True)
    place, classes = place.reshape(-1), units[:, 1]
    rows, columns = place[trials.recipients], place[trials.donors]
    weights = {confusion.prediction: 1.0, confusion.label: -1.0}
    effects = two_way(rows, columns, change, len(units), len(units)).donors
    difference = class_difference(effects, classes, weights)
    rng = np.random.default_rng((confusion.label, confusion.prediction, *trials.name.encode()))
    return for_few_recipients(difference, rows, columns, change, classes, weights, clusters=units[:, 0], rng=rng)


def adjusted(confused: Sequence[Confused]) -> tuple[Confused, ...]:
    """The confusions with p-values and intervals that know of all tests, and the largest move first."""
    moves = [move for each in confused for move in each.moves]
    p_values = holm([move.margin.p_value for move in moves])
    moves = [replace(move, p_holm=p_value) for move, p_value in zip(moves, p_values, strict=True)]
    stood_out = sum(move.said in ("shown", "the other way") for move in moves)
    level = fcr_level(stood_out, len(moves)) if moves else 0.95
    selected = iter([replace(move, selected=_after_choice(move, level)) for move in moves])
    return tuple(replace(each, moves=_in_order([next(selected) for _ in each.moves])) for each in confused)


def _after_choice(move: Move, level: float) -> ClassDifference | None:
    return move.probability.at(level) if move.said in ("shown", "the other way") else None


def _in_order(moves: Sequence[Move]) -> tuple[Move, ...]:
    """What is shown first, then by size."""
    return tuple(sorted(moves, key=lambda move: (move.said != "shown", -np.nan_to_num(move.probability.value))))
