"""Intervals from resampling recipients and donors together, and the omnibus test that needs them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.differences import ClassDifference, class_difference, difference_of
from seewhy.evidence.inference.two_way import cluster_effects, donor_effects, two_way
from seewhy.evidence.inference.units import draw_clusters, draw_weights


def trial_table(rows: Integers, columns: Integers, values: Floats, shape: tuple[int, int]) -> sparse.csr_matrix:
    """The trials' values summed into a sparse table of recipients and donors."""
    return sparse.csr_matrix((values, (rows, columns)), shape=shape)


def two_way_bootstrap(
    recipient: Integers,
    donor: Integers,
    change: Floats,
    donor_class: Integers,
    weights: Mapping[int, float],
    *,
    clusters: Integers | None = None,
    draws: int = 1000,
    rng: np.random.Generator,
    level: float = 0.95,
) -> ClassDifference:
    """The class contrast of the donors' effects for recipients that are a sample too: the two-way interval.

    Recipients and, within their classes, donors are drawn with replacement (the pigeonhole bootstrap, Owen 2007, Ann.
    Appl. Stat. 1, which errs on the wide side): each drawn donor counts with its mean over the drawn recipients. The
    recipients' effects are removed first, so what they add is how differently they respond to donors. The interval is
    Student's t with the bootstrap's standard error and the smaller of the two samples' degrees of freedom. For fewer
    than some 200 recipients; with more, `class_difference` speaks of these recipients and is narrower.

    With `clusters` (M,) of the images these are drawn as a whole, recipients and donors, and are the units.
    """
    n_recipients = int(recipient.max()) + 1 if len(recipient) else 0
    clusters = np.arange(max(n_recipients, len(donor_class))) if clusters is None else clusters
    fit = two_way(recipient, donor, change, n_recipients, len(donor_class))
    effects = cluster_effects(fit.donors, donor_class, clusters[: len(donor_class)])
    plain = class_difference(*effects, weights, level=level)
    kept = np.isfinite(change)
    if not math.isfinite(plain.error) or not kept.any():
        return plain
    images, rows = np.unique(clusters[recipient[kept]], return_inverse=True)
    keys = np.stack([clusters[donor[kept]], donor_class[donor[kept]]], axis=1)
    donors, columns = np.unique(keys, axis=0, return_inverse=True)
    columns = columns.reshape(-1)
    left = change[kept] - fit.recipients[recipient[kept]]
    classes = donors[:, 1]
    chosen = draw_weights(np.zeros(len(images), dtype=np.int64), draws, rng)
    given = draw_clusters(classes, donors[:, 0], draws, rng)
    shape = (len(images), len(donors))
    sums, uses = (chosen @ trial_table(rows, columns, each, shape) for each in (left, np.ones(len(left))))
    means, counted = np.nan_to_num(_ratio(sums, uses)), given * (uses > 0)
    values = np.zeros(draws)
    for index, weight in weights.items():
        if weight:
            group = classes == index
            values += weight * _ratio((means * counted)[:, group].sum(axis=1), counted[:, group].sum(axis=1))
    error = float(np.nanstd(values, ddof=1))
    return difference_of(plain.value, error, min(plain.df, max(len(images) - 1.0, 1.0)), plain.n, level)


FEW_RECIPIENTS = 200  # below this it matters how differently they respond


def for_few_recipients(
    difference: ClassDifference,
    recipient: Integers,
    donor: Integers,
    change: Floats,
    donor_class: Integers,
    weights: Mapping[int, float],
    *,
    clusters: Integers,
    rng: np.random.Generator,
) -> ClassDifference:
    """The difference with an error that knows how differently few recipients respond: the bootstrap's, if larger.

    Many recipients speak for themselves.
    """
    if len(np.unique(clusters[recipient])) >= FEW_RECIPIENTS or not math.isfinite(difference.error):
        return difference
    wider = two_way_bootstrap(recipient, donor, change, donor_class, weights, clusters=clusters, rng=rng)
    if wider.error <= difference.error:
        return difference
    return difference_of(difference.value, wider.error, wider.df, difference.n)


def _ratio(sums: Floats, uses: Floats) -> Floats:
    return np.where(uses > 0, sums / np.where(uses > 0, uses, 1.0), np.nan)


@dataclass(frozen=True)
class Omnibus:
    """What remains predictive when the core is exchanged.

    `contrast` compares the score after the exchange between recipients of the classes: 0 where the network reads
    nothing outside of the core; `surest` is that of the class of which it is surest, of several. `benefit` is the
    accuracy for the recipients' own labels after the exchange less chance, each pair of recipient's and donor's class
    counting the same.
    """

    contrast: ClassDifference
    benefit: Estimate
    surest: ClassDifference | None = None

    @property
    def surest_class(self) -> ClassDifference:
        """Of several classes the difference of the surest, its p for all of them."""
        return self.surest or self.contrast


def omnibus(
    recipient: Integers,
    donor: Integers,
    after: Floats,
    right: Floats,
    recipient_class: Integers,
    donor_class: Integers,
    weights: Mapping[int, float],
    *,
    clusters: Integers | None = None,
    draws: int = 1000,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Omnibus:
    """The omnibus test of a core swap: is anything outside of the core, known or not, predictive for the network?

    `after` (T,) is the score after the exchange (not its change: the score before knows the class), `right` (T,) is 1
    where the decision is the recipient's label, 0 where not, NaN where missing. The unit is the recipient, or its
    cluster of `clusters` (M,), the donors' effects being removed; the interval of the benefit resamples recipients and
    donors within their classes.
    """
    recipient_clusters = np.arange(len(recipient_class)) if clusters is None else clusters
    donor_clusters = np.arange(len(donor_class)) if clusters is None else clusters
    contrast = recipient_difference(recipient, donor, after, recipient_class, weights, recipient_clusters, level=level)
    kept = np.isfinite(right)
    rows, columns, values = recipient[kept], donor[kept], right[kept]
    everyone = np.ones((1, len(recipient_class))), np.ones((1, len(donor_class)))
    value = float(_balanced_accuracy(rows, columns, values, recipient_class, donor_class, *everyone)[0])
    drawn = (
        draw_clusters(recipient_class, recipient_clusters, draws, rng),
        draw_clusters(donor_class, donor_clusters, draws, rng),
    )
    spread = _balanced_accuracy(rows, columns, values, recipient_class, donor_class, *drawn)
    chance = 1 / max(len(np.unique(recipient_class)), 1)
    low, high = np.nanquantile(spread, [(1 - level) / 2, (1 + level) / 2]) if kept.any() else (-math.inf, math.inf)
    n_recipients = len(np.unique(rows))
    return Omnibus(contrast, Estimate(value - chance, float(low) - chance, float(high) - chance, n_recipients))


def recipient_difference(
    recipient: Integers,
    donor: Integers,
    after: Floats,
    recipient_class: Integers,
    weights: Mapping[int, float],
    clusters: Integers,
    *,
    level: float = 0.95,
) -> ClassDifference:
    """What the recipients' class makes of a score after an exchange (T,), the donors' effects being removed."""
    effects = donor_effects(donor, recipient, after, len(recipient_class))
    return class_difference(*cluster_effects(effects, recipient_class, clusters), weights, level=level)


def _balanced_accuracy(
    rows: Integers,
    columns: Integers,
    right: Floats,
    recipient_class: Integers,
    donor_class: Integers,
    chosen: Floats,
    given: Floats,
) -> Floats:
    """The mean share of right decisions over the pairs of recipient's and donor's class, per sample (draws,)."""
    shape = (len(recipient_class), len(donor_class))
    table = trial_table(rows, columns, right, shape)
    times = trial_table(rows, columns, np.ones(len(rows)), shape)
    classes = np.unique(donor_class)
    belongs = (donor_class[:, None] == classes).astype(np.float64)
    total, cells = np.zeros(len(chosen)), np.zeros(len(chosen))
    for index in np.unique(recipient_class):
        members = recipient_class == index
        sums = ((chosen[:, members] @ table[members]) * given) @ belongs
        uses = ((chosen[:, members] @ times[members]) * given) @ belongs
        total += np.where(uses > 0, sums / np.where(uses > 0, uses, 1.0), 0.0).sum(axis=1)
        cells += (uses > 0).sum(axis=1)
    return _ratio(total, cells)
