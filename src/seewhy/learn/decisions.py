"""What two classifiers decide for the same images: accuracy compared pair by pair, flips, and who changed most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from seewhy.data.folder_names import role_of
from seewhy.estimates import Estimate, wilson
from seewhy.records import Outcome

Pairs = Sequence[tuple[Outcome, Outcome]]


@dataclass(frozen=True)
class ImageChange:
    """One image in both runs: its decisions, and the probability of `about` (its label, else the first decision).

    Probabilities are NaN where a run does not know the class. `moved` is how far its map moved, 0 to 1; None where
    there are no two maps. `id_second` is its id in the second run.
    """

    id: str
    label: str | None
    first: str | None
    second: str | None
    about: str | None
    p_first: float
    p_second: float
    moved: float | None = None
    id_second: str = ""

    @property
    def flipped(self) -> bool:
        """Whether the decision is another."""
        return self.first is not None and self.second is not None and self.first != self.second

    @property
    def change(self) -> float:
        """How far the probability moved."""
        return self.p_second - self.p_first


@dataclass(frozen=True)
class Decisions:
    """The decisions of both runs on the same `n` images; `flips` counts by (first, second) those that are others.

    `accuracy` holds both shares, and `difference` the second less the first with `p_value`, over the images whose label
    is the same in both runs, those of train left out where there are others: `gained` became right, `lost` became
    wrong, `split` says of which split they are. None where no image has a label.
    """

    n: int
    flips: dict[tuple[str, str], int]
    accuracy: tuple[Estimate, Estimate] | None = None
    difference: Estimate | None = None
    p_value: float = 1.0
    gained: int = 0
    lost: int = 0
    split: str = ""

    @property
    def n_flipped(self) -> int:
        """How many decisions are others."""
        return sum(self.flips.values())


def decisions_of(pairs: Pairs) -> Decisions:
    """The decisions of pairs of outcomes; those without a prediction are left out."""
    decided = [(one, other) for one, other in pairs if one.prediction is not None and other.prediction is not None]
    flips = Counter((str(a.prediction), str(b.prediction)) for a, b in decided if a.prediction != b.prediction)
    judged = [(a, b) for a, b in decided if a.image.label is not None and a.image.label == b.image.label]
    judged = [pair for pair in judged if role_of(pair[0].image.split) != "train"] or judged
    counts = dict(flips.most_common())
    if not judged:
        return Decisions(len(decided), counts)
    right = np.array([[each.prediction == each.image.label for each in pair] for pair in judged])
    gained, lost = int((~right[:, 0] & right[:, 1]).sum()), int((right[:, 0] & ~right[:, 1]).sum())
    first, second = (wilson(int(column.sum()), len(column)) for column in right.T)
    difference = paired_shares(gained, lost, len(judged))
    split = ", ".join(sorted({pair[0].image.split or "" for pair in judged} - {""}))
    return Decisions(len(decided), counts, (first, second), difference, mcnemar(gained, lost), gained, lost, split)


def paired_shares(gained: int, lost: int, n: int) -> Estimate:
    """The second share less the first over n pairs, of which `gained` and `lost` differ, with its 95 % interval.

    Agresti & Min 2005, Statistics in Medicine 24: Wald's interval with half a pair added to each of the four cells.
    The value itself is the observed one.
    """
    value, size = (gained - lost) / n, n + 2
    centre = (gained - lost) / size
    error = math.sqrt(max(gained + lost + 1 - (gained - lost) ** 2 / size, 0.0)) / size
    half = NormalDist().inv_cdf(0.975) * error
    low, high = min(value, centre - half), max(value, centre + half)
    return Estimate(value, max(-1.0, low), min(1.0, high), n)


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided p-value of as many gains as losses: the exact binomial test. McNemar 1947, Psychometrika 12."""
    n, least = gained + lost, min(gained, lost)
    term, total = 1, 0  # binomial coefficients, as whole numbers
    for k in range(least + 1):
        total += term
        term = term * (n - k) // (k + 1)
    return min(1.0, float(2 * total / 2**n)) if n <= 1000 else min(1.0, 2 * math.exp(_log(total) - n * math.log(2)))


def _log(number: int) -> float:
    """The natural logarithm of a whole number of any size."""
    shift = max(0, number.bit_length() - 64)
    return math.log(number >> shift) + shift * math.log(2)


def image_changes(
    ids: Sequence[str], pairs: Pairs, classes: tuple[Sequence[str], Sequence[str]], moved: Sequence[float | None]
) -> list[ImageChange]:
    """What each image's answers were; `classes` are those of the logits in each run."""
    changes = []
    for name, (first, second), distance in zip(ids, pairs, moved, strict=True):
        labels = first.image.label, second.image.label
        about = labels[0] if labels[0] is not None and labels[0] == labels[1] else first.prediction
        change = ImageChange(
            id=name,
            label=labels[0],
            first=first.prediction,
            second=second.prediction,
            about=about,
            p_first=_share(first, about, classes[0]),
            p_second=_share(second, about, classes[1]),
            moved=distance,
            id_second=second.image.id,
        )
        changes.append(change)
    return changes


def _share(outcome: Outcome, about: str | None, classes: Sequence[str]) -> float:
    """The probability of a class by the outcome's logits; NaN where they are not one for each class (or one of two)."""
    logits = np.array(outcome.logits, dtype=np.float64)
    if about is None or about not in classes or not np.isfinite(logits).all():
        return math.nan
    if len(logits) == 1 and len(classes) == 2:
        logits = np.array([0.0, logits[0]])
    if len(logits) != len(classes):
        return math.nan
    weights = np.exp(logits - logits.max())
    return float(weights[list(classes).index(about)] / weights.sum())
