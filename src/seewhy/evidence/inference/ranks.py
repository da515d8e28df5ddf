"""Estimates with their intervals: plain functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.estimates import Estimate, Floats, Z


def rank_auc(scores: Floats, labels: NDArray[np.int64]) -> tuple[float, Floats]:
    """How well each class's own score ranks its images above the others', 0 to 1, and each image's influence (N,).

    `scores` (N, K) holds one score per class. The value is the share of pairs (i, j) of different labels in which the
    score of i's class is larger for i than for j, ties counting half: with two classes whose scores are each other's
    negative the area under the ROC curve, with more the one-versus-rest areas weighted by their pairs. The influences
    average to 0; their squares' sum over N^2 is the variance (Hajek's projection; DeLong et al. 1988 for two classes).
    """
    n = len(labels)
    own_score = scores[np.arange(n), labels]  # (N,)
    beside = scores[:, labels].T  # (i, j): the score of i's class for image j
    wins = (own_score[:, None] > beside) + 0.5 * (own_score[:, None] == beside)
    pairs = labels[:, None] != labels[None]
    count = pairs.sum()
    if not count:
        return math.nan, np.zeros(n)
    value = float(wins[pairs].sum() / count)
    excess = np.where(pairs, wins - value, 0.0)
    return value, (excess.sum(axis=1) + excess.sum(axis=0)) * (n / count)


def label_auc(scores: Floats, has: NDArray[np.bool_]) -> tuple[float, Floats]:
    """How well scores (N,) rank the images that have a label above those without, 0 to 1, and the influences (N,).

    The area under the ROC curve, NaN where all or none have it; the influences are as in rank_auc. DeLong et al. 1988.
    """
    n, count = len(has), int(has.sum())
    if count in (0, n):
        return math.nan, np.zeros(n)
    below = ranks(scores)
    with_label, without = below[has] - ranks(scores[has]), below[~has] - ranks(scores[~has])
    value = float(with_label.mean() / (n - count))
    influence = np.empty(n)
    influence[has] = (with_label / (n - count) - value) * (n / count)
    influence[~has] = (1 - without / count - value) * (n / (n - count))
    return value, influence


def mean_label_auc(scores: Floats, truth: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The mean of label_auc over the labels (N, K) that some images have and some have not, and its influences (N,)."""
    areas = [label_auc(scores[:, k], truth[:, k]) for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    if not areas:
        return math.nan, np.zeros(len(truth))
    return float(np.mean([value for value, _ in areas])), np.mean([influence for _, influence in areas], axis=0)


def paired_difference(value: float, influence: Floats) -> tuple[Estimate, float]:
    """A difference with its 95 % interval and two-sided p-value, from the difference of the images' influences (N,)."""
    n = len(influence)
    error = math.sqrt(float((influence**2).sum())) / n
    if error == 0:
        return Estimate(value, value, value, n), 1.0 if value == 0 else 0.0
    p_value = 2 * NormalDist().cdf(-abs(value) / error)
    return Estimate(value, value - Z * error, value + Z * error, n), p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that the chance of any false alarm among all stays below the level. Holm 1979."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - step)))
        adjusted[place] = largest
    return adjusted


def ranks(values: NDArray[Any]) -> Floats:
    """The rank of each value (…, M) along the last axis from 0, ties sharing their mean rank."""
    flat = values.reshape(-1, values.shape[-1])
    ranked = np.empty(flat.shape)
    for row, line in enumerate(flat):
        _, place, counts = np.unique(line, return_inverse=True, return_counts=True)
        ranked[row] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return ranked.reshape(values.shape)


def spearman(values: NDArray[Any], other: NDArray[Any]) -> Floats:
    """Spearman's rank correlation along the last axis, -1 to 1; NaN where either is constant or not finite."""
    finite = np.isfinite(values).all(axis=-1) & np.isfinite(other).all(axis=-1)
    first, second = ranks(values), ranks(other)
    first -= first.mean(axis=-1, keepdims=True)
    second -= second.mean(axis=-1, keepdims=True)
    size = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (first * second).sum(axis=-1) / size
    return np.asarray(np.where(finite & (size > 0), correlation, np.nan))
