"""The last layer anew: features frozen, every class and group weighing the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.model import answer, untouched
from seewhy.data.networks.gated import Gate, GatedHead, put_in_place
from seewhy.errors import ModelError
from seewhy.estimates import Integers
from seewhy.evidence.trials.sample import CHUNK, Sample
from seewhy.learn.copies import copied

N_FITS = 10  # whose mean is taken, each of other images of the larger cells
DECAYS = (1.0, 0.1, 0.01, 0.001)  # of the weights, of which the best for the worst cell is taken
_NEAR = 1e-4  # of the largest logit, up to which a layer's output is the logits


@dataclass(frozen=True)
class Head:
    """The linear layer whose output is the logits: its dotted name in the network, and what it reads (M, D)."""

    name: str
    features: Tensor


def head_of(network: nn.Module, sample: Sample) -> Head:
    """The network's head with the features of every image of the sample; the network is left as found.

    Raises ModelError where no linear layer's output is the logits themselves, or that layer has no bias.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    layers = {name: module for name, module in network.named_modules() if type(module) is nn.Linear}

    def note(name: str, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = given[0].detach(), output.detach().clone()  # which may be added to in place

    parts, head = [], ""
    with untouched(network):
        hooks = [module.register_forward_hook(partial(note, name)) for name, module in layers.items()]
        try:
            for places in torch.arange(len(sample)).split(CHUNK):
                seen.clear()
                logits = answer(network, sample.inputs(sample.canvases(places)))
                head = head or _giving(seen, logits)
                parts.append(seen[head][0].double().cpu())
        finally:
            for hook in hooks:
                hook.remove()
    if layers[head].bias is None:
        raise ModelError(
            f"The last layer ({head}) has no bias, so another one would not fit the network's own code.",
            slug="no-linear-head",
        )
    return Head(head, torch.cat(parts))


def _giving(seen: dict[str, tuple[Tensor, Tensor]], logits: Tensor) -> str:
    for name, (given, output) in reversed(seen.items()):
        same = output.shape == logits.shape and given.ndim == 2
        if same and bool((output - logits).abs().max() <= _NEAR * logits.abs().max().clamp(min=1e-6)):
            return name
    raise ModelError(
        f"The logits are not the output of one linear layer (linear layers: {', '.join(seen) or 'none'}), so the last "
        "layer cannot be fitted anew.",
        slug="no-linear-head",
    )


def with_head(network: nn.Module, name: str, weight: Tensor, bias: Tensor) -> nn.Module:
    """A copy of the network in eval mode whose head has this weight (K, D) and bias (K,)."""
    changed = copied(network)
    head = changed.get_submodule(name)
    with torch.no_grad():
        for parameter, values in ((head.weight, weight), (head.bias, bias)):
            if isinstance(parameter, Tensor):
                parameter.copy_(values.to(parameter))
    return changed.eval()


def with_gate(network: nn.Module, name: str, gate: Gate) -> nn.Module:
    """A copy of the network in eval mode with a gate in front of its head. Raises ModelError where it is all head."""
    changed = copied(network)
    head = changed.get_submodule(name)
    if not name or not isinstance(head, nn.Linear):
        raise ModelError("The network is one linear layer: there is nothing to put a gate into.", slug="no-linear-head")
    put_in_place(changed, name, GatedHead.of(head, gate))
    return changed.eval()


def refitted(features: Tensor, labels: Integers, groups: Integers, n_outputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Weight (K, D) and bias (K,) of a multinomial logistic regression in which every class and group counts alike.

    The mean of N_FITS fits, each to as many images of every cell as the smallest has (Kirichenko et al. 2023,
    arXiv:2204.02937, with an L2 penalty); the penalty is the one of DECAYS that is best for the worst cell, in two-fold
    cross-validation. Features are standardised meanwhile. One output is the margin of the second class.
    """
    rng = np.random.default_rng((seed, 10))
    centre, scale = features.mean(dim=0), features.std(dim=0).clamp(min=1e-8)
    standard = (features - centre) / scale
    cells = _cells(labels, groups)
    decay = _best_decay(standard, labels, cells, rng)
    fits = [_fit(standard, labels, _balanced(cells, rng), decay) for _ in range(N_FITS)]
    weight = torch.stack([fit[0] for fit in fits]).mean(dim=0) / scale
    bias = torch.stack([fit[1] for fit in fits]).mean(dim=0) - weight @ centre
    return (weight, bias) if n_outputs > 1 else (weight[1:] - weight[:1], bias[1:] - bias[:1])


def _cells(labels: Integers, groups: Integers) -> list[Integers]:
    pairs = np.stack([labels, groups], axis=1)
    known = groups >= 0
    return [np.flatnonzero((pairs == cell).all(axis=1)) for cell in np.unique(pairs[known], axis=0)]


def _balanced(cells: list[Integers], rng: np.random.Generator) -> Integers:
    """As many places of each cell as the smallest has."""
    least = min(map(len, cells))
    return np.concatenate([rng.permutation(cell)[:least] for cell in cells])


def _best_decay(features: Tensor, labels: Integers, cells: list[Integers], rng: np.random.Generator) -> float:
    """The penalty with the best accuracy of the worst cell, each half of the cells judging the other's fit."""
    mixed = [rng.permutation(cell) for cell in cells]
    folds = [[cell[half::2] for cell in mixed] for half in (0, 1)]
    best, reached = DECAYS[0], -1.0
    for decay in DECAYS:
        worst = []
        for fold, other in (folds, folds[::-1]):
            weight, bias = _fit(features, labels, _balanced(fold, rng), decay)
            answers = (features @ weight.T + bias).argmax(dim=1).numpy()
            worst.append(min(float((answers[cell] == labels[cell]).mean()) for cell in other if len(cell)))
        if np.mean(worst) > reached:
            best, reached = decay, float(np.mean(worst))
    return best


def _fit(features: Tensor, labels: Integers, places: Integers, decay: float) -> tuple[Tensor, Tensor]:
    """Weight (K, D) and bias (K,) of the penalised fit to the images at these places."""
    x, y = features[places], torch.from_numpy(labels[places])
    weight = torch.zeros(int(labels.max()) + 1, x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(len(weight), dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(x @ weight.T + bias, y) + decay * weight.square().sum() / 2
        torch.autograd.backward(loss)
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()
