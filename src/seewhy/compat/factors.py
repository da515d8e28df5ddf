"""Concepts of a factorisation drawn: a colour for each, as strong as its map, and words beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seewhy.compat.pictures import as_image
from seewhy.errors import DataError
from seewhy.render.color import font

# Where hues change along "gist_rainbow", and the RGB there.
_STOPS = (0.0, 0.030, 0.215, 0.400, 0.586, 0.770, 0.954, 1.0)
_HUES = ((1, 0, 0.16), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0.75))


def create_labels_legend(concept_scores: Any, labels: Mapping[int, str], top_k: int = 2) -> list[str]:
    """For each concept its `top_k` classes with their scores (K, classes), a line each: "tabby,tiger cat:0.52"."""
    best = np.argsort(-np.asarray(concept_scores), axis=1, kind="stable")[:, :top_k]
    return [
        "\n".join(f"{','.join(labels[int(c)].split(',')[:3])}:{scores[c]:.2f}" for c in order)
        for order, scores in zip(best, np.asarray(concept_scores), strict=True)
    ]


def show_factorization_on_image(
    img: Any,
    explanations: Any,
    colors: Sequence[Any] | None = None,
    image_weight: float = 0.5,
    concept_labels: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    """An image (H, W, 3) in [0, 1] under the strongest concept of each pixel, (H, W, 3) of 8 bits.

    `explanations` (K, H, W) in [0, 1] stay as they are. With `concept_labels` a legend of the image's size stands
    beside it. Raises DataError for an image of other values, or maps of another size.
    """
    image, maps = as_image(img, "show_factorization_on_image"), np.asarray(explanations, np.float32)
    if maps.ndim != 3 or maps.shape[1:] != image.shape[:2]:
        raise DataError(
            f"explanations have shape {maps.shape}, and the image {image.shape}, where (K, H, W) of the same height "
            "and width is needed.\n  Those of the first image of a batch:  explanations[0]",
            slug="picture",
        )
    hues = np.asarray([color[:3] for color in colors] if colors is not None else _rainbow(len(maps)), np.float32)
    full = hues / np.maximum(hues.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    strongest = maps.argmax(axis=0)
    coloured = full[strongest] * np.take_along_axis(maps, strongest[None], axis=0)[0][..., None]
    mixed = image * image_weight + coloured * (1 - image_weight)
    picture: NDArray[np.uint8] = (mixed * 255).astype(np.uint8)
    if concept_labels is not None:
        picture = np.hstack([picture, _legend(concept_labels, full, picture.shape[:2])])
    return picture


def _rainbow(count: int) -> NDArray[np.float32]:
    """So many colours (K, 3) along the rainbow, from its red end."""
    at = np.arange(count) / max(count, 1)
    return np.stack([np.interp(at, _STOPS, channel) for channel in np.asarray(_HUES).T], axis=1).astype(np.float32)


def _legend(words: Sequence[str], colors: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """A white page (H, W, 3) with a bar of colour before the words of each concept."""
    page = Image.new("RGB", (size[1], size[0]), (255, 255, 255))
    draw, face = ImageDraw.Draw(page), font(max(9, 14 * size[0] // 256 * 6 // max(6, len(words))))
    step = size[0] / max(1, len(words))
    for place, (text, color) in enumerate(zip(words, colors, strict=True)):
        top = place * step + step / 8
        draw.rectangle((4, top, 20, top + step / 3), fill=tuple(int(255 * part) for part in color))
        draw.multiline_text((26, top), text, fill=(0, 0, 0), font=face)
    return np.asarray(page)
