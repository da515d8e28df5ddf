"""Faster inference of an eager model on a CPU: convolutions that do what follows them, by exact algebra."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as all_modules
from torch.utils._pytree import tree_leaves

from seewhy.cam.chains import Chain, Sight, find_chains
from seewhy.cam.operations import Recorded, recording
from seewhy.cam.packed import Applying, Packed, available

_TOLERANCE = 1e-5  # of the largest output
# What a model may raise that takes no such batch, or wants its activations contiguous.
_REFUSALS = (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError)


@dataclass(frozen=True)
class Fusion:
    """What is known of a model: private copies of its weights, folded and packed. Safe to share between threads.

    `ends` tells how many operations had run when each module's first call was over.
    """

    packed: tuple[Packed, ...]
    ends: Mapping[str, int]

    def __len__(self) -> int:
        """How many convolutions run in oneDNN's own form."""
        return len(self.packed)

    def before(self, names: Collection[str]) -> Fusion:
        """The part that is over before the first of these modules gives its output."""
        end = min((self.ends[name] for name in names if name in self.ends), default=None)
        return replace(self, packed=tuple(one for one in self.packed if end is None or one.chain.last < end))

    def fresh(self) -> bool:
        """Whether the model's weights hold the values that were folded; if not, plan again.

        Reads them all (12 ms for ResNet-50). `applied` itself notices changes in place, but not those through `.data`.
        """
        return not any(one.changed() for one in self.packed)

    @contextlib.contextmanager
    def applied(self, model: nn.Module) -> Iterator[Applying]:
        """Run the model faster inside the context, in this thread, wherever no gradient is asked for.

        The model is not touched. A chain is left alone where a hook on one of its modules would see an intermediate
        value, where the weights have changed, and where the pass takes another path than the planned one.
        """
        modules = dict(model.named_modules())
        free = [one for one in self.packed if not any(_hooked(modules.get(name)) for name in one.chain.seen_by)]
        with Applying([] if _hooked_everywhere() else free) as mode:
            yield mode


_plans: weakref.WeakKeyDictionary[nn.Module, tuple[Any, Fusion | None]] = weakref.WeakKeyDictionary()


def plan_fusion(model: nn.Module, inputs: Tensor, before: Collection[str] = ()) -> Fusion | None:
    """How to run the model faster up to the output of the first layer named in `before`, or None if nothing is gained.

    Runs the model in eval mode on two images of `inputs` (N, 3, H, W), three times, and proves from what flows between
    its operations that nobody else reads what a fused convolution leaves out; then that the outputs agree within 1e-5
    of the largest. Only float32 on a CPU is fused. The caller holds `capture.untouched(model)`.
    """
    if not available() or inputs.device.type != "cpu" or not len(inputs):
        return None
    pair = inputs[:2] if len(inputs) > 1 else torch.cat([inputs, inputs])
    with torch.inference_mode(False), torch.no_grad():
        try:
            truth, chains, ends = _recorded(model, pair)
            # What the first pass shows not to work is left out; the second must confirm the rest.
            tried, _ = _tried(Fusion(tuple(Packed.of(chain) for chain in chains), ends), model, pair)
            kept, fused = _tried(tried, model, pair)
        except _REFUSALS:
            return None
    proved = len(kept) == len(tried) and _agree(truth, fused)
    return (kept.before(before) or None) if proved else None


def fusion_of(model: nn.Module, inputs: Tensor, before: Collection[str] = ()) -> Fusion | None:
    """As `plan_fusion`; a model's plan is kept, and serves any `before`, until its weights change."""
    key = (inputs.shape[1:], inputs.dtype, inputs.device)
    known, fusion = _plans.get(model, (None, None))
    if known != key or (fusion is not None and not fusion.fresh()):
        fusion = plan_fusion(model, inputs)
        _plans[model] = (key, fusion)
    return (fusion.before(before) or None) if fusion else None


def _recorded(model: nn.Module, inputs: Tensor) -> tuple[Any, list[Chain], dict[str, int]]:
    """What the model gives, its chains whose intermediate values nobody keeps, and where its modules end."""
    recorded, seen, ends = _watched(model, inputs)
    found = find_chains(recorded, seen)
    # A value that is still alive when the pass is over was kept by somebody, who must find the true one.
    alive = {number: weakref.ref(recorded.tensors[number]) for chain in found for number in chain.inner}
    truth = recorded.result
    del recorded, seen
    return truth, [one for one in found if all(alive[number]() is None for number in one.inner)], ends


def _watched(model: nn.Module, inputs: Tensor) -> tuple[Recorded, list[Sight], dict[str, int]]:
    """One recorded pass, what its modules saw, and how many operations had run when each first call was over."""
    sights: list[Sight] = []
    ends: dict[str, int] = {}

    def watch(name: str, recorded: Recorded) -> tuple[Any, Any]:
        def entering(_: nn.Module, args: Any, kwargs: Any) -> None:
            sights.extend(Sight(name, one, len(recorded.operations)) for one in _tensors((args, kwargs)))

        def leaving(_: nn.Module, args: Any, output: Any) -> None:
            ends.setdefault(name, len(recorded.operations))
            sights.extend(Sight(name, one, len(recorded.operations)) for one in _tensors(output))

        return entering, leaving

    with contextlib.ExitStack() as stack:
        recorded = stack.enter_context(recording())
        for name, module in model.named_modules():
            entering, leaving = watch(name, recorded)
            stack.callback(module.register_forward_pre_hook(entering, prepend=True, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leaving, prepend=True).remove)
        result = model(inputs)
    return replace(recorded, result=result), sights, ends


def _tried(fusion: Fusion, model: nn.Module, inputs: Tensor) -> tuple[Fusion, Any]:
    """The part of a fusion that did its work in one pass, and what the model gave."""
    with fusion.applied(model) as mode:
        output = model(inputs)
    finished = tuple(one for one in fusion.packed if id(one.chain.weight) in mode.finished)
    return replace(fusion, packed=finished), output


def _agree(truth: Any, fused: Any) -> bool:
    """Whether two outputs are finite and equal within the tolerance."""
    floats = [[one for one in _tensors(tree) if one.is_floating_point() and one.numel()] for tree in (truth, fused)]
    return len(floats[0]) == len(floats[1]) > 0 and all(
        one.shape == two.shape and bool((one - two).abs().max() <= _TOLERANCE * one.abs().max())
        for one, two in zip(*floats, strict=True)
    )


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _hooked(module: nn.Module | None) -> bool:
    return module is None or bool(module._forward_hooks or module._forward_pre_hooks)


def _hooked_everywhere() -> bool:
    return bool(all_modules._global_forward_hooks or all_modules._global_forward_pre_hooks)
