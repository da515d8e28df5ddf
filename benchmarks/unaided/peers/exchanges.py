"""Tools that change pictures: the background gap, places filled with their mean colour, places of a single donor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from benchmarks.unaided.peers.material import LEVEL, Claim, Floats, Material, outside, shares
from numpy.typing import NDArray
from scipy import ndimage, stats
from torch import Tensor

from seewhy.evidence.factors.edits import filled, transplanted

FLOOR = 0.02
DRAWS = 4  # backgrounds that each picture gets of either sort


def background_gap(material: Material) -> Claim:
    """Tells "background" where accuracy with backgrounds of the own class exceeds that with backgrounds of any class.

    As Xiao et al. have it, Mixed-Same less Mixed-Rand, with the true mask of the object. Each object is put before the
    backgrounds of four other pictures of either sort; where the donor's own object was, its background's nearest pixel
    is shown. Told where the mean paired difference is above 2 points and p < .05 in a paired t-test over pictures.
    """
    dice = np.random.default_rng(0)
    masks = material.core if material.truth is None else material.truth
    scenes = emptied(material.canvases, masks)
    count = len(material.labels)
    gaps = np.zeros(count)
    for _ in range(DRAWS):
        same = np.array(
            [dice.choice(_others(material.labels == label, row)) for row, label in enumerate(material.labels)]
        )
        some = (np.arange(count) + dice.integers(1, count, count)) % count
        right = [_right(material, scenes[torch.from_numpy(donors)], masks) for donors in (same, some)]
        gaps += (right[0].astype(float) - right[1]) / DRAWS
    p = _p(gaps)
    return Claim(("background",) if gaps.mean() > FLOOR and p < LEVEL else (), f"gap {gaps.mean():.3f}, p {p:.3g}")


def mean_fill(material: Material) -> Claim:
    """Tells the places without whose content the label's probability drops: each filled with its mean colour.

    Told where the mean drop is above 2 points and p < .05 in a paired t-test over pictures, after Holm over places.
    """
    canvases = material.canvases
    before = _own(material, canvases)
    drops = {}
    for name, masks in outside(material).items():
        weights = torch.from_numpy(masks)[:, None]
        colour = (canvases * weights).sum(dim=(2, 3), keepdim=True) / weights.sum(dim=(2, 3), keepdim=True).clamp(1e-6)
        drops[name] = before - _own(material, canvases + weights * (colour - canvases))
    return told_of(drops)


def single_donor(material: Material) -> Claim:
    """Tells the places whose content argues for its class, by one donor of each sort and a test over recipients alone.

    Each picture gets a place of one random other picture of its class, and of one random picture of the next class, by
    seewhy's own edits: what lies in the donor's core is painted over from the place around it, so that no donor's
    object is shown. Told where the label's probability is higher with the first by more than 2 points on average and p
    < .05 in a t-test over recipients, after Holm over places. That donors are chance, too, the test does not know.
    """
    dice = np.random.default_rng(0)
    canvases, labels = material.canvases, material.labels
    classes = int(labels.max()) + 1
    of = {label: np.flatnonzero(labels == label) for label in range(classes)}
    same = np.array([dice.choice(_others(labels == label, row)) for row, label in enumerate(labels)])
    other = np.array([dice.choice(of[(int(label) + 1) % classes]) for label in labels])
    gains = {}
    for name, masks in outside(material).items():
        weights = torch.from_numpy(masks)
        content = filled(canvases, weights)
        with_same, with_other = (
            _own(material, transplanted(canvases, content[torch.from_numpy(donors)], weights))
            for donors in (same, other)
        )
        gains[name] = with_same - with_other
    return told_of(gains)


def told_of(effects: Mapping[str, Floats]) -> Claim:
    """The names of which the mean is above 2 points and p < .05 after Holm over all names, the largest first."""
    passed = holm({name: _p(values) for name, values in effects.items()})
    means = {name: float(values.mean()) for name, values in effects.items()}
    order = sorted(means, key=lambda name: -means[name])
    names = tuple(name for name in order if passed[name] and means[name] > FLOOR)
    return Claim(names, ", ".join(f"{name} {means[name]:.3f}" for name in order[:3]))


def holm(values: Mapping[str, float]) -> dict[str, bool]:
    """Which p are below .05 after Holm's correction."""
    passed, still = {}, True
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        still = still and values[name] * (len(values) - rank) < LEVEL
        passed[name] = still
    return passed


def emptied(canvases: Tensor, masks: NDArray[np.float32]) -> Tensor:
    """Pictures without their objects: where one was, the nearest pixel that is not of it; unchanged where all is."""
    shown = canvases.numpy().copy()
    for picture, mask in zip(shown, masks, strict=True):
        is_object = mask > 0.02
        if not is_object.all():
            rows, columns = ndimage.distance_transform_edt(is_object, return_distances=False, return_indices=True)
            picture[:] = picture[:, rows, columns]
    return torch.from_numpy(shown)


def _right(material: Material, scenes: Tensor, masks: NDArray[np.float32]) -> NDArray[np.bool_]:
    weights = torch.from_numpy(masks)[:, None]
    return shares(material.module, scenes + weights * (material.canvases - scenes)).argmax(axis=1) == material.labels


def _own(material: Material, canvases: Tensor) -> NDArray[np.float64]:
    """The label's probability (N,) in changed pictures."""
    return shares(material.module, canvases)[np.arange(len(material.labels)), material.labels]


def _others(rows: NDArray[np.bool_], row: int) -> NDArray[np.int64]:
    others = np.flatnonzero(rows)
    return others[others != row] if len(others) > 1 else others


def _p(values: Floats) -> float:
    """Of a two-sided t-test that the mean is 0; 1 where nothing varies about 0."""
    if np.ptp(values) < 1e-9:
        return 0.0 if abs(values.mean()) > 1e-9 else 1.0
    return float(stats.ttest_1samp(values, 0.0).pvalue)
