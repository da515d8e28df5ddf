"""A batch that goes through a network in portions gives the maps of the whole; where it could matter it stays whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.compat import portions as under_test
from seewhy.compat.pytorch_grad_cam import EigenCAM, GradCAM, LayerCAM, ScoreCAM
from seewhy.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tests.compat.peers import maps_of, theirs
from tests.models import FourConv, Pooled, images, seeded

ONE = 6 * 32 * 32 * 4  # bytes of one picture in the largest layer of FourConv


@pytest.fixture(autouse=True)
def _small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_BYTES", 3 * ONE)


def counting(model: nn.Module) -> list[int]:
    """How many images each pass has from now on."""
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    return seen


def passes_of(seen: list[int], call: Callable[[], Any]) -> list[int]:
    """Those of one call."""
    seen.clear()
    call()
    return list(seen)


def whole(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(under_test, "_FEWEST", 10**6)
        return call()


@pytest.mark.parametrize("method", [GradCAM, LayerCAM, EigenCAM, ScoreCAM])
@pytest.mark.parametrize("targets", ["each", "one", None])
def test_portions_give_the_maps_of_the_whole(method: Any, targets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = seeded(FourConv()), images(17)
    chosen: Any = {"each": [ClassifierOutputTarget(n % 2) for n in range(17)], "one": ClassifierOutputTarget(1)}.get(
        targets
    )
    cam = method(model, [model.conv2, model.conv1])
    want = whole(monkeypatch, lambda: cam(x, chosen))
    outputs, recorded = cam.outputs, cam.activations_and_grads.activations
    seen = counting(model)
    have = cam(x, chosen)
    assert seen[:5] == [2, 4, 2, 3, 3], "two passes that try, then portions"
    np.testing.assert_allclose(have, want, atol=2e-6)
    torch.testing.assert_close(cam.outputs, outputs)
    for one, other in zip(cam.activations_and_grads.activations, recorded, strict=True):
        torch.testing.assert_close(one, other)


def test_they_are_the_other_packages_maps_too() -> None:
    model, x = seeded(FourConv()), images(9)
    targets = [theirs.utils.model_targets.ClassifierOutputTarget(n % 2) for n in range(9)]
    seen = counting(model)
    have = GradCAM(model, [model.conv2, model.conv1])(x, targets)
    assert seen == [2, 4, 3, 3, 3]
    want = maps_of(theirs, "GradCAM", model, x, ["conv2", "conv1"], targets)
    assert np.percentile(np.abs(have - want), 95) <= 1e-5


class Centred(Pooled):
    """Every image minus the mean of its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class Clips(Pooled):
    """Two frames each make one clip: half as many rows as images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(0, (-1, 2)).mean(1)


class Noisy(Pooled):
    """Another draw for each place in the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn(x.shape))


class OnlyTwelve(Pooled):
    """As an exported network is: one size of batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(12, 3, 32, 32))


@pytest.mark.parametrize("kind", [Centred, Clips, Noisy, OnlyTwelve])
def test_a_batch_whose_images_depend_on_each_other_stays_whole(kind: Any) -> None:
    model, x = seeded(kind()), images(12)
    cam, seen = GradCAM(model, [model.block]), counting(model)
    cam(x)
    assert cam.outputs.shape[0] == (6 if kind is Clips else 12)
    assert seen[0] == 2 and passes_of(seen, lambda: cam(x)) == [12]


def test_equal_images_tell_nothing_and_the_next_ones_do() -> None:
    model = seeded(Centred())
    cam, seen = GradCAM(model, [model.block]), counting(model)
    assert passes_of(seen, lambda: cam(images(1).expand(8, -1, -1, -1).contiguous())) == [8]
    assert passes_of(seen, lambda: cam(images(8))) == [2, 4, 8]


def test_the_network_is_asked_once_and_again_after_a_step() -> None:
    model, x = seeded(FourConv()), images(8)
    cam, seen = GradCAM(model, [model.conv2]), counting(model)
    assert passes_of(seen, lambda: cam(x)) == [2, 4, 2, 3, 3]
    assert passes_of(seen, lambda: cam(x)) == [2, 3, 3]
    with torch.no_grad():
        model.conv1.weight.mul_(1.5)
    assert passes_of(seen, lambda: cam(x)) == [2, 4, 2, 3, 3]
