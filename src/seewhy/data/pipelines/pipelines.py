"""A preprocessing made by another package, read into the canvas form where that feeds the same, else used as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.data.pipelines.comparison import Difference, answers_of, closest
from seewhy.data.pipelines.processors import (
    UnfitProcessorError,
    canvases_of_processor,
    processed,
    processor_of,
    settings_of,
)
from seewhy.data.pipelines.steps import UnreadableStepError, canvases_of, is_albumentations, pipeline_name, steps_of
from seewhy.records import Preprocess

Function = Callable[[Any], Tensor]  # a PIL image in, the network's input (C, H, W) out
_NEAR = Difference(0.6, 8)  # two good resamplings round at other steps; a shift by a pixel is 10 levels on average
_SAID = 0.02  # grey levels below which nothing is to be said: the order in which floats were added up


@dataclass(frozen=True)
class Piped:
    """A pipeline as a function: a PIL image in, the network's input (C, H, W) out. `settings` tells it from others."""

    pipeline: Any
    call: Callable[[Any, Any], Tensor]
    settings: str

    def __call__(self, picture: Any) -> Tensor:
        """The network's input of a picture."""
        return self.call(self.pipeline, picture)


@dataclass(frozen=True)
class ReadPipeline:
    """How a pipeline feeds: as a canvas or as a function, and in words how that came about."""

    preprocess: Preprocess | Function
    name: str
    how: str


def read_pipeline(given: Any) -> ReadPipeline | None:
    """A pipeline of torchvision, timm, albumentations or transformers, read; None for what is none of them.

    It is read as a canvas where made pictures show that this feeds the same. Raises UnfitProcessorError.
    """
    if (processor := processor_of(given)) is not None:
        function = Piped(processor, processed, settings_of(processor))
        return _read(function, type(processor).__name__, partial(canvases_of_processor, processor))
    pipeline = _made(given)
    steps = steps_of(pipeline)
    return None if steps is None else _read(_called(pipeline), pipeline_name(pipeline), partial(canvases_of, steps))


def _read(function: Function, name: str, candidates: Callable[[], list[Preprocess]]) -> ReadPipeline:
    """The first of the candidates that feeds as the function does, else the function, and why."""
    try:
        answers = answers_of(function)
        canvas, off = closest(answers, candidates())
    except UnreadableStepError as reason:
        return ReadPipeline(function, name, f"as a function, since {reason}")
    except UnfitProcessorError:
        raise
    except Exception as error:  # noqa: BLE001 -- code of others; the images will show whether it works at all
        return ReadPipeline(
            function, name, f"as a function; on a made picture it failed with {type(error).__name__}: {error}"
        )
    if canvas is None:
        return ReadPipeline(function, name, "as a function, since a canvas of its numbers has another shape or type")
    if off.mean > _NEAR.mean or off.most > _NEAR.most:
        why = f"a canvas of its numbers is up to {off.most:.0f} of 255 grey levels off"
        return ReadPipeline(function, name, f"as a function, since {why}, by its resampling or a step that does more")
    rest = f", {off.mean:.2g} of 255 grey levels off on average, {off.most:.1g} at most: it resamples otherwise"
    return ReadPipeline(canvas, name, f"read as a canvas{rest if off.most > _SAID else ''}")


def _made(given: Any) -> Any:
    """The pipeline of a weights enum, or of the maker that such an enum holds; else what was given."""
    if hasattr(given, "meta") and callable(getattr(given, "transforms", None)):
        given = given.transforms
    return given() if isinstance(given, partial) and isinstance(given.func, type) and not given.args else given


def _called(pipeline: Any) -> Function:
    """The pipeline as a function of a PIL image, also where it takes arrays by keyword or bytes as a tensor."""
    if is_albumentations(pipeline):
        return Piped(pipeline, _by_keyword, repr(pipeline))
    if not _gives_tensors(pipeline) and _gives_tensors(partial(_as_bytes, pipeline)):
        return Piped(pipeline, _as_bytes, repr(pipeline))
    function: Function = pipeline
    return function


def _gives_tensors(function: Callable[[Any], Any]) -> bool:
    """Whether it takes a picture and makes a tensor of it."""
    try:
        return all(isinstance(answer, Tensor) for answer in answers_of(function))
    except Exception:  # noqa: BLE001 -- code of others
        return False


def _by_keyword(pipeline: Any, picture: Any) -> Tensor:
    answer = pipeline(image=np.array(picture))["image"]
    return answer if isinstance(answer, Tensor) else torch.from_numpy(np.ascontiguousarray(answer.transpose(2, 0, 1)))


def _as_bytes(pipeline: Any, picture: Any) -> Tensor:
    answer: Tensor = pipeline(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return answer
