"""`repair`: a network that depends less on a factor, with the proof against control arms, or why that failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from seewhy.errors import SeewhyError, listed
from seewhy.estimates import Floats
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.effects import class_effect
from seewhy.evidence.results.result import Audit
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.trial import Trials
from seewhy.learn.arms import WAYS, Job, Way, ways_of
from seewhy.learn.asked import LEAST_SEEDS, Asked, RepairOptions, find, named_ways
from seewhy.learn.fine_tune import Tuning
from seewhy.learn.groups import Groups, cells_of, collecting, groups_by_column, groups_by_effects, no_groups
from seewhy.learn.parts import halves_of, measure_on, train_of, with_all_images
from seewhy.learn.proof import (
    Reading,
    cost_of,
    margin_over,
    others_of,
    read,
    remaining,
    worst_of,
)
from seewhy.learn.repair_folder import RepairFolder
from seewhy.learn.repaired import BEFORE, REPAIRED, Arm, Repair, Try, reasons_of
from seewhy.records import Progress
from seewhy.run.progress import chosen_progress

RECIPIENTS, USES = 300, 4  # of the proof: images that are edited, donors of each class that each meets


def repair(
    audit: Audit,
    finding: int | str = 1,
    *,
    ways: str | Sequence[str] = tuple(WAYS),
    seeds: int = LEAST_SEEDS,
    epochs: int = 6,
    rate: float = 3e-4,
    batch_size: int = 32,
    groups: str | None = None,
    anyway: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Progress = True,
) -> Repair:
    """A changed network that depends less on a factor, proved against control arms of equal budget; or why that failed.

    The images of train are learned from; one half of those that were audited chooses the way, by what it leaves of the
    effect, and the other half proves. The network itself is left exactly as found.

    Args:
        audit: what `audit` gave
        finding: the finding, by its number among those about factors, worst first, or its factor
        ways: "exchange", "consistency" (fine-tuning), "last-layer", "projection" (no training), by commas or in a list
        seeds: networks of each arm, 3 or more
        epochs, rate, batch_size: of fine-tuning: passes over train, Adam's rate, images a step
        groups: a column of the table that says what the factor is; None: told from the donors' own effects
        anyway: also where the finding is no shortcut
        seed: of halves, donors, shuffles
        out: a folder for model.pt and repair.json, which goes on where it was killed; None: in memory
        progress: True: a bar; False: none; or a function of (done, total), in networks

    Returns:
        a Repair: is_proved, headline, margins over the controls, arms, cost, others, network, lines(), summary().

    Raises:
        OptionError (no such finding, or no shortcut), DataError (no train, or a class with too few images).

    Example:
        >>> repaired = seewhy.repair(audit, "tint", epochs=1, rate=0.001, anyway=True)
        >>> print(repaired.headline)
    """
    asked = find(audit.design, [vars(one) for one in audit.findings], finding, anyway=anyway)
    tuning = Tuning(epochs=epochs, rate=rate, batch_size=batch_size)
    options = RepairOptions(named_ways(ways), seeds, tuning, groups, seed)
    with chosen_progress(progress, "Repairing") as update:
        return run_repair(asked, options, folder=None if out is None else Path(out), progress=update)


def run_repair(
    asked: Asked,
    options: RepairOptions,
    *,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Repair:
    """The repair, in memory or in a folder where the networks of an earlier try are kept."""
    kept = RepairFolder(folder, asked.design, {"factor": asked.factor, **options.stored()})
    with kept.held():
        kept.begin()
        found = _Bench(asked, options, kept, progress).repair()
        kept.finish(found)
        return replace(found, folder=folder)


def repair_in_folder(
    asked: Asked, options: RepairOptions, folder: Path, *, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """The repair's summary, from a folder where it is finished, else made and written to it."""
    stored = RepairFolder(folder, asked.design, {"factor": asked.factor, **options.stored()}).stored()
    return run_repair(asked, options, folder=folder, progress=progress).summary() if stored is None else stored


class _Bench:
    """A repair under way: the images that teach, choose and prove, and the networks made so far."""

    def __init__(self, asked: Asked, options: RepairOptions, kept: RepairFolder, progress: Progress) -> None:
        self.asked, self.options, self.kept, self.progress = asked, options, kept, progress
        self.design = with_all_images(asked.design)
        self.factor: Factor = next(factor for factor in self.design.factors if factor.name == asked.factor)
        self.contrast: Contrast = next(one for one in self.design.contrasts if one.name == asked.contrast)
        self.network = self.design.plan.classifier.model
        self.train = train_of(self.design)
        self.choosing, self.proving = halves_of(self.design.audited, options.seed)
        seed = options.seed
        only = [self.factor]
        self.chooser = measure_on(self.design, self.choosing, only, recipients=RECIPIENTS, uses=USES, seed=seed)
        self.prover = measure_on(
            self.design, self.proving, self.design.factors, recipients=RECIPIENTS, uses=USES, seed=seed
        )
        self.done, self.total = 0, len(options.ways)

    def repair(self) -> Repair:
        """The repair with its proof."""
        learned, held, proving = (self._groups(part) for part in (self.train, self.choosing, self.proving))
        job = Job(
            network=self.network,
            factor=self.factor,
            sample=self.train,
            held=self.choosing,
            groups=learned,
            held_groups=held,
            core=self.design.core_regions,
            tuning=self.options.tuning,
            n_outputs=self.design.plan.n_outputs,
            unrelated=self._unrelated(),
            seed=self.options.seed,
        )
        cells = cells_of(learned, self.train.labels, self.design.classes, self.train.images)
        ways, refused = ways_of(job, self.options.ways)
        tries = [self._tried(way) for way in ways]
        empty = Repair(
            factor=self.factor.name,
            contrast=self.contrast.name,
            way="",
            words="",
            arms={},
            margins={},
            reduction=None,
            cost=None,
            others=(),
            cells=tuple(cells),
            collect=collecting(cells, self.factor.name, learned.source),
            tried=tuple(tries),
            refused=refused,
            reasons=(f"No way could be tried: {listed([*_failures(tries), *refused], 4)}.",),
            seeds=self.options.seeds,
            images=0,
            donors=0,
            notes=self._notes(),
        )
        best = _best(tries)
        return empty if best is None else self._proved(ways[best], empty, proving)

    def _proved(self, way: Way, begun: Repair, groups: Groups) -> Repair:
        n = self.options.seeds * way.times
        self.total = len(self.options.ways) + n * (1 + len(way.controls)) + 1
        before = self._read(None)
        networks = [self._network(way.name, way.make, seed) for seed in range(n)]
        readings = {BEFORE: [before] * n, REPAIRED: [self._read(network) for network in networks]}
        for name, make in way.controls.items():
            readings[name] = [self._read(self._network(f"{way.name}-{name}", make, seed)) for seed in range(n)]
        words = {BEFORE: "before", REPAIRED: way.words, **way.control_words}
        arms = {name: self._arm(name, words[name], held, groups) for name, held in readings.items()}
        repaired = readings[REPAIRED]
        margins = {name: margin_over(repaired, readings[name], self.contrast) for name in way.controls}
        reduction = margin_over(repaired, readings[BEFORE], self.contrast)
        cost = cost_of(before.right, repaired[0].right)
        chance = 1 / len(np.unique(self.proving.labels))
        others = others_of(self.prover, networks[0], self.factor.name)
        self._step()
        return replace(
            begun,
            way=way.name,
            words=way.words,
            arms=arms,
            margins=margins,
            reduction=reduction,
            cost=cost,
            others=tuple(others),
            reasons=tuple(reasons_of(margins, reduction, cost, arms, others, chance)),
            seeds=n,
            images=len(np.unique(before.trials.recipients)),
            donors=sum(reduction.n.values()),
            network=networks[0],
        )

    def _tried(self, way: Way) -> Try:
        """What a way leaves on the images that choose."""
        before = read(self.chooser, self.factor.name)
        try:
            reading = read(self.chooser, self.factor.name, self._network(way.name, way.make, 0))
        except SeewhyError as error:
            return Try(way.name, way.words, math.inf, math.nan, math.nan, str(error.args[0]).splitlines()[0])
        accuracy = float(reading.right.mean())
        change = accuracy - float(before.right.mean())
        return Try(way.name, way.words, remaining([reading], self.contrast), accuracy, change)

    def _network(self, name: str, make: Callable[[int], nn.Module], seed: int) -> nn.Module:
        network = self.kept.network(f"{name}-{seed}", self.network, lambda: make(seed))
        self._step()
        return network

    def _read(self, network: nn.Module | None) -> Reading:
        """What a network (None: the one before) says on the images that prove."""
        return read(self.prover.only(self.factor.name), self.factor.name, network)

    def _arm(self, name: str, words: str, readings: Sequence[Reading], groups: Groups) -> Arm:
        first = readings[0]
        effects = tuple(remaining([reading], self.contrast) for reading in readings)
        return Arm(
            name=name,
            words=words,
            mean=remaining(readings, self.contrast),
            effects=effects,
            effect=first.effect(self.contrast),
            accuracy=first.accuracy,
            exchanged=first.exchanged,
            worst=worst_of(first.right, self.proving.labels, groups, self.design.classes),
        )

    def _groups(self, sample: Sample) -> Groups:
        """What the factor says in each image of a part: by the column that was named, else by the donors' effects."""
        if self.options.groups is not None:
            return groups_by_column(self.design.plan.table, sample.images, self.options.groups)
        if self.contrast.is_own_class:
            return no_groups(len(sample))
        measure = measure_on(self.design, sample, [self.factor], recipients=len(sample), uses=2, seed=self.options.seed)
        effects = _donor_effects(measure.trials()[self.factor.name], self.contrast)
        return groups_by_effects(effects, (f"says not {self.contrast.name}", f"says {self.contrast.name}"))

    def _unrelated(self) -> tuple[Factor, ...]:
        """The properties that were audited, are no part of what should decide, and go with the classes least."""
        known = self.design.associations
        some = [one for one in self.design.factors if one.region is None and one.name not in self.design.core]
        return tuple(sorted((one for one in some if one is not self.factor), key=lambda one: known[one.name]))

    def _notes(self) -> tuple[str, ...]:
        parts = [(self.train, "taught"), (self.choosing, "chose"), (self.proving, "proved")]
        told = listed([f"{len(part)} of {part.split} {what}" for part, what in parts])
        return (f"Images: {told}; the groups of images are {'named' if self.options.groups else 'guessed'}.",)

    def _step(self) -> None:
        self.done += 1
        self.progress(min(self.done, self.total), max(self.total, 1))


def _donor_effects(trials: Trials, contrast: Contrast) -> Floats:
    return class_effect(trials, trials.probability_changes(contrast), contrast)[1]


def _failures(tries: Sequence[Try]) -> list[str]:
    return [f"{one.way} ({one.error})" for one in tries if one.error]


def _best(tries: Sequence[Try]) -> int | None:
    """The try that leaves least of the effect and loses least accuracy, both in points and added; None: all failed."""
    able = [place for place, one in enumerate(tries) if not one.error]
    return min(able, key=lambda place: abs(tries[place].remaining) + max(0.0, -tries[place].change), default=None)
