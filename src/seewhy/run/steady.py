"""Whether the user's own code makes the same input of the same image each time: only then a map is of a picture."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seewhy.cam.model import untouched
from seewhy.data.classifier import Classifier
from seewhy.data.folder import ImageTable
from seewhy.errors import DataError
from seewhy.records import Preprocess

_MOST_REPEATS = 7  # since a random flip gives the same picture every other time
_ENOUGH_S = 0.5  # for all of them, from which on two must do


def check_steady(
    classifier: Classifier, table: ImageTable, first_input: Callable[[Classifier, ImageTable], Tensor]
) -> None:
    """Raise DataError where the user's code makes another input of the first image each time.

    Where that is none of the user's code nothing is read. The random states are put back.
    """
    is_function = not isinstance(classifier.preprocess, Preprocess)
    if not is_function and (table.items is None or isinstance(table.items, Tensor)):
        return
    with untouched(nn.Identity()):
        begun, inputs = time.monotonic(), first_input(classifier, table)
        for _ in range(_MOST_REPEATS):
            if not _is_same(inputs, first_input(classifier, table)):
                raise _random(table.source if not is_function else "")
            if time.monotonic() - begun > _ENOUGH_S:
                break


def _is_same(inputs: Tensor, again: Tensor) -> bool:
    return inputs.shape == again.shape and torch.allclose(inputs, again, rtol=1e-4, atol=1e-6, equal_nan=True)


def _random(dataset: str) -> DataError:
    what = f"An image of {dataset}" if dataset else "What the preprocessing function makes of an image"
    return DataError(
        f"{what} is another one each time, as by the random augmentations of a training: maps would be of pictures "
        "that nobody sees again.\n"
        "  Give the transform that validation uses: resize, crop the middle, normalise, and nothing random.",
        slug="random-input",
    )
