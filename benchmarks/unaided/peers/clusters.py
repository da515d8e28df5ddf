"""Clusters of maps, with an oracle reader who knows in which picture each planted kind is on: SpRAy, ShortKit-ML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from benchmarks.unaided.peers.maps import gradients
from benchmarks.unaided.peers.material import Claim, Floats, Material, going_with_label, last_layer
from numpy.typing import NDArray

KS = range(2, 9)  # how many clusters
SIDE = 16  # of the downsized maps
PURE, COVERED = 0.8, 0.5
ABOVE = 0.1  # by how much a cluster must be purer than its class: what nearly all have, no cluster can show
SKEWED, EVEN = 0.8, 0.65
FEWEST = 40  # pictures of a class that are clustered
EIGENVECTORS = 32  # corelay's default

Kinds = Mapping[str, NDArray[np.bool_]]


def spray(material: Material) -> Claim:
    """Tells a kind of which a cluster of maps shows who has it, by corelay's own pipeline and a reader who knows.

    The maps are captum's Integrated Gradients of the answered class, summed over colours, as means over 16 x 16 cells,
    each divided by its absolute sum; corelay makes no maps itself. The pictures of each answered class are clustered by
    its spectral pipeline (euclidean distance, 10 neighbours, k-means) with k from 2 to 8, once over its default of 32
    eigenvectors and once over the first k alone, whichever shows more.

    A kind that goes with the label in these pictures (Fisher's p < .05) counts as found where at least 80 % of a
    cluster are in one state of it (on, or off), the cluster holds at least half of all pictures of the class in that
    state, and the cluster is purer than the class by more than 10 points, so that a state which nine in ten of the
    class are in is never found by it. Where no kind goes with the label, "cluster" is told where 80 % of a cluster have
    one label while no label has 65 % of the class.
    """
    maps = small(gradients(material, material.answers).sum(axis=1))
    suspected, told = going_with_label(material), dict[str, str]()
    for answer in np.unique(material.answers):
        rows = np.flatnonzero(material.answers == answer)
        if len(rows) < FEWEST:
            continue
        kinds = {kind: on[rows] for kind, on in suspected.items()}
        for clusters in corelay_clusters(maps[rows].reshape(len(rows), -1)):
            where = f"class {answer}, {clusters.max() + 1} clusters"
            told = {**{name: where for name in found_in(clusters, kinds, material.labels[rows])}, **told}
    return Claim(tuple(sorted(told)), "; ".join(f"{name}: {where}" for name, where in told.items()))


def small(maps: Floats) -> Floats:
    """Maps as means over 16 x 16 cells, each divided by its absolute sum."""
    step = maps.shape[1] // SIDE or 1
    side = maps.shape[1] // step
    cut = maps[:, : side * step, : side * step].reshape(len(maps), side, step, side, step).mean(axis=(2, 4))
    return cut / np.maximum(np.abs(cut).sum(axis=(1, 2), keepdims=True), 1e-12)


def corelay_clusters(rows: Floats) -> Iterator[NDArray[np.int64]]:
    """The cluster of each row by corelay's pipeline, for each number of clusters: over 32 eigenvectors, over k."""
    from corelay.pipeline.spectral import SpectralEmbedding
    from corelay.processor.clustering import KMeans
    from corelay.processor.embedding import EigenDecomposition

    count = min(EIGENVECTORS, len(rows) - 2)
    start = np.random.default_rng(0).normal(size=len(rows))
    embed = EigenDecomposition(n_eigval=count, kwargs={"v0": start})
    vectors = SpectralEmbedding(embedding=embed)(rows.astype(np.float64))[1]
    for k in KS:
        for chosen in (vectors, vectors[:, -k:]):
            yield KMeans(n_clusters=k, kwargs={"random_state": 0, "n_init": 10})(chosen)


def found_in(clusters: NDArray[np.int64], kinds: Kinds, labels: NDArray[np.int64]) -> list[str]:
    """What an oracle reader tells of clusters: kinds; or "cluster" where there are none and a label prevails."""
    members = [clusters == cluster for cluster in np.unique(clusters)]
    if kinds:
        return [
            kind for kind, on in kinds.items() if any(shows(rows, state) for rows in members for state in (on, ~on))
        ]
    if _largest(labels) >= EVEN:
        return []
    return ["cluster"] if any(_largest(labels[rows]) >= SKEWED for rows in members) else []


def shows(rows: NDArray[np.bool_], state: NDArray[np.bool_]) -> bool:
    """Whether a cluster shows a state: pure, covering, and purer than all."""
    pure, base = state[rows].mean(), state.mean()
    covered = state[rows].sum() / max(1, state.sum())
    return bool(pure >= PURE and covered >= COVERED and pure > base + ABOVE + 1e-9)


def shortkit(material: Material) -> Claim:
    """ShortKit-ML's SpRAyDetector on its own Grad-CAM maps with its own thresholds; where it says yes, the same reader.

    Its verdict names nothing: a kind counts as found where what its clusters hold of one answered class shows it to
    the oracle reader by the rule above, else "cluster" is told.
    """
    from shortcut_detect.xai.spray_detector import SpRAyDetector

    detector = SpRAyDetector()
    detector.fit(
        inputs=material.inputs, labels=material.labels, model=material.module, target_layer=last_layer(material.module)
    )
    if not detector.shortcut_detected_:
        return Claim((), "no flag")
    suspected, found = going_with_label(material), set[str]()
    for answer in np.unique(material.answers):
        rows = material.answers == answer
        kinds = {kind: on[rows] for kind, on in suspected.items()}
        found |= set(found_in(detector.cluster_labels_[rows], kinds, material.labels[rows])) if kinds else set()
    return Claim(tuple(sorted(found)) or ("cluster",), ", ".join(detector.results_["report"]["clever_hans"]["flags"]))


def _largest(labels: NDArray[np.int64]) -> float:
    return float(np.bincount(labels).max() / len(labels))
