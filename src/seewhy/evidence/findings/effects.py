"""From trials to effects: what each factor does, how sure that is, and what its controls do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seewhy.estimates import Estimate, Floats, mean_of
from seewhy.evidence.inference.bootstrap import two_way_bootstrap
from seewhy.evidence.inference.differences import (
    ClassDifference,
    class_difference,
    difference_of,
    flip_rate,
    one_versus_rest,
    own_class_difference,
    permuted_controls,
)
from seewhy.evidence.inference.two_way import cluster_effects, necessity, sensitivity, sufficiency, two_way
from seewhy.evidence.trials.sample import OWN_CLASS, Ints, Sample
from seewhy.evidence.trials.trial import CONTROL, Scores, Trials

N_SCRAMBLED = 20
FEW_RECIPIENTS = 200
LEAST_CONTROLS = 12  # regions of the bank that leave a factor alone; with fewer its donors are scrambled


@dataclass(frozen=True)
class Effect:
    """What a factor does to one contrast on one split: δ of margins (logits) and of probabilities, donors as units.

    `flips` and `flips_own` are the shares of trials that change the decision, with donors of another class and of the
    recipient's own (None without donors), `sensitivity` how far donors move the margin whatever their
    class (its standard deviation), `donors` (M,) each donor's own effect on the probability.
    """

    factor: str
    kind: str
    split: str
    contrast: str
    margin: ClassDifference
    probability: ClassDifference
    flips: Estimate
    flips_own: Estimate | None
    sensitivity: Estimate
    n_recipients: int
    n_trials: int
    donors: Floats = field(repr=False, compare=False)

    @property
    def n_donors(self) -> int:
        """How many units, donors or clusters of near-duplicates, stand behind it."""
        return sum(self.probability.n.values())


@dataclass(frozen=True)
class Control:
    """What the same edit does elsewhere (`kind` "regions") or with donors of permuted classes ("scrambled donors").

    `limit` is the 95 % quantile of the sizes of their effects on the probability; `values` (n,) are these sizes.
    """

    kind: str
    limit: float
    values: tuple[float, ...]


def difference_of_trials(
    trials: Trials, change: Floats, sample: Sample, contrast: str, classes: Sequence[str]
) -> tuple[ClassDifference, Floats]:
    """The contrast of a change (T,) of transplants, and each donor's own effect (M,)."""
    rows, columns, n = trials.recipients, trials.donors, len(sample)
    fit = two_way(rows, columns, change, n, n)
    if contrast == OWN_CLASS:
        return own_class_difference(
            rows, columns, change, sample.labels, sample.labels, clusters=sample.clusters
        ), fit.donors
    units, unit_classes = cluster_effects(fit.donors, sample.labels, sample.clusters)
    weights = weights_of(contrast, classes, sample)
    return class_difference(units, unit_classes, weights), fit.donors


def for_few_recipients(
    found: ClassDifference, trials: Trials, change: Floats, sample: Sample, weights: dict[int, float]
) -> ClassDifference:
    """The contrast with an error that knows how differently few recipients respond: the two-way bootstrap's, if larger.

    Many recipients speak for themselves.
    """
    if len(np.unique(trials.recipients)) >= FEW_RECIPIENTS or not math.isfinite(found.error):
        return found
    rng = np.random.default_rng((len(trials.name), *trials.name.encode()))
    wider = two_way_bootstrap(trials.recipients, trials.donors, change, sample.labels, weights, rng=rng)
    return difference_of(found.value, wider.error, wider.df, found.n) if wider.error > found.error else found


def weights_of(contrast: str, classes: Sequence[str], sample: Sample) -> dict[int, float]:
    """The weight of each class that the sample holds: the contrast's own against the mean of the others."""
    present = [int(one) for one in np.unique(sample.labels)]
    own = list(classes).index(contrast)
    return one_versus_rest(own, present) if own in present and len(present) > 1 else {own: 1.0, -1: -1.0}


def changes(trials: Trials, before: Scores, column: int) -> tuple[Floats, Floats]:
    """The changes (T,) of margin and probability of one contrast."""
    rows = trials.recipients
    return (
        trials.scores.margins[:, column].astype(np.float64) - before.margins[rows, column],
        trials.scores.probabilities[:, column].astype(np.float64) - before.probabilities[rows, column],
    )


def effect_of(
    trials: Trials, kind: str, before: Scores, sample: Sample, contrast: tuple[int, str], classes: Sequence[str]
) -> Effect:
    """The effect of a factor from its transplants."""
    column, name = contrast
    in_margin, in_probability = changes(trials, before, column)
    margin, _ = difference_of_trials(trials, in_margin, sample, name, classes)
    probability, donors = difference_of_trials(trials, in_probability, sample, name, classes)
    if name != OWN_CLASS:
        weights = weights_of(name, classes, sample)
        margin = for_few_recipients(margin, trials, in_margin, sample, weights)
        probability = for_few_recipients(probability, trials, in_probability, sample, weights)
    flipped = (trials.scores.predictions != before.predictions[trials.recipients]).astype(np.float64)
    own = sample.labels[trials.recipients] == sample.labels[trials.donors]
    return Effect(
        trials.name,
        kind,
        trials.split,
        name,
        margin,
        probability,
        _flips(trials, np.where(own, np.nan, flipped)),
        _flips(trials, np.where(own, flipped, np.nan)),
        sensitivity(trials.recipients, trials.donors, in_margin, len(sample)),
        len(np.unique(trials.recipients)),
        len(trials),
        donors,
    )


def _flips(trials: Trials, flipped: Floats) -> Estimate:
    return flip_rate(trials.recipients, trials.donors, flipped)


def control_of(
    effect: Effect,
    elsewhere: Sequence[float],
    trials: Trials,
    change: Floats,
    sample: Sample,
    classes: Sequence[str],
    seed: int,
) -> Control:
    """What the factor is held against: regions of its area that leave it alone, else its donors, scrambled.

    `elsewhere` are the sizes of the regions' effects on the probability; of too few nothing can be said. `trials` are
    the factor's own, and `change` (T,) what they did to the probability.
    """
    if len(elsewhere) >= LEAST_CONTROLS:
        return Control("regions", float(np.quantile(elsewhere, 0.95)), tuple(elsewhere))
    rng = np.random.default_rng((seed, len(effect.factor), *effect.factor.encode()))
    if effect.contrast == OWN_CLASS:  # the changes of each recipient go to its donors in another order
        mixed = [_within_recipients(trials.recipients, change, rng) for _ in range(N_SCRAMBLED)]
        scrambled = np.abs([plain_value(trials, one, sample, OWN_CLASS, classes) for one in mixed])
    else:
        units, unit_classes = cluster_effects(effect.donors, sample.labels, sample.clusters)
        weights = weights_of(effect.contrast, classes, sample)
        scrambled = permuted_controls(units, unit_classes, weights, n=N_SCRAMBLED, rng=rng)
    return Control("scrambled donors", float(np.quantile(scrambled, 0.95)), tuple(scrambled.tolist()))


def _within_recipients(recipients: Ints, change: Floats, rng: np.random.Generator) -> Floats:
    """The changes (T,) permuted among the trials of each recipient."""
    order = np.lexsort((rng.random(len(change)), recipients))
    found = np.empty_like(change)
    found[np.lexsort((np.arange(len(change)), recipients))] = change[order]
    return found


def plain_value(trials: Trials, change: Floats, sample: Sample, contrast: str, classes: Sequence[str]) -> float:
    """The difference of the classes' mean changes, without an interval: every recipient meets all classes alike."""
    given = sample.labels[trials.donors]
    if contrast == OWN_CLASS:
        own = given == sample.labels[trials.recipients]
        return float(change[own].mean() - change[~own].mean()) if own.any() and not own.all() else float("nan")
    weights = weights_of(contrast, classes, sample)
    return float(sum(weight * change[given == one].mean() for one, weight in weights.items() if (given == one).any()))


def label_margins(scores: Scores, places: Ints, sample: Sample) -> Floats:
    """The margin (T,) of each image's own label over the best other class."""
    labels, margins = sample.labels[places], scores.margins.astype(np.float64)
    if margins.shape[1] > 1:
        return np.asarray(margins[np.arange(len(margins)), labels])
    if scores.is_own_class:
        return np.asarray(margins[:, 0])
    return np.asarray(np.where(labels == 0, margins[:, 0], -margins[:, 0]))


def benefits(trials: Trials, before: Scores, sample: Sample) -> Floats:
    """How far the label's margin falls when the content goes (T,)."""
    rows = trials.recipients
    was = label_margins(before, np.arange(len(sample)), sample)[rows]
    return was - label_margins(trials.scores, rows, sample)


def removal_effect(trials: Trials, before: Scores, sample: Sample, beside: Trials | None) -> Estimate:
    """How much more the label's margin falls than for the same edit of regions elsewhere; the image is the unit.

    Without regions elsewhere, how far it falls. Every class counts alike.
    """
    fall = np.full(len(sample), np.nan)
    fall[trials.recipients] = benefits(trials, before, sample)
    if beside is not None:
        other = np.full(len(sample), np.nan)
        other[beside.recipients] = benefits(beside, before, sample)
        fall = fall - other
    kept = np.isfinite(fall)
    if kept.sum() < 2:
        return Estimate(float("nan"), float("-inf"), float("inf"), int(kept.sum()))
    return mean_of(fall[kept])


def image_effects(trials: Trials, before: Scores, sample: Sample) -> tuple[Floats, Floats]:
    """Necessity (logits) and sufficiency (probability) of the factor for each image (M,).

    NaN where an image was no recipient, no donor, or (sufficiency) where only the own class's score is known.
    """
    needed = necessity(trials.recipients, -benefits(trials, before, sample), len(sample))
    if trials.scores.is_own_class:
        return needed, np.full(len(sample), np.nan)
    rows, given = trials.recipients, sample.labels[trials.donors]
    after, was = (_probability_of(scores, given, at) for scores, at in ((trials.scores, None), (before, rows)))
    return needed, sufficiency(rows, trials.donors, after - was, sample.labels, sample.labels)


def _probability_of(scores: Scores, classes: Ints, rows: Ints | None) -> Floats:
    """The probability of a class for each trial (T,)."""
    both = (scores.probabilities if rows is None else scores.probabilities[rows]).astype(np.float64)
    if both.shape[1] == 1:
        return np.where(classes == 0, both[:, 0], 1 - both[:, 0])
    return np.asarray(both[np.arange(len(both)), classes])


def picked(trials: Sequence[Trials], name: str, edit: str, split: str) -> Trials | None:
    """The trials of this name, edit and split, where there are any."""
    found = (one for one in trials if (one.name, one.edit, one.split) == (name, edit, split))
    return next((one for one in found if len(one)), None)


def control_deltas(
    trials: Sequence[Trials],
    split: str,
    before: Scores,
    sample: Sample,
    contrast: tuple[int, str],
    classes: Sequence[str],
) -> dict[str, float]:
    """The size of each control region's effect on the probability."""
    column, name = contrast
    found = {
        one.name: abs(plain_value(one, changes(one, before, column)[1], sample, name, classes))
        for one in trials
        if one.edit == CONTROL and one.split == split and len(one)
    }
    return {region: value for region, value in found.items() if math.isfinite(value)}
