"""Is the classifier fed as it was trained? The usual mistakes of preprocessing, tried and judged by the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seewhy.estimates import Estimate, Floats
from seewhy.evidence.inference.ranks import holm, paired_difference, rank_auc
from seewhy.records import FITS, Preprocess

LEVEL = 0.05  # of Holm's procedure over all variants
_RECIPES = {  # what people train with: range, mean, std
    "0..1": ("0-1", (0.0,), (1.0,)),
    "0..255": ("0-255", (0.0,), (1.0,)),
    "ImageNet's mean and std": ("0-1", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "-1..1": ("0-1", (0.5,), (0.5,)),
}


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
        """Whether the images show that the variant separates the classes better."""
        return self.p_value < LEVEL and self.difference.low > 0 and self.auc > 0.5


@dataclass(frozen=True)
class Feeding:
    """The AUC of the class margins as fed now, and every variant's, the best first."""

    auc: float
    n_images: int
    variants: tuple[Variant, ...]

    @property
    def better(self) -> list[Variant]:
        """The variants that are shown to be better, the best first."""
        return [variant for variant in self.variants if variant.is_better]


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
    for fit in FITS:
        if fit != preprocess.fit and preprocess.size is not None:
            variants[fit] = replace(preprocess, fit=fit), f"--fit {fit}"
    return variants


def judge(current: Floats, labels: NDArray[np.int64], tried: Sequence[tuple[str, str, Floats]]) -> Feeding:
    """How each variant's scores (N, K) separate the classes beside the current ones, for label indices (N,)."""
    auc, influence = rank_auc(current, labels)
    names, values, differences, p_values = [], [], [], []
    for name, options, scores in tried:
        value, variant_influence = rank_auc(scores, labels)
        difference, p_value = paired_difference(value - auc, variant_influence - influence)
        names.append((name, options))
        values.append(value)
        differences.append(difference)
        p_values.append(p_value)
    variants = [
        Variant(name, options, value, difference, adjusted)
        for (name, options), value, difference, adjusted in zip(names, values, differences, holm(p_values), strict=True)
    ]
    return Feeding(auc, len(labels), tuple(sorted(variants, key=lambda variant: -variant.difference.value)))


def margins(logits: Floats) -> Floats:
    """Each class's margin (N, K): its logit minus the largest other one."""
    order = np.sort(logits, axis=1)
    largest, second = order[:, -1:], order[:, -2:-1]
    return logits - np.where(logits == largest, second, largest)


def _full(values: tuple[float, ...], width: int) -> tuple[float, ...]:
    return values if len(values) == width else values * width


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
