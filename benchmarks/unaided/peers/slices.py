"""Slices of errors after Domino, on the network's own features, with an oracle reader who knows the planted kinds."""

from __future__ import annotations

import numpy as np
import torch
from benchmarks.planted.networks import predicted
from benchmarks.unaided.peers.material import LEVEL, Claim, Floats, Material, going_with_label
from numpy.typing import NDArray
from scipy import stats
from torch import nn

COMPONENTS = 25  # of the mixture; Domino's default
AXES = 128  # of the features; Domino's default, fewer where there are fewer
WEIGHT = 10.0  # of label and answer beside the features; Domino's default for their likelihoods
SLICES = 10  # that are read
FEWEST = 5  # pictures of a slice that is read
WORSE = 0.1  # by how much more often than all a slice is wrong
PURE = 0.8


def slices(material: Material) -> Claim:
    """Tells a kind where a slice of errors consists of pictures whose kind contradicts their label.

    The mixture is scikit-learn's, with diagonal covariances, over principal components of what the last linear layer
    reads (scaled to a mean variance of 1), the label, and the probabilities, both times the root of 10. Of its parts
    with at least 5 pictures that are wrong at least 10 points more often than all, the 10 with the most errors are
    read. A kind that goes with the label in these pictures (Fisher's p < .05) counts as found where at least 80 % of
    one of them have it on in another class than the first, or off in the first, and that many would hardly be there by
    chance: p < .05 in a binomial test against the share among all pictures, divided by all pairs of slices and kinds.
    (Without it small slices are pure by chance, where a kind goes with no label.)
    """
    parts = _parts(material)
    wrong = material.answers != material.labels
    read = sorted(_bad(parts, wrong), key=lambda part: -wrong[parts == part].sum())[:SLICES]
    against = {kind: on != (material.labels == 0) for kind, on in going_with_label(material).items()}
    tries = len(read) * len(against)
    found = [kind for kind, rows in against.items() if any(_is_made_by(rows, parts == part, tries) for part in read)]
    return Claim(tuple(found), f"{len(read)} slices read, {int(wrong.sum())} errors of {len(wrong)}")


def _is_made_by(against: NDArray[np.bool_], part: NDArray[np.bool_], tries: int) -> bool:
    """Whether what contradicts the label fills a slice, and more than chance would."""
    held, size = int(against[part].sum()), int(part.sum())
    p = stats.binomtest(held, size, float(against.mean()), alternative="greater").pvalue
    return held >= PURE * size and bool(p * tries < LEVEL)


def _bad(parts: NDArray[np.int64], wrong: NDArray[np.bool_]) -> list[int]:
    sizes = np.bincount(parts)
    return [
        part for part in np.flatnonzero(sizes >= FEWEST).tolist() if wrong[parts == part].mean() >= wrong.mean() + WORSE
    ]


def _parts(material: Material) -> NDArray[np.int64]:
    """The part of the mixture (N,) that each picture most likely belongs to."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    features = features_of(material)
    axes = PCA(min(AXES, *features.shape), random_state=0).fit_transform(features)
    axes /= max(1e-9, np.sqrt(axes.var(axis=0).mean()))
    asked = torch.from_numpy(material.logits).softmax(dim=1).numpy()
    told = np.eye(asked.shape[1])[material.labels]
    rows = np.concatenate([axes, WEIGHT**0.5 * told, WEIGHT**0.5 * asked], axis=1)
    count = min(COMPONENTS, len(rows) // FEWEST)
    mixture = GaussianMixture(count, covariance_type="diag", reg_covar=1e-3, random_state=0)
    return np.asarray(mixture.fit_predict(rows.astype(np.float64)), np.int64)


def features_of(material: Material) -> Floats:
    """What the last linear layer reads (N, D)."""
    last = [layer for layer in material.module.modules() if isinstance(layer, nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().flatten(1)))
    try:
        predicted(material.module, material.inputs)
    finally:
        handle.remove()
    return torch.cat(seen).numpy()
