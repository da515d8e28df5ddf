"""A last layer that leaves out one direction of its features where they lie beyond a threshold: a plain module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Gate:
    """A unit direction (D,) of features; beyond `threshold` along it they are put back to `level`."""

    direction: Tensor
    threshold: float
    level: float


class GatedHead(nn.Linear):
    """The linear layer with its own weights, behind a gate.

    With a = h · direction, features h (…, D) with a > threshold go on as h - (a - level) direction, all others as they
    are (reactive P-ClArC: Bareeva et al. 2024, arXiv:2404.09601). Taken out again by `without_gates`.
    """

    direction: Tensor
    threshold: Tensor
    level: Tensor

    @classmethod
    def of(cls, linear: nn.Linear, gate: Gate) -> GatedHead:
        """The gate in front of a layer, whose very parameters it has."""
        head = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        head.weight, head.bias = linear.weight, linear.bias
        told = {"direction": gate.direction, "threshold": gate.threshold, "level": gate.level}
        for name, value in told.items():
            head.register_buffer(name, torch.as_tensor(value).detach().to(linear.weight))
        return head.train(linear.training)

    def forward(self, features: Tensor) -> Tensor:
        """(…, D) to (…, K)."""
        along = features @ self.direction
        beyond = torch.where(along > self.threshold, along - self.level, torch.zeros_like(along))
        return super().forward(features - beyond[..., None] * self.direction)


GATE = ("direction", "threshold", "level")


def gates_in(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Gate]:
    """By the name of a linear layer of the network the gate that a state dict has for it, where it has none yet."""
    found = {}
    for name, module in network.named_modules(remove_duplicate=False):
        keys = [f"{name}.{part}" for part in GATE]
        if type(module) is nn.Linear and name and all(key in state for key in keys):
            direction, threshold, level = (state[key] for key in keys)
            if direction.shape == (module.in_features,) and threshold.numel() == level.numel() == 1:
                found[name] = Gate(direction, float(threshold), float(level))
    return found


def with_gates(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """The network itself, with a gate in front of each layer for which the state dict has one: before it is loaded.

    Example:
        >>> state = torch.load("runs/repair/model.pt", weights_only=True)
        >>> with_gates(network, state).load_state_dict(state)
    """
    for name, gate in gates_in(state, network).items():
        if type(linear := network.get_submodule(name)) is nn.Linear:  # a layer under two names has its gate by now
            put_in_place(network, name, GatedHead.of(linear, gate))
    return network


def without_gates(network: nn.Module) -> nn.Module:
    """The network itself as it was before a repair by a gate: every gated layer is its plain linear layer again."""
    for name, module in list(network.named_modules()):
        if isinstance(module, GatedHead):
            linear = nn.Linear(module.in_features, module.out_features, module.bias is not None, device="meta")
            linear.weight, linear.bias = module.weight, module.bias
            put_in_place(network, name, linear.train(module.training))
    return network


def put_in_place(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module wherever the network has the one of this name: a shared one stays shared."""
    old = network.get_submodule(name)
    for parent in list(network.modules()):
        for child, held in list(parent._modules.items()):  # named_children() gives a shared one once
            if held is old:
                setattr(parent, child, module)
