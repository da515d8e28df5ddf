"""Layers of a network by what they are, and layers put in the place of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn


def find_layer_predicate_recursive(model: nn.Module, predicate: Callable[[nn.Module], Any]) -> list[nn.Module]:
    """The modules inside of a network, itself left out, for which `predicate` holds, in their order."""
    return [module for module in _inside(model) if predicate(module)]


def find_layer_types_recursive(model: nn.Module, layer_types: Iterable[type]) -> list[nn.Module]:
    """The modules inside of a network whose very class is one of these."""
    kinds = tuple(layer_types)
    return find_layer_predicate_recursive(model, lambda module: type(module) in kinds)


def replace_layer_recursive(model: nn.Module, old_layer: nn.Module, new_layer: Any) -> bool:
    """Put a layer in the place where another first stands in the network; whether there was one."""
    for parent in (model, *_inside(model)):
        for name, module in parent._modules.items():
            if module is old_layer:
                parent._modules[name] = new_layer
                return True
    return False


def replace_all_layer_type_recursive(model: nn.Module, old_layer_type: Any, new_layer: Any) -> None:
    """Put one layer in the place of every module of a class."""
    for parent in (model, *_inside(model)):
        for name, module in parent._modules.items():
            if isinstance(module, old_layer_type):
                parent._modules[name] = new_layer


def _inside(model: nn.Module) -> list[nn.Module]:
    """The modules of a network in their order, each as often as it stands there, without the network itself."""
    return [module for _, module in model.named_modules(remove_duplicate=False)][1:]
