"""Does a property go with the classes alike in the core and all around it, as what a camera does, or in one place?"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from seewhy.estimates import Floats
from seewhy.evidence.factors.edits import filled
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample, Samples

ALIKE = 0.25  # of the difference outside of the core that every part must show
EVEN = 0.5  # of the mean difference over all patches that half of them must show
PATCHES, LEAST_PATCH = 8, 4  # at most so many patches a side, of at least so many pixels
BEYOND_CHANCE = 1.64  # standard errors: one chance in twenty that a part without a difference shows one
LEAST_AREA = 0.02  # of the canvas, for a part to be asked


def everywhere_error(samples: Samples, factor: Factor, core: str) -> float | None:
    """How unsure the classes' difference in a property outside of the core is: its standard error as a share of it.

    None where the difference is not as one of the camera: shown in every split, in each quarter outside of the core and
    inside of it, and by half of all patches. An image that has the property of another class has it in its core, too,
    only where all of that holds. The rest of each picture is painted over with the part that is asked.
    """
    sample = samples.audited
    height, width = (int(side) for side in sample.pixels.shape[2:])
    all_of_it = torch.ones(height, width)
    outside = _scaled(sample, factor, core, all_of_it, inside=False)
    between = _class_means(outside, sample.labels)
    if not (size := float((between**2).sum(axis=1).mean())):
        return None
    for split in samples:
        other = samples[split]
        if not np.array_equal(np.unique(other.labels), np.unique(sample.labels)):
            return None
        values = outside if other is sample else _scaled(other, factor, core, all_of_it, inside=False)
        if not _is_shown(*_share(values, between, other.labels, size)):
            return None
    for quarter, is_inside in [*((quarter, False) for quarter in _quarters(height, width)), (all_of_it, True)]:
        if _area(sample, core, quarter, inside=is_inside) < LEAST_AREA:
            continue
        values = _scaled(sample, factor, core, quarter, inside=is_inside)
        if not _is_shown(*_share(values, between, sample.labels, size)):
            return None
    return _share(outside, between, sample.labels, size)[1] if _is_even(sample, factor) else None


def _is_shown(share: float, error: float) -> bool:
    return share >= ALIKE and share >= BEYOND_CHANCE * error


def _is_even(sample: Sample, factor: Factor) -> bool:
    """Whether half of the patches of the picture, whatever they hold, show a fair part of the mean difference.

    A frame, a mark or what a part of the picture holds makes a difference that few patches carry.
    """
    patches = np.stack(_of_patches(sample, factor))  # (P, M, D)
    members = _members(sample.labels)
    means = np.stack([patches[:, rows].mean(axis=1) for rows in members], axis=1)  # (P, K, D)
    variances = np.mean([patches[:, rows].var(axis=1).mean(axis=0) for rows in members], axis=0)
    between = (means - means.mean(axis=1, keepdims=True)) / np.where(variances > 1e-18, np.sqrt(variances), np.inf)
    mean = between.mean(axis=0)
    size = float((mean**2).sum())
    return size > 0 and float(np.median((between * mean).sum(axis=(1, 2)))) >= EVEN * size


def _of_patches(sample: Sample, factor: Factor) -> list[Floats]:
    """The property (M, D) of each image in each patch of the picture."""
    height, width = (int(side) for side in sample.pixels.shape[2:])
    sides = [max(LEAST_PATCH, side // PATCHES) for side in (height, width)]
    corners = [
        (top, left)
        for top in range(0, height - sides[0] + 1, sides[0])
        for left in range(0, width - sides[1] + 1, sides[1])
    ]
    told: list[list[Tensor]] = [[] for _ in corners]
    for places in torch.arange(len(sample)).split(CHUNK):
        canvases = sample.canvases(places)
        for values, (top, left) in zip(told, corners, strict=True):
            patch = canvases[:, :, top : top + sides[0], left : left + sides[1]].contiguous()
            values.append(factor.measure(patch, None).reshape(len(places), -1).double().cpu())
    return [np.asarray(torch.cat(values).numpy()) for values in told]


def _share(values: Floats, between: Floats, labels: Ints, size: float) -> tuple[float, float]:
    """How much of the classes' differences `between` (K, D) a part's values (M, D) show, and its standard error."""
    centred = values - _class_means(values, labels, centred=False).mean(axis=0)
    along = (centred * between[np.unique(labels, return_inverse=True)[1]]).sum(axis=1) / size
    groups = [along[rows] for rows in _members(labels)]
    mean = float(np.mean([group.mean() for group in groups]))
    variance = sum(group.var(ddof=1) / len(group) if len(group) > 1 else math.inf for group in groups)
    return mean, math.sqrt(variance) / len(groups)


def _class_means(values: Floats, labels: Ints, *, centred: bool = True) -> Floats:
    means = np.stack([values[rows].mean(axis=0) for rows in _members(labels)])
    return np.asarray(means - means.mean(axis=0) if centred else means)


def _members(labels: Ints) -> list[Ints]:
    return [np.flatnonzero(labels == index) for index in np.unique(labels)]


def _scaled(sample: Sample, factor: Factor, core: str, part: Tensor, *, inside: bool) -> Floats:
    """The property of each image (M, D) in a part of the canvas (H, W), in standard deviations within the classes."""
    values = []
    for places in torch.arange(len(sample)).split(CHUNK):
        canvases = filled(sample.canvases(places), _masks(sample, core, places, part, inside=inside))
        values.append(factor.measure(canvases, None).reshape(len(places), -1).double().cpu())
    table = np.asarray(torch.cat(values).numpy())
    spread = np.sqrt(np.mean([table[rows].var(axis=0) for rows in _members(sample.labels)], axis=0))
    return np.asarray(table / np.where(spread > 1e-9, spread, np.inf))


def _masks(sample: Sample, core: str, places: Tensor, part: Tensor, *, inside: bool) -> Tensor:
    cores = sample.masks_at(core, places)
    return part.to(cores) * (cores if inside else 1 - cores)


def _area(sample: Sample, core: str, part: Tensor, *, inside: bool) -> float:
    return float(_masks(sample, core, torch.arange(min(len(sample), CHUNK)), part, inside=inside).mean())


def _quarters(height: int, width: int) -> list[Tensor]:
    quarters = []
    for rows in (slice(0, height // 2), slice(height // 2, height)):
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            quarter = torch.zeros(height, width)
            quarter[rows, columns] = 1
            quarters.append(quarter)
    return quarters
