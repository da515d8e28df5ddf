"""What two networks that decide nothing give for the same images: numbers, or embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seewhy.errors import counted
from seewhy.estimates import Estimate, Integers, mean_of
from seewhy.evidence.inference.units import unit_means
from seewhy.records import Outcome


@dataclass(frozen=True)
class OutputChange:
    """The mean of a network's only output in both runs, and the second less the first with its interval.

    Of `n_outputs` together `first` and `second` are the mean lengths of their vectors, and `difference` is the mean
    distance between those of one image. Clusters of images are the units, `difference.n` counts images.
    """

    n_outputs: int
    first: float
    second: float
    difference: Estimate

    @property
    def words(self) -> str:
        """What changed, in a sentence without its full stop."""
        change = self.difference
        ends, images = f"[{change.low:.4g}, {change.high:.4g}]", counted(change.n, "image")
        if self.n_outputs == 1:
            return f"output is {self.first:.4g} → {self.second:.4g} on the mean: {change.value:+.4g} {ends} ({images})"
        length = f"their length is {self.first:.4g} → {self.second:.4g}"
        return f"{self.n_outputs:,} outputs differ by {change.value:.4g} {ends} on the mean ({images}); {length}"


def output_change(pairs: Sequence[tuple[Outcome, Outcome]], clusters: Integers) -> OutputChange | None:
    """How the outputs of pairs (N,) differ, whose `clusters` (N,) are the units; None where they are not the same."""
    lengths = {len(outcome.logits) for pair in pairs for outcome in pair}
    if len(lengths) != 1 or lengths == {0}:
        return None
    outputs = np.array([[outcome.logits for outcome in pair] for pair in pairs], dtype=np.float64)  # (N, 2, D)
    known = np.isfinite(outputs).all(axis=(1, 2))
    if not known.any():
        return None
    first, second = outputs[known, 0], outputs[known, 1]
    n_outputs = first.shape[1]
    if n_outputs == 1:
        there, here, changes = first[:, 0], second[:, 0], (second - first)[:, 0]
    else:
        there, here, changes = (np.linalg.norm(side, axis=1) for side in (first, second, second - first))
    by_cluster = mean_of(unit_means(changes, clusters[known]))
    difference = Estimate(by_cluster.value, by_cluster.low, by_cluster.high, int(known.sum()))
    return OutputChange(n_outputs, float(there.mean()), float(here.mean()), difference)
