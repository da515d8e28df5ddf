"""A method of the user's: a function from a Scene to maps, run like one of ours, its maps looked at before use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seewhy.cam.methods.catalogue import Method, known_name
from seewhy.cam.methods.scene import Scene
from seewhy.errors import OptionError, SeewhyError

MapFunction = Callable[[Scene], Tensor]  # signed maps (N, H, W) of a batch, on the layer's own grid


def own_method(function: MapFunction) -> tuple[str, Method]:
    """The name of a user's function from a Scene to maps (N, H, W), and the method that it is.

    Raises OptionError where one of seewhy's methods has that name.
    """
    name = _name_of(function)
    if name in ("auto", "input") or known_name(name):
        raise OptionError(
            f"A method of yours is called {name!r}, as seewhy's own {known_name(name) or name} is.\n"
            "  Give the function another name: the run is named after it.",
            slug="own-method",
        )
    summary = "a function of yours"
    cost = "forward + small backward + what it does"
    checked = partial(_checked, function, name)
    return name, Method(checked, summary, "", cost, "maps", seeded=True, code=function)


def _name_of(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    name: str = getattr(function, "__name__", type(function).__name__)
    return name.strip("<>")


def _checked(function: MapFunction, name: str, scene: Scene) -> Tensor:
    """The function's maps. Raises OptionError where they are no finite maps of the layer's grid."""
    try:
        maps: Any = function(scene)
    except (SeewhyError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if "memory" in str(error).lower():  # told as such, with what to do about it
            raise
        raise _refusal(name, scene, f"failed with {type(error).__name__}: {error}") from error
    if not isinstance(maps, Tensor):
        raise _refusal(name, scene, f"gave {'None' if maps is None else type(maps).__name__}")
    if tuple(maps.shape) != _shape(scene):
        raise _refusal(name, scene, f"gave a tensor of shape {tuple(maps.shape)}")
    given = [scene.values, *(part for part in (scene.activation, scene.gradient) if part is not None)]
    rows = torch.stack([_finite(part) for part in given]).all(dim=0)  # of others no method could say anything
    if broken := int((rows & ~_finite(maps)).sum()):
        raise _refusal(name, scene, f"gave NaN or infinite cells in {broken} of {len(maps)} maps")
    return maps


def _finite(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).isfinite().all(dim=1)


def _shape(scene: Scene) -> tuple[int, ...]:
    activation = scene.values if scene.activation is None else scene.activation
    return (len(activation), *activation.shape[2:])


def _refusal(name: str, scene: Scene, what: str) -> OptionError:
    layer = scene.layer.asked if scene.layer else "the input"
    return OptionError(
        f"The method {name} {what}, asked for the maps of {layer}.\n"
        f"  Return a finite tensor {_shape(scene)}, a signed map for each image on the grid of scene.activation, like\n"
        "    return (scene.gradient * scene.activation).sum(dim=1)",
        slug="own-method",
    )
