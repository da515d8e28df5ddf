"""Methods by captum against captum itself, and against the laws that they must obey."""

from __future__ import annotations

import importlib
import math
import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.cam.methods.captum import captum_method, captum_name
from seewhy.cam.methods.captum_calls import CAPTUM, _segments
from seewhy.cam.methods.scene import Scene
from seewhy.cam.model import untouched
from seewhy.errors import MissingExtraError, ModelError, OptionError
from tests.models import FourConv, InPlaceFunctional, images, seeded


class Modules(nn.Module):
    """Every step a module that runs once, as DeepLift and LRP want it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.pool, self.fc = nn.AdaptiveAvgPool2d(4), nn.Linear(128, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.features(x)).flatten(1))


def scene_of(model: nn.Module, inputs: Tensor, columns: list[int] | None = None, seed: int = 0) -> Scene:
    """A scene that explains class columns[i] of image i, as the score "predicted" would."""
    fixed = torch.tensor(columns or [1] * len(inputs))

    def rescore(output: Any, rows: Tensor | None) -> Tensor:
        wanted = fixed if rows is None else fixed[rows]
        return output.gather(1, wanted[:, None])[:, 0]

    with torch.no_grad():
        return Scene(model, inputs, rescore(model(inputs), None), rescore, seed=seed)


def without_warnings(code: Callable[[], Tensor]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum announces its hooks
        return code()


DIRECT: dict[str, Callable[[Any, Any, Tensor], Tensor]] = {
    "saliency": lambda attr, net, x: attr.Saliency(net).attribute(x, target=1, abs=False),
    "input-x-gradient": lambda attr, net, x: attr.InputXGradient(net).attribute(x, target=1),
    "integrated-gradients": lambda attr, net, x: attr.IntegratedGradients(net).attribute(x, target=1),
    "deeplift": lambda attr, net, x: attr.DeepLift(net).attribute(x, target=1),
    "lrp": lambda attr, net, x: attr.LRP(net).attribute(x, target=1),
    "occlusion": lambda attr, net, x: (
        attr.Occlusion(net).attribute(x, (3, 3, 3), strides=(3, 3, 3), target=1) / math.prod((3, 3, 3))
    ),
    "feature-ablation": lambda attr, net, x: (
        attr.FeatureAblation(net).attribute(x, target=1, feature_mask=_segments(x)) / (3 * 9)
    ),
}


@pytest.mark.parametrize("name", DIRECT)
def test_equals_captum_called_directly(name: str) -> None:
    model, inputs = seeded(Modules()), images(3, 24)
    ours = captum_method(name)(scene_of(model, inputs))
    leaf = inputs.clone().requires_grad_()
    theirs = without_warnings(lambda: DIRECT[name](captum.attr, model, leaf)).sum(1).detach()
    assert ours.shape == (3, 24, 24) and theirs.abs().max() > 1e-4
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["integrated-gradients", "deeplift", "shapley-sampling", "kernel-shap"])
def test_maps_sum_to_the_difference_from_an_empty_input(name: str) -> None:
    model, inputs = seeded(Modules()), images(2, 24)
    scene = scene_of(model, inputs, [2, 0])
    empty = scene_of(model, inputs * 0, [2, 0]).values
    sums = captum_method(name)(scene).sum((1, 2))
    torch.testing.assert_close(sums, scene.values - empty, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", CAPTUM)
def test_an_image_alone_in_a_batch_and_again(name: str) -> None:
    """Each image keeps its own class, the random methods their draws, and the global random states theirs."""
    model, inputs = seeded(Modules()), images(3, 16)
    scene = scene_of(model, inputs, [0, 2, 1])
    states = random.getstate(), torch.random.get_rng_state()
    numbers = np.random.get_state()[1].copy()
    method = captum_method(name)
    with untouched(model):
        together = method(scene)
    alone = [method(scene_of(model, inputs[i : i + 1], [column])) for i, column in enumerate([0, 2, 1])]
    assert together.isfinite().all() and (together.std((1, 2)) > 0).all()
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-5)
    assert torch.equal(together, method(scene))
    assert random.getstate() == states[0] and torch.equal(torch.random.get_rng_state(), states[1])
    assert (np.random.get_state()[1] == numbers).all()


@pytest.mark.parametrize("name", ["smooth-grad", "gradient-shap", "deeplift-shap", "shapley-sampling"])
def test_another_seed_is_another_draw(name: str) -> None:
    model, inputs = seeded(Modules()), images(1, 16)
    one, other = (captum_method(name)(scene_of(model, inputs, seed=seed)) for seed in (0, 1))
    assert not torch.allclose(one, other, rtol=1e-3)


@pytest.mark.parametrize("name", CAPTUM)
@pytest.mark.parametrize("net", [Modules, FourConv])
def test_the_network_is_left_as_it_was_also_after_a_refusal(name: str, net: Callable[[], nn.Module]) -> None:
    model, inputs = seeded(net()).train(), images(1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attributes = {key: set(vars(module)) for key, module in model.named_modules()}
    refused = net is FourConv and CAPTUM[name].rewires
    try:
        with untouched(model):
            captum_method(name)(scene_of(model, inputs))
        assert not refused
    except ModelError as error:
        assert refused and "more than once" in str(error)
    assert all(module.training for module in model.modules())
    assert {key: set(vars(module)) for key, module in model.named_modules()} == attributes
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks and not module._backward_hooks
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(inputs, images(1)) and not inputs.requires_grad


@pytest.mark.parametrize("name", ["deeplift", "deeplift-shap"])
def test_deeplift_is_refused_where_it_would_be_the_plain_gradient(name: str) -> None:
    with pytest.raises(ModelError, match=r"cannot take InPlaceFunctional apart: its rules[^~]*would meet: relu"):
        captum_method(name)(scene_of(seeded(InPlaceFunctional()), images(1, 16)))
    gelu = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(784, 2))
    with pytest.raises(ModelError, match="meet: gelu"):
        captum_method(name)(scene_of(seeded(gelu), images(1, 16)))

    class Clamping(Modules):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).clamp(min=0)

    with pytest.raises(ModelError, match="meet: clamp"):
        captum_method(name)(scene_of(seeded(Clamping()), images(1, 16)))


def test_lrp_is_refused_where_relevance_would_be_made_up() -> None:
    class Skipping(Modules):
        def forward(self, x: Tensor) -> Tensor:
            y = self.features(x)
            return self.fc(self.pool(y + x.mean(1, keepdim=True)).flatten(1))

    with pytest.raises(ModelError, match=r"cannot take Skipping apart: its rules[^~]*: add, mean \(a skip"):
        captum_method("lrp")(scene_of(seeded(Skipping()), images(1, 16)))


def test_an_error_of_the_users_own_score_is_passed_on() -> None:
    def fail(output: object, rows: Tensor | None) -> Tensor:
        raise ValueError("the user's own score fails")

    scene = replace(scene_of(seeded(Modules()), images(1, 16)), rescore=fail)
    for name in ("captum:saliency", "captum:lrp"):
        with pytest.raises(ValueError, match="own score fails"):
            captum_method(name)(scene)


@pytest.mark.parametrize("asked", ["captum:IntegratedGradients", "integrated_gradients", "Captum:integrated-gradients"])
def test_names_are_understood(asked: str) -> None:
    assert captum_name(asked) == "captum:integrated-gradients"


def test_an_unknown_name_says_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"no method 'captum:occlude'.  Nearest: occlusion[^~]*captum:kernel-shap"):
        captum_method("captum:occlude")


def test_without_captum_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="captum")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"captum:lrp needs the package 'captum'[^~]*seewhy\[captum\]"):
        captum_method("captum:lrp")


@pytest.mark.parametrize("size", [(5, 30), (16, 16), (9, 8), (224, 7)], ids=str)
def test_segments_are_numbered_without_gaps(size: tuple[int, int]) -> None:
    mask = _segments(torch.zeros(1, 3, *size))
    assert mask.shape == (1, 1, *size)
    assert mask.unique().tolist() == list(range(min(8, size[0]) * min(8, size[1])))
