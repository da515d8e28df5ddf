"""What a repair costs, counted in images through a network, and which ways a budget leaves room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seewhy.errors import OptionError
from seewhy.learn.repair.arms import ATTENTION, CONSISTENCY, EXCHANGE, GRADIENTS, Way
from seewhy.learn.train.fine_tune import Tuning

TRAINED = 3  # a step of training costs about three times an answer: forward, and twice as much back


@dataclass(frozen=True)
class WayCost:
    """The images through a network that it takes to try a way, and to prove it."""

    tried: int
    proved: int


def cost_of_way(way: Way, *, tuning: Tuning, n_train: int, seeds: int, n_choosing: int, n_proving: int) -> WayCost:
    """What a way costs; `n_choosing` and `n_proving` images are answered to judge one network of it."""
    views = {EXCHANGE: 1, CONSISTENCY: 2, ATTENTION: 2, GRADIENTS: 2}.get(way.name, 0)
    network = TRAINED * views * tuning.epochs * n_train
    n = seeds * way.times
    n_networks = (1 if way.is_seedless else n) + n * len(way.controls)
    made_anew = n_networks - 1  # that of the first seed was made to try it
    return WayCost(network + n_choosing, made_anew * network + n_networks * n_proving)


def within(
    ways: Sequence[Way], costs: Mapping[str, WayCost], always: int, budget: int | None
) -> tuple[list[Way], dict[str, str]]:
    """The ways that a budget leaves room for, the cheapest first, and why the others are left out, by name.

    Any of those that are tried may have to be proved, so the budget must hold the dearest proof; `always` is what is
    spent in any case. None: all. Raises OptionError where not even the cheapest fits.
    """
    if budget is None or not ways:
        return list(ways), {}
    ordered = sorted(ways, key=lambda way: costs[way.name].tried + costs[way.name].proved)
    kept: list[Way] = []
    left_out = {}
    for way in ordered:
        some = [costs[each.name] for each in (*kept, way)]
        needed = always + sum(cost.tried for cost in some) + max(cost.proved for cost in some)
        if needed <= budget:
            kept.append(way)
        else:
            beside = " beside those" if kept else ""
            left_out[way.name] = (
                f"since it needs {needed:,} images through a network{beside}, and --budget is {budget:,}"
            )
    if not kept:
        cheapest = ordered[0]
        needed = always + costs[cheapest.name].tried + costs[cheapest.name].proved
        raise OptionError(
            f"--budget {budget} is too small: the cheapest way ({cheapest.name}) needs {needed:,} images through a "
            f"network.\n  Type:  --budget {needed}"
        )
    return kept, left_out
