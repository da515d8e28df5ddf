"""The proof of an affine tail: accepts what is affine, and nothing that only nearly is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.capture import find_layer
from seewhy.cam.tail.affine import affine_behind, depends, is_affine
from seewhy.cam.tail.operations import record
from tests.models import FourConv, Linear, Pooled, images, seeded

CONV, FC = seeded(nn.Conv2d(4, 6, 3, padding=1), 1), seeded(nn.Linear(4, 3), 2)
NORM, FLAT = seeded(nn.BatchNorm2d(4), 3), seeded(nn.Linear(4 * 36, 3), 4)
CONSTANT = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(5))


def in_place_affine(a: Tensor) -> Tensor:
    x = a.clone()
    x[:, 1:3].mul_(2).add_(CONSTANT[:, 1:3])
    return x.flatten(1)


def relu_through_a_view(a: Tensor) -> Tensor:
    x = torch.zeros_like(a)
    view = x.view(2, -1)
    x.copy_(a)
    view.relu_()
    return x


def product_through_a_buffer(a: Tensor) -> Tensor:
    """The buffer is constant when it is made, and depends on the activation when it is used."""
    buffer = torch.ones(2, 4, 6, 6)
    half = buffer[:, :2]
    half.copy_(a[:, :2])
    return buffer * a


def by_a_number(a: Tensor) -> Tensor:
    return CONSTANT * float(a.sum())


def by_a_choice(a: Tensor) -> Tensor:
    return CONSTANT if bool(a.sum() > 0) else -CONSTANT


def squeeze_and_excite(a: Tensor) -> Tensor:
    return a * torch.sigmoid(a.mean((2, 3), keepdim=True))


AFFINE: dict[str, Callable[[Tensor], Tensor]] = {
    "pool and linear": lambda a: FC(functional.adaptive_avg_pool2d(a, 1).flatten(1)),
    "mean and linear": lambda a: FC(functional.dropout(a.mean((2, 3)), 0.5, training=False)),
    "flatten and linear": lambda a: FLAT(a.permute(0, 1, 3, 2).contiguous().flatten(1)),
    "convolution": lambda a: CONV(functional.pad(a, (1, 1, 0, 0))),
    "batch norm": lambda a: NORM(functional.avg_pool2d(a, 2)),
    "tokens": lambda a: FC(torch.cat([torch.ones(2, 1, 4), a.flatten(2).transpose(1, 2)], 1).mean(1)),
    "sums": lambda a: (2 * a - CONSTANT + a.flip(3) / 3).sum(3)[:, torch.tensor([2, 0])],
    "constant factors": lambda a: torch.where(CONSTANT > 0.5, a * CONSTANT, -a) @ CONSTANT,
    "upsampling": lambda a: functional.interpolate(a, scale_factor=2, mode="bilinear"),
    "adaptive pool to 4": lambda a: functional.adaptive_avg_pool2d(a, 4),
    "in place": in_place_affine,
    "constant": lambda a: CONSTANT.relu(),
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda a: FC(a.relu().mean((2, 3))),
    "relu in place": lambda a: a.clone().relu_(),
    "relu through a view": relu_through_a_view,
    "product through a buffer": product_through_a_buffer,
    "softmax": lambda a: FC(a.mean((2, 3))).softmax(1),
    "max pool": lambda a: functional.max_pool2d(a, 2),
    "adaptive max pool": lambda a: functional.adaptive_max_pool2d(a, 1),
    "layer norm": lambda a: functional.layer_norm(a, a.shape[1:]),
    "group norm": lambda a: functional.group_norm(a, 2),
    "batch norm of the batch": lambda a: functional.batch_norm(a, None, None, training=True),
    "product": lambda a: a * a.flip(1),
    "product of matrices": lambda a: a @ a.transpose(2, 3),
    "quotient": lambda a: CONSTANT / (a + 5),
    "rounded quotient": lambda a: torch.div(a, 2, rounding_mode="floor"),
    "squeeze and excite": squeeze_and_excite,
    "norm": lambda a: a / a.norm(dim=1, keepdim=True),
    "generalised mean": lambda a: a.clamp(min=1e-6).pow(3).mean((2, 3)),
    "a number read out": by_a_number,
    "a choice": by_a_choice,
    "a mask": lambda a: torch.where(a > 0, CONSTANT, 0.0),
    "whole numbers": lambda a: a.long().float(),
    "the strongest": lambda a: a.flatten(1).max(1).values,
    "sorted": lambda a: a.sort(1).values,
    "dropout": lambda a: functional.dropout(a, 0.5, training=True),
}


def proven(code: Callable[[Tensor], Tensor]) -> bool:
    a = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    return is_affine(record(lambda: code(a)), [a])


@pytest.mark.parametrize("name", AFFINE)
def test_affine_code_is_proven(name: str) -> None:
    code, generator = AFFINE[name], torch.Generator().manual_seed(6)
    assert proven(code)
    a, b = torch.randn(2, 2, 4, 6, 6, generator=generator)
    with torch.no_grad():  # what the proof says
        torch.testing.assert_close(code(0.3 * a + 0.7 * b), 0.3 * code(a) + 0.7 * code(b), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_code_that_is_not_affine_is_not_proven(name: str) -> None:
    assert not proven(OTHERS[name])


def test_two_variables_may_be_added_but_not_multiplied() -> None:
    a, b = torch.ones(2, 3), torch.ones(3)
    assert is_affine(record(lambda: a + 2 * b), [a, b])
    assert not is_affine(record(lambda: a * b), [a, b])
    assert is_affine(record(lambda: a * b), [b])


def test_dependence_is_followed_through_memory_and_numbers() -> None:
    a = torch.ones(2, 4, 6, 6)
    assert depends(record(lambda: relu_through_a_view(a)), [a])
    assert depends(record(lambda: by_a_number(a)), [a])
    assert not depends(record(lambda: a.sum() + CONSTANT), [torch.ones(3)])
    assert not depends(record(lambda: (a.sum(), CONSTANT * 2)[1]), [a])


@pytest.mark.parametrize(
    ("model", "layers", "affine"),
    [
        (Pooled(), ["act"], True),
        (Pooled(), ["block"], False),
        (Pooled(), ["stem", "act"], False),
        (FourConv(), ["conv2"], False),
        (Linear(), ["features"], True),
    ],
)
def test_what_follows_layers_of_a_network(model: nn.Module, layers: list[str], affine: bool) -> None:
    found = [find_layer(model, name) for name in layers]
    assert affine_behind(seeded(model), images(1), found) is affine
    assert all(not module._forward_hooks for module in model.modules())
