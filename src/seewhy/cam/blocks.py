"""The largest block of memory that a pass asks for: what the C library keeps for the next pass costs no time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from seewhy.cam.remembered import remembered

KEPT = 31 << 20  # bytes of a block after whose release glibc keeps all smaller ones, and asks for no page of them anew


def kept_at_once(model: nn.Module, inputs: Tensor, most: int) -> int:
    """How many images like these (N, ...), at most `most`, go through a network on a CPU in blocks that are kept.

    All of `most` on other devices, where even one image needs a larger block, and where the network fails.
    """
    if inputs.device.type != "cpu":
        return most
    key = ("largest block", inputs.shape[1:], inputs.dtype)
    largest = remembered(model, key, lambda: _largest_or_none(model, inputs[:1]))
    if not largest or largest > KEPT:
        return most
    keep_blocks()
    return min(most, KEPT // largest)


@cache
def keep_blocks() -> None:
    """Make the C library keep freed blocks up to `KEPT`, in place of giving their pages back at every pass."""
    torch.empty(KEPT, dtype=torch.uint8)  # let go at once: no page of it is ever touched


def largest_block(run: Callable[[Tensor], Any], inputs: Tensor) -> tuple[Any, int]:
    """What a pass of a network gives, and the bytes of the largest tensor that one of its modules gave."""
    sizes, owner = [0], threading.get_ident()

    def measure(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and threading.get_ident() == owner:
            sizes.append(output.nbytes)

    hook = register_module_forward_hook(measure)
    try:
        output = run(inputs)
    finally:
        hook.remove()
    return output, max(sizes)


def _largest_or_none(model: nn.Module, inputs: Tensor) -> int | None:
    try:
        return largest_block(model, inputs.clone())[1]
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return None
