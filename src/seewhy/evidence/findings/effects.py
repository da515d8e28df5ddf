"""From trials to effects: what each factor does to a contrast, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.bootstrap import for_few_recipients
from seewhy.evidence.inference.differences import (
    ClassDifference,
    class_difference,
    flip_rate,
    one_versus_rest,
    own_class_difference,
)
from seewhy.evidence.inference.two_way import cluster_effects, necessity, sensitivity, sufficiency, two_way
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.trial import UNDECIDED, Trials


@dataclass(frozen=True)
class Effect:
    """What a factor does to one contrast on one split: δ of margins (logits) and of probabilities, donors as units.

    `unit` says whether these are images or clusters of them.

    `flips` and `flips_own` are the shares of trials that change the decision, with donors of another class and of the
    recipient's own (None without donors), `sensitivity` how far donors move the margin whatever their
    class (its standard deviation), `donors` (M,) each donor's own effect on the probability.
    """

    factor: str
    kind: str
    split: str
    contrast: Contrast
    margin: ClassDifference
    probability: ClassDifference
    flips: Estimate
    flips_own: Estimate | None
    sensitivity: Estimate
    n_recipients: int
    n_trials: int
    donors: Floats = field(repr=False, compare=False)
    unit: str = "image"
    n_units: int | None = None  # of donors, each once though several classes share it

    @property
    def n_donors(self) -> int:
        """How many units, donors or clusters of near-duplicates, stand behind it."""
        return sum(self.probability.n.values()) if self.n_units is None else self.n_units

    @property
    def fewest(self) -> int:
        """The units of the class that has the fewest; of the own class in the many half of all; of a mark all."""
        if self.kind == "insert":
            return self.n_donors
        return self.n_donors // 2 if self.contrast.is_own_class else min(self.probability.n.values(), default=0)


def effect_of(trials: Trials, contrast: Contrast, kind: str) -> Effect:
    """The effect of a factor of this kind from its exchanges."""
    in_margin, in_probability = trials.margin_changes(contrast), trials.probability_changes(contrast)
    margin, _ = class_effect(trials, in_margin, contrast)
    probability, donors = class_effect(trials, in_probability, contrast)
    if not contrast.is_own_class:
        margin = _for_few_recipients(margin, trials, in_margin, contrast)
        probability = _for_few_recipients(probability, trials, in_probability, contrast)
    flipped = flips_of(trials.after.predictions, trials.before.predictions)
    same_class = trials.recipient_labels == trials.donor_labels
    rows, columns = trials.clusters[trials.recipients], trials.clusters[trials.donors]
    return Effect(
        factor=trials.name,
        kind=kind,
        split=trials.key.split,
        contrast=contrast,
        margin=margin,
        probability=probability,
        flips=flip_rate(rows, columns, np.where(same_class, np.nan, flipped)),
        flips_own=flip_rate(rows, columns, np.where(same_class, flipped, np.nan)),
        sensitivity=sensitivity(trials.recipients, trials.donors, in_margin, trials.n_images, clusters=trials.clusters),
        n_recipients=len(np.unique(trials.recipients[np.isfinite(in_probability)])),
        n_trials=len(trials),
        donors=donors,
        unit=trials.unit,
        n_units=min(sum(probability.n.values()), len(np.unique(trials.clusters[np.isfinite(donors)]))),
    )


def flips_of(after: Integers, before: Integers) -> Floats:
    """Whether each decision (T,) changed, 1 or 0; NaN where there is none before or after."""
    is_known = (after != UNDECIDED) & (before != UNDECIDED)
    return np.where(is_known, (after != before).astype(np.float64), np.nan)


def class_effect(trials: Trials, change: Floats, contrast: Contrast) -> tuple[ClassDifference, Floats]:
    """The difference that the donors' class makes to a change (T,), and each donor's own effect (M,)."""
    rows, columns, labels, n = trials.recipients, trials.donors, trials.labels, trials.n_images
    fit = two_way(rows, columns, change, n, n)
    if contrast.is_own_class:
        return own_class_difference(rows, columns, change, labels, labels, clusters=trials.clusters), fit.donors
    effects, classes = cluster_effects(fit.donors, labels, trials.clusters)
    return class_difference(effects, classes, weights_of(trials, contrast)), fit.donors


def robust_effect(trials: Trials, change: Floats, contrast: Contrast) -> ClassDifference:
    """The difference that the donors' class makes to a change (T,), with an error that knows of few recipients."""
    difference, _ = class_effect(trials, change, contrast)
    return difference if contrast.is_own_class else _for_few_recipients(difference, trials, change, contrast)


def _for_few_recipients(
    difference: ClassDifference, trials: Trials, change: Floats, contrast: Contrast
) -> ClassDifference:
    """The difference with an error that knows how differently few recipients respond."""
    rng = np.random.default_rng((len(trials.name), *trials.name.encode()))
    rows, columns, weights = trials.recipients, trials.donors, weights_of(trials, contrast)
    return for_few_recipients(
        difference, rows, columns, change, trials.labels, weights, clusters=trials.clusters, rng=rng
    )


def weights_of(trials: Trials, contrast: Contrast) -> dict[int, float]:
    """The weight of each class that the images have: the contrast's own against the mean of the others."""
    present = [int(label) for label in np.unique(trials.labels)]
    column = contrast.column
    return one_versus_rest(column, present) if column in present and len(present) > 1 else {column: 1.0, -1: -1.0}


def plain_difference(trials: Trials, change: Floats, contrast: Contrast) -> float:
    """The difference of the classes' mean changes, without an interval: every recipient meets all classes alike.

    Trials without an answer are left out; NaN where none has one.
    """
    told = np.isfinite(change)
    change, given = change[told], trials.donor_labels[told]
    if contrast.is_own_class:
        same_class = given == trials.recipient_labels[told]
        return (
            float(change[same_class].mean() - change[~same_class].mean())
            if same_class.any() and not same_class.all()
            else float("nan")
        )
    weights = weights_of(trials, contrast)
    if not len(change):
        return float("nan")
    return float(
        sum(weight * change[given == label].mean() for label, weight in weights.items() if (given == label).any())
    )


def image_effects(trials: Trials) -> tuple[Floats, Floats]:
    """Necessity (logits) and sufficiency (probability) of the factor for each image (M,).

    NaN where an image was no recipient, no donor, or (sufficiency) where only the own class's score is known.
    """
    needed = necessity(trials.recipients, -trials.falls(), trials.n_images)
    if trials.after.is_own_class:
        return needed, np.full(trials.n_images, np.nan)
    given = trials.donor_labels
    change = trials.after.class_probabilities(given) - trials.before.class_probabilities(given)
    return needed, sufficiency(trials.recipients, trials.donors, change, trials.labels, trials.labels)
