"""Does a property go with the classes alike in the core and all around it, as what a camera does, or in one place?"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from seewhy.estimates import Floats
from seewhy.evidence.factors.edits import filled
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample

ALIKE = 0.25  # of the difference outside of the core that every part must show
BEYOND_CHANCE = 1.64  # standard errors: one chance in twenty that a part without a difference shows one
LEAST_AREA = 0.02  # of the canvas, for a part to be asked


def goes_everywhere(sample: Sample, factor: Factor, core: str) -> bool:
    """Whether the classes' differences in a property outside of the core are found in each quarter of it, and inside.

    Only then does an image that has the property of another class have it in its core, too. The rest of each picture
    is painted over with the part that is asked.
    """
    height, width = (int(side) for side in sample.pixels.shape[2:])
    between = _class_means(_scaled(sample, factor, core, torch.ones(height, width), inside=False), sample.labels)
    if not (size := float((between**2).sum(axis=1).mean())):
        return False
    for quarter, is_inside in [*((quarter, False) for quarter in _quarters(height, width)), (None, True)]:
        part = torch.ones(height, width) if quarter is None else quarter
        if _area(sample, core, part, inside=is_inside) < LEAST_AREA:
            continue
        values = _scaled(sample, factor, core, part, inside=is_inside)
        share, error = _share(values, between, sample.labels, size)
        if share < ALIKE or share < BEYOND_CHANCE * error:
            return False
    return True


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
