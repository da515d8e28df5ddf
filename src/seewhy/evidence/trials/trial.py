"""The table of trials: one job is one factor edited in one way on one split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.cam.scores.targets import probabilities, two_sided
from seewhy.estimates import Floats
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.trials.contrast import MOST_CLASSES, Contrast
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.sample import Ints, Sample

NO_DONOR = UNDECIDED = -1  # no donor; no prediction, since logits are not finite

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """Trials that belong together, not made yet: `factors` are put in one after the other, from the same donor.

    `pairs` (T, 2) are the places of recipient and donor, -1 where there is none. `mark` is what is laid over, `control`
    (H, W) or (n, H, W) the regions that are edited in place of a factor: of several each image has its own. `held` is
    a factor that is put back afterwards, as the recipient has it.
    """

    key: TrialKey
    pairs: Ints
    factors: tuple[Factor, ...] = ()
    mark: Mark | None = None
    control: Tensor | None = None
    held: Factor | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """What is edited, as trials.parquet has it."""
        return str(self.key.factor)

    @property
    def edit(self) -> Edit:
        """How it is edited."""
        return self.key.edit

    @property
    def split(self) -> str:
        """The split whose images are edited."""
        return self.key.split

    @property
    def n_trials(self) -> int:
        """How many images are edited and scored again."""
        return len(self.pairs)


@dataclass(frozen=True)
class Scores:
    """What the classifier says of images (T): margins and probabilities (T, C) by contrast, and predictions (T,) or -1.

    `is_own_class`: the one column is about each image's own class.
    """

    margins: Floats32
    probabilities: Floats32
    predictions: Ints
    is_own_class: bool = False

    def __len__(self) -> int:
        return len(self.predictions)

    def at(self, rows: Ints) -> Scores:
        """The scores of some rows, which may repeat."""
        return replace(
            self,
            margins=self.margins[rows],
            probabilities=self.probabilities[rows],
            predictions=self.predictions[rows],
        )

    def without(self, rows: NDArray[np.bool_]) -> Scores:
        """The scores with no answer at these rows (T,)."""
        if not rows.any():
            return self
        return replace(
            self,
            margins=np.where(rows[:, None], np.float32(np.nan), self.margins),
            probabilities=np.where(rows[:, None], np.float32(np.nan), self.probabilities),
            predictions=np.where(rows, UNDECIDED, self.predictions),
        )

    def label_margins(self, labels: Ints) -> Floats:
        """The margin (T,) of each image's label (T,) over the best other class."""
        margins = self.margins.astype(np.float64)
        if margins.shape[1] > 1:
            return np.asarray(margins[np.arange(len(margins)), labels])
        if self.is_own_class:
            return np.asarray(margins[:, 0])
        return np.asarray(np.where(labels == 0, margins[:, 0], -margins[:, 0]))

    def class_probabilities(self, classes: Ints) -> Floats:
        """The probability (T,) of a class (T,) for each image; not to be had where only the own class's is known."""
        both = self.probabilities.astype(np.float64)
        if both.shape[1] == 1:
            return np.where(classes == 0, both[:, 0], 1 - both[:, 0])
        return np.asarray(both[np.arange(len(both)), classes])


@dataclass(frozen=True)
class Trials:
    """The table of one job's trials (T,), row by row: recipient, donor (-1: none), scores before and after the edit.

    Recipients and donors are places among the M images of a sample, whose class indices are `labels` (M,) and whose
    clusters, of near-duplicates or named, are `clusters` (M,): the units, called `unit`.
    """

    key: TrialKey
    recipients: Ints
    donors: Ints
    before: Scores = field(repr=False)
    after: Scores = field(repr=False)
    labels: Ints = field(repr=False)
    clusters: Ints = field(repr=False)
    unit: str = "image"

    def __len__(self) -> int:
        return len(self.recipients)

    @property
    def name(self) -> str:
        """What was edited, as trials.parquet has it."""
        return str(self.key.factor)

    @property
    def n_images(self) -> int:
        """How many images the sample has (M)."""
        return len(self.labels)

    @property
    def recipient_labels(self) -> Ints:
        """The class index of each trial's recipient (T,)."""
        return np.asarray(self.labels[self.recipients])

    @property
    def donor_labels(self) -> Ints:
        """The class index of each trial's donor (T,)."""
        return np.asarray(self.labels[self.donors])

    def margin_changes(self, contrast: Contrast) -> Floats:
        """How far each trial moved the contrast's margin (T,), in logits."""
        after, before = self.after.margins[:, contrast.column], self.before.margins[:, contrast.column]
        return np.asarray(after.astype(np.float64) - before)

    def probability_changes(self, contrast: Contrast) -> Floats:
        """How far each trial moved the contrast's probability (T,)."""
        after, before = self.after.probabilities[:, contrast.column], self.before.probabilities[:, contrast.column]
        return np.asarray(after.astype(np.float64) - before)

    def falls(self) -> Floats:
        """How far each trial lowered the margin of its recipient's label (T,), in logits."""
        labels = self.recipient_labels
        return self.before.label_margins(labels) - self.after.label_margins(labels)

    def matching(self, other: Trials) -> Trials:
        """The trials whose recipient and donor meet in the other trials, too."""
        pairs = {*zip(other.recipients.tolist(), other.donors.tolist(), strict=True)}
        mine = zip(self.recipients.tolist(), self.donors.tolist(), strict=True)
        return self.at(np.flatnonzero([pair in pairs for pair in mine]))

    def only(self, places: NDArray[np.bool_]) -> Trials:
        """The trials whose recipient is among the places (M,)."""
        return self.at(np.flatnonzero(places[self.recipients]))

    def at(self, rows: Ints) -> Trials:
        """The trials of some rows."""
        return replace(
            self,
            recipients=self.recipients[rows],
            donors=self.donors[rows],
            before=self.before.at(rows),
            after=self.after.at(rows),
        )


def trials_of_job(job: Job, sample: Sample, before: Scores, after: Scores) -> Trials:
    """The table of a job: `before` are the scores of all images of the sample (M), `after` those of the trials (T)."""
    recipients, donors = job.pairs[:, 0], job.pairs[:, 1]
    return Trials(
        key=job.key,
        recipients=recipients,
        donors=donors,
        before=before.at(recipients),
        after=after,
        labels=sample.labels,
        clusters=sample.clusters,
        unit=sample.unit,
    )


def scores_of(logits: Tensor, labels: Tensor) -> Scores:
    """The scores of logits (T, K) of images with these labels (T,): class margins to the best other class."""
    raw = logits.detach().cpu().double()
    both = two_sided(raw) / 2 if raw.shape[1] == 1 else raw  # so that softmax is the one logit's sigmoid
    of_classes = probabilities(both)
    n_classes = both.shape[1]
    if n_classes > MOST_CLASSES:
        label_logits = both.gather(1, labels[:, None])
        rest = both.scatter(1, labels[:, None], float("-inf")).amax(dim=1, keepdim=True)
        margins, of_classes = label_logits - rest, of_classes.gather(1, labels[:, None])
    else:
        best, order = both.topk(2, dim=1)
        places = torch.arange(n_classes).to(order)
        margins = both - torch.where(order[:, :1] == places, best[:, 1:], best[:, :1])
        if n_classes == 2:
            margins, of_classes = margins[:, :1], of_classes[:, :1]
    finite = both.isfinite().all(dim=1)
    decided = torch.where(finite, both.argmax(dim=1), UNDECIDED).numpy().astype(np.int64)
    return Scores(margins.float().numpy(), of_classes.float().numpy(), decided, is_own_class=n_classes > MOST_CLASSES)
