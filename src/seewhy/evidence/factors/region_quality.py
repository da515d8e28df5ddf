"""May a region be relied on? Whether its size or its failures differ between the classes, and how two overlap."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from seewhy.errors import listed
from seewhy.estimates import Estimate, Floats, mean_of, p_words, wilson

LEVEL = 0.01  # of the tests between the classes: many regions are asked
LEAST_AREA = 0.005  # of the picture, on average
MOST_AREA = 0.995
_NOTABLE = 0.05  # of the mean area, between the classes


@dataclass(frozen=True)
class RegionQuality:
    """What a region's masks are worth, from `n_images` images.

    `area` is the mean share of the canvas that it covers where it was found; `n_missing` images have no mask, in
    `n_empty` it covers nothing and in `n_full` all. By class: the share of images without a mask, and the area. The
    p-values are NaN with fewer than two classes to compare. `unusable` is the reason why nothing can be said with it.
    """

    n_images: int
    n_missing: int
    n_empty: int
    n_full: int
    area: Estimate
    missing_by_class: Mapping[str, Estimate]
    missing_p: float
    area_by_class: Mapping[str, Estimate]
    area_p: float
    findings: tuple[str, ...]
    unusable: str | None


def region_quality(
    masks: Tensor, has_mask: NDArray[np.bool_], labels: Sequence[str | None], reasons: Sequence[str | None] = ()
) -> RegionQuality:
    """The quality of a region's masks (N, H, W), float in [0, 1] or uint8 levels, with its findings in words.

    `has_mask` (N,) is False where an image has none, for one of `reasons`; images without a label count for the
    region's size but not between the classes.
    """
    areas = area_shares(masks)
    names = sorted({label for label in labels if label is not None})
    members = {name: np.array([label == name for label in labels], dtype=bool) for name in names}
    missing = {name: wilson(int((rows & ~has_mask).sum()), int(rows.sum())) for name, rows in members.items()}
    sizes = {name: areas[rows & has_mask] for name, rows in members.items()}
    covered = areas[has_mask]
    area = mean_of(covered) if len(covered) else Estimate(math.nan, 0.0, 1.0, 0)
    counts = (len(areas), int((~has_mask).sum()), int((covered == 0).sum()), int((covered == 1).sum()))
    missing_p = _p_of_counts(members, has_mask)
    area_p = _p_of_sizes(list(sizes.values()))
    by_class = {name: mean_of(values) for name, values in sizes.items() if len(values)}
    why = _most_often(reasons)
    words = [
        *_size_words(*counts),
        *_missing_words(*counts[:2], missing, missing_p, why),
        *_area_words(by_class, area.value, area_p),
    ]
    n_images, n_missing, n_empty, n_full = counts
    return RegionQuality(
        n_images=n_images,
        n_missing=n_missing,
        n_empty=n_empty,
        n_full=n_full,
        area=area,
        missing_by_class=missing,
        missing_p=missing_p,
        area_by_class=by_class,
        area_p=area_p,
        findings=tuple(words),
        unusable=_unusable(*counts, area.value, why),
    )


def area_shares(masks: Tensor) -> Floats:
    """The share of the canvas that each mask (N, H, W) covers, exact for uint8 levels."""
    if masks.dtype == torch.uint8:
        total = masks.sum(dim=(1, 2), dtype=torch.int64).double() / 255
    else:
        total = masks.sum(dim=(1, 2), dtype=torch.float64)
    return np.asarray((total / masks[0].numel()).numpy() if len(masks) else np.empty(0), dtype=np.float64)


def overlap(a: Tensor, b: Tensor) -> float:
    """The share of the smaller region's area that lies in the other, 0 to 1, mean over the images that have both.

    `a` and `b` are masks (N, H, W) of one kind, float in [0, 1] or uint8 levels. NaN where no image has both.
    """
    smaller = np.minimum(area_shares(a), area_shares(b))
    both = smaller > 0
    if not both.any():
        return math.nan
    return float((area_shares(torch.minimum(a, b))[both] / smaller[both]).mean())


# Tests between the classes


def _p_of_counts(members: Mapping[str, NDArray[np.bool_]], has_mask: NDArray[np.bool_]) -> float:
    """The p-value of masks missing more often for one class: Fisher's exact test for two classes, else chi-squared."""
    table = np.array([[(rows & ~has_mask).sum(), (rows & has_mask).sum()] for rows in members.values()], dtype=np.int64)
    if len(table) < 2:
        return math.nan
    if (table.sum(axis=0) == 0).any():
        return 1.0
    return float(stats.fisher_exact(table)[1] if len(table) == 2 else stats.chi2_contingency(table)[1])


def _p_of_sizes(groups: Sequence[Floats]) -> float:
    """The p-value of another mean area in one class: Welch's test for two classes, else analysis of variance."""
    groups = [values for values in groups if len(values) >= 2]
    if len(groups) < 2:
        return math.nan
    if all(np.ptp(values) == 0 for values in groups):  # like zones: nothing varies within a class
        return 1.0 if np.ptp([values[0] for values in groups]) == 0 else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that one class does not vary, which both tests allow
        test = stats.ttest_ind(*groups, equal_var=False) if len(groups) == 2 else stats.f_oneway(*groups)
    return float(test[1])


# In words


def _size_words(n_images: int, n_missing: int, n_empty: int, n_full: int) -> list[str]:
    n_found = n_images - n_missing
    words = []
    if n_empty:
        every = f"is empty for every image ({n_found:,})" if n_empty == n_found else None
        words.append(every or f"covers nothing in {n_empty:,} of {n_found:,} images")
    if n_full:
        words.append(f"covers all of {'every image' if n_full == n_found else f'{n_full:,} of {n_found:,} images'}")
    return words


def _most_often(reasons: Sequence[str | None]) -> str:
    told = [reason for reason in reasons if reason]
    common = max(sorted(set(told)), key=told.count, default="")
    return f"; most often: {common}" if common else ""


def _missing_words(
    n_images: int, n_missing: int, by_class: Mapping[str, Estimate], p_value: float, why: str
) -> list[str]:
    if not n_missing:
        return []
    text = f"masks are missing for {n_missing:,} of {n_images:,} images"
    if not p_value < LEVEL:
        return [text + why]
    worst = sorted(by_class, key=lambda name: -by_class[name].value)
    shown = listed(
        [f"{name} {round(by_class[name].value * by_class[name].n)} of {by_class[name].n}" for name in worst], 4
    )
    return [
        f"{text} ({shown}; {p_words(p_value)}): a region that fails more often for one class can make a dependence by "
        f"itself{why}"
    ]


def _area_words(by_class: Mapping[str, Estimate], mean: float, p_value: float) -> list[str]:
    values = [area.value for area in by_class.values()]
    if not (p_value < LEVEL and max(values) - min(values) > _NOTABLE * mean):
        return []
    largest = sorted(by_class, key=lambda name: -by_class[name].value)
    shown = listed([f"{name} {by_class[name].value:.1%}" for name in largest], 4)
    return [
        f"covers more of the picture in one class than in another ({shown}; {p_words(p_value)}): its size alone tells "
        "the classes apart"
    ]


def _unusable(n_images: int, n_missing: int, n_empty: int, n_full: int, area: float, why: str) -> str | None:
    n_found = n_images - n_missing
    if not n_found:
        return f"no image has a mask{why}"
    if n_empty == n_found:
        return "empty for every image"
    if n_full == n_found:
        return "covers all of every image"
    if area < LEAST_AREA:
        return f"covers {area:.2%} of the picture on average, less than {LEAST_AREA:.1%}"
    if area > MOST_AREA:
        return f"covers {area:.2%} of the picture on average, more than {MOST_AREA:.1%}"
    return None
