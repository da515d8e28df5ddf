"""How often the classifier is right: by split and class, with intervals, and what it takes for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seewhy.estimates import Estimate, wilson
from seewhy.records import Outcome
from seewhy.report.links import images_of

MOST_CLASSES = 12  # of a confusion matrix that can be read


@dataclass(frozen=True)
class Accuracy:
    """The share of right answers among the images of one split (None: without one) and class (None: every)."""

    split: str | None
    label: str | None
    share: Estimate


@dataclass(frozen=True)
class Confusion:
    """Counts of images by label (rows) and prediction (columns) in one split."""

    split: str | None
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def images(self, label: str, prediction: str) -> str:
        """The link to the images of one cell."""
        split = {} if self.split is None else {"split": self.split}
        return images_of(label=label, prediction=prediction, **split)


def accuracies(outcomes: Sequence[Outcome]) -> list[Accuracy]:
    """For each split the accuracy over all classes, then of each class; images without a label do not count."""
    right: Counter[tuple[str | None, str | None]] = Counter()
    counts: Counter[tuple[str | None, str | None]] = Counter()
    for outcome in outcomes:
        if outcome.correct is not None:
            for label in (None, outcome.image.label):
                counts[outcome.image.split, label] += 1
                right[outcome.image.split, label] += outcome.correct
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


def confusions(outcomes: Sequence[Outcome], classes: Sequence[str]) -> list[Confusion]:
    """A matrix for each split; none where the classes are too many to be read."""
    if not 2 <= len(classes) <= MOST_CLASSES:
        return []
    counts = Counter(
        (outcome.image.split, outcome.image.label, outcome.prediction)
        for outcome in outcomes
        if outcome.correct is not None
    )
    return [
        Confusion(split, tuple(classes), tuple(tuple(counts[split, a, b] for b in classes) for a in classes))
        for split in sorted({split for split, _, _ in counts}, key=lambda split: split or "")
    ]
