"""Maps of the same network with layers drawn anew, from the last to the first."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seewhy.cam.layers.choice import Call

N_NULL = 64  # pictures without content, and real ones shifted


_STAGES = 4


def contentless(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (N_NULL, C, H, W) without content: noise with the inputs' mean and spread, and evenly grey ones."""
    mean, spread = inputs.mean(dim=(0, 2, 3), keepdim=True), inputs.std(dim=(0, 2, 3), keepdim=True)
    noise = torch.randn((N_NULL // 2, *inputs.shape[1:]), generator=generator).to(inputs)
    levels = torch.linspace(-1.5, 1.5, N_NULL - N_NULL // 2)[:, None, None, None].to(inputs)
    return torch.cat([mean + spread * noise, (mean + spread * levels).expand(-1, -1, *inputs.shape[2:])])


def randomised_stages(
    model: nn.Module, calls: Sequence[Call], generator: torch.Generator
) -> list[tuple[float, nn.Module]]:
    """Copies of the model with ever more layers randomised from the output back: (share of the layers, copy).

    Weights are drawn anew with their tensor's own spread, vectors (biases, scales) are shuffled. Adebayo et al. 2018,
    arXiv:1810.03292, section 3.1 (cascading randomisation).
    """
    stages = _stages_of(model, calls)
    copies, network, done = [], model, 0
    total = stages[-1] if stages else 0
    order = _order_of(model, calls)
    for count in stages:
        network = copy.deepcopy(network)
        modules = dict(network.named_modules())
        for name in order[done:count]:
            for parameter in modules[name].parameters(recurse=False):
                _randomise(parameter, generator)
        done = count
        copies.append((count / total, network))
    return copies


def _order_of(model: nn.Module, calls: Sequence[Call]) -> list[str]:
    """The names of the modules that own parameters, the one that finishes last first."""
    owners = {
        name for name, module in model.named_modules() if next(module.parameters(recurse=False), None) is not None
    }
    return list(dict.fromkeys(call.name for call in reversed(calls) if call.name in owners))


def _stages_of(model: nn.Module, calls: Sequence[Call]) -> list[int]:
    """How many of the layers are random in each stage: the last one, then even steps up to all."""
    total = len(_order_of(model, calls))
    return sorted({1, *(math.ceil(total * step / (_STAGES - 1)) for step in range(1, _STAGES))}) if total else []


def _randomise(parameter: nn.Parameter, generator: torch.Generator) -> None:
    with torch.no_grad():
        values = parameter.detach().float().cpu()
        if parameter.ndim > 1 and parameter.numel() > 1:  # one number alone has no spread
            drawn = torch.randn(values.shape, generator=generator) * values.std()
        else:
            drawn = values[torch.randperm(len(values), generator=generator)] if parameter.ndim else values
        parameter.copy_(drawn.to(parameter))
