"""Which linear and convolution modules read a layer's output as it is, and what they give with one channel off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.tail.affine import depends, is_affine
from seewhy.cam.tail.operations import record
from seewhy.cam.tail.replay import Key
from seewhy.cam.tail.tail import Tail

_BLOCK = 16  # rows of a weight matrix at a time


@dataclass(frozen=True)
class Reader:
    """A module call whose input is a rearrangement of the layer's output of one image.

    `order` says for each input of a linear layer which feature of the layer's output it is; None is a convolution that
    reads the output as it is.
    """

    key: Key
    order: Tensor | None


@dataclass
class Off:
    """The output of one reader for one image with one channel of the layer off.

    `base` is its whole output, `share` (C, O) what each channel gives to a linear layer, `patches` (C, L, k) what a
    convolution reads of each. The module is linear, so that the output is the whole one less what the
    channel alone gives: the product of its own weights and features, for all channels one read of the weights.
    """

    module: nn.Module
    base: Tensor
    share: Tensor | None = None
    patches: Tensor | None = None

    def rows(self, channels: Tensor) -> Tensor:
        """The module's output (B, ...) for each of these channels off."""
        if self.share is not None:
            return self.base - self.share[channels]
        assert self.patches is not None and isinstance(self.module, nn.Conv2d)
        _, outputs, height, width = self.base.shape
        weights = self.module.weight.permute(1, 2, 3, 0).flatten(1, 2)[channels]  # (B, k, O)
        places = self.base.permute(0, 2, 3, 1).flatten(1, 2).expand(len(channels), -1, -1)  # (B, L, O)
        given = torch.baddbmm(places, self.patches[channels], weights, alpha=-1)
        return given.view(-1, height, width, outputs).permute(0, 3, 1, 2)


def whole(tail: Tail, reader: Reader) -> Tensor:
    """The reader's own output for every image of the batch."""
    module = tail.modules[reader.key[0]]
    if isinstance(module, nn.Conv2d):
        return functional.conv2d(tail.raw, module.weight, module.bias, module.stride, module.padding, module.dilation)
    assert isinstance(module, nn.Linear)
    return functional.linear(tail.raw.flatten(1)[:, reader.order], module.weight, module.bias)


def prepare(tail: Tail, reader: Reader, base: Tensor, image: int, axis: int) -> Off:
    """What the reader gives for one image, ready for switching off channels along `axis` of the layer's output.

    `base` is its whole output for that image.
    """
    module, raw = tail.modules[reader.key[0]], tail.raw[image : image + 1]
    if isinstance(module, nn.Conv2d):
        patches = functional.unfold(
            raw, _pair(module.kernel_size), module.dilation, _pair(module.padding), module.stride
        )
        return Off(module, base, patches=patches.view(raw.shape[1], -1, patches.shape[-1]).transpose(1, 2).contiguous())
    assert isinstance(module, nn.Linear) and reader.order is not None
    channel = _channel_of(raw, axis)[reader.order]
    columns = torch.argsort(channel, stable=True)
    in_order = bool((columns[1:] > columns[:-1]).all())
    weight = module.weight if in_order else module.weight[:, columns]
    features = raw.flatten()[reader.order][columns].view(raw.shape[axis], -1)  # (C, P)
    # In blocks that stay in the cache this reads the weights once, five times as fast as a product of matrices.
    blocks = torch.split(weight.view(len(weight), *features.shape), _BLOCK)
    share = torch.cat([(block * features).sum(dim=2) for block in blocks])  # (O, C)
    return Off(module, base, share=share.t().contiguous())


def find_readers(tail: Tail) -> tuple[Reader, ...]:
    """The modules through which alone the output depends on the layer, or () where that is not proven.

    Index numbers as activation show the rearrangement, random ones confirm it, and the recorded operations prove that
    what leads to the modules is affine and that nothing else depends on the layer.
    """
    first, raw = torch.zeros(1, dtype=torch.long, device=tail.raw.device), tail.raw[:1]
    if tail.plan.each != 1 or raw.numel() >= 1 / torch.finfo(raw.dtype).eps:
        return ()
    numbers = torch.arange(raw.numel(), device=raw.device).to(raw.dtype).view(raw.shape)
    random = torch.rand(raw.shape, generator=torch.Generator().manual_seed(0)).to(raw)
    readers = []
    shown, confirmed = _inputs(tail, numbers, first), _inputs(tail, random, first)
    for key, read in shown.items():
        reader = _reader(key, tail.modules[key[0]], read, numbers)
        if reader is not None and torch.equal(confirmed[key].flatten(), random.flatten()[read.long().flatten()]):
            readers.append(reader)
    answers = {reader.key: tail.modules[reader.key[0]](confirmed[reader.key]) for reader in readers}
    recorded = record(lambda: tail(random, first, answers=answers))
    proven = readers and is_affine(recorded, [random]) and not depends(recorded, [random])
    return tuple(readers) if proven else ()


def _inputs(tail: Tail, activation: Tensor, first: Tensor) -> dict[Key, Tensor]:
    seen: dict[Key, Any] = {}
    tail(activation, first, seen_inputs=seen)
    return {key: value for key, value in seen.items() if key not in tail.plan.inside and isinstance(value, Tensor)}


def _reader(key: Key, module: nn.Module, read: Tensor, numbers: Tensor) -> Reader | None:
    if module._forward_hooks or module._forward_pre_hooks or read.dtype != numbers.dtype:
        return None
    if type(module) is nn.Linear and read.ndim == 2 and read.numel() == numbers.numel():
        order = read.flatten().long()
        return Reader(key, order) if torch.equal(order.sort().values, torch.arange(len(order)).to(order)) else None
    if type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros":
        return Reader(key, None) if not isinstance(module.padding, str) and torch.equal(read, numbers) else None
    return None


def _channel_of(raw: Tensor, axis: int) -> Tensor:
    """The channel of each feature of an image (1, ...), flat."""
    shape = [-1 if at == axis else 1 for at in range(raw.ndim)]
    return torch.arange(raw.shape[axis], device=raw.device).view(shape).expand(raw.shape).flatten()


def _pair(size: Any) -> tuple[int, int]:
    return (int(size[0]), int(size[1]))
