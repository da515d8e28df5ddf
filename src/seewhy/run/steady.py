"""Whether an image's numbers are its own: the same input each time, the same answer whatever stands beside it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seewhy.cam.model import answer, as_input, untouched
from seewhy.cam.pass_effects import draws
from seewhy.cam.remembered import remembered
from seewhy.cam.scores.outputs import read_output
from seewhy.data.networks.classifier import Classifier
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, ModelError
from seewhy.records import Preprocess, Task

_MOST_REPEATS = 7  # since a random flip gives the same picture every other time
_ENOUGH_S = 0.5  # for all of them, from which on two must do
_SAME_ANSWER = 2e-3  # of the largest: the order of summation does less, statistics of a batch do more
_SAME_IF_ROUGH = 0.02  # the same in half precision, or on a device that takes its numbers shorter (TF32)


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
        inputs, begun = first_input(classifier, table), time.monotonic()
        for _ in range(_MOST_REPEATS):
            if not _is_same(inputs, first_input(classifier, table)):
                raise _random(table.source if not is_function else "")
            if time.monotonic() - begun > _ENOUGH_S:
                break


def check_alone(network: nn.Module, inputs: Tensor, task: Task) -> None:
    """Raise ModelError where the answer to an image (1, C, H, W) depends on the images beside it, or takes no others.

    It is asked once, for all images of one shape.
    """
    key = ("alone", inputs.shape, inputs.dtype, task)
    answers = remembered(network, key, lambda: _answers_beside(network, inputs, task))
    if isinstance(answers, str):
        raise ModelError(
            f"The network answers one image, and fails where it is given two at once: {answers}\n"
            "  Let its forward keep the axis of the images, (N, C, H, W) in and (N, K) out; or run each image alone:  "
            "--batch-size 1",
            slug="one-image",
        )
    if not answers and not draws(network):
        raise ModelError(
            "The network's answer to an image depends on the images that stand beside it in the batch, as with a\n"
            "softmax over the batch (dim=0) or a batch normalisation by the batch's own statistics (training=True):\n"
            "a map would be of all of them.\n"
            "  Write softmax(1), and training=self.training; or run each image alone:  --batch-size 1",
            slug="batch-dependent",
        )


def _answers_beside(network: nn.Module, inputs: Tensor, task: Task) -> bool | str:
    """Whether the answer stays the same beside another picture; the error where there is none."""
    noise = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)).pow(4).to(inputs)  # dark, unlike most
    beside = _answered(network, torch.cat((inputs, noise)), task)
    if isinstance(beside, str):  # a network that minds noise, or too little memory, says nothing of a second image
        return "memory" in beside.lower() or not isinstance(_answered(network, noise, task), Tensor) or beside
    same, alone = _same_in(network, inputs), _answered(network, inputs, task)
    if beside is None or not isinstance(alone, Tensor) or _is_near(beside[:1], alone, same):
        return True
    again = _answered(network, inputs, task)
    return not isinstance(again, Tensor) or not _is_near(again, alone, same)  # another each time: said elsewhere


def _same_in(network: nn.Module, inputs: Tensor) -> float:
    """By how much of the largest answer the same one may differ."""
    given = as_input(network, inputs)
    return _SAME_IF_ROUGH if given.element_size() < 4 or given.device.type != "cpu" else _SAME_ANSWER


def _is_near(answers: Tensor, others: Tensor, same: float) -> bool:
    others = others.to(answers)
    largest = others.nan_to_num(0.0, 0.0, 0.0).abs().max()
    near = (answers - others).abs() <= same * largest + 1e-5
    return bool((near | ~answers.isfinite() | ~others.isfinite()).all())


def _answered(network: nn.Module, inputs: Tensor, task: Task) -> Tensor | str | None:
    """The answers (N, K), or the first line of what a wrong shape raises. None for any other error of the network."""
    try:
        return read_output(answer(network, as_input(network, inputs)), len(inputs), task).logits
    except ModelError as error:
        return str(error).splitlines()[0]
    except (RuntimeError, IndexError, AssertionError) as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    except Exception:  # noqa: BLE001 -- the network's own code may raise anything; the run itself will raise it
        return None


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
