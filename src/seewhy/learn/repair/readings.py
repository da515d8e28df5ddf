"""What one network says on the images that prove: exchanges of a factor, or a mark laid over, and its answers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from seewhy.estimates import Estimate, Floats, Integers, Z, wilson
from seewhy.evidence.findings.effects import class_effect, robust_effect
from seewhy.evidence.inference.differences import ClassDifference, difference_of
from seewhy.evidence.inference.units import share_of, unit_means
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.edit import MARKED, PATCHED
from seewhy.evidence.trials.trial import Trials
from seewhy.learn.measure import Measure
from seewhy.learn.repair.groups import MARKED_OR_NOT, Groups


@dataclass(frozen=True)
class CellAccuracy:
    """The accuracy of the images of one class and group."""

    label: str
    group: str
    accuracy: Estimate

    @property
    def n_right(self) -> int:
        """How many answers are right."""
        return round(self.accuracy.value * self.accuracy.n)


@dataclass(frozen=True)
class Reading(ABC):
    """What one network says of one factor; `right` (M,) are its right answers to the images as they are."""

    right: Integers = field(repr=False)

    @abstractmethod
    def moves(self, contrast: Contrast) -> Floats:
        """How far each trial moved the contrast's probability (T,)."""

    @abstractmethod
    def mean(self, moves: Floats, contrast: Contrast) -> float:
        """The effect that moves (T,) amount to."""

    @abstractmethod
    def difference(self, moves: Floats, contrast: Contrast) -> ClassDifference:
        """The same with its interval, by the rules of an audit."""

    @property
    @abstractmethod
    def exchanged(self) -> Estimate:
        """The share of right answers where the factor is another image's, or the mark is laid over; classes alike."""

    @property
    @abstractmethod
    def n_classes(self) -> int:
        """How many classes the edited images are of."""

    @property
    @abstractmethod
    def n_images(self) -> int:
        """How many images are edited."""

    @property
    @abstractmethod
    def clusters(self) -> Integers:
        """The cluster of each image (M,): the units of accuracies."""

    @abstractmethod
    def cells(self, labels: Integers, groups: Groups, classes: Sequence[str]) -> tuple[CellAccuracy, ...]:
        """The accuracy by class and group, of those that have images."""

    def effect(self, contrast: Contrast) -> ClassDifference:
        """The factor's effect with its interval."""
        return self.difference(self.moves(contrast), contrast)

    @property
    def accuracy(self) -> Estimate:
        """The share of right answers to the images as they are."""
        return share_of(self.right > 0, self.clusters)


@dataclass(frozen=True)
class ExchangeReading(Reading):
    """A factor's exchanges; donors are the units."""

    trials: Trials = field(repr=False)

    def moves(self, contrast: Contrast) -> Floats:
        """How far each exchange moved the contrast's probability (T,)."""
        return self.trials.probability_changes(contrast)

    def mean(self, moves: Floats, contrast: Contrast) -> float:
        """The difference that the donors' class makes."""
        return class_effect(self.trials, moves, contrast)[0].value

    def difference(self, moves: Floats, contrast: Contrast) -> ClassDifference:
        """The same with its interval."""
        return robust_effect(self.trials, moves, contrast)

    @property
    def exchanged(self) -> Estimate:
        """The share of right answers where the factor is another image's, every class of both alike."""
        trials = self.trials
        right = (trials.after.predictions == trials.recipient_labels).astype(np.float64)
        units = trials.clusters[trials.recipients], trials.clusters[trials.donors]
        return share_of_classes(right, trials.recipient_labels, *units)

    @property
    def n_classes(self) -> int:
        """How many classes the edited images are of."""
        return len(np.unique(self.trials.recipient_labels))

    @property
    def n_images(self) -> int:
        """How many images are edited."""
        return len(np.unique(self.trials.recipients))

    @property
    def clusters(self) -> Integers:
        """The cluster of each image (M,): the units of accuracies."""
        return self.trials.clusters

    def cells(self, labels: Integers, groups: Groups, classes: Sequence[str]) -> tuple[CellAccuracy, ...]:
        """The accuracy by class and by what the factor says."""
        return cells_by(self.right, labels, groups, classes, self.clusters)


@dataclass(frozen=True)
class MarkReading(Reading):
    """Images with a mark, and the same images with its neutral patch; images are the units."""

    marked: Trials = field(repr=False)
    patched: Trials = field(repr=False)

    def moves(self, contrast: Contrast) -> Floats:
        """How much further the mark moved the contrast's probability than the patch (T,)."""
        return self.marked.probability_changes(contrast) - self.patched.probability_changes(contrast)

    def mean(self, moves: Floats, contrast: Contrast) -> float:
        """The mean over the images, each cluster of them counting once."""
        return float(self._by_unit(moves).mean())

    def difference(self, moves: Floats, contrast: Contrast) -> ClassDifference:
        """The same with its interval, by Student's t."""
        values = self._by_unit(moves)
        n = len(values)
        error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
        return difference_of(float(values.mean()), error, max(n - 1.0, 1.0), {0: n})

    @property
    def exchanged(self) -> Estimate:
        """The share of right answers with the mark laid over, every class alike."""
        units = self.marked.clusters[self.marked.recipients]
        return share_of_classes(self._right_with_mark.astype(np.float64), self.marked.recipient_labels, units, units)

    @property
    def n_classes(self) -> int:
        """How many classes the edited images are of."""
        return len(np.unique(self.marked.recipient_labels))

    @property
    def n_images(self) -> int:
        """How many images are edited."""
        return len(self.marked)

    @property
    def clusters(self) -> Integers:
        """The cluster of each image (M,): the units of accuracies."""
        return self.marked.clusters

    def cells(self, labels: Integers, groups: Groups, classes: Sequence[str]) -> tuple[CellAccuracy, ...]:
        """The accuracy by class, of the images as they are and with the mark; by groups where these are named."""
        if groups.names:
            return cells_by(self.right, labels, groups, classes, self.clusters)
        places, with_mark = self.marked.recipients, self._right_with_mark
        both = np.concatenate([self.right[places], with_mark])
        of = Groups(np.repeat([0, 1], len(places)), MARKED_OR_NOT, "the mark")
        return cells_by(both, np.tile(labels[places], 2), of, classes, np.tile(self.clusters[places], 2))

    @property
    def _right_with_mark(self) -> Integers:
        return np.asarray(self.marked.after.predictions == self.marked.recipient_labels, dtype=np.int64)

    def _by_unit(self, moves: Floats) -> Floats:
        return unit_means(moves, self.marked.clusters[self.marked.recipients])


def share_of_classes(right: Floats, labels: Integers, recipients: Integers, donors: Integers) -> Estimate:
    """The mean over the classes of their shares of right answers (T,), with a 95 % interval on the logit scale.

    A network that gives one answer to everything has 1 of the number of classes, however many images each has. The
    variance is that about each class's share, clustered by recipient and by donor as in `flip_rate`; where there is
    none, the interval is at least Wilson's for the number of recipients or donors, whichever is smaller.
    """
    names, of = np.unique(labels, return_inverse=True)
    sizes = np.bincount(of)
    shares = np.bincount(of, right) / sizes
    share, n = float(shares.mean()), min(len(np.unique(recipients)), len(np.unique(donors)))
    left = (right - shares[of]) / (len(names) * sizes[of])
    by_recipient, by_donor = (
        float((np.bincount(np.unique(units, return_inverse=True)[1], left) ** 2).sum())
        for units in (recipients, donors)
    )
    variance = max(by_recipient + by_donor - float((left**2).sum()), by_recipient, by_donor)
    if variance < 1e-12:
        bare = wilson(round(share * n), n)
        return Estimate(share, min(share, bare.low), max(share, bare.high), len(right))
    centre = math.log(share / (1 - share))
    half = Z * math.sqrt(variance) / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1))
    return Estimate(share, low, high, len(right))


def balanced(right: Integers, labels: Integers) -> float:
    """The share of right answers (M,), every class counting alike."""
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def cells_by(
    right: Integers, labels: Integers, groups: Groups, classes: Sequence[str], clusters: Integers
) -> tuple[CellAccuracy, ...]:
    """The accuracy of right answers (M,) by class and group, of those that have images; clusters (M,) are the units."""
    cells = []
    for index, label in enumerate(classes):
        for group, name in enumerate(groups.names):
            members = (labels == index) & (groups.of == group)
            if members.any():
                cells.append(CellAccuracy(label, name, share_of(right[members] > 0, clusters[members])))
    return tuple(cells)


def readings_of(measure: Measure, network: nn.Module | None = None) -> dict[str, Reading]:
    """What a network says of each factor and mark of a measure, by name; None: the one that it was made for."""
    scores, trials = measure.by_edit(network)
    right = (scores.predictions == measure.design.audited.labels).astype(np.int64)
    readings: dict[str, Reading] = {}
    exchanges = {name: of_factor for (name, edit), of_factor in trials.items() if edit.kind == "exchange"}
    for name in measure.names:
        if name in exchanges:
            readings[name] = ExchangeReading(right, exchanges[name])
        else:
            readings[name] = MarkReading(right, trials[name, MARKED], trials[name, PATCHED])
    return readings
