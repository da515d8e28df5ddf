"""Everything after a layer as a function of its raw output, for any eager model: what ran before answers from cache."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from seewhy.cam.capture import LayerCall
from seewhy.cam.model import as_input, untouched
from seewhy.cam.remembered import remembered
from seewhy.cam.tail.affine import depends, storage_of
from seewhy.cam.tail.operations import record
from seewhy.cam.tail.replay import (
    Key,
    Recording,
    Replay,
    batch_axes,
    first_tensor,
    interposed,
    replaceable,
    spread,
    stand_in,
    stand_ins,
    version_of,
    with_first,
)
from seewhy.errors import LayerError

_CHANGE = 0.75  # what the layer's output is multiplied with where a tail is compared with the full pass


@dataclass(frozen=True, eq=False)
class TailPlan:
    """What is known of a model's tail from one image and its mirror image, without their values.

    `inside` holds the calls that are answered, with the calls made inside each; `shapes` trees like their outputs for
    one image, without memory; `axes` where each leaf holds the images (None: nowhere). `used` are the answers whose
    values are read after the layer, `stale` those changed in place before it, `written` those changed after it.
    `overwrites` and `soils`: the layer's output and the input are changed in place. `sole`: nothing but the layer's
    output reaches the model's. `dense`: the network needs memory of its own for every row. `each`: the rows that the
    layer's output has for an image (more than 1 for windows).
    """

    call: int
    each: int = 1
    inside: Mapping[Key, list[str]] = field(default_factory=dict)
    shapes: Mapping[Key, Any] = field(default_factory=dict)
    axes: Mapping[Key, tuple[int | None, ...]] = field(default_factory=dict)
    used: frozenset[Key] = frozenset()
    stale: frozenset[Key] = frozenset()
    written: frozenset[Key] = frozenset()
    overwrites: bool = True
    soils: bool = True
    sole: bool = False
    dense: bool = False

    @property
    def bytes_each(self) -> int:
        """What is read after the layer besides its output, in bytes for an image."""
        leaves = tree_leaves([self.shapes[key] for key in self.used])
        return sum(leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, Tensor))


@dataclass
class Tail:
    """What follows a layer's call, for the images of one batch.

    `raw` is the layer's output for the batch; `plan` what is known of the network. Memory: the outputs that are read
    after the layer, and nothing else, are kept.
    """

    model: nn.Module
    inputs: Tensor
    layer: LayerCall
    raw: Tensor
    plan: TailPlan
    answers: Mapping[Key, Any]
    full: Any = None

    def __post_init__(self) -> None:
        names = {name for name, _ in self.plan.inside} | {self.layer.name}
        self.modules = replaceable(self.model)
        self.wrapped = {name: module for name, module in self.modules.items() if name in names}

    @property
    def output(self) -> Any:
        """The model's output for the batch."""
        if self.full is None:
            self.full = self(self.raw)
        return self.full

    def __call__(
        self,
        raw: Tensor,
        rows: Tensor | None = None,
        *,
        answers: Mapping[Key, Tensor] | None = None,
        seen_inputs: dict[Key, Tensor] | None = None,
    ) -> Any:
        """The model's own output with `raw` (B, ...) in place of what the layer gave; `raw` is left as it is.

        Row b is a change of image `rows[b]` of the batch; without `rows` of image b, or of the only one. Works with
        and without grad. `answers` answer for further module calls (name, number); `seen_inputs` is filled with the
        first input of every module call that is run or answered, and then all of them are looked at.
        """
        plan, count = self.plan, len(raw) // self.plan.each
        wrapped = self.modules if seen_inputs is not None else dict(self.wrapped)
        for name, _ in answers or ():
            wrapped[name] = self.modules[name]
        given = raw.clone() if plan.overwrites else raw
        answer = self._answer(rows, count)
        replay = Replay(
            layer=self.layer.name,
            call=plan.call,
            activation=given,
            answer=answer,
            inside=plan.inside,
            extra=answers or {},
            seen_inputs=seen_inputs,
        )
        inputs = spread(self.inputs, 0, rows, count, len(self.inputs))
        with interposed(wrapped, replay.around), _hooked(self.modules[self.layer.name], self.layer, replay):
            return self.model(inputs.clone() if plan.dense or plan.soils else inputs)

    def _answer(self, rows: Tensor | None, count: int) -> Callable[[Key], Any]:
        def answer(key: Key) -> Any:
            leaves, structure = tree_flatten(self.answers[key])
            given = [
                spread(leaf, axis, rows, count, len(self.inputs))
                for leaf, axis in zip(leaves, self.plan.axes[key], strict=True)
            ]
            if key in self.plan.written or (self.plan.dense and key in self.plan.used):
                given = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in given]
            return tree_unflatten(given, structure)

        return answer


@contextlib.contextmanager
def tail_of(model: nn.Module, inputs: Tensor, layer: LayerCall, *, raw: Tensor | None = None) -> Iterator[Tail]:
    """The tail after a layer's call, for a batch (N, C, H, W); the model is held in eval mode and alone meanwhile.

    The first time for a model, layer and image size, the network is run on one image and on two to see what must be
    kept, and the tail is compared with the full pass; where they differ, the whole network runs again for every change.
    `raw`, the layer's output for this batch where it is known, saves the recording pass if nothing else is read after
    the layer. Raises LayerError for a layer that never runs.
    """
    inputs = as_input(model, inputs)
    with untouched(model), torch.inference_mode(False):
        plan = _plan(model, inputs, layer)
        if raw is not None and plan.sole:
            yield Tail(model, inputs, layer, raw.detach(), plan, stand_ins(plan.shapes, plan.axes, len(inputs)))
        else:
            given = inputs.clone() if plan.soils else inputs
            resolved = replace(layer, call=plan.call)
            recording, output = _recorded(model, given, resolved, keep=plan.used, copied=plan.stale)
            yield _tail(model, inputs, layer, recording, plan, output)


def _plan(model: nn.Module, inputs: Tensor, layer: LayerCall) -> TailPlan:
    key = ("tail", layer.name, layer.call, inputs.shape[1:], inputs.dtype, inputs.device)
    with torch.no_grad():
        return remembered(model, key, lambda: _made(model, inputs[:1].clone(), layer))


def _made(model: nn.Module, image: Tensor, layer: LayerCall) -> TailPlan:
    pair = torch.cat([image, image.flip(-1)])
    single, _ = _recorded(model, image, layer)
    given = pair.clone()
    double, wanted = _recorded(model, given, layer, copied=None, change=lambda raw: raw * _CHANGE)
    everything_again = TailPlan(double.at, _rows(single))
    plan = replace(
        everything_again,
        inside={call.key: call.inside for call in double.before or ()},
        shapes={call.key: tree_map(stand_in, call.output) for call in single.before or ()},
        overwrites=double.overwritten,
        soils=version_of(given) != 0,
    )
    if list(plan.inside) != list(plan.shapes):
        return everything_again
    axes = {call.key: batch_axes(plan.shapes[call.key], call.output) for call in double.before or ()}
    plan = replace(plan, axes=axes, used=frozenset(axes))
    for candidate in (plan, replace(plan, dense=True)):
        with contextlib.suppress(RuntimeError):  # memory shared by rows was written or viewed: try with its own
            observed = _seen(_tail(model, pair, layer, double, candidate), double)
            if _holds(_tail(model, pair, layer, double, observed), wanted):
                return observed
    return everything_again


def _rows(recording: Recording) -> int:
    return 0 if recording.raw is None else len(recording.raw)


def _seen(tail: Tail, recording: Recording) -> TailPlan:
    """The plan with what an unchanged replay reads and writes."""
    answers = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, dict(tail.answers))
    probe = replace(tail, answers=answers)
    held = {key: [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for key, tree in answers.items()}
    recorded = record(lambda: probe(tail.raw * _CHANGE))
    read = {storage_of(recorded.tensors[number]) for operation in recorded.operations for number in operation.inputs}
    used = frozenset(key for key, leaves in held.items() if any(storage_of(leaf) in read for leaf in leaves))
    variables = [leaf for key in used for leaf in held[key]] + [tail.inputs]
    return replace(
        tail.plan,
        used=used,
        stale=frozenset(call.key for call in recording.before or () if call.overwritten()) & used,
        written=frozenset(key for key, leaves in held.items() if any(version_of(leaf) for leaf in leaves)),
        sole=not depends(recorded, variables),
    )


def _holds(tail: Tail, wanted: Any) -> bool:
    """Whether the tail of a changed activation is what the full pass gave, for rows in any order and repeated."""
    changed = tail.raw * _CHANGE
    if tail.plan.sole:
        tail = replace(tail, answers=stand_ins(tail.plan.shapes, tail.plan.axes, 2))
    for order in ((0, 1), (1, 0), (0, 0), (1, 1, 0)):
        rows = torch.tensor(order, device=changed.device)
        if not _alike(tail(spread(changed, 0, rows, len(rows), 2), rows), wanted, rows):
            return False
    return _alike(tail(changed), wanted, torch.arange(2, device=changed.device))


def _alike(given: Any, wanted: Any, rows: Tensor) -> bool:
    pairs = list(zip(tree_leaves(given), tree_leaves(wanted), strict=False))
    for leaf, other in pairs:
        if isinstance(leaf, Tensor) and isinstance(other, Tensor) and len(other) == 2 and other.is_floating_point():
            other = other[rows]
            share = max(1000 * torch.finfo(other.dtype).eps, 0 if other.device.type == "cpu" else 5e-3)  # TF32
            bound = share * float(other.abs().max().nan_to_num(1.0))
            if leaf.shape != other.shape or not torch.allclose(leaf, other, rtol=0, atol=bound, equal_nan=True):
                return False
    return bool(pairs)


def _tail(
    model: nn.Module, inputs: Tensor, layer: LayerCall, recording: Recording, plan: TailPlan, output: Any = None
) -> Tail:
    kept = {call.key: call.output for call in recording.before or () if call.key in plan.used}
    assert recording.raw is not None
    answers = {**stand_ins(plan.shapes, plan.axes, len(inputs)), **kept}
    return Tail(model=model, inputs=inputs, layer=layer, raw=recording.raw, plan=plan, answers=answers, full=output)


def _recorded(model: nn.Module, inputs: Tensor, layer: LayerCall, **options: Any) -> tuple[Recording, Any]:
    recording, modules = Recording(layer.name, layer.call, **options), replaceable(model)
    if layer.name in modules:
        hook = _hooked(modules[layer.name], layer, recording)
        with torch.no_grad(), interposed(modules, recording.around), hook:
            output = model(inputs)
    if recording.raw is None:
        raise LayerError(
            f"Layer {layer.asked!r} of {type(model).__name__} runs {recording.counts[layer.name]} times in the forward "
            "pass, so what follows it cannot be run.\n  See the layers that run:  seewhy layers --model …",
            slug="layer-never-runs",
        )
    return recording, output


@contextlib.contextmanager
def _hooked(module: nn.Module, layer: LayerCall, run: Recording | Replay) -> Iterator[None]:
    owner = threading.get_ident()

    def hook(_: nn.Module, args: Any, output: Any) -> Any:
        if threading.get_ident() != owner:
            return None
        first = first_tensor(output, layer.asked)
        given = run.seen(first)
        return None if given is first else with_first(output, given)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
