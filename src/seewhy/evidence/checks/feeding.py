"""Is the classifier fed as it was trained? The usual mistakes of preprocessing, tried and judged by the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.ranks import holm, mean_label_auc, paired_difference, rank_auc
from seewhy.evidence.inference.units import count_units, unit_influences
from seewhy.evidence.thresholds import CHECK_THRESHOLDS
from seewhy.records import FITS, RANGES, Preprocess

LEVEL = 0.05  # of Holm's procedure over all variants
LEAST = 10  # images that are not of the commonest class, below which nothing is said
_RECIPES = {  # what people train with: range, mean, std
    "0..1": ("0-1", (0.0,), (1.0,)),
    "0..255": ("0-255", (0.0,), (1.0,)),
    "ImageNet's mean and std": ("0-1", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "-1..1": ("0-1", (0.5,), (0.5,)),
}
_UNSIGNED = ((0.0, 65535.0), (0.0, 255.0))  # windows
_SIGNED = ((-1000.0, 400.0), (-160.0, 240.0), (0.0, 255.0))


@dataclass(frozen=True)
class Variant:
    """One way to feed the classifier, and how it separates the classes beside the way that was asked for.

    `difference` is the variant's AUC minus the current one's; `p_value` is adjusted over all variants (Holm).
    """

    name: str
    options: str
    auc: float
    difference: Estimate
    p_value: float

    @property
    def is_better(self) -> bool:
        """Whether the images show that it separates the classes better, by an amount that counts, and usefully."""
        is_shown = self.p_value < LEVEL and self.difference.low > 0
        return is_shown and self.difference.value >= CHECK_THRESHOLDS["undecided_auc"] and is_useful(self.auc)


@dataclass(frozen=True)
class Feeding:
    """The AUC of the class margins as fed now, and every variant's, the best first.

    `is_chance`: the current one is not shown to lie above 0.5. `is_useless`: no way of feeding it is of any use.
    `n_clusters` is None where each image counts by itself. `n_others` are the images or clusters that are not of the
    commonest class (of that label, among several, by which they are parted most evenly).
    """

    auc: float
    n_images: int
    variants: tuple[Variant, ...]
    is_chance: bool = False
    n_clusters: int | None = None
    n_others: int = LEAST

    @property
    def has_few(self) -> bool:
        """Whether there are too few images, or clusters, to compare ways of feeding it at all."""
        return self.n_others < LEAST

    @property
    def better(self) -> list[Variant]:
        """The variants that are shown to be better, the best first."""
        return [variant for variant in self.variants if variant.is_better]

    @property
    def is_useless(self) -> bool:
        """Whether neither the current way nor any variant separates the classes by more than next to nothing."""
        return not any(map(is_useful, (self.auc, *(variant.auc for variant in self.variants))))


def is_useful(auc: float) -> bool:
    """Whether an AUC is further from guessing than next to nothing."""
    return auc >= CHECK_THRESHOLDS["useful_auc"]


def variants_of(preprocess: Preprocess) -> dict[str, tuple[Preprocess, str]]:
    """The usual mistakes around a preprocessing, by name, with the options that would type them."""
    variants: dict[str, tuple[Preprocess, str]] = {}
    width = 1 if preprocess.channels == "grey" else 3
    now = (preprocess.range, _full(preprocess.mean, width), _full(preprocess.std, width))
    for name, (span, mean, std) in _RECIPES.items():
        if preprocess.channels == "grey" and len(mean) > 1:
            continue
        if (span, _full(mean, width), _full(std, width)) != now:
            words = f"--range {span} --mean {_text(mean)} --std {_text(std)}"
            variants[name] = replace(preprocess, range=span, mean=mean, std=std), words
    other = {"rgb": "bgr", "bgr": "rgb"}.get(preprocess.channels)
    if other:
        variants[other.upper()] = replace(preprocess, channels=other), f"--channels {other}"
    variants |= _other_windows(preprocess)
    for fit in FITS:
        if fit != preprocess.fit and preprocess.size is not None:
            share = preprocess.crop_share if fit == "crop" else 1.0
            variants[fit] = replace(preprocess, fit=fit, crop_share=share), f"--fit {fit}"
    return variants


def _other_windows(preprocess: Preprocess) -> dict[str, tuple[Preprocess, str]]:
    """How else files of more than 8 bits are often read, as `variants_of` gives it; {} where there are none.

    All 16 bits as white; clipped at 255, as Pillow's convert does; of signed numbers the usual windows of a computed
    tomography; and numbers as the files have them.
    """
    ends = [preprocess.window] if preprocess.window else [(low, high) for _, low, high in preprocess.scales]
    if len(ends) != 1:
        return {}
    low, high = ends[0]
    usual = _SIGNED if low < 0 else _UNSIGNED
    ways = {
        f"window {a:g}..{b:g}": (replace(preprocess, window=(a, b)), f"--window {a:g},{b:g}")
        for a, b in usual
        if (a, b) != (low, high)
    }
    if (span := f"0-{high:g}") in RANGES and low == 0 and span != preprocess.range:
        raw = replace(preprocess, range=span, mean=(0.0,), std=(1.0,))
        ways[f"0..{high:g}, as the files have it"] = raw, f"--window 0,{high:g} --range {span} --mean 0 --std 1"
    return ways


def judge(
    current: Floats, labels: NDArray[Any], tried: Sequence[tuple[str, str, Floats]], units: Integers | None = None
) -> Feeding:
    """How each variant's scores (N, K) separate the classes beside the current ones.

    `labels` are class indices (N,), or which labels each image has (N, K); `units` (N,) are the images' clusters.
    """
    units = np.arange(len(labels)) if units is None else units
    area = rank_auc if labels.ndim == 1 else mean_label_auc
    auc, influence = area(current, labels)
    names, values, differences, p_values = [], [], [], []
    for name, options, scores in tried:
        value, variant_influence = area(scores, labels)
        difference, p_value = paired_difference(value - auc, unit_influences(variant_influence - influence, units))
        names.append((name, options))
        values.append(value)
        differences.append(difference)
        p_values.append(p_value)
    variants = [
        Variant(name, options, value, difference, adjusted)
        for (name, options), value, difference, adjusted in zip(names, values, differences, holm(p_values), strict=True)
    ]
    ordered = tuple(sorted(variants, key=lambda variant: -variant.difference.value))
    count = count_units(units)
    return Feeding(
        auc,
        len(labels),
        ordered,
        is_chance=paired_difference(auc - 0.5, unit_influences(influence, units))[0].low <= 0,
        n_clusters=count if count < len(labels) else None,
        n_others=_n_others(labels, units),
    )


def _n_others(labels: NDArray[Any], units: Integers) -> int:
    if labels.ndim == 1:
        return count_units(units[labels != np.bincount(labels).argmax()])
    return max(min(count_units(units[has]), count_units(units[~has])) for has in labels.T)


def margins(logits: Floats) -> Floats:
    """Each class's margin (N, K): its logit minus the largest other one."""
    order = np.sort(logits, axis=1)
    largest, second = order[:, -1:], order[:, -2:-1]
    return logits - np.where(logits == largest, second, largest)


def _full(values: tuple[float, ...], width: int) -> tuple[float, ...]:
    return values if len(values) == width else values * width


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
