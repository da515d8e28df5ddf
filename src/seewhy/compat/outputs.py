"""What a network gave, as targets see it: a part for each image, and the numbers that targets make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from seewhy.cam.scores.outputs import LOGITS, tensor_in, wide
from seewhy.compat.notice import warn
from seewhy.compat.refusals import ArgumentError
from seewhy.compat.targets import (
    BinaryClassifierOutputTarget,
    ClassifierOutputTarget,
    class_place,
)
from seewhy.errors import ModelError, OptionError, counted

OneTarget = Callable[[Any], Any]


@dataclass(frozen=True)
class Rows:
    """A network's output for N images: a tensor (N, ...), or a sequence of whatever it gives for each."""

    of: Any

    @property
    def differentiable(self) -> bool:
        """Whether a gradient can be taken of it."""
        return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tree_leaves(self.of))


@dataclass(frozen=True)
class ByOutputs:
    """Targets that follow from the outputs of the images as they are."""

    choose: Callable[[Any], list[OneTarget]]


def read_rows(raw: Any, n_images: int) -> Rows:
    """The part for each image: of a tensor its rows, of a list of detections the dicts, else of the logits in it."""
    if isinstance(raw, Tensor):
        return Rows(raw)
    if isinstance(raw, (list, tuple)) and len(raw) == n_images and all(isinstance(row, Mapping) for row in raw):
        return Rows(raw)
    logits = tensor_in(raw, LOGITS)
    return Rows(raw if logits is None else logits)


def targets_for(targets: Any, rows: Any) -> list[OneTarget]:
    """One target for each image: those that are given, one callable for all, or, of None, the predicted class.

    Raises OptionError where there are not as many as images, ModelError where no class is predicted.
    """
    n_images = len(rows)
    if targets is None or isinstance(targets, ByOutputs):
        return targets.choose(rows) if targets else predicted_targets(rows)
    if callable(targets):
        return [targets] * n_images
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise _no_target(targets)
    chosen = list(targets)
    if len(chosen) != n_images:
        upstream = "leaves the maps of the others empty" if len(chosen) < n_images else "leaves the last ones out"
        raise ArgumentError(
            f"{counted(len(chosen), 'target')} for {counted(n_images, 'image')}. (Upstream {upstream}.)\n"
            "  One for each image:  targets=[target] * len(input_tensor)\n"
            "  One for all, not in a list:  targets=target",
            slug="target-count",
        )
    for target in chosen:
        if not callable(target):
            raise _no_target(target)
    return chosen


def _no_target(given: Any) -> OptionError:
    return ArgumentError(
        f"A target is a function of one image's output, and {given!r:.40} is none.\n"
        "  A class:  targets=[ClassifierOutputTarget(281)]",
        slug="target",
    )


def predicted_targets(rows: Any) -> list[OneTarget]:
    """The class that each image is predicted as, of outputs (N, K); of one logit its own sign. Raises ModelError."""
    logits = logits_in(rows)
    if logits.shape[1] == 1:
        warn(
            "The network gives one number for each image: above 0 it is explained itself, below 0 minus it. (Upstream "
            "explains it always as if it were above 0.)  To choose:  targets=[BinaryClassifierOutputTarget(1)]"
        )
        return [BinaryClassifierOutputTarget(int(row > 0)) for row in logits[:, 0]]
    return [ClassifierOutputTarget(place) for place in logits.argmax(dim=1).tolist()]


def logits_in(rows: Any) -> Tensor:
    """Outputs as logits (N, K), detached. Raises ModelError where they are none."""
    if not isinstance(rows, Tensor) or rows.ndim not in (1, 2):
        shape = f"shape {tuple(rows.shape)}" if isinstance(rows, Tensor) else type(rows).__name__
        raise ModelError(
            f"targets=None explains the class that is predicted, and the network gives {shape}, no logits (N, K).\n"
            "  Give a target for each image:  SemanticSegmentationTarget(category, mask), or a function of its output.",
            slug="logits-shape",
        )
    return rows.detach()[:, None] if rows.ndim == 1 else rows.detach()


def values_of(rows: Any, targets: Sequence[OneTarget]) -> Tensor:
    """The number (N,) that each target makes of its image's output. Raises OptionError where it is not one number."""
    plain = [target for target in targets if type(target) is ClassifierOutputTarget]
    if isinstance(rows, Tensor) and rows.ndim == 2 and len(plain) == len(targets):
        places = [class_place(target.category, rows.shape[1]) for target in plain]
        return wide(rows).gather(1, torch.tensor(places, device=rows.device)[:, None])[:, 0]
    return torch.stack([_number(target, row) for target, row in zip(targets, rows, strict=True)])


def rescored(targets: Sequence[OneTarget], n_images: int) -> Callable[[Any, Tensor | None], Tensor]:
    """The numbers (B,) of the network's outputs for changed images, and which image each is a change of (B,)."""

    def rescore(raw: Any, rows: Tensor | None) -> Tensor:
        which = range(n_images) if rows is None else rows.tolist()
        return values_of(read_rows(raw, len(which)).of, [targets[place] for place in which])

    return rescore


def _number(target: OneTarget, row: Any) -> Tensor:
    value = target(row)
    name = type(target).__name__ if isinstance(target, torch.nn.Module) else getattr(target, "__name__", None)
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise OptionError(
            f"The target {name or type(target).__name__} gave {shape}, where one number for the image is needed.\n"
            "  For example:  targets=[ClassifierOutputTarget(281)], or  lambda output: output[1] - output[0]",
            slug="target",
        )
    return wide(value).reshape(())
