"""Every public module, class, method and function of the other package is in ours, or on the page with the reason."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seewhy.compat.pytorch_grad_cam.grad_cam import GradCAM
from seewhy.compat.pytorch_grad_cam.grad_cam_plusplus import GradCAMPlusPlus
from seewhy.compat.pytorch_grad_cam.guided_backprop import GuidedBackpropReLUasModule, GuidedBackpropReLUModel
from seewhy.compat.pytorch_grad_cam.sess import SESS, sliding_window
from seewhy.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from seewhy.compat.pytorch_grad_cam.xgrad_cam import XGradCAM
from seewhy.errors import OptionError
from tests.compat.peers import ours, theirs
from tests.models import FourConv, images, seeded

PAGE = Path(__file__).parents[2] / "docs" / "from-pytorch-grad-cam.md"
RENAMED = {"self", "target_layer", "target_category", "input", "args", "kwargs"}  # given by position, or anything


def left_out() -> set[str]:
    """The names that the page says are not here."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition("## What is not here")
    return set(re.findall(r"`([\w.]+)`", section.split("\n## ")[0]))


def counterparts() -> Iterator[tuple[str, Any, Any]]:
    """Each public name of theirs where it is defined ("sess.SESS.forward"), the thing, and ours or None."""
    for info in pkgutil.walk_packages(theirs.__path__, f"{theirs.__name__}."):
        inside = info.name.removeprefix(f"{theirs.__name__}.")
        module = importlib.import_module(info.name)
        try:
            own = importlib.import_module(f"{ours.__name__}.{inside}")
        except ModuleNotFoundError:
            yield inside, module, None
            continue
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
                continue
            mine = getattr(own, name, None)
            yield f"{inside}.{name}", thing, mine
            for part in vars(thing) if isinstance(thing, type) else ():
                if not part.startswith("_"):
                    yield f"{inside}.{name}.{part}", getattr(thing, part), getattr(mine, part, None)


def test_every_public_name_is_here_or_on_the_page() -> None:
    missing = {name for name, _, mine in counterparts() if mine is None}
    named = left_out()
    assert {name for name in missing if ".".join(name.split(".")[-2:]) not in named} == set()
    assert sum(mine is not None for *_, mine in counterparts()) > 100


def test_the_page_leaves_out_nothing_that_is_here() -> None:
    missing = {".".join(name.split(".")[-2:]) for name, _, mine in counterparts() if mine is None}
    assert left_out() - missing == set()


def test_every_parameter_keeps_its_name_and_place() -> None:
    for name, thing, mine in counterparts():
        if mine is None or not callable(thing):
            continue
        asked, taken = (list(inspect.signature(one).parameters.values()) for one in (thing, mine))
        free = {one.kind for one in taken} & {inspect.Parameter.VAR_KEYWORD}
        names = [one.name for one in taken]
        wanted = [one.name for one in asked if one.name not in RENAMED]
        assert free or set(wanted) <= set(names), name
        places = [names.index(one) for one in wanted if one in names]
        assert places == sorted(places), name


def test_modules_are_attributes_after_one_import_as_there() -> None:
    for info in pkgutil.walk_packages(theirs.__path__):
        if hasattr(theirs, info.name) and info.name != "ablation_cam_multilayer":
            assert hasattr(ours, info.name), info.name


def test_what_their_base_module_imports_can_be_imported_from_ours() -> None:
    base = importlib.import_module(f"{ours.__name__}.base_cam")
    for name in ("ActivationsAndGradients", "ClassifierOutputTarget", "get_2d_projection", "scale_cam_image"):
        assert callable(getattr(base, name))


# What their own test files ask for.


def test_windows_cover_an_image() -> None:
    assert sliding_window(30, 50, 10, 30) == [(0, 0), (10, 0), (20, 0)]
    assert sliding_window(40, 30, 30, 30) == [(0, 0), (0, 10)]
    assert sliding_window(20, 20, 30, 30) == [(0, 0)]
    for size in ((33, 47), (64, 64), (50, 31)):
        seen = np.zeros(size, bool)
        for left, top in sliding_window(*size, 13, 30):
            assert top + 30 <= size[0] and left + 30 <= size[1]
            seen[top : top + 30, left : left + 30] = True
        assert seen.all()
        assert sliding_window(*size, 13, 30) == theirs.sess.sliding_window(*size, 13, 30)


@pytest.mark.parametrize("cam", [GradCAM, GradCAMPlusPlus, XGradCAM])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 5, 2)], ids=["images", "volumes"])
def test_weights_follow_from_activations_and_gradients_alone(cam: Any, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    activations, grads = (random.normal(size=shape).astype(np.float32) for _ in range(2))
    have = cam.get_cam_weights(None, None, None, None, activations, grads)
    want = getattr(theirs, cam.__name__).get_cam_weights(None, None, None, None, activations, grads)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6)


def test_a_guided_relu_as_a_layer_of_the_scripts_own() -> None:
    model, x = seeded(FourConv()), images(1)
    want = GuidedBackpropReLUModel(model)(x, 1)
    model.relu = GuidedBackpropReLUasModule()
    leaf = x.clone().requires_grad_()
    model(leaf)[0, 1].backward()
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad[0].permute(1, 2, 0), want, atol=1e-7)
    at_zero = torch.zeros(1, requires_grad=True)
    GuidedBackpropReLUasModule()(at_zero).backward()
    assert at_zero.grad == 0


def test_errors_are_also_what_scripts_catch_there() -> None:
    model, x = seeded(FourConv()), images(2)
    wrong = [lambda: SESS(model, [model.conv2], pool="median"), lambda: SESS(model, [model.conv2], num_scales=0)]
    wrong += [lambda: SESS(model, [model.conv2], scales=[8])(x), lambda: GradCAM(model, [model.conv2])(x[0])]
    wrong += [lambda: SESS(model, [model.conv2], num_scales=1)(x, [ClassifierOutputTarget(0)])]
    for call in wrong:
        with pytest.raises(ValueError) as caught:
            call()
        assert isinstance(caught.value, OptionError)
    with pytest.raises(IndexError, match="There is no class 9") as caught_too:
        GradCAM(model, [model.conv2])(x, ClassifierOutputTarget(9))
    assert isinstance(caught_too.value, OptionError) and caught_too.value.slug == "no-such-class"
