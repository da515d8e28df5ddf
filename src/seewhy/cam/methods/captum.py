"""Attributions by captum as methods on the input: found by name, run image by image, the network left as it was."""

from __future__ import annotations

import contextlib
import copy
import importlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seewhy.cam.methods.captum_calls import CAPTUM
from seewhy.cam.methods.input_score import Scored, leaf_of
from seewhy.cam.methods.scene import Scene
from seewhy.cam.model import untouched
from seewhy.errors import MissingExtraError, ModelError, OptionError, listed, nearest

EXPECTED = r"Setting (forward|backward)|Input Tensor \d+"  # what captum says of doing what it was asked for


def captum_name(name: str) -> str:
    """captum's method in our spelling: "captum:IntegratedGradients" -> "captum:integrated-gradients".

    Raises OptionError with the nearest names.
    """
    asked = name.partition(":")[2] if name.casefold().startswith("captum:") else name
    if known_name := {folded(known): known for known in CAPTUM}.get(folded(asked)):
        return f"captum:{known_name}"
    raise OptionError(
        f"There is no method {name!r}.  {nearest(asked, CAPTUM)}\n"
        f"  Methods by captum: {listed((f'captum:{known}' for known in CAPTUM), 30)}.  What they do:  seewhy methods",
        slug="no-such-method",
    )


def captum_method(name: str) -> Callable[[Scene], Tensor]:
    """The function from a Scene to signed maps (N, H, W), summed over the input's channels, of captum's method `name`.

    Every image is explained alone, so that nothing depends on its batch, and random numbers follow from the scene's
    seed. Raises OptionError with the nearest names, MissingExtraError without captum.
    """
    known = captum_name(name).partition(":")[2]
    _captum(known)  # missing: said now, not behind a long run
    return partial(_maps_of, known)


def _maps_of(name: str, scene: Scene) -> Tensor:
    """The signed maps (N, H, W). Raises ModelError where captum refuses the network."""
    method, attr = CAPTUM[name], _captum(name)
    maps = []
    with untouched(scene.model), torch.inference_mode(False), torch.enable_grad():
        if method.rewires:
            scene = replace(scene, model=_copy_of(scene.model, name))
        for index in range(len(scene.inputs)):
            attributed = _attributed(name, attr, scene, index)
            maps.append(attributed.detach().sum(dim=1))
    return torch.cat(maps)


def _attributed(name: str, attr: Any, scene: Scene, index: int) -> Tensor:
    """The attributions (1, C, H, W) of one image of the scene."""
    _seed(scene)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(captum|sklearn)\.")
            warnings.filterwarnings("ignore", message=EXPECTED)
            with contextlib.nullcontext() if scene.inputs.device.type == "cpu" else _DrawnOnCpu():
                image = leaf_of(scene.inputs[index, None])
                return CAPTUM[name].attribute(attr, Scored(scene, index), image, scene.seed)
    except ImportError as error:  # what some need besides, only known when they run
        raise MissingExtraError(error.name or "scikit-learn", "captum", f"The method captum:{name}") from error
    except (AssertionError, TypeError, AttributeError, KeyError, RuntimeError) as error:
        if not CAPTUM[name].rewires or isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise _refused(name, scene.model, error) from error


def _copy_of(model: nn.Module, name: str) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise _refused(name, model, error) from error


def _refused(name: str, model: nn.Module, error: Exception) -> ModelError:
    line = " ".join(str(error).split())
    return ModelError(
        f"captum's {name} cannot take {type(model).__name__} apart: {line or type(error).__name__}\n"
        "  Use a method that takes any network:  --method captum:integrated-gradients  or  captum:occlusion",
        slug="captum-refuses",
    )


def _captum(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("captum.attr")
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "captum", f"The method captum:{name}") from error


def _seed(scene: Scene) -> None:
    """Both global random states, which captum draws from; whoever holds the model `untouched` puts them back."""
    np.random.seed(scene.seed % 2**32)
    torch.default_generator.manual_seed(scene.seed)
    if scene.inputs.device.type == "cuda":  # a network that draws in its forward pass
        torch.cuda.default_generators[scene.inputs.device.index].manual_seed(scene.seed)


class _DrawnOnCpu(TorchFunctionMode):
    """While it is entered, what captum draws on a device is drawn on the CPU: the same numbers on every machine."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in (torch.normal, torch.bernoulli):
            return func(*args, **(kwargs or {}))
        given = [value for value in args if isinstance(value, Tensor)]
        drawn = func(*(value.cpu() if isinstance(value, Tensor) else value for value in args), **(kwargs or {}))
        return drawn.to(given[0].device) if given else drawn


def folded(name: str) -> str:
    """A name as it is compared: without capitals, hyphens, underscores and blanks."""
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
