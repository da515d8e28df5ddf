"""The ways to repair and their control arms: each a function from a seed to a network, of equal budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall
from seewhy.errors import ModelError, SeewhyError, counted, listed
from seewhy.estimates import Integers
from seewhy.evidence.factors.factor import Factor, Mark, as_share
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.exchange.exchange import (
    DonorsOf,
    Exchanging,
    FactorExchange,
    MarkLaid,
    RegionExchange,
    balancing_share,
    unrelated,
    with_and_without,
)
from seewhy.learn.repair.attention import AttentionLoss, GradientLoss, refuse_unreadable
from seewhy.learn.repair.groups import LEAST_CELL, MARKED_OR_NOT, Groups
from seewhy.learn.repair.last_layer import Head, head_of, refitted, with_gate, with_head
from seewhy.learn.repair.projection import direction_of, gate_of, projected
from seewhy.learn.train.fine_tune import Losing, Tuning, fine_tuned

Making = Callable[[int], nn.Module]  # from a seed

EXCHANGE, CONSISTENCY, LAST_LAYER, PROJECTION = "exchange", "consistency", "last-layer", "projection"
GATED, ATTENTION, GRADIENTS = "gated", "attention", "gradients"
WAYS = {
    EXCHANGE: "fine-tuned with its content from donors of other classes",
    CONSISTENCY: "fine-tuned to answer the same with its content from donors of any class",
    LAST_LAYER: "the last layer fitted anew, every class and group weighing the same",
    PROJECTION: "its direction in front of the last layer projected away",
    GATED: "its direction in front of the last layer projected away where it is present alone",
    ATTENTION: "fine-tuned with the share of HiResCAM within its region added to the loss",
    GRADIENTS: "fine-tuned with the share of the input's gradient within its region added to the loss",
}
USUAL_WAYS = (EXCHANGE, CONSISTENCY, LAST_LAYER, PROJECTION)  # others where they are named: a clean map proves nothing
WAYS_OF_MARKS = {
    EXCHANGE: "fine-tuned with it laid over half of the images, whatever their class",
    CONSISTENCY: "fine-tuned to answer the same with it laid over",
}
PLAIN, UNRELATED, SCRAMBLED = "plain", "unrelated", "scrambled"
CONSISTENCY_WEIGHT, ATTENTION_WEIGHT = 4.0, 1.0
CHEAP = 3  # times as many networks, where none is trained


@dataclass(frozen=True)
class RepairJob:
    """What is to be repaired: a network, the factor or mark, the images that may be learned from, and their groups.

    `sample` are the images of train, `held` those of the half of valid that chooses; `groups` and `held_groups` say
    what the factor says in them. `core` are the regions that decide by right, `unrelated` properties that go with the
    classes least; `further` are factors that are repaired with it, and `same_cause` regions outside of the core that
    the findings told as the same cause: all are exchanged with it; `layer` is the one whose maps the audit shows,
    `memory_format` the layout in which it answers.
    """

    network: nn.Module
    factor: Factor | Mark
    sample: Sample
    held: Sample
    groups: Groups
    held_groups: Groups
    core: tuple[str, ...]
    tuning: Tuning
    n_outputs: int
    unrelated: tuple[Factor, ...] = ()
    further: tuple[Factor, ...] = ()
    same_cause: tuple[Factor, ...] = ()
    seed: int = 0
    layer: LayerCall | None = None
    memory_format: torch.memory_format = torch.contiguous_format

    @cached_property
    def cells(self) -> tuple[Sample, Groups]:
        """The images that a last layer is fitted to: held-out ones where every cell has enough, else those of train.

        They are of two groups or more. Of a mark without named groups, each image as it is and with the mark: what that
        does to it needs no other image of its class. Raises ModelError where neither do.
        """
        counts = []
        for sample, groups in map(self._grouped, (self.held, self.sample), (self.held_groups, self.groups)):
            cells = groups.cells(sample.labels, int(sample.labels.max()) + 1)
            present = cells[np.unique(sample.labels)]
            present = present[:, present.any(axis=0)]  # a group that these images have at all
            fewest = present.sum(axis=0) if groups.names == MARKED_OR_NOT else present
            if present.shape[1] > 1 and fewest.min() >= LEAST_CELL:
                return sample, groups
            counts.append(_why_no_cells(sample, groups, present))
        raise ModelError(
            f"Nothing can be fitted to these images: there are no two groups, or fewer than {LEAST_CELL} images of a "
            f"class in one ({listed(counts)}).",
            slug="empty-cell",
        )

    def _grouped(self, sample: Sample, groups: Groups) -> tuple[Sample, Groups]:
        if not isinstance(self.factor, Mark) or groups.names:
            return sample, groups
        with_mark = np.repeat([0, 1], len(sample))
        return with_and_without(sample, self.factor), Groups(with_mark, MARKED_OR_NOT, "laying the mark over")

    @cached_property
    def head(self) -> Head:
        """The network's head, with the features of the images that it is fitted to."""
        return head_of(self.network, self.cells[0])


def _why_no_cells(sample: Sample, groups: Groups, present: Integers) -> str:
    """What a sample lacks, of which these are the counts of each class in each group that is there (K, G)."""
    if present.shape[1] > 1:
        return f"{sample.split} has {int(present.min())} in the smallest cell"
    return f"{sample.split} has {'one group alone' if present.size else f'no groups, {groups.source}'}"


@dataclass(frozen=True)
class Way:
    """A way to repair: how a seed's network is made, and its control arms by name, with what they are in words.

    Of a way that trains nothing, and whose controls are dealt by chance, each arm has `times` as many networks.
    `is_seedless`: every seed makes the same network. `note` is what to know of the network that it gives.
    """

    name: str
    words: str
    make: Making
    controls: Mapping[str, Making] = field(default_factory=dict)
    control_words: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    is_seedless: bool = False
    note: str = ""


def ways_of(job: RepairJob, names: tuple[str, ...]) -> tuple[list[Way], dict[str, str]]:
    """The ways that can be tried, and why the others cannot, by name."""
    makers = {
        EXCHANGE: _tuned,
        CONSISTENCY: _consistent,
        LAST_LAYER: _last_layer,
        PROJECTION: _projection,
        GATED: _gated,
        ATTENTION: _attention,
        GRADIENTS: _gradients,
    }
    ways, refused = [], {}
    for name in names:
        try:
            ways.append(makers[name](job))
        except SeewhyError as error:
            refused[name] = str(error.args[0]).splitlines()[0]
    return ways, refused


def _tuned(job: RepairJob) -> Way:
    return _by_exchange(job, EXCHANGE, replace(job.tuning, share=balancing_share(len(np.unique(job.sample.labels)))))


def _consistent(job: RepairJob) -> Way:
    return _by_exchange(job, CONSISTENCY, replace(job.tuning, consistency=CONSISTENCY_WEIGHT))


def _by_exchange(job: RepairJob, name: str, tuning: Tuning) -> Way:
    _refuse_frozen(job.network)
    placed = job.sample.on(next(job.network.parameters()).device)
    wanted, other = _exchanges(job, placed, tuning)
    told = []
    if isinstance(wanted, FactorExchange):
        told = [wanted.further_words, wanted.also_words, wanted.balance if name == EXCHANGE else "", wanted.near_words]
    n_passes = tuning.epochs * tuning.views
    tuned = partial(fine_tuned, job.network, placed, tuning, memory_format=job.memory_format)
    return Way(
        name=name,
        words=", ".join(filter(None, [(WAYS_OF_MARKS if isinstance(job.factor, Mark) else WAYS)[name], *told])),
        make=lambda seed: tuned(exchange=wanted, seed=seed),
        controls={
            PLAIN: lambda seed: tuned(seed=seed),
            UNRELATED: lambda seed: tuned(exchange=other, seed=seed),
        },
        control_words={
            PLAIN: _plain_words(n_passes),
            UNRELATED: f"the same fine-tuning with {other.words}",
        },
    )


def _plain_words(n_passes: int) -> str:
    """What plain fine-tuning is, by how often it goes over the images."""
    return f"plain fine-tuning, {'once' if n_passes == 1 else f'{n_passes} times'} over the same images"


def _refuse_frozen(network: nn.Module) -> None:
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ModelError("All of the network's parameters are frozen, so it cannot be fine-tuned.", slug="cannot-train")


def _attention(job: RepairJob) -> Way:
    """A loss on the map of a layer, where that may be read."""
    region = _region_of(job)
    if job.layer is None:
        raise ModelError("The audit has no maps of a layer, so there is none to make a loss of.")
    layer, grade = job.layer, refuse_unreadable(job.network, job.held, job.layer)
    return _by_share(
        job,
        region,
        ATTENTION,
        f"{WAYS[ATTENTION]} (at {layer.asked}, maps graded {grade})",
        lambda placed, masks: AttentionLoss(placed, layer, masks, ATTENTION_WEIGHT),
    )


def _gradients(job: RepairJob) -> Way:
    """A loss on the gradient at the input, for which no layer's maps need to be read."""
    return _by_share(
        job,
        _region_of(job),
        GRADIENTS,
        WAYS[GRADIENTS],
        lambda placed, masks: GradientLoss(placed, masks, ATTENTION_WEIGHT),
    )


def _region_of(job: RepairJob) -> str:
    """The region whose share of a map is the factor's. Raises ModelError where it has none, or all is frozen."""
    _refuse_frozen(job.network)
    if isinstance(job.factor, Mark) or job.factor.region is None:
        raise ModelError(f"{job.factor.name} lies in no region of the images, so no share of a map is its own.")
    return job.factor.region


def _by_share(job: RepairJob, region: str, name: str, words: str, loss_of: Callable[[Sample, Tensor], Losing]) -> Way:
    """Fine-tuning by a loss on what lies in the factor's region.

    A control arm has it on a region of the same area elsewhere, if there is room.
    """
    placed = job.sample.on(next(job.network.parameters()).device)
    tuned = partial(fine_tuned, job.network, placed, job.tuning, memory_format=job.memory_format)

    def by(masks: Tensor) -> Making:
        loss = loss_of(placed, masks)
        return lambda seed: tuned(loss=loss, seed=seed)

    other = unrelated(job.sample, placed, job.factor, (), job.core, job.seed, further=job.further)
    elsewhere = {UNRELATED: by(other.region[None])} if isinstance(other, RegionExchange) else {}
    control = {UNRELATED: "the same loss on an unrelated region of the same area"} if elsewhere else {}
    return Way(
        name=name,
        words=f"{words}{_of_the_first(job)}",
        make=by(as_share(placed.masks[region])),
        controls={PLAIN: lambda seed: tuned(seed=seed), **elsewhere},
        control_words={PLAIN: _plain_words(job.tuning.epochs), **control},
    )


def _exchanges(job: RepairJob, placed: Sample, tuning: Tuning) -> tuple[Exchanging, Exchanging]:
    """What is exchanged, and the unrelated thing that the control arm exchanges.

    Of images that are held to answer alike donors are of any class: what they are answered says nothing of that.
    """
    other = unrelated(job.sample, placed, job.factor, job.unrelated, job.core, job.seed, job.same_cause, job.further)
    if isinstance(job.factor, Mark):
        return MarkLaid(placed, job.factor), other
    donors: DonorsOf = "any class" if tuning.consistency else "all classes alike"
    return FactorExchange(placed, job.factor, donors, tuning.share, job.core, job.same_cause, job.further), other


def _last_layer(job: RepairJob) -> Way:
    head, (sample, groups) = job.head, job.cells
    there, known = len(np.unique(sample.labels)), max(2, job.n_outputs)
    if there != known:
        raise ModelError(
            f"The images have {there} of the network's {known} classes: one fitted to them forgets the others.",
            slug="empty-cell",
        )
    cells = groups.cells(sample.labels, known)
    if cells.min() < LEAST_CELL:  # the images of a mark are enough together, and need not be of each class
        raise ModelError(
            f"Nothing can be fitted to these images: {_why_no_cells(sample, groups, cells)}; it takes {LEAST_CELL}.",
            slug="empty-cell",
        )

    def fitted(groups_of: Integers, seed: int) -> nn.Module:
        return with_head(
            job.network, head.name, *refitted(head.features, sample.labels, groups_of, job.n_outputs, seed)
        )

    return Way(
        name=LAST_LAYER,
        words=f"{WAYS[LAST_LAYER]}{_of_the_first(job)} ({counted(len(sample), 'image')} of {sample.split}, groups by "
        f"{groups.source})",
        make=lambda seed: fitted(groups.of, seed),
        controls={SCRAMBLED: lambda seed: fitted(_scrambled(groups.of, sample.labels, seed), seed)},
        control_words={SCRAMBLED: "the same fit with the groups dealt by chance within each class"},
        times=CHEAP,
    )


def _projection(job: RepairJob) -> Way:
    linear = job.network.get_submodule(job.head.name)
    weight, bias = (value.detach().double().cpu() for value in linear.parameters())

    def without(features: Tensor, labels: Integers, groups: Integers) -> nn.Module:
        direction, point = direction_of(features, labels, groups)
        return with_head(job.network, job.head.name, *projected(weight, bias, direction, point))

    return _by_direction(job, PROJECTION, WAYS[PROJECTION], without)


def _gated(job: RepairJob) -> Way:
    """Only where the second of the groups is: where the donors raise the class, where the mark is, as a column says."""

    def without(features: Tensor, labels: Integers, groups: Integers) -> nn.Module:
        return with_gate(job.network, job.head.name, gate_of(features, labels, groups))

    names = job.cells[1].names
    way = _by_direction(job, GATED, f"{WAYS[GATED]}: where {names[-1] if names else 'it is there'}", without)
    note = (
        f"The network has a gate in front of {job.head.name}: seewhy loads it by itself; elsewhere type  "
        "seewhy.data.networks.gated.with_gates(network, state).load_state_dict(state)"
    )
    return replace(way, note=note)


def _by_direction(
    job: RepairJob, name: str, words: str, without: Callable[[Tensor, Integers, Integers], nn.Module]
) -> Way:
    """What is made of a direction that two groups give, and the same of groups dealt by chance."""
    head, (sample, groups) = job.head, job.cells
    if len(groups.names) != 2:
        raise ModelError("A direction needs two groups.", slug="empty-cell")

    def made(of: Integers) -> nn.Module:
        return without(head.features, sample.labels, of)

    return Way(
        name=name,
        words=f"{words}{_of_the_first(job)} ({counted(len(sample), 'image')} of {sample.split}, groups by "
        f"{groups.source})",
        make=lambda seed: made(groups.of),
        controls={SCRAMBLED: lambda seed: made(_scrambled(groups.of, sample.labels, seed))},
        control_words={SCRAMBLED: "the same projection of a direction of groups dealt by chance within each class"},
        times=CHEAP,
        is_seedless=True,
    )


def _of_the_first(job: RepairJob) -> str:
    """What a way leaves out that takes one factor alone; empty where there is one."""
    return f", of {job.factor.name} alone" if job.further else ""


def _scrambled(groups: Integers, labels: Integers, seed: int) -> Integers:
    """The groups permuted within each class: cells of the same sizes that say nothing."""
    rng = np.random.default_rng((seed, 11))
    mixed = groups.copy()
    for index in np.unique(labels):
        members = np.flatnonzero(labels == index)
        mixed[members] = rng.permutation(groups[members])
    return mixed
