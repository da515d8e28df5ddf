"""What lies under a map, in numbers and in words: a description, which no exchange has tested."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from seewhy.data.pictures.decode import Pixels, UnreadableError, read_verified, reduced
from seewhy.estimates import Floats
from seewhy.evidence.trends.mapped import MappedImages
from seewhy.geometry import geometry_of, lay
from seewhy.records import Outcome

SIDE = 64  # pixels of a picture's long side, as it is looked at
FEATURES = ("brightness", "red against green", "yellow against blue", "contrast", "sharpness", "brightness to the rest")
PROPERTY = {  # of `--properties`, that exchanges what the feature measures
    "brightness": "brightness",
    "red against green": "tint",
    "yellow against blue": "tint",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "brightness to the rest": "brightness",
}
WORDS = {  # less and more than the other images of the class
    "brightness": ("darker", "brighter"),
    "red against green": ("greener", "redder"),
    "yellow against blue": ("bluer", "yellower"),
    "contrast": ("more even", "richer in contrast"),
    "sharpness": ("softer", "sharper"),
    "brightness to the rest": ("darker than what is around", "brighter than what is around"),
}
PLAIN = 0.5  # standard deviations, below which nothing is said of a feature
CHANCE = 2.64  # standard errors, which the largest of six features passes by chance in 5 of 100 groups (Bonferroni)
_LUMA = np.array([0.299, 0.587, 0.114])


def looks_of(images: MappedImages) -> Floats:
    """The features (N, 6) of what lies under each map.

    NaN for an image whose file cannot be read, and where a function of the user's cuts the photograph.
    """
    root = _root(images)
    looks = [_look(images, row, root) or [math.nan] * len(FEATURES) for row in range(len(images))]
    return np.array(looks).reshape(len(images), len(FEATURES))


def unknown_words(images: MappedImages, unknown: int, n: int) -> str:
    """Why the looks of so many of n images are not known; "" where all are."""
    if images.preprocess is None:
        return "a function preprocesses the pictures, and which part of them lies under a map is not known"
    return f"{unknown:,} of {n:,} pictures could not be read" if unknown else ""


def standardized(looks: Floats) -> Floats:
    """Features (N, 6) in standard deviations from their mean; 0 where all are the same."""
    spread = looks.std(axis=0)
    scaled: Floats = (looks - looks.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    return scaled


def least_deviation(n: int, n_all: int) -> float:
    """The standard deviations that the mean of n of n_all images must deviate by, so that it is told: hardly chance.

    Of images drawn without replacement the mean has the standard error sqrt(1/n - 1/n_all).
    """
    return max(PLAIN, CHANCE * math.sqrt(1 / n - 1 / n_all))


def in_words(deviations: Floats, least: float = PLAIN) -> str:
    """How a group's features (6) deviate from its class's by `least` or more, the two that deviate most.

    In standard deviations.
    """
    order = np.argsort(-np.abs(deviations), kind="stable")[:2]
    words = [
        WORDS[FEATURES[feature]][int(deviations[feature] > 0)] for feature in order if abs(deviations[feature]) >= least
    ]
    return " and ".join(words) + " there" if words else "nothing that stands out there"


def telling_property(deviations: Floats) -> str:
    """The property whose exchange tests the feature (6) that deviates most."""
    return PROPERTY[FEATURES[int(np.argmax(np.abs(deviations)))]]


def _look(images: MappedImages, row: int, root: Path) -> list[float] | None:
    """The features (6) of what lies under a map; None where that is not known."""
    picture = _picture(images, row, root)
    if picture is None or images.preprocess is None:
        return None
    outcome = images.outcomes[row]
    geometry = geometry_of((outcome.height or 1, outcome.width or 1), images.preprocess)
    weights = lay(torch.from_numpy(images.maps[row])[None], geometry, picture.shape[:2])[0].numpy().clip(min=0)
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(weights.shape, 1 / weights.size)
    colours = picture.astype(np.float64) / 255
    luma = colours @ _LUMA
    red, green, blue = (colours * weights[:, :, None]).sum(axis=(0, 1))
    mean = float((luma * weights).sum())
    down, across = np.gradient(luma)
    return [
        mean,
        float(red - green),
        float((red + green) / 2 - blue),
        float(np.sqrt((weights * (luma - mean) ** 2).sum())),
        float((weights * np.hypot(down, across)).sum()),
        mean - float(luma.mean()),
    ]


def _picture(images: MappedImages, row: int, root: Path) -> Pixels | None:
    outcome = images.outcomes[row]
    if outcome.image.path is None or images.preprocess is None:
        return None
    try:
        return reduced(read_verified(root / outcome.image.path, outcome.digest), SIDE, images.preprocess)
    except UnreadableError:
        return None


def _root(images: MappedImages) -> Path:
    """What relative paths start from: here, or a folder above the run."""
    first: Outcome | None = next((outcome for outcome in images.outcomes if outcome.image.path), None)
    roots = [Path(), *images.folder.resolve().parents]
    return next((root for root in roots if first and (root / str(first.image.path)).is_file()), Path())
