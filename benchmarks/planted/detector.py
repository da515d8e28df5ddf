"""The audit as a detector of networks with a shortcut: a probability from its strongest finding, and how good it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.planted.scores import NOTHING, SEEN, Score
from numpy.typing import NDArray
from scipy import stats

RIDGE = 1.0  # keeps the map finite where the two groups lie apart
STEPS = 50
DRAWS = 2000  # of the bootstrap over networks

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Detected:
    """Cross entropy, Brier score and AUC, each as (value, low, high) with an interval of 95 % over networks."""

    cross_entropy: tuple[float, float, float]
    brier: tuple[float, float, float]
    auc: tuple[float, float, float]
    n: int


def clear(scores: Sequence[Score]) -> list[Score]:
    """Those with a shortcut to see, or without any."""
    return [score for score in scores if not score.hidden and (score.largest >= SEEN or score.largest <= NOTHING)]


def _features(scores: Sequence[Score]) -> Floats:
    """1, whether a shortcut is told, its level, and the logarithm of its effect: (N, 4)."""
    rows = [(1.0, float(bool(level)), level, np.log10(max(effect, 0.002)) + 1.5) for level, effect in _evidence(scores)]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _evidence(scores: Sequence[Score]) -> list[tuple[float, float]]:
    return [score.evidence for score in scores]


def fitted(scores: Sequence[Score]) -> Floats:
    """The weights (4,) of a logistic map from an audit's strongest finding to the probability of a shortcut."""
    scores = clear(scores)
    features, labels = _features(scores), _labels(scores)
    weights = np.zeros(features.shape[1])
    penalty = RIDGE * np.diag([0.0, *[1.0] * (features.shape[1] - 1)])
    for _ in range(STEPS):  # Newton's
        shares = _sigmoid(features @ weights)
        slope = features.T @ (shares - labels) + penalty @ weights
        curve = (features * (shares * (1 - shares))[:, None]).T @ features + penalty + 1e-9 * np.eye(len(weights))
        weights = weights - np.linalg.solve(curve, slope)
    return weights


def measured(scores: Sequence[Score], weights: Floats) -> Detected | None:
    """How good the map is on other networks; None without both kinds of them."""
    scores = clear(scores)
    labels = _labels(scores)
    if not 0 < labels.sum() < len(labels):
        return None
    shares = np.clip(_sigmoid(_features(scores) @ weights), 1e-4, 1 - 1e-4)
    dice = np.random.default_rng(0)
    draws = [rows for rows in dice.integers(0, len(labels), (DRAWS, len(labels))) if 0 < labels[rows].sum() < len(rows)]

    def of(figure: Callable[[Floats, Floats], float]) -> tuple[float, float, float]:
        low, high = np.quantile([figure(shares[rows], labels[rows]) for rows in draws], [0.025, 0.975])
        return figure(shares, labels), float(low), float(high)

    return Detected(of(cross_entropy), of(brier), of(auc), len(labels))


def cross_entropy(shares: Floats, labels: Floats) -> float:
    """In nats; .693 is that of a coin."""
    return float(-np.mean(labels * np.log(shares) + (1 - labels) * np.log(1 - shares)))


def brier(shares: Floats, labels: Floats) -> float:
    return float(np.mean((shares - labels) ** 2))


def auc(shares: Floats, labels: Floats) -> float:
    """The chance that a network with a shortcut gets the higher probability; ties count half."""
    ranks = stats.rankdata(shares)
    n_with = labels.sum()
    return float((ranks[labels == 1].sum() - n_with * (n_with + 1) / 2) / (n_with * (len(labels) - n_with)))


def _labels(scores: Sequence[Score]) -> Floats:
    return np.array([score.largest >= SEEN for score in scores], dtype=np.float64)


def _sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))
