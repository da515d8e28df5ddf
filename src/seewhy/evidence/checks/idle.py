"""Layers that never answer: the same output for every image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.model import untouched


def idle_layers(model: nn.Module, inputs: Tensor) -> tuple[list[str], dict[str, float]]:
    """Layers whose output does not depend on the image at all, and by layer the share of such channels, 0 to 1.

    Only layers whose input does depend on it are named. `inputs` (N, C, H, W) are at least two different images.
    """
    shares: dict[str, float] = {}
    dead: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            given = next((arg for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()), None)
            if not isinstance(output, Tensor) or output.ndim < 2 or given is None or not _varies(given).any():
                return
            varies = _varies(output)
            shares[name] = max(shares.get(name, 0.0), 1 - float(varies.float().mean()))
            if not varies.any():
                dead.append(name)

        return note

    with untouched(model), torch.inference_mode(False), torch.no_grad():
        leaves = [(name, module) for name, module in model.named_modules() if name and not any(module.children())]
        handles = [module.register_forward_hook(watch(name)) for name, module in leaves]
        try:
            model(inputs)
        finally:
            for handle in handles:
                handle.remove()
    return dead, shares


def _varies(tensor: Tensor) -> Tensor:
    """For each channel (C,) whether it differs between the images anywhere."""
    flat = tensor.detach().float().flatten(2) if tensor.ndim > 2 else tensor.detach().float()[:, :, None]
    range_ = (flat.amax(dim=0) - flat.amin(dim=0)).amax(dim=1)
    return range_ > 1e-6 * flat.abs().amax().clamp(min=1e-30)
