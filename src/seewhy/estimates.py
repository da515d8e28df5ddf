"""A measured value with its interval: of shares, of means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Z = NormalDist().inv_cdf(0.975)  # half of a 95 % interval in standard errors


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and the number of images behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def p_words(p_value: float, digits: int = 1) -> str:
    """A p-value in words: "p = 0.02", or "p < 0.001"."""
    return f"p = {p_value:.{digits}g}" if p_value >= 0.001 else "p < 0.001"


def wilson(successes: int, n: int) -> Estimate:
    """A share with Wilson's score interval. Wilson 1927, JASA 22, eq. 13."""
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    share, square = successes / n, Z**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def share_difference(first: Estimate, second: Estimate) -> Estimate:
    """One share minus another of other images, with the 95 % interval that their Wilson intervals give.

    Newcombe 1998, Statistics in Medicine 17, method 10. `n` is that of both.
    """
    value = first.value - second.value
    low = math.hypot(first.value - first.low, second.high - second.value)
    high = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - low, value + high, first.n + second.n)


def mean_of(values: Floats) -> Estimate:
    """The mean of one value per image with its normal interval."""
    mean = float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Estimate(mean, mean - half, mean + half, len(values))
