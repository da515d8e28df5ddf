"""How many images of a batch go through a network at once: on a CPU as many as memory that it has already can hold.

Blocks above 32 MiB are asked of the system anew at every pass, page by page, which costs a small network as much time
as its convolutions do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.blocks import keep_blocks, largest_block
from seewhy.cam.model import answer
from seewhy.cam.remembered import remembered
from seewhy.errors import SeewhyError

Portion = tuple[Tensor, Any]
_BYTES = 16 << 20  # of the largest tensor of one portion
_FEWEST, _TRIED = 5, 4  # images below which a batch stays whole; by how many it is tried whether it may be cut
_MANY = 64  # images: where so many fit at once, nothing is tried
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, SeewhyError)


@dataclass(frozen=True)
class RecordedCall:
    """What passes gave: the images (N, ...) as the network got them, its outputs, the targets, and of each layer."""

    images: Tensor
    outputs: Any
    targets: Any
    activations: list[Any]
    gradients: list[Any]


def joined(passed: Sequence[RecordedCall]) -> RecordedCall:
    """Several portions as one."""
    if len(passed) == 1:
        return passed[0]
    return RecordedCall(
        torch.cat([one.images for one in passed]),
        torch.cat([one.outputs for one in passed]),
        None if passed[0].targets is None else [target for one in passed for target in one.targets],
        [torch.cat(some) for some in zip(*(one.activations for one in passed), strict=True)],
        [torch.cat(some) for some in zip(*(one.gradients for one in passed), strict=True)],
    )


def portions(model: nn.Module, inputs: Tensor, targets: Any) -> list[Portion]:
    """Images (N, ...) and their targets in portions of about one size; whole where it could make a difference.

    Cut is what a network on a CPU gets, where each image has a target, or one is for all, or none is given, and where
    the network gives one tensor (N, ...) whose rows are the same in other company.
    """
    each = isinstance(targets, (list, tuple)) and len(targets) == len(inputs)
    home = next((weight.device for weight in model.parameters()), inputs.device)  # where the inputs go
    if home.type == "cpu":
        keep_blocks()
    if len(inputs) < _FEWEST or home.type != "cpu" or not (each or targets is None or callable(targets)):
        return [(inputs, targets)]
    tried = inputs[-_TRIED:]
    if torch.equal(*tried.chunk(2)):  # by equal images nothing is seen
        return [(inputs, targets)]
    key = ("portion", inputs.shape[1:], inputs.dtype)
    at_once = remembered(model, key, lambda: _images_at_once(model, tried)) or len(inputs)
    starts = [len(inputs) * place // -(-len(inputs) // at_once) for place in range(-(-len(inputs) // at_once))]
    stops = [*starts[1:], len(inputs)]
    return [(inputs[a:b], targets[a:b] if each else targets) for a, b in zip(starts, stops, strict=True)]


def _images_at_once(model: nn.Module, tried: Tensor) -> int | None:
    """How many images of this shape; None for all of a batch."""
    try:
        alone, largest = _measured(model, tried[_TRIED // 2 :])
        at_once = _BYTES * (_TRIED // 2) // max(largest, 1)
        if not 1 < at_once < _MANY:
            return None
        together, _ = _measured(model, tried)
    except _FAILURES:
        return None
    rows = together[_TRIED // 2 :]
    if len(together) != _TRIED or rows.shape != alone.shape:
        return None
    bound = 1e-5 * float(alone.abs().max())
    same = torch.allclose(rows, alone, rtol=1e-4, atol=bound, equal_nan=True)
    return at_once if same else None


def _measured(model: nn.Module, inputs: Tensor) -> tuple[Tensor, int]:
    """The network's output, and the bytes of the largest tensor that a module gave. Raises TypeError for no tensor."""
    output, largest = largest_block(partial(answer, model), inputs)
    if not isinstance(output, Tensor) or not output.ndim:
        raise TypeError("no tensor of rows")
    return output.float(), largest
