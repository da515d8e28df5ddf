"""Layers that never answer: the same output for every image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.model import untouched


@dataclass(frozen=True)
class _Span:
    """The smallest and the largest number that each place of each channel (C, places) has had."""

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, tensor: Tensor) -> _Span:
        whole = tensor.detach().float()
        flat = whole.flatten(2) if whole.ndim > 2 else whole[:, :, None]
        return cls(flat.amin(dim=0), flat.amax(dim=0))

    def joined(self, other: _Span) -> _Span:
        return _Span(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))

    @property
    def varies(self) -> Tensor:
        """For each channel (C,) whether it differs between the images anywhere."""
        largest = torch.maximum(self.low.abs().amax(), self.high.abs().amax())
        return (self.high - self.low).amax(dim=1) > 1e-6 * largest.clamp(min=1e-30)


class _Idle:
    """What is seen of each layer's calls; kept from one batch to the next, and judged with the last."""

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}
        self.dead: list[str] = []
        self.is_last = False
        self._before: dict[tuple[str, int], tuple[_Span, _Span]] = {}
        self._calls: Counter[str] = Counter()

    def begin(self, is_last: bool) -> None:
        self.is_last = is_last
        self._calls.clear()

    def watch(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            given = next((arg for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()), None)
            if isinstance(output, Tensor) and output.ndim >= 2 and given is not None:
                self._add(name, (_Span.of(given), _Span.of(output)))

        return note

    def _add(self, name: str, spans: tuple[_Span, _Span]) -> None:
        call = name, self._calls[name]
        self._calls[name] += 1
        if (before := self._before.pop(call, None)) is not None:
            spans = before[0].joined(spans[0]), before[1].joined(spans[1])
        if not self.is_last:
            self._before[call] = spans
        elif spans[0].varies.any():
            varies = spans[1].varies
            self.shares[name] = max(self.shares.get(name, 0.0), 1 - float(varies.float().mean()))
            if not varies.any():
                self.dead.append(name)


def idle_layers(model: nn.Module, inputs: Tensor, batch_size: int | None = None) -> tuple[list[str], dict[str, float]]:
    """Layers whose output does not depend on the image at all, and by layer the share of such channels, 0 to 1.

    Only layers whose input does depend on it are named. `inputs` (N, C, H, W) are at least two different images, of
    which `batch_size` are asked at once (None: all), which changes no answer.
    """
    idle = _Idle()
    with untouched(model), torch.inference_mode(False), torch.no_grad():
        leaves = [(name, module) for name, module in model.named_modules() if name and not any(module.children())]
        handles = [module.register_forward_hook(idle.watch(name)) for name, module in leaves]
        try:
            batches = inputs.split(batch_size or len(inputs))
            for number, batch in enumerate(batches, start=1):
                idle.begin(is_last=number == len(batches))
                model(batch.clone())  # the network may change it in place
        finally:
            for handle in handles:
                handle.remove()
    return idle.dead, idle.shares
