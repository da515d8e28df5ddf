"""Does a property go with the classes alike in the core and all around it, as what a camera does, or in one place?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.estimates import Floats
from seewhy.evidence.factors.edits import grown
from seewhy.evidence.factors.factor import Factor, is_of_the_file, part_of
from seewhy.evidence.thresholds import LEAST_IMAGES
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample, Samples

ALIKE = 0.25  # of the difference outside of the core that every part must show
EVEN = 0.5  # of the mean difference over all patches that half of them must show
PATCHES, LEAST_PATCH = 8, 4  # about so many patches a side, of at least so many pixels
BLOCK = 8  # pixels of what a file compresses by itself
BEYOND_CHANCE = 1.64  # standard errors: one chance in twenty that a part without a difference shows one
LEAST_AREA = 0.02  # of the canvas, for a part of an image to be asked


@dataclass(frozen=True)
class ClassGaps:
    """How unsure the classes' differences in a property outside of the core are.

    `errors` are by class index the standard error of its difference from the others, as a share of that; `df` the
    degrees of freedom.
    """

    errors: Mapping[int, float]
    df: float

    def error_of(self, contrast: Contrast) -> float:
        """The error for a contrast; of each image's own class the mean of all."""
        if contrast.is_own_class:
            return float(np.mean([*self.errors.values()]))
        return self.errors.get(contrast.column, math.inf)


@dataclass(frozen=True)
class _Values:
    """A property (U, D) of the units, images or clusters of them, that a part of the picture was asked of."""

    values: Floats
    labels: Ints

    @property
    def members(self) -> list[Ints]:
        """The rows of each class."""
        return [np.flatnonzero(self.labels == index) for index in np.unique(self.labels)]

    @property
    def fewest(self) -> int:
        """The units of the smallest class."""
        return min(map(len, self.members), default=0)

    @property
    def means(self) -> Floats:
        """The mean of each class (K, D)."""
        return np.stack([self.values[rows].mean(axis=0) for rows in self.members])

    @property
    def between(self) -> Floats:
        """The classes' means less the mean of all of them (K, D)."""
        return np.asarray(self.means - self.means.mean(axis=0))

    def scaled(self) -> _Values:
        """In standard deviations within the classes; of all units where no class has any."""
        spread = np.sqrt(np.mean([self.values[rows].var(axis=0) for rows in self.members], axis=0))
        spread = np.where(spread > 1e-9, spread, self.values.std(axis=0))
        return _Values(np.asarray(self.values / np.where(spread > 1e-9, spread, np.inf)), self.labels)


def class_gaps(samples: Samples, factor: Factor, core: str) -> ClassGaps | None:
    """How unsure the classes' differences in a property outside of the core are, where they are as those of a camera.

    None where they are not: a camera's are shown in every split, in each quarter outside of the core and inside of it,
    and by half of all patches. An image that has the property of another class has it in its core, too, only where all
    of that holds. The rest of each picture is painted over with the part that is asked; images without the core's mask,
    and those that it fills, say nothing.
    """
    sample = samples.audited
    height, width = (int(side) for side in sample.pixels.shape[2:])
    all_of_it = torch.ones(height, width)
    outside = _asked(sample, factor, core, all_of_it, inside=False)
    classes = np.unique(sample.labels)
    if not np.array_equal(np.unique(outside.labels), classes) or outside.fewest < LEAST_IMAGES:
        return None
    between = outside.between
    if not (size := float((between**2).sum(axis=1).mean())):
        return None
    for split in samples:
        other = outside if samples[split] is sample else _asked(samples[split], factor, core, all_of_it, inside=False)
        if not _is_shown(other, between, classes, size):
            return None
    for quarter, is_inside in [*((quarter, False) for quarter in _quarters(height, width)), (all_of_it, True)]:
        values = _asked(sample, factor, core, quarter, inside=is_inside)
        if is_inside and values.fewest < LEAST_IMAGES and is_of_the_file(factor):
            return None  # a core without a whole block may be from another file, laid over
        if values.fewest >= LEAST_IMAGES and not _is_shown(values, between, classes, size):
            return None
    return _gaps(outside) if _is_even(sample, factor, core) else None


def surrounded(sample: Sample, core: str, grow_px: int = 0) -> NDArray[np.bool_]:
    """Which images (M,) have the core's mask, and something outside of it drawn larger by so many pixels."""
    return _areas(sample, core, torch.ones(tuple(sample.pixels.shape[2:])), inside=False, grow_px=grow_px) >= LEAST_AREA


def unit_means(values: Tensor, labels: Ints, clusters: Ints, places: NDArray[np.bool_]) -> tuple[Tensor, Ints]:
    """The mean (U, D) of each cluster within each class, over the images at `places` (M,); the unit's class (U,)."""
    rows = np.flatnonzero(places)
    units, of = np.unique(np.stack([labels[rows], clusters[rows]], axis=1), axis=0, return_inverse=True)
    index = torch.from_numpy(of.reshape(-1)).to(values.device)
    sums = values.new_zeros(len(units), values.shape[1]).index_add_(0, index, values[torch.from_numpy(rows)])
    return sums / index.bincount(minlength=len(units))[:, None], np.asarray(units[:, 0])


def _is_shown(values: _Values, between: Floats, classes: Ints, size: float) -> bool:
    """Whether a part's values show enough of the classes' differences `between` (K, D), beyond chance."""
    if values.fewest < 2 or not np.array_equal(np.unique(values.labels), classes):
        return False
    along = _along(values, between, size)
    groups = [along[rows] for rows in values.members]
    share = float(np.mean([group.mean() for group in groups]))
    error = math.sqrt(sum(group.var(ddof=1) / len(group) for group in groups)) / len(groups)
    return share >= ALIKE and share >= BEYOND_CHANCE * error


def _along(values: _Values, between: Floats, size: float) -> Floats:
    centred = values.values - values.means.mean(axis=0)
    rows = np.unique(values.labels, return_inverse=True)[1]
    return np.asarray((centred * between[rows]).sum(axis=1) / size)


def _gaps(outside: _Values) -> ClassGaps:
    """The relative error of each class's difference from the mean of the others, along that difference."""
    means, members, errors = outside.means, outside.members, dict[int, float]()
    for index, rows in enumerate(members):
        others = [group for place, group in enumerate(members) if place != index]
        way = means[index] - np.delete(means, index, axis=0).mean(axis=0)
        along = outside.values @ way
        variance = along[rows].var(ddof=1) / len(rows)
        variance += sum(along[group].var(ddof=1) / len(group) for group in others) / len(others) ** 2
        size = float(way @ way)
        errors[int(outside.labels[rows[0]])] = math.sqrt(variance) / size if size else math.inf
    return ClassGaps(errors, outside.fewest - 1.0)


def _is_even(sample: Sample, factor: Factor, core: str) -> bool:
    """Whether half of the patches of the picture, whatever they hold, show a fair part of the mean difference.

    A frame, a mark or what a part of the picture holds makes a difference that few patches carry.
    """
    kept = surrounded(sample, core)
    patches = [_of_units(values, sample, kept) for values in _of_patches(sample, factor)]
    means = np.stack([patch.means for patch in patches])  # (P, K, D)
    variances = np.mean([[patch.values[rows].var(axis=0) for rows in patch.members] for patch in patches], axis=(0, 1))
    total = np.mean([patch.values.var(axis=0) for patch in patches], axis=0)
    variances = np.asarray(np.where(variances > 1e-18, variances, total))
    between = (means - means.mean(axis=1, keepdims=True)) / np.where(variances > 1e-18, np.sqrt(variances), np.inf)
    mean = between.mean(axis=0)
    size = float((mean**2).sum())
    return size > 0 and float(np.median((between * mean).sum(axis=(1, 2)))) >= EVEN * size


def _of_patches(sample: Sample, factor: Factor) -> list[Tensor]:
    """The property (M, D) of each image in each patch of the picture."""
    corners, sides = _corners([int(side) for side in sample.pixels.shape[2:]], BLOCK if is_of_the_file(factor) else 1)
    told: list[list[Tensor]] = [[] for _ in corners]
    for places in torch.arange(len(sample)).split(CHUNK):
        canvases = sample.canvases(places)
        for values, (top, left) in zip(told, corners, strict=True):
            patch = canvases[:, :, top : top + sides[0], left : left + sides[1]].contiguous()
            values.append(factor.measure(patch, None).reshape(len(places), -1).double().cpu())
    return [torch.cat(values) for values in told]


def _corners(canvas: Sequence[int], block: int) -> tuple[list[tuple[int, int]], list[int]]:
    """The upper left corners of all patches of whole blocks, and their sides."""
    wished = [max(LEAST_PATCH, side // PATCHES) for side in canvas]
    sides = [min(side, max(block, patch // block * block)) for side, patch in zip(canvas, wished, strict=True)]
    tops, lefts = (range(0, side - patch + 1, patch) for side, patch in zip(canvas, sides, strict=True))
    return [(top, left) for top in tops for left in lefts], sides


def _asked(sample: Sample, factor: Factor, core: str, part: Tensor, *, inside: bool) -> _Values:
    """The property in a part of the canvas (H, W), of images that have enough of it, in deviations within classes."""
    values = []
    for places in torch.arange(len(sample)).split(CHUNK):
        canvases = part_of(factor, sample.canvases(places), _masks(sample, core, places, part, inside=inside))
        values.append(factor.measure(canvases, None).reshape(len(places), -1).double().cpu())
    told = torch.cat(values)
    has_it = (_areas(sample, core, part, inside=inside) >= LEAST_AREA) & told.isfinite().all(dim=1).numpy()
    units = _of_units(told, sample, has_it)
    return units.scaled() if units.fewest else units


def _of_units(values: Tensor, sample: Sample, places: NDArray[np.bool_]) -> _Values:
    means, labels = unit_means(values, sample.labels, sample.clusters, places)
    return _Values(np.asarray(means.numpy()), labels)


def _masks(sample: Sample, core: str, places: Tensor, part: Tensor, *, inside: bool, grow_px: int = 0) -> Tensor:
    cores = grown(sample.masks_at(core, places), grow_px)
    return part.to(cores) * (cores if inside else 1 - cores)


def _areas(sample: Sample, core: str, part: Tensor, *, inside: bool, grow_px: int = 0) -> Floats:
    """How much of the canvas a part takes in each image (M,); nothing where the core has no mask."""
    areas = [
        _masks(sample, core, places, part, inside=inside, grow_px=grow_px).mean(dim=(1, 2)).expand(len(places))
        for places in torch.arange(len(sample)).split(CHUNK)
    ]
    has = sample.found.get(core)
    told = torch.cat(areas).double().cpu().numpy()
    return np.asarray(told if has is None else np.where(has, told, 0.0))


def _quarters(height: int, width: int) -> list[Tensor]:
    quarters = []
    for rows in (slice(0, height // 2), slice(height // 2, height)):
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            quarter = torch.zeros(height, width)
            quarter[rows, columns] = 1
            quarters.append(quarter)
    return quarters
