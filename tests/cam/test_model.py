"""What is learned of a network is kept with it while it stays the same, and never outlives it."""

from __future__ import annotations

import copy
import gc
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cam.remembered import remembered
from seewhy.errors import StoreError
from tests.models import FourConv, Pooled, images, seeded


class Counting(Pooled):
    """Counts its passes."""

    runs: ClassVar = [0]

    def forward(self, x: Tensor) -> Tensor:
        type(self).runs[0] += 1
        return super().forward(x)


def counting() -> Counting:
    Counting.runs[0] = 0
    return seeded(Counting())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "grad-cam", "layers": "stem"},
        {"preset": "pytorch-grad-cam"},
        {"preset": "pytorch-grad-cam", "method": "layercam"},
    ],
    ids=["auto", "named", "preset", "preset-layercam"],
)
def test_the_second_call_takes_one_pass(options: dict[str, Any]) -> None:
    model, x = counting(), images(1, 16)
    first = seewhy.explain(model, x, progress=False, **options)
    model.runs[0] = 0
    again = seewhy.explain(model, x, progress=False, **options)
    assert model.runs == [1]
    assert torch.equal(*(torch.tensor(one.maps) for one in (first, again)))


def a_hook(model: nn.Module) -> None:
    model.register_forward_hook(lambda module, args, output: None)


def a_step(model: nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters()).mul_(2)


def an_attribute(model: nn.Module) -> None:
    next(one for one in model.modules() if isinstance(one, nn.Conv2d)).padding = (2, 2)


def another_forward(model: nn.Module) -> None:
    model.forward = lambda x: x  # type: ignore[method-assign]


def a_module(model: nn.Module) -> None:
    model.add_module("more", nn.Identity())


def a_type(model: nn.Module) -> None:
    model.double()


@pytest.mark.parametrize("change", [a_hook, a_step, an_attribute, another_forward, a_module, a_type])
def test_a_changed_network_is_learned_anew(change: Callable[[nn.Module], None]) -> None:
    model, learned = seeded(FourConv()), iter(range(10))
    assert [remembered(model, "what", lambda: next(learned)) for _ in range(2)] == [0, 0]
    assert remembered(model, "else", lambda: next(learned)) == 1
    change(model)
    assert [remembered(model, key, lambda: next(learned)) for key in ("what", "else", "what")] == [2, 3, 2]


class Stack(nn.Module):
    """Shared modules under second names, and an attribute whose values have one hash."""

    def __init__(self) -> None:
        super().__init__()
        self.every = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)])
        self.first, self.second = self.every
        self.axis = -1


def an_attribute_of_one_hash(model: Stack) -> None:
    model.axis = -2
    assert hash(-1) == hash(-2)


def a_swap_of_shared_modules(model: Stack) -> None:
    model.first, model.second = model.second, model.first


class Squashing(nn.Module):
    """What it ends with is a function in an attribute, and one in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.final, self.settings = FourConv(), torch.sigmoid, {"scale": 1.0, "then": torch.relu}

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.final(self.inner(x)) * self.settings["scale"]
        return scores


def a_function(model: Any) -> None:
    model.final = torch.nn.functional.logsigmoid


def a_value_in_a_dict(model: Any) -> None:
    model.settings["scale"] = 2.0


def a_function_in_a_dict(model: Any) -> None:
    model.settings["then"] = torch.sigmoid


@pytest.mark.parametrize("change", [a_function, a_value_in_a_dict, a_function_in_a_dict])
def test_functions_and_what_dicts_hold_are_seen(change: Callable[[Any], None]) -> None:
    model, learned = seeded(Squashing()), iter(range(10))
    assert [remembered(model, "what", lambda: next(learned)) for _ in range(2)] == [0, 0]
    change(model)
    assert remembered(model, "what", lambda: next(learned)) == 1


def test_another_last_step_is_read_as_by_a_new_network() -> None:
    model, x = seeded(Squashing()), images(2, 32)
    seewhy.explain(model, x, layers="inner.conv2", target=0, progress=False)
    model.final = nn.Identity()
    again, anew = (
        seewhy.explain(net, x, layers="inner.conv2", target=0, progress=False) for net in (model, copy.deepcopy(model))
    )
    assert torch.equal(torch.tensor(again.maps), torch.tensor(anew.maps))
    assert [one["probability"] for one in again.records] == [one["probability"] for one in anew.records]


def a_buffer(model: nn.Module) -> None:
    model[1].running_mean.fill_(0.7)  # type: ignore[index]


def behind_the_version(model: nn.Module) -> None:
    model[0].weight.data.mul_(-2)  # type: ignore[index]


@pytest.mark.parametrize("change", [a_buffer, behind_the_version])
def test_a_result_of_a_network_that_has_changed_is_not_saved_as_its(
    change: Callable[[nn.Module], None], tmp_path: Path
) -> None:
    parts = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model = nn.Sequential(*parts).eval()
    explanation = seewhy.explain(model, images(2, 16), layers="2", progress=False)
    change(model)
    with pytest.raises(StoreError, match="has changed since this was made"):
        explanation.save(tmp_path / "run")


def test_a_network_that_counts_its_passes_can_be_saved(tmp_path: Path) -> None:
    class Tallying(FourConv):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("passes", torch.zeros(1))
            self.seen: list[Tensor] = []
            self.counts: Counter[str] = Counter()

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            self.seen.append(x)
            self.counts["passes"] += 1
            return super().forward(x)

    network = seeded(Tallying())
    explanation = seewhy.explain(network, images(2, 32), layers="conv2", progress=False)
    assert (explanation.save(tmp_path / "run") / "manifest.json").is_file()
    assert network.passes == 0 and network.seen == [] and network.counts["passes"] > 0  # a Counter is not put back


@pytest.mark.parametrize("change", [an_attribute_of_one_hash, a_swap_of_shared_modules])
def test_changes_that_leave_names_and_hashes_as_they_are_are_seen(change: Callable[[Stack], None]) -> None:
    model, learned = seeded(Stack()), iter(range(10))
    assert remembered(model, "what", lambda: next(learned)) == 0
    change(model)
    assert remembered(model, "what", lambda: next(learned)) == 1


class Overwriting(FourConv):
    """Changes its input in place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


def test_images_given_as_a_tensor_stay_as_they_are() -> None:
    x = images(3, 32)
    before = x.clone()
    seewhy.explain(seeded(Overwriting()), x, layers="conv1", progress=False)
    assert torch.equal(x, before)


def test_modes_and_gradients_change_nothing_that_is_known() -> None:
    model, learned = seeded(FourConv()), iter(range(10))
    remembered(model, "what", lambda: next(learned))
    model.train()
    model.requires_grad_(False)
    assert remembered(model, "what", lambda: next(learned)) == 0


@pytest.mark.parametrize("method", ["auto", "ablation-cam"])
def test_a_network_that_was_explained_is_given_up_with_what_was_learned(method: str) -> None:
    model = seeded(Pooled())
    seewhy.explain(model, images(1, 16), method=method, progress=False)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
