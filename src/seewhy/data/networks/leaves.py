"""The layers of an exported program as the modules of torch.nn that they were, so that their kinds are known again.

A program knows operations alone. A module of it that is one operation (a convolution, a pool) gets its own class back,
with the same weights and settings: from the class is told which outputs are grids, and which layers are pools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

Settings = Mapping[str, Any]  # the arguments of an operation by name


def rebuilt(network: nn.Module) -> None:
    """Replace each module inside a network that is one known operation by the module of torch.nn that does the same."""
    made: dict[int, nn.Module] = {}
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if not name:
            continue
        if id(module) not in made and (layer := _layer_of(module)) is not None:
            made[id(module)] = layer
        if id(module) in made:
            parent, _, last = name.rpartition(".")
            network.get_submodule(parent)._modules[last] = made[id(module)]


def _layer_of(module: nn.Module) -> nn.Module | None:
    """The module of torch.nn for one that runs a single known operation on its only input, else None."""
    graph = getattr(module, "graph", None)
    if not isinstance(graph, fx.Graph) or next(module.children(), None) is not None:
        return None
    nodes = {kind: [node for node in graph.nodes if node.op == kind] for kind in ("placeholder", "call_function")}
    given, calls = nodes["placeholder"], nodes["call_function"]
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    result = result[0] if isinstance(result, (tuple, list)) and len(result) == 1 else result
    if len(given) != 1 or len(calls) != 1 or calls[0].args[:1] != (given[0],) or result is not calls[0]:
        return None
    make = _MAKERS.get(str(calls[0].target))
    layer = None if make is None else make(_settings(calls[0], module))
    return None if layer is None else layer.eval()


def _settings(call: fx.Node, module: nn.Module) -> Settings:
    """The arguments of an operation by name, defaults included, with the module's own tensors."""
    arguments = call.target._schema.arguments  # type: ignore[union-attr]  # an operator of torch, by its name
    given = dict(zip((argument.name for argument in arguments), call.args, strict=False)) | call.kwargs
    values = {argument.name: given.get(argument.name, argument.default_value) for argument in arguments}
    values["ndim"] = getattr(call.meta.get("val"), "ndim", 4)
    return {name: _value(value, module) for name, value in values.items() if name not in ("self", "input")}


def _value(value: Any, module: nn.Module) -> Any:
    if isinstance(value, fx.Node):
        return getattr(module, str(value.target))
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _conv(given: Settings) -> nn.Module:
    weight, bias = given["weight"], given["bias"]
    made = nn.Conv2d(
        weight.shape[1] * given["groups"],
        weight.shape[0],
        tuple(weight.shape[2:]),
        given["stride"],
        given["padding"],
        given["dilation"],
        given["groups"],
        bias=bias is not None,
        device="meta",
    )
    return _with(made, weight=weight, bias=bias)


def _batch_norm(given: Settings) -> nn.Module | None:
    mean = given["running_mean"]
    if mean is None:
        return None
    affine = given["weight"] is not None
    kind = nn.BatchNorm2d if given["ndim"] == 4 else nn.BatchNorm1d
    made = kind(len(mean), given["eps"], given["momentum"], affine=affine, device="meta")
    made.num_batches_tracked = torch.zeros((), dtype=torch.long)
    return _with(made, weight=given["weight"], bias=given["bias"], running_mean=mean, running_var=given["running_var"])


def _linear(given: Settings) -> nn.Module:
    weight, bias = given["weight"], given["bias"]
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _with(made, weight=weight, bias=bias)


def _with(module: nn.Module, **tensors: Tensor | None) -> nn.Module:
    """The module with these tensors as its own: parameters and buffers stay the objects that they are."""
    for name, tensor in tensors.items():
        if isinstance(tensor, nn.Parameter):
            module.register_parameter(name, tensor)
        elif tensor is not None:
            module._parameters.pop(name, None)
            module.register_buffer(name, tensor)
    return module


def _max_pool(given: Settings) -> nn.Module:
    stride = given["stride"] or None
    return nn.MaxPool2d(given["kernel_size"], stride, given["padding"], given["dilation"], ceil_mode=given["ceil_mode"])


def _average_pool(given: Settings) -> nn.Module:
    return nn.AvgPool2d(
        given["kernel_size"],
        given["stride"] or None,
        given["padding"],
        given["ceil_mode"],
        given["count_include_pad"],
        given["divisor_override"],
    )


_MAKERS: dict[str, Callable[[Settings], nn.Module | None]] = {
    "aten.conv2d.default": _conv,
    "aten.conv2d.padding": _conv,
    "aten.batch_norm.default": _batch_norm,
    "aten.linear.default": _linear,
    "aten.max_pool2d.default": _max_pool,
    "aten.avg_pool2d.default": _average_pool,
    "aten.adaptive_avg_pool2d.default": lambda given: nn.AdaptiveAvgPool2d(given["output_size"]),
    "aten.relu.default": lambda given: nn.ReLU(),
    "aten.relu_.default": lambda given: nn.ReLU(inplace=True),
    "aten.dropout.default": lambda given: nn.Dropout(given["p"]),
}
