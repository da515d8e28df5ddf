"""Layers that are given as modules: their names in the network, and how their outputs are seen as features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall
from seewhy.cam.grid import Grid
from seewhy.cam.layers.calls import trace_any
from seewhy.cam.layers.token_order import with_token_order
from seewhy.cam.remembered import remembered
from seewhy.compat.arrays import planes
from seewhy.compat.notice import warn
from seewhy.errors import LayerError, OptionError, listed

Transform = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Reshaped(Grid):
    """A layer's raw output as a function sees it (features (N, C, H, W) or (N, C, D, H, W)), or as its grid does."""

    transform: Transform | None = None
    asked: str = ""
    axis: int = 1

    @property
    def channel_axis(self) -> int:
        """Which axis of the raw output holds the channels."""
        return self.axis

    def features(self, raw: Any) -> Tensor:
        """The features (N, C, H, W), or (N, C, D, H, W) of a volume. Raises LayerError where there are none."""
        seen = self.transform(raw) if self.transform else raw
        if isinstance(seen, Tensor) and seen.ndim in (4, 5):
            return seen
        what = f"shape {tuple(seen.shape)}" if isinstance(seen, Tensor) else type(seen).__name__
        how = ", seen through reshape_transform, gives" if self.transform else " gives"
        raise LayerError(
            f"Layer {self.asked!r}{how} {what}, where features (N, C, H, W) are needed.\n"
            "  Give a function that makes them of its output:  reshape_transform=lambda tokens: …",
            slug="layer-without-grid",
        )

    def view(self, raw: Tensor) -> Tensor:
        """The features (N, C, H, W); of a volume all places in one column."""
        return planes(self.features(raw))


def as_layers(target_layers: Any) -> list[nn.Module]:
    """The layers as a list. Raises OptionError where what is given is no module."""
    if isinstance(target_layers, nn.Module) and not isinstance(target_layers, nn.ModuleList):
        warn(
            f"target_layers is one {type(target_layers).__name__}, taken as one layer: target_layers=[layer].  "
            "(Upstream takes the layers inside a Sequential one by one.)"
        )
        return [target_layers]
    if isinstance(target_layers, str) or not isinstance(target_layers, Iterable):
        target_layers = [target_layers]
    layers = list({id(layer): layer for layer in target_layers}.values())
    strange = [layer for layer in layers if not isinstance(layer, nn.Module)]
    if strange:
        raise OptionError(
            f"target_layers holds a {type(strange[0]).__name__}: {strange[0]!r:.60}.\n"
            "  Give the modules themselves:  target_layers=[model.layer4]",
            slug="no-such-layer",
        )
    return layers


def names_of(model: nn.Module, layers: Sequence[nn.Module]) -> list[str]:
    """The dotted name of each layer in the network. Raises LayerError for a layer of another network."""
    if not isinstance(model, nn.Module):
        raise OptionError(
            f"model is {model!r:.60}, and must be the network itself, not its class or name.\n"
            "  For example:  model=resnet18(weights=…)",
            slug="model",
        )
    known = {module: name for name, module in reversed(list(model.named_modules(remove_duplicate=False)))}
    for place, layer in enumerate(layers):
        if layer not in known:
            same = [name for name, module in model.named_modules() if type(module) is type(layer) and name]
            raise LayerError(
                f"target_layers[{place}] ({type(layer).__name__}) is no part of this {type(model).__name__}: it is a "
                "layer of another network, or of a copy.\n"
                f"  Take it from the network that is explained; its own of that kind: {listed(same, 6) or 'none'}.",
                slug="no-such-layer",
            )
    return [known[layer] for layer in layers]


def calls_of(
    model: nn.Module, layers: Sequence[nn.Module], transform: Transform | None, inputs: Tensor
) -> list[LayerCall]:
    """Each layer as it is to be watched: its last run, seen through `transform`, else through the grid that it has."""
    calls = []
    for name in dict.fromkeys(names_of(model, layers)):
        asked = name or type(model).__name__
        seen = transform or _inferred(model, name, inputs)
        calls.append(LayerCall(asked, name, None, Reshaped(0, 0, transform=seen, asked=asked)))
    return calls


def features_of(call: LayerCall, raw: Any) -> Tensor:
    """A layer's raw output as features (N, C, H, W) or (N, C, D, H, W)."""
    return call.grid.features(raw) if isinstance(call.grid, Reshaped) else raw


def channel_axis(raw: Tensor, features: Tensor) -> int:
    """Which axis of a layer's raw output holds the channels of the features (N, C, ...) made of it."""
    fits = [axis for axis in range(1, raw.ndim) if raw.shape[axis] == features.shape[1]]
    if not fits:
        return 1
    return fits[-1] if raw.ndim == 3 or not _same(raw.movedim(fits[0], 1), features) else fits[0]


def _same(raw: Tensor, features: Tensor) -> bool:
    return raw.shape == features.shape and torch.equal(raw, features)


def _inferred(model: nn.Module, name: str, inputs: Tensor) -> Transform | None:
    """How a layer of tokens or of channels in the last axis is seen, told by one more pass; None: as it is."""
    if inputs.ndim != 4 or not any(isinstance(module, nn.LayerNorm) for module in model.modules()):
        return None

    def learn() -> dict[str, Grid | None]:
        calls, _ = trace_any(model, inputs[:1])
        return {call.name: call.grid for call in with_token_order(model, inputs[:1], calls)}

    grid = remembered(model, ("compat", inputs.shape[1:]), learn).get(name)
    return grid.view if grid is not None and grid.layout != "channels-first" else None
