"""What each donor does to the score once the recipients' own reactions are taken out, and how much donors differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import lsqr

from seewhy.errors import DataError
from seewhy.estimates import Estimate, Floats, Integers

_PRECISION = 1e-14


@dataclass(frozen=True)
class TwoWay:
    """The least-squares fit change = recipient effect + donor effect + residual.

    `recipients` (N,) and `donors` (M,) are NaN where no trial speaks of them; the donors' mean is 0, so the overall
    level is in the recipients. `residuals` (T,) are NaN where the change is. `freedom` is the residuals' degrees of
    freedom: the trials less the effects that can be told apart.
    """

    recipients: Floats
    donors: Floats
    residuals: Floats
    freedom: int


def two_way(recipient: Integers, donor: Integers, change: Floats, n_recipients: int, n_donors: int) -> TwoWay:
    """The two-way fit of trials (T,); those with a NaN change are left out.

    Where groups of trials share neither a recipient nor a donor, no comparison within recipients links them: there
    the plain mean changes of the donors place the groups against each other (with one donor of each class per
    recipient and no donor used twice this leaves the plain means, and with them intervals that are too wide, not too
    narrow).

    Raises:
        DataError: the arrays do not match, or a number is outside of its range.
    """
    _check(recipient, donor, change, n_recipients, n_donors)
    kept = np.isfinite(change)
    rows, columns, values = recipient[kept], donor[kept], change[kept]
    donors = np.full(n_donors, np.nan)
    recipients = np.full(n_recipients, np.nan)
    residuals = np.full(len(change), np.nan)
    if not len(values):
        return TwoWay(recipients, donors, residuals, 0)
    groups = _groups(rows, columns, n_recipients, n_donors)
    fitted = _placed(_solved(rows, columns, values, n_recipients, n_donors), rows, columns, values, groups)
    used, meeting = np.bincount(columns, minlength=n_donors) > 0, np.bincount(rows, minlength=n_recipients)
    donors[used] = fitted[used]
    left = values - fitted[columns]
    recipients[meeting > 0] = (np.bincount(rows, left, minlength=n_recipients) / np.maximum(meeting, 1))[meeting > 0]
    residuals[kept] = left - recipients[rows]
    n_groups = len(np.unique(groups[columns]))
    return TwoWay(recipients, donors, residuals, int(len(values) - (meeting > 0).sum() - used.sum() + n_groups))


def donor_effects(recipient: Integers, donor: Integers, change: Floats, n_donors: int) -> Floats:
    """The effect of each donor (M,) with the recipients' effects removed, centred; NaN for donors never used.

    Where each recipient meets equally many donors of both classes and all donors are used equally often, the
    difference of the class means is exactly that of the donors' plain mean changes; but the spread that the recipients
    bring into those means is gone, and with it the intervals' excess width.
    """
    n_recipients = int(recipient.max()) + 1 if len(recipient) else 0
    return two_way(recipient, donor, change, n_recipients, n_donors).donors


def _check(recipient: Integers, donor: Integers, change: Floats, n_recipients: int, n_donors: int) -> None:
    if not len(recipient) == len(donor) == len(change):
        raise DataError(
            f"The trials have {len(recipient)} recipients, {len(donor)} donors and {len(change)} changes; "
            "give one of each per trial.",
            slug="trials",
        )
    for name, numbers, count in (("recipient", recipient, n_recipients), ("donor", donor, n_donors)):
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
            raise DataError(
                f"A trial names {name} {numbers.max() if numbers.max() >= count else numbers.min()}, "
                f"but they are numbered from 0 to {count - 1}.",
                slug="trials",
            )


def _groups(rows: Integers, columns: Integers, n_recipients: int, n_donors: int) -> Integers:
    """The linked group of each donor (M,): a path of shared trials leads from each member to each other."""
    size = n_recipients + n_donors
    links = sparse.coo_matrix((np.ones(len(rows)), (rows, n_recipients + columns)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][n_recipients:], dtype=np.int64)


def _solved(rows: Integers, columns: Integers, values: Floats, n_recipients: int, n_donors: int) -> Floats:
    """The donors' part of a least-squares solution (M,), free up to a constant in each linked group."""
    index = np.concatenate([rows, n_recipients + columns])
    scale = 1 / np.sqrt(np.maximum(np.bincount(index, minlength=n_recipients + n_donors), 1))
    trials = np.tile(np.arange(len(rows)), 2)
    matrix = sparse.csr_matrix((scale[index], (trials, index)), shape=(len(rows), len(scale)))
    offset = values.mean()
    most = 20 * len(scale)
    solution = lsqr(matrix, values - offset, atol=_PRECISION, btol=_PRECISION, conlim=0, iter_lim=most)[0]
    return np.asarray((solution * scale)[n_recipients:])


def _placed(fitted: Floats, rows: Integers, columns: Integers, values: Floats, groups: Integers) -> Floats:
    """The effects with each group's mean at that of its donors' mean changes, and the overall mean at 0."""
    uses = np.bincount(columns, minlength=len(fitted))
    used = uses > 0
    plain = np.bincount(columns, values, minlength=len(fitted)) / np.maximum(uses, 1)
    members = np.maximum(np.bincount(groups[used], minlength=groups.max() + 1), 1)
    shift = np.bincount(groups[used], (plain - fitted)[used], minlength=groups.max() + 1) / members
    placed = fitted + shift[groups]
    return np.asarray(placed - placed[used].mean())


def cluster_effects(effects: Floats, classes: Integers, clusters: Integers) -> tuple[Floats, Integers]:
    """The mean effect of each unit (U,) and its class (U,), where the donors of one `clusters` label are one unit.

    A cluster that holds several classes gives one unit for each. Donors without an effect (NaN) are left out, so that
    no unit is NaN.
    """
    kept = np.isfinite(effects)
    keys = np.stack([clusters[kept], classes[kept]], axis=1)
    units, place, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(place.reshape(-1), effects[kept], minlength=len(units)) / counts
    return means, units[:, 1].astype(np.int64)


def sensitivity(
    recipient: Integers,
    donor: Integers,
    change: Floats,
    n_donors: int,
    *,
    clusters: Integers | None = None,
    level: float = 0.95,
) -> Estimate:
    """The standard deviation of the donors' effects beyond noise: how far the content moves the score, class or not.

    The variance is Henderson's method 3 (1953, Biometrics 9): the sum of squares that donors explain after
    recipients, less its share of noise. The interval takes the spread of the fitted effects with its own fourth
    moment, on the log scale, so that it holds for effects that are not normal; it ends at 0 where noise can explain
    all. NaN where the trials leave no residual to measure the noise. Of `clusters` (M,) of the donors each says as much
    about the spread as one donor does, which errs on the wide side.
    """
    n_recipients = int(recipient.max()) + 1 if len(recipient) else 0
    fit = two_way(recipient, donor, change, n_recipients, n_donors)
    effects = fit.donors[np.isfinite(fit.donors)]
    n_units = len(effects) if clusters is None else len(np.unique(clusters[np.isfinite(fit.donors)]))
    if fit.freedom <= 0 or n_units < 3:
        return Estimate(math.nan, 0.0, math.inf, n_units)
    variance = _between_donors(recipient, donor, change, fit)
    spread = float(effects.var(ddof=1))
    if spread == 0:
        return Estimate(0.0, 0.0, 0.0, n_units)
    noise = spread - variance
    fourth = float(((effects - effects.mean()) ** 4).mean())
    error = math.sqrt(max(fourth - (n_units - 3) / (n_units - 1) * spread**2, 0.0) / n_units)
    stretch = math.exp(NormalDist().inv_cdf((1 + level) / 2) * error / spread)
    value, low, high = (
        math.sqrt(max(0.0, square)) for square in (variance, spread / stretch - noise, spread * stretch - noise)
    )
    return Estimate(value, low, high, n_units)


def _between_donors(recipient: Integers, donor: Integers, change: Floats, fit: TwoWay) -> float:
    kept = np.isfinite(change)
    rows, columns, values = recipient[kept], donor[kept], change[kept]
    meeting = np.bincount(rows, minlength=len(fit.recipients))
    means = np.bincount(rows, values, minlength=len(meeting)) / np.maximum(meeting, 1)
    within = float(((values - means[rows]) ** 2).sum())
    left = float((fit.residuals[kept] ** 2).sum())
    noise = left / fit.freedom
    pairs, times = np.unique(np.stack([rows, columns], axis=1), axis=0, return_counts=True)
    weight = len(values) - float((times**2 / meeting[pairs[:, 0]]).sum())
    explained = len(values) - int((meeting > 0).sum()) - fit.freedom  # degrees of freedom of the donors
    return (within - left - explained * noise) / weight if weight > 0 else math.nan


def necessity(recipient: Integers, change: Floats, n_recipients: int) -> Floats:
    """How far the score moves when the factor is exchanged, per image (N,): |score - median score after|; or NaN."""
    moves = np.full(n_recipients, np.nan)
    kept = np.isfinite(change)
    order = np.argsort(recipient[kept], kind="stable")
    images, starts = np.unique(recipient[kept][order], return_index=True)
    for image, changes in zip(images, np.split(change[kept][order], starts[1:]), strict=False):
        moves[image] = abs(float(np.median(changes)))
    return moves


def sufficiency(
    recipient: Integers, donor: Integers, change: Floats, recipient_class: Integers, donor_class: Integers
) -> Floats:
    """How far each donor's factor alone raises its own class (M,): its mean change over recipients of other classes.

    `change` (T,) is that of the probability of the donor's class. NaN for donors without such a recipient.
    """
    kept = np.isfinite(change) & (recipient_class[recipient] != donor_class[donor])
    uses = np.bincount(donor[kept], minlength=len(donor_class))
    sums = np.bincount(donor[kept], change[kept], minlength=len(donor_class))
    return np.where(uses > 0, sums / np.maximum(uses, 1), np.nan)
