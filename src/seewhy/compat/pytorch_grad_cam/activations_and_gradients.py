"""Activations and gradients of layers: watched while hooks are on, or taken from one pass that leaves no hook."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall, Watched, gradients, watch
from seewhy.cam.model import unwrap
from seewhy.compat.layers import Transform, as_layers, calls_of, features_of
from seewhy.compat.outputs import Rows, read_rows


class ActivationsAndGradients:
    """What layers give and the gradients by it, recorded at every pass from construction until `release()`.

    `activations` and `gradients` are lists in the order of the target layers, on the CPU, as `reshape_transform` sees
    them: of a layer that runs several times the last run, `gradients` only of layers that a gradient reached.
    Of several backward passes over one output the last one's stand first. Both may be emptied by the script. May be
    derived from: `save_activation`, `save_gradient` and `__call__` are what scripts replace. With `detach=False` both
    keep their graph, where they are and as they are.
    """

    def __init__(
        self, model: nn.Module, target_layers: Any, reshape_transform: Transform | None = None, detach: bool = True
    ) -> None:
        self.model = model
        self.layers = as_layers(target_layers)
        self.reshape_transform = reshape_transform
        self.detach = detach
        self.gradients: list[Any] = []
        self.activations: list[Any] = []
        self.handles: list[Any] = []
        self._places: list[int] = []  # of the layers that activations are of
        self._runs: Counter[nn.Module] = Counter()
        self.slopes: dict[int, Tensor] = {}  # of the last backward pass, by place
        self._earlier: list[Any] = []  # gradients of those before it
        self._attach()

    def _attach(self) -> None:
        for layer in self.layers:
            self.handles.append(layer.register_forward_hook(self.save_activation))
            self.handles.append(layer.register_forward_hook(self.save_gradient))

    def save_activation(self, module: nn.Module, args: Any, output: Any) -> None:
        """Keep what a layer gave, in the place of what it gave at an earlier run."""
        kept = self._kept(output)
        if not self.activations:
            self._places = []
        for place in self._places_of(module):
            if place in self._places:
                self.activations[self._places.index(place)] = kept
            else:
                at = sum(other < place for other in self._places)
                self._places.insert(at, place)
                self.activations.insert(at, kept)

    def save_gradient(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Keep the gradient by what a layer gave, once it is taken; the network goes on with a copy."""
        if not isinstance(output, Tensor) or not output.requires_grad:
            return None

        self._runs[module] += 1
        run = self._runs[module]

        def store(gradient: Tensor) -> None:
            if run != self._runs[module]:
                return
            places = self._places_of(module)
            if not self.gradients:
                self.slopes, self._earlier = {}, []
            if not self.slopes.keys().isdisjoint(places):  # another backward pass
                self._earlier, self.slopes = self.gradients, {}
            self.slopes.update(dict.fromkeys(places, self._kept(gradient)))
            self.gradients = [self.slopes[place] for place in sorted(self.slopes)] + self._earlier

        output.register_hook(store)
        return output.clone()  # an in-place operation behind the layer would overwrite what is kept

    def __call__(self, x: Any) -> Any:
        """The network's output, with what the layers gave kept anew."""
        self.clear()
        return unwrap(self.model)[0](x)  # of DataParallel the network inside: replicas would record one part each

    def clear(self) -> None:
        """Let go of what is kept."""
        self.gradients, self.activations, self._places, self.slopes, self._earlier = [], [], [], {}, []
        self._runs.clear()

    def release(self) -> None:
        """Take the hooks off, and let go of what is kept."""
        self.clear()
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _places_of(self, module: nn.Module) -> list[int]:
        """The places of a module among the layers."""
        return [place for place, layer in enumerate(self.layers) if layer is module]

    def _kept(self, value: Any) -> Any:
        if not self.detach:
            return value
        seen = self.reshape_transform(value) if self.reshape_transform else value
        kept = seen.detach().cpu()
        return kept.clone() if isinstance(value, Tensor) and kept.data_ptr() == value.data_ptr() else kept


class Passing(ActivationsAndGradients):
    """What a CAM makes for itself: hooks are on the network only while it runs, and gradients are of the layers alone.

    `passing` is the way that is taken; called as a function it records as the class above does, for scripts that do
    the rest themselves.
    """

    calls: Sequence[LayerCall] = ()

    def _attach(self) -> None:
        """No hook outside of a pass."""

    def __call__(self, x: Any) -> Any:
        """The network's output, with what the layers gave kept anew."""
        super()._attach()
        try:
            return super().__call__(x)
        finally:
            for handle in self.handles:
                handle.remove()
            self.handles = []

    @contextlib.contextmanager
    def passing(self, inputs: Tensor, *, graph: bool) -> Iterator[Watched[Rows]]:
        """One pass; the activations, as features (N, C, ...) on their device, are in `activations`.

        Raises LayerError and ModelError as `seewhy.cam.capture` does.
        """
        self.clear()
        model, _ = unwrap(self.model)
        self.calls = calls_of(model, self.layers, self.reshape_transform, inputs)
        with watch(model, inputs, self.calls, lambda raw: read_rows(raw, len(inputs)), graph=graph) as seen:
            self.activations = self._features(seen.activations)
            yield seen

    def take_gradients(self, values: Tensor, seen: Watched[Rows]) -> None:
        """Put the gradients of the sum of the values in `gradients`, seen as the activations are."""
        self.gradients = self._features(gradients(values, seen.activations))

    def take(self, activations: list[Any], gradients: list[Any]) -> None:
        """Keep these in place of what the last pass gave."""
        self.activations, self.gradients = activations, gradients

    def _features(self, raw: dict[str, Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return [features_of(call, raw[call.asked].detach()) for call in self.calls]
