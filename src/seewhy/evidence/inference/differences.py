"""Contrasts of classes with the donor as the unit: interval, test, equivalence, controls and planning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq

from seewhy.errors import OptionError
from seewhy.estimates import Estimate, Floats, Integers, wilson
from seewhy.evidence.inference.two_way import two_way

Outcome = Literal["depends", "none larger than the bound", "cannot say"]
_NOTHING = 1e-9


@dataclass(frozen=True)
class ClassDifference:
    """A weighted difference of class means: its interval, standard error, degrees of freedom and two-sided p-value.

    `n` counts the units (donors, or clusters of them) per class. Where a class has fewer than two units nothing can
    be said: the interval is endless and the p-value 1.
    """

    value: float
    low: float
    high: float
    error: float
    df: float
    p_value: float
    n: dict[int, int]

    def at(self, level: float) -> ClassDifference:
        """The same contrast with its interval at another level, such as 0.90."""
        if not 0 < level < 1:
            raise OptionError(f"The level of an interval is {level}, but must be between 0 and 1, such as 0.95.")
        half = _half_width(self.error, self.df, level)
        centre = self.value if math.isfinite(self.value) else 0.0
        return replace(self, low=centre - half, high=centre + half)


def difference_of(value: float, error: float, df: float, n: dict[int, int], level: float = 0.95) -> ClassDifference:
    """The contrast with this value, standard error and degrees of freedom, by Student's t.

    An error of 0 (all units the same, as where a network never sees the region) leaves the value as it is, without
    doubt; an error that is not finite leaves everything open.
    """
    if not math.isfinite(error):
        p_value = 1.0
    elif error == 0:
        p_value = 1.0 if value == 0 else 0.0
    else:
        p_value = float(2 * special.stdtr(df, -abs(value) / error))
    return ClassDifference(value=value, low=math.nan, high=math.nan, error=error, df=df, p_value=p_value, n=n).at(level)


def _half_width(error: float, df: float, level: float) -> float:
    if not math.isfinite(error):
        return math.inf
    return float(special.stdtrit(df, (1 + level) / 2)) * error if error else 0.0


def one_versus_rest(index: int, classes: Sequence[int]) -> dict[int, float]:
    """The weight of each class in "one against the mean of the others": +1 and -1 / (number of others)."""
    others = [other for other in classes if other != index]
    if index not in classes or not others:
        raise OptionError(f"Class {index} cannot be compared with the others of {sorted(classes)}.")
    return {index: 1.0} | {other: -1 / len(others) for other in others}


def class_difference(
    effects: Floats, classes: Integers, weights: Mapping[int, float], *, level: float = 0.95
) -> ClassDifference:
    """The weighted sum of the classes' mean effects, each unit (U,) one observation; NaN effects are left out.

    Variances may differ between classes (Welch 1947, Biometrika 34); the degrees of freedom are Satterthwaite's
    (1946, Biometrics Bulletin 2).
    """
    kept = np.isfinite(effects)
    value, variance, spread = 0.0, 0.0, 0.0
    counts: dict[int, int] = {}
    for index, weight in weights.items():
        group = effects[kept & (classes == index)]
        counts[index] = len(group)
        if not weight:
            continue
        value += weight * float(group.mean()) if len(group) else math.nan
        share = weight**2 * float(group.var(ddof=1)) / len(group) if len(group) > 1 else math.inf
        variance += share
        spread += share**2 / max(len(group) - 1, 1)
    df = variance**2 / spread if math.isfinite(variance) and spread > 0 else 1.0
    return difference_of(value, math.sqrt(variance), df, counts, level)


def own_class_difference(
    recipient: Integers,
    donor: Integers,
    change: Floats,
    recipient_class: Integers,
    donor_class: Integers,
    *,
    clusters: Integers | None = None,
    level: float = 0.95,
) -> ClassDifference:
    """How much more a donor of the recipient's own class raises the recipient's label margin than another does.

    `change` (T,) is that of the label margin. The trials are fitted by recipient + donor + effect of "own class", so a
    recipient that met more donors of its own class is not taken for a responsive one, nor a donor that spoils every
    margin for one of a foreign class. The error is clustered by donor, or by `clusters` (M,) of them (Liang
    & Zeger 1986, Biometrika 73, times the degrees of freedom that the recipients take), so donors may differ in how
    much they speak for their class; the t has as many degrees of freedom as there are donors that count fully, less 1.
    Where each donor meets as many recipients of its own class as of others, and each recipient as many such donors,
    this is the mean over donors of own less other recipients, and with two classes the contrast of the classes.

    Unbalanced trials: a donor counts by how well its own and other recipients can be compared; one that met only one
    of the two kinds not at all (`n` counts the others). Where none can be compared, nothing is said.
    """
    kept = np.isfinite(change)
    rows, columns = recipient[kept], donor[kept]
    sizes = len(recipient_class), len(donor_class)
    own_class = two_way(
        rows, columns, (recipient_class[rows] == donor_class[columns]).astype(np.float64), *sizes
    ).residuals
    fit = two_way(rows, columns, change[kept], *sizes)
    units = np.arange(len(donor_class)) if clusters is None else clusters
    energy = np.bincount(columns, own_class**2, minlength=len(donor_class))
    counts = {
        int(index): len(np.unique(units[(donor_class == index) & (energy > _NOTHING)]))
        for index in np.unique(donor_class)
    }
    weight = np.bincount(units[columns], own_class**2) if len(rows) else np.zeros(1)
    total, trials = float(weight.sum()), len(rows)
    df = total**2 / float((weight**2).sum()) - 1 if total > _NOTHING else 0.0
    if df <= 0 or fit.freedom <= 1:
        return difference_of(math.nan, math.inf, 1.0, counts, level)
    value = float(own_class @ fit.residuals) / total  # Frisch & Waugh 1933: the same as the joint fit
    pull = np.bincount(units[columns], own_class * (fit.residuals - value * own_class)) / total
    correction = (df + 1) / df * (trials - len(np.unique(columns))) / (fit.freedom - 1)
    return difference_of(value, math.sqrt(correction * float((pull**2).sum())), df, counts, level)


def fcr_level(n_selected: int, n_tested: int, q: float = 0.05) -> float:
    """The level for the intervals of those `n_selected` of `n_tested` effects that are reported because they stood out.

    Then on average at most a share `q` of the reported intervals misses its effect (Benjamini & Yekutieli 2005, JASA
    100: 1 - R q / m). Nothing selected: the level for a first one.
    """
    if not 0 <= n_selected <= n_tested or n_tested < 1:
        raise OptionError(f"{n_selected} of {n_tested} effects cannot be selected.")
    return 1 - max(n_selected, 1) * q / n_tested


def equivalent(contrast: ClassDifference, bound: float, *, level: float = 0.90) -> bool:
    """Whether the contrast is shown to be smaller than `bound` either way: its interval lies inside ±bound.

    The level 0.90 is the two one-sided tests at 5 % (Schuirmann 1987, J. Pharmacokinetics Biopharm. 15); 0.95 is
    stricter.
    """
    if bound <= 0:
        raise OptionError(f"The bound is {bound}, but must be above 0, such as 0.02.")
    asked = contrast.at(level)
    return -bound < asked.low and asked.high < bound


def outcome(contrast: ClassDifference, bound: float, *, level: float = 0.90) -> Outcome:
    """Which of three things is shown: a dependence of at least `bound`, none larger than it, or neither.

    A dependence needs the value at or above the bound and the contrast's own interval without 0; so a clear effect
    that is not shown to be small, and whose value is below the bound, is open.
    """
    if equivalent(contrast, bound, level=level):
        return "none larger than the bound"
    if abs(contrast.value) >= bound and (contrast.low > 0 or contrast.high < 0):
        return "depends"
    return "cannot say"


def permuted_controls(
    effects: Floats, classes: Integers, weights: Mapping[int, float], *, n: int = 20, rng: np.random.Generator
) -> Floats:
    """The size of the contrast (n,) when the units' classes are permuted: donors whose content is scrambled.

    Being above all of 20 has a chance of 1 in 21 by itself: a gate, not a test. NaN where a class is missing.
    """
    kept = np.isfinite(effects)
    values, labels = effects[kept], classes[kept]
    counts = {index: int((labels == index).sum()) for index in weights}
    share = np.zeros(len(labels))
    for index, weight in weights.items():
        if weight and not counts[index]:
            return np.full(n, np.nan)
        share[labels == index] = weight / max(counts[index], 1)
    sizes = [abs(float(rng.permutation(share) @ values)) for _ in range(n)]
    return np.asarray(sizes, dtype=np.float64)


def smallest_effect(n_per_class: int, *, sd: float = 1.0, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference of two classes that is found with probability `power`, in the unit of `sd`, the donors' spread.

    For Student's two-sided test at `alpha` with `n_per_class` donors each; divide `alpha` by the number of tests.
    """
    if n_per_class < 2 or not 0 < alpha < power < 1:
        raise OptionError(
            f"n_per_class={n_per_class}, alpha={alpha}, power={power} cannot be planned; "
            "give at least 2 donors per class and 0 < alpha < power < 1."
        )
    df = 2 * n_per_class - 2
    limit = float(stats.t.isf(alpha / 2, df))

    def missing(effect: float) -> float:
        shift = effect * math.sqrt(n_per_class / 2)
        other_side = float(np.nan_to_num(stats.nct.cdf(-limit, df, shift)))  # NaN where too small to compute
        return float(stats.nct.sf(limit, df, shift)) + other_side - power

    enough = math.sqrt(2 / n_per_class)
    while missing(enough) < 0:
        enough *= 1.5
    return sd * float(brentq(missing, 0, enough))


def flip_rate(recipient: Integers, donor: Integers, flipped: Floats, *, level: float = 0.95) -> Estimate:
    """The share of trials whose decision changed, with an interval that knows that trials share images.

    `flipped` (T,) is 1, 0, or NaN for a missing trial. The variance is clustered by recipient and by donor (Cameron,
    Gelbach & Miller 2011, J. Bus. Econ. Stat. 29), the interval on the logit scale; where none or all flipped, Wilson's
    for the number of recipients or donors, whichever is smaller.
    """
    kept = np.isfinite(flipped)
    rows, columns, values = recipient[kept], donor[kept], flipped[kept]
    clusters = min(len(np.unique(rows)), len(np.unique(columns)))
    if not len(values) or values.min() == values.max():
        bare = wilson(int(values.any()) * clusters, clusters)
        return Estimate(bare.value, bare.low, bare.high, len(values))
    share = float(values.mean())
    left = values - share
    by_recipient, by_donor = (float((np.bincount(place, left) ** 2).sum()) for place in (rows, columns))
    variance = max(by_recipient + by_donor - float((left**2).sum()), by_recipient, by_donor) / len(values) ** 2
    centre = math.log(share / (1 - share))
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(variance) / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1))
    return Estimate(share, low, high, len(values))


def mean_with_interval(values: Floats) -> Estimate:
    """The mean of one value per image with Student's 95 % interval; NaN where there are too few for one."""
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    half = float(special.stdtrit(n - 1, 0.975) * values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(mean, mean - half, mean + half, n)
