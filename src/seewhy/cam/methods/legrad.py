"""LeGrad: where a transformer's attention would raise the class, as each layer's own tokens tell it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seewhy.cam.capture import LayerCall
from seewhy.cam.methods.attention import Attention, by_head, on_grid, tokens_of, whole
from seewhy.cam.methods.input_score import Scored, leaf_of
from seewhy.cam.methods.scene import Scene
from seewhy.cam.scores.outputs import first_tensor, wide
from seewhy.cam.tail.tail import tail_of
from seewhy.errors import LayerError


class _Block(NamedTuple):
    """A module that holds one attention, by name, and the tokens (N, T, D) that it gave."""

    name: str
    tokens: Tensor


def legrad(scene: Scene) -> Tensor:
    """Maps (N, H, W), at least 0: a score's positive slope by attention, averaged over layers, heads and queries.

    The score of a layer is what the network's head says of the mean of that layer's tokens, and the slope that by the
    same layer's attention. The mean is over the layers from the named one to the last: name the first block for all.
    Bousselham et al. 2024, arXiv:2404.03214, sec. 3, without the scaling to [0, 1]. Errors as `attention_rollout`.
    """
    count, tokens = len(scene.inputs), tokens_of(scene)
    with torch.inference_mode(False), torch.enable_grad():
        with Attention() as watched, _blocks(scene, watched, tokens) as blocks:
            Scored(scene)(leaf_of(scene.inputs))
        attentions = whole(scene, watched, tokens)
        held = [blocks[number] for number in range(len(attentions)) if number in blocks]
        if len(held) < len(attentions):
            raise _refusal(scene, len(held), len(attentions))
        first = _start(scene, held)
        held, attentions = held[first:], attentions[first:]
        with tail_of(scene.model, scene.inputs, LayerCall(held[-1].name, held[-1].name)) as tail:
            shares = []
            for block, attention in zip(held, attentions, strict=True):
                mean = block.tokens.mean(dim=1, keepdim=True).expand_as(block.tokens)
                score = scene.rescore(tail(mean.contiguous()), None).sum()
                (slope,) = torch.autograd.grad(score, attention, retain_graph=True)
                shares.append(wide(by_head(slope, count)).clamp(min=0).mean(dim=(1, 2)))
    return on_grid(scene, torch.stack(shares).mean(dim=0))


def _start(scene: Scene, blocks: list[_Block]) -> int:
    """Which block the scene's layer is, or lies in; 0 where it is in none."""
    assert scene.layer is not None
    inside = [number for number, block in enumerate(blocks) if f"{scene.layer.name}.".startswith(f"{block.name}.")]
    return inside[0] if inside else 0


@contextlib.contextmanager
def _blocks(scene: Scene, watched: Attention, tokens: int) -> Iterator[dict[int, _Block]]:
    """While it is entered: for each attention, by its number, the outermost module that holds it and no other."""
    found: dict[int, _Block] = {}
    begun: list[int] = []
    owner, shape = threading.get_ident(), (len(scene.inputs), tokens)

    def enter(module: Any, args: Any) -> None:
        if threading.get_ident() == owner:  # another thread may run the same network meanwhile
            begun.append(len(watched.square))

    def leave(name: str) -> Any:
        def note(module: Any, args: Any, output: Any) -> None:
            if threading.get_ident() == owner:
                start, given = begun.pop(), first_tensor(output)
                holds_one = len(watched.square) == start + 1
                if holds_one and given is not None and given.ndim == 3 and given.shape[:2] == shape:
                    found[start] = _Block(name, given.clone())  # the next block may change it in place

        return note

    with contextlib.ExitStack() as stack:
        for name, module in scene.model.named_modules():
            if name:
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave(name)).remove)
        yield found


def _refusal(scene: Scene, held: int, attentions: int) -> LayerError:
    return LayerError(
        f"LeGrad asks the head about the tokens of each layer of attention; in {type(scene.model).__name__} {held} of "
        f"{attentions} lie in a module of their own that gives all tokens.\n"
        "  Use a method that needs no such modules:  --method gradient-attention",
        slug="no-attention",
    )
