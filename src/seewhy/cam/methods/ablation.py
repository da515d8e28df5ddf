"""Ablation-CAM: how much the score falls when a channel of the layer is switched off."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from seewhy.cam.capture import LayerCall
from seewhy.cam.methods.scene import Scene
from seewhy.cam.tail.affine import is_affine
from seewhy.cam.tail.operations import record
from seewhy.cam.tail.readers import Reader, find_readers, prepare, whole
from seewhy.cam.tail.replay import Key
from seewhy.cam.tail.tail import Tail, TailPlan, tail_of
from seewhy.errors import LayerError

_AT_ONCE = 32 << 20  # bytes of changed activations in one replay
_MOST_ROWS = 512


@dataclass(frozen=True)
class _Facts:
    """What is proven of a tail."""

    affine: bool
    readers: tuple[Reader, ...]


_facts: weakref.WeakKeyDictionary[TailPlan, _Facts] = weakref.WeakKeyDictionary()


def ablation_cam(scene: Scene) -> Tensor:
    """The fall of the score when a channel of the layer is set to 0 (N, C): signed, in the score's own unit.

    Desai & Ramaswamy 2020, WACV, eq. 4, without its division by the score, which only scales a map, and would flip it
    for a negative score. With tokens the special ones are switched off too. Where everything from the layer to the
    score is proven affine this costs no pass at all; otherwise what follows the layer is run again for every channel
    that is not 0 already. Raises LayerError for a layer whose output mixes images.
    """
    assert scene.layer is not None and scene.raw is not None and scene.grid is not None
    with torch.no_grad(), tail_of(scene.model, scene.inputs, scene.layer, raw=scene.raw) as tail:
        if tail.plan.each != 1:
            raise LayerError(
                f"Layer {scene.layer.asked!r} cuts an image into {tail.plan.each} parts, so no channel can be "
                "switched off for it as a whole.\n  Choose the block around it:  seewhy layers --model …",
                slug="layer-without-grid",
            )
        facts = _facts.get(tail.plan)
        if facts is None:
            facts = _facts[tail.plan] = _proven(tail)
        weights = _by_gradient(scene, tail) if facts.affine else None
        return _by_replay(scene, tail, facts.readers) if weights is None else weights


def _proven(tail: Tail) -> _Facts:
    raw, first = tail.raw[:1].clone(), torch.zeros(1, dtype=torch.long, device=tail.raw.device)
    if is_affine(record(lambda: tail(raw, first)), [raw]):
        return _Facts(True, ())
    return _Facts(False, find_readers(tail))


def _by_gradient(scene: Scene, tail: Tail) -> Tensor | None:
    """Gradient times activation, summed over places; None unless the score is affine in the network's output.

    The proof is of the code that ran when it was made, so each time the fall with half of the channels off is compared
    with the sum of theirs.
    """
    assert scene.grid is not None
    raw, axis = tail.raw, scene.grid.channel_axis
    off = torch.rand(raw.shape[axis], generator=torch.Generator().manual_seed(0)).to(raw.device) < 0.5
    output = tail(raw * ~off.view([-1 if at == axis else 1 for at in range(raw.ndim)]))
    scored = record(lambda: scene.rescore(output, None))
    if not is_affine(scored, [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]):
        return None
    if scene.gradient is not None and scene.activation is not None and scene.activation.numel() == raw.numel():
        weights = (scene.gradient * scene.activation).sum(dim=(2, 3))
    else:
        with torch.enable_grad():
            leaf = raw.detach().clone().requires_grad_()
            values = scene.rescore(tail(leaf), None)
            if not values.requires_grad:  # the network detaches what it computes
                return None
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        weights = (gradient * raw).movedim(axis, 1).flatten(2).sum(dim=2)
    fall, total = scene.values - scored.result, (weights * off).sum(dim=1)
    size = scene.values.abs() + scored.result.abs() + weights.abs().sum(dim=1)
    agrees = (fall - total).abs().nan_to_num() <= (1000 * torch.finfo(raw.dtype).eps * size).nan_to_num()
    return weights if bool(agrees.all()) else None


def _by_replay(scene: Scene, tail: Tail, readers: tuple[Reader, ...]) -> Tensor:
    assert scene.grid is not None
    raw, axis = tail.raw, scene.grid.channel_axis
    live = (raw != 0).movedim(axis, 1).flatten(2).any(dim=2)  # (N, C); a channel of zeros has nothing to lose
    weights = torch.zeros(live.shape, dtype=scene.values.dtype, device=raw.device)
    outputs = _through_readers(tail, live, axis, readers) if readers else _whole_tails(tail, live, axis)
    for rows, channels, output in outputs:
        weights[rows, channels] = scene.values[rows] - scene.rescore(output, rows).to(weights.dtype)
    return weights


def _whole_tails(tail: Tail, live: Tensor, axis: int) -> Iterator[tuple[Tensor, Tensor, object]]:
    """For image and channel in turn the model's output without it, as many at once as memory suits."""
    each = tail.raw[:1].numel() * tail.raw.element_size() + tail.plan.bytes_each
    for part in torch.split(live.nonzero(), rows_at_once(each)):
        rows, channels = part.unbind(dim=1)
        changed = tail.raw.index_select(0, rows)
        changed.movedim(axis, 1)[torch.arange(len(rows), device=rows.device), channels] = 0
        yield rows, channels, tail(changed, rows)


def _through_readers(
    tail: Tail, live: Tensor, axis: int, readers: tuple[Reader, ...]
) -> Iterator[tuple[Tensor, Tensor, object]]:
    """The same, where the modules that read the layer are linear: only what follows them is run."""
    bases = {reader.key: whole(tail, reader) for reader in readers}
    each = sum(base[:1].numel() * base.element_size() for base in bases.values())
    with contextlib.ExitStack() as stack:
        only = readers[0].key if len(readers) == 1 else None
        behind = stack.enter_context(_behind(tail, only, bases[only])) if only else tail
        for image in range(len(live)):
            prepared = {
                reader.key: prepare(tail, reader, bases[reader.key][image : image + 1], image, axis)
                for reader in readers
            }
            for channels in torch.split(live[image].nonzero().squeeze(1), rows_at_once(each)):
                rows = torch.full_like(channels, image)
                answers = {key: off.rows(channels) for key, off in prepared.items()}
                if only:
                    yield rows, channels, behind(answers[only], rows)
                else:
                    nothing = tail.raw.new_zeros(()).expand(len(rows), *tail.raw.shape[1:])  # nobody else reads it
                    yield rows, channels, tail(nothing, rows, answers=answers)


def _behind(tail: Tail, key: Key, base: Tensor) -> contextlib.AbstractContextManager[Tail]:
    """The tail of the only reader, so that what leads to it is not run either."""
    return tail_of(tail.model, tail.inputs, LayerCall(key[0], *key), raw=base)


def rows_at_once(bytes_each: int) -> int:
    """How many changed outputs of so many bytes are run at once."""
    return max(1, min(_MOST_ROWS, _AT_ONCE // max(1, bytes_each)))
