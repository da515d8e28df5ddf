"""How often the classifier is right: by split and class, with intervals, and what it takes for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seewhy.data.tables.labels import label_set
from seewhy.estimates import Estimate, wilson
from seewhy.records import Outcome
from seewhy.report.links import images_of

MOST_CLASSES = 12  # of a confusion matrix that can be read
TENTHS = 10


@dataclass(frozen=True)
class Accuracy:
    """The share of right answers among the images of one split (None: without one) and class (None: every)."""

    split: str | None
    label: str | None
    share: Estimate


@dataclass(frozen=True)
class ConfusionTable:
    """Counts of images by label (rows) and prediction (columns) in one split."""

    split: str | None
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def images(self, label: str, prediction: str) -> str:
        """The link to the images of one cell."""
        split = {} if self.split is None else {"split": self.split}
        return images_of(label=label, prediction=prediction, **split)


def accuracies(outcomes: Sequence[Outcome], classes: Sequence[str] = ()) -> list[Accuracy]:
    """For each split the accuracy over all classes, then of each class; images without a label do not count.

    Of sets of labels the first is the share of sets that are right, the others how many with a label are given it.
    """
    right: Counter[tuple[str | None, str | None]] = Counter()
    counts: Counter[tuple[str | None, str | None]] = Counter()
    for outcome in outcomes:
        if outcome.correct is not None:
            given = label_set(outcome.prediction or "", classes)
            cells = [(label, label in given) for label in label_set(outcome.image.label or "", classes)]
            for label, is_right in [(None, outcome.correct), *cells]:
                counts[outcome.image.split, label] += 1
                right[outcome.image.split, label] += is_right
    if len({label for _, label in counts}) == 2:  # with one class, all of them are the same images
        counts = Counter({cell: count for cell, count in counts.items() if cell[1] is not None})
    ordered = sorted(counts, key=lambda cell: (cell[0] or "", cell[1] is not None, cell[1] or ""))
    return [Accuracy(split, label, wilson(right[split, label], counts[split, label])) for split, label in ordered]


def guessing(outcomes: Sequence[Outcome], n_classes: int) -> float | None:
    """The accuracy of always naming the most frequent label, or of any guess among one; None without labels."""
    labels = Counter(outcome.image.label for outcome in outcomes if outcome.correct is not None)
    if not labels:
        return None
    return max(labels.values()) / labels.total() if len(labels) > 1 else 1 / max(n_classes, 1)


@dataclass(frozen=True)
class Sureness:
    """Images whose answers have a probability from `low` to `high`: its mean, and the share that is right."""

    low: float
    high: float
    said: float
    share: Estimate

    @property
    def name(self) -> str:
        """The range in words."""
        return f"says {self.low:.0%} to {self.high:.0%}"


def sureness(outcomes: Sequence[Outcome]) -> list[Sureness]:
    """How often the answers are right by how sure they are, in tenths; on images that it was not trained on, if any."""
    judged = [outcome for outcome in outcomes if outcome.correct is not None and outcome.probability is not None]
    new = [outcome for outcome in judged if outcome.image.split != "train"] or judged
    bins: dict[int, list[tuple[float, bool]]] = {}
    for outcome in new:
        probability = outcome.probability or 0.0
        bins.setdefault(min(int(probability * TENTHS), TENTHS - 1), []).append((probability, bool(outcome.correct)))
    return [
        Sureness(
            tenth / TENTHS,
            (tenth + 1) / TENTHS,
            sum(probability for probability, _ in members) / len(members),
            wilson(sum(right for _, right in members), len(members)),
        )
        for tenth, members in sorted(bins.items())
    ]


def worst_errors(outcomes: Sequence[Outcome], most: int) -> list[int]:
    """The rows of the wrong answers that are given with the highest probability, the surest first."""
    wrong = [row for row, outcome in enumerate(outcomes) if outcome.correct is False]
    return sorted(wrong, key=lambda row: -(outcomes[row].probability or 0.0))[:most]


def confusions(outcomes: Sequence[Outcome], classes: Sequence[str]) -> list[ConfusionTable]:
    """A matrix for each split; none where the classes are too many to be read, or an image may have several."""
    names = {name for outcome in outcomes if outcome.correct is not None for name in _names(outcome)}
    if not 2 <= len(classes) <= MOST_CLASSES or not names <= {*classes}:
        return []
    counts = Counter(
        (outcome.image.split, outcome.image.label, outcome.prediction)
        for outcome in outcomes
        if outcome.correct is not None
    )
    return [
        ConfusionTable(split, tuple(classes), tuple(tuple(counts[split, a, b] for b in classes) for a in classes))
        for split in sorted({split for split, _, _ in counts}, key=lambda split: split or "")
    ]


def _names(outcome: Outcome) -> set[str | None]:
    return {outcome.image.label, outcome.prediction}
