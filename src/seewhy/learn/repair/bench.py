"""A repair under way: the images that teach, choose and prove, the networks made so far, and what is read of them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from seewhy.errors import ModelError, OptionError, SeewhyError, WorkError, counted, listed
from seewhy.estimates import Floats
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.findings.effects import class_effect
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.sample import DISJOINT, Sample, overlap_of
from seewhy.evidence.trials.trial import Job, Trials
from seewhy.learn.exchange.exchange import in_order
from seewhy.learn.measure import Measure
from seewhy.learn.parts import apart_from, halves_of, measure_on, refuse_small_halves, train_of, with_all_images
from seewhy.learn.repair.arm import BEFORE, REPAIRED, Arm, Try
from seewhy.learn.repair.arms import RepairJob, Way, ways_of
from seewhy.learn.repair.asked import Asked, RepairOptions
from seewhy.learn.repair.budget import cost_of_way, within
from seewhy.learn.repair.groups import (
    Cell,
    Groups,
    cells_of,
    collecting,
    groups_by_column,
    groups_by_effects,
    no_groups,
)
from seewhy.learn.repair.others import Others, factor_of, joined
from seewhy.learn.repair.proof import (
    cost_of,
    effect_over_seeds,
    effect_proof,
    remaining,
    together,
    worst_of,
)
from seewhy.learn.repair.readings import Reading, balanced, readings_of
from seewhy.learn.repair.reasons import effect_reasons, reasons_of
from seewhy.learn.repair.repair_folder import RepairFolder
from seewhy.learn.repair.repaired import Repair
from seewhy.records import Progress

MOST_ALSO = 3  # further regions that are exchanged with a factor: each image's content of each is kept in memory
RECIPIENTS, USES = 300, 4  # of the proof: images that are edited, donors of each class that each meets
SEEDS = 1000  # of networks, for each seed that is asked for
FAILURES = ("cannot-train", "diverged")  # of one network, after which another way may still be proved


class Bench:
    """A repair under way. Raises OptionError where `options` name no column, or a budget holds no way."""

    def __init__(self, asked: Asked, options: RepairOptions, kept: RepairFolder, progress: Progress) -> None:
        self.asked, self.options, self.kept, self.progress = asked, options, kept, progress
        self.design = with_all_images(asked.design)
        self.factor = factor_of(self.design, asked.factor)
        self.contrast = self._contrast(asked.contrast)
        self.further = [
            (factor, self._contrast(target.contrast))
            for target in asked.further
            for factor in self.design.factors
            if factor.name == target.factor
        ]
        self.network = self.design.plan.classifier.model
        is_mark = isinstance(self.factor, Mark)
        self.choosing, self.proving = halves_of(self.design.audited, options.seed)
        all_of_train = train_of(self.design, self.choosing if is_mark else None)
        self.train = all_of_train if all_of_train is self.choosing else apart_from(all_of_train, self.design.audited)
        self.n_shared = len(all_of_train) - len(self.train)
        for contrast in dict.fromkeys(asked.contrasts):
            refuse_small_halves((self.choosing, self.proving), self.design, contrast, is_mark=is_mark)
        self.chooser = self._measure(self.choosing)
        self.prover = measure_on(
            self.design,
            self.proving,
            self.design.factors,
            self.design.marks,
            recipients=RECIPIENTS,
            uses=USES,
            seed=options.seed,
        )
        self.joint = self._joint()
        if self.joint is not None:
            self.prover = self.prover.also(self.joint)
        self.spent = 0  # images through a network, for what is done in any case
        self.learned, held, self.proved_groups = (
            self._groups(part, self.factor, self.contrast) for part in (self.train, self.choosing, self.proving)
        )
        self.further_groups = [self._groups(self.train, *further) for further in self.further]
        self.job = self._job(held)
        self.ways, self.refused = self._ways(self.job)
        self.made: dict[str, nn.Module] = {}  # in memory, to try ways: the proof needs the same ones again
        self.done, self.total, self.making = 0, len(self.ways), ""

    def repair(self) -> Repair:
        """The repair with its proof."""
        cells = self._cells(self.learned)
        before = readings_of(self.chooser)[self.factor.name]
        tries = [self._tried(way, before) for way in self.ways]
        begun = Repair(
            factor=self.factor.name,
            contrast=self.contrast.name,
            is_mark=isinstance(self.factor, Mark),
            way="",
            words="",
            arms={},
            margins={},
            reduction=None,
            cost=None,
            others=(),
            cells=tuple(cells),
            collect=collecting(cells, self.factor.name, self.learned.source),
            tried=tuple(tries),
            refused=self.refused,
            reasons=(),
            seeds=self.options.seeds,
            images=0,
            donors=0,
            notes=self._notes(),
        )
        while (best := _best(tries)) is not None:
            try:
                return self._proved(self.ways[best], replace(begun, tried=tuple(tries)))
            except (ModelError, WorkError) as error:
                if error.slug not in FAILURES:
                    raise
                tries[best] = replace(tries[best], error=f"in the proof, {self.making}: {_said(error)}")
        why = f"No way could be tried: {listed([*_failures(tries), *_refusals(self.refused)], 4)}."
        return replace(begun, tried=tuple(tries), reasons=(why,))

    def _job(self, held_groups: Groups) -> RepairJob:
        return RepairJob(
            network=self.network,
            factor=self.factor,
            sample=self.train,
            held=self.choosing,
            groups=self.learned,
            held_groups=held_groups,
            core=self.design.core_regions,
            tuning=self.options.tuning,
            n_outputs=self.design.plan.n_outputs,
            unrelated=self._unrelated(),
            further=tuple(factor for factor, _ in self.further),
            same_cause=self._same_cause(),
            seed=self.options.seed,
            layer=next(iter(self.design.plan.layers), None),
            memory_format=self.design.plan.memory_format,
        )

    def _ways(self, job: RepairJob) -> tuple[list[Way], dict[str, str]]:
        """The ways that can be tried within the budget, and why the others cannot."""
        ways, refused = ways_of(job, self.options.ways)
        judged, others = (each(*self._judged).n_passes for each in (self.prover.only, self.prover.without))
        costs = {
            way.name: cost_of_way(
                way,
                tuning=self.options.tuning,
                n_train=len(self.train),
                seeds=self.options.seeds,
                n_choosing=self.chooser.n_passes,
                n_proving=judged,
            )
            for way in ways
        }
        always = self.spent + self.chooser.n_passes + judged + 2 * others + self._beside().most_passes
        kept, left_out = within(ways, costs, always, self.options.budget)
        return kept, {**refused, **left_out}

    def _proved(self, way: Way, begun: Repair) -> Repair:
        n = self.options.seeds * way.times
        n_made = 1 if way.is_seedless else n
        self.total = len(self.ways) + n_made + n * len(way.controls) + 1
        networks = [self._network(way.name, way.make, seed) for seed in range(n_made)]
        readings = {BEFORE: [self._read(None)] * n, REPAIRED: [*map(self._read, networks)] * (n // n_made)}
        for arm, make in way.controls.items():
            readings[arm] = [self._read(self._network(f"{way.name}-{arm}", make, seed)) for seed in range(n)]
        words = {BEFORE: "before", REPAIRED: way.words, **way.control_words}
        arms = {arm: self._arm(arm, words[arm], held) for arm, held in readings.items()}
        proof, *further = (
            effect_proof(
                target.factor,
                self._contrast(target.contrast),
                {arm: [each[target.factor] for each in held] for arm, held in readings.items()},
                self._cells(groups),
            )
            for target, groups in zip(self.asked.targets, (self.learned, *self.further_groups), strict=True)
        )
        before, repaired = (readings[arm][0] for arm in (BEFORE, REPAIRED))
        first, after = (each[self.factor.name] for each in (before, repaired))
        after_all = repaired[self._judged[-1]]
        cost = cost_of(first.right, after.right, first.clusters)
        chance = 1 / after_all.n_classes
        beside = self._beside()
        others = beside.of(networks[0], before, repaired)
        related = [[beside.related(other, target) for other in others] for target in self.asked.targets]
        reasons = reasons_of(
            proof, cost, arms, related[0], chance, together([each.cells for each in (proof, *further)])
        )
        for of_factor, around in zip(further, related[1:], strict=True):
            reasons += [f"{of_factor.factor}: {why}" for why in effect_reasons(of_factor, arms, around)]
        self._step()
        return replace(
            begun,
            way=way.name,
            words=way.words,
            arms=arms,
            margins=proof.margins,
            reduction=proof.reduction,
            further=tuple(further),
            cost=cost,
            others=tuple(map(joined, zip(*related, strict=True))),
            reasons=tuple(reasons),
            notes=(*begun.notes, *beside.not_asked(others), *([way.note] if way.note else [])),
            seeds=n,
            images=proof.images,
            donors=proof.donors,
            network=networks[0],
        )

    def _tried(self, way: Way, before: Reading) -> Try:
        """What a way leaves on the images that choose."""
        try:
            network = self._network(way.name, way.make, 0)
            if self.kept.folder is None:
                self.made[f"{way.name}-0"] = network
            readings = readings_of(self.chooser, network)
            reading = readings[self.factor.name]
        except SeewhyError as error:
            return Try(way.name, way.words, math.inf, math.nan, math.nan, _said(error))
        accuracy, before_it = (balanced(one.right, self.choosing.labels) for one in (reading, before))
        further = {factor.name: remaining([readings[factor.name]], contrast) for factor, contrast in self.further}
        left = remaining([reading], self.contrast)
        return Try(way.name, way.words, left, accuracy, accuracy - before_it, further=further)

    def _network(self, name: str, make: Callable[[int], nn.Module], seed: int) -> nn.Module:
        self.making = f"{name}, seed {seed}"
        key = f"{name}-{seed}"
        made = self.made.get(key)
        if made is None:
            made = self.kept.network(key, self.network, lambda: make(SEEDS * self.options.seed + seed))
        self._step()
        return made

    def _contrast(self, name: str) -> Contrast:
        return next(contrast for contrast in self.design.contrasts if contrast.name == name)

    def _read(self, network: nn.Module | None) -> dict[str, Reading]:
        """What a network (None: the one before) says of each repaired factor on the images that prove."""
        return readings_of(self.prover.only(*self._judged), network)

    def _beside(self) -> Others:
        return Others(self.asked, self.prover, self._judged, USES)

    @property
    def _judged(self) -> tuple[str, ...]:
        """What the proof reads of every network: each factor by itself, and of several all together."""
        return (*self.asked.factors, *([self.joint.name] if self.joint is not None else []))

    def _joint(self) -> Job | None:
        """The exchange of all that is repaired at once, which shows what else tells the classes apart.

        Of an image that lacks one's region only the others are exchanged. None where it is one factor. Raises
        OptionError where a class has no such images.
        """
        if isinstance(self.factor, Mark) or not self.further:
            return None
        factors, sample = [self.factor, *(factor for factor, _ in self.further)], self.prover.design.audited
        pairs = sample.pairs(uses=USES)
        has = np.stack([sample.found.get(factor.region or "", np.ones(len(sample), bool)) for factor in factors])
        recipients, donors = has[:, pairs[:, 0]], has[:, pairs[:, 1]]
        pairs = pairs[recipients.any(axis=0) & (donors | ~recipients).all(axis=0)]
        missing = np.setdiff1d(sample.labels, sample.labels[pairs[:, 0]])
        if len(missing):
            names, of = listed(self.asked.factors), listed([self.design.classes[label] for label in missing])
            raise OptionError(
                f"{names} cannot be repaired together: what else is learned is asked of images that have what they "
                f"have from another one, and there are none of {of} among those that prove.\n"
                f"  Repair them one by one:  --finding {shlex.quote(self.factor.name)}"
            )
        key = TrialKey(listed(self.asked.factors), EXCHANGE, sample.split)
        return Job(key, pairs, tuple(in_order(factors)))

    def _cells(self, groups: Groups) -> list[Cell]:
        return cells_of(groups, self.train.labels, self.design.classes, self.train.images)

    def _arm(self, name: str, words: str, held: Sequence[Mapping[str, Reading]]) -> Arm:
        readings = [reading[self.factor.name] for reading in held]
        first, together = readings[0], held[0][self._judged[-1]]
        cells = first.cells(self.proving.labels, self.proved_groups, self.design.classes)
        return Arm(
            name=name,
            words=words,
            mean=remaining(readings, self.contrast),
            over_seeds=effect_over_seeds(readings, self.contrast),
            effects=tuple(remaining([reading], self.contrast) for reading in readings),
            effect=first.effect(self.contrast),
            accuracy=first.accuracy,
            exchanged=together.exchanged,
            worst=worst_of(cells),
            cells=cells,
        )

    def _measure(self, sample: Sample) -> Measure:
        """The measure of what is to be repaired on a part of the images."""
        further = [factor for factor, _ in self.further]
        factors = further if isinstance(self.factor, Mark) else [self.factor, *further]
        marks: list[Mark] = [self.factor] if isinstance(self.factor, Mark) else []
        return measure_on(self.design, sample, factors, marks, recipients=RECIPIENTS, uses=USES, seed=self.options.seed)

    def _groups(self, sample: Sample, factor: Factor | Mark, contrast: Contrast) -> Groups:
        """What a factor says in each image of a part: by the column that was named, else by the donors' effects."""
        if self.options.groups is not None:
            parts = (self.train, self.choosing, self.proving)
            among = [image for part in parts for image in part.images]
            return groups_by_column(self.design.plan.table, sample.images, self.options.groups, among)
        if isinstance(factor, Mark):
            return no_groups(len(sample), "not known of a mark that the audit laid over; name a column")
        if contrast.is_own_class:
            return no_groups(len(sample))
        measure = measure_on(self.design, sample, [factor], recipients=len(sample), uses=2, seed=self.options.seed)
        self.spent += measure.n_passes
        effects = _donor_effects(measure.trials()[factor.name], contrast)
        name, of = factor.name, contrast.name
        return groups_by_effects(effects, (f"{name} speaks against {of}", f"{name} speaks for {of}"))

    def _unrelated(self) -> tuple[Factor, ...]:
        """The properties that were audited, are no part of what should decide, and go with the classes least."""
        known = self.design.associations
        some = [one for one in self.design.factors if one.region is None and one.name not in self.design.core]
        return tuple(
            sorted((one for one in some if one.name not in self.asked.factors), key=lambda one: known[one.name])
        )

    def _same_cause(self) -> tuple[Factor, ...]:
        """The regions that the findings told as the same cause, of those that share nothing with what should decide.

        What goes with the factor itself is left out: its exchange would cost accuracy for nothing.
        """
        core = [region for region in self.design.core_regions if region in self.train.masks]
        if not core or isinstance(self.factor, Mark):
            return ()
        told = {name for target in self.asked.targets for name in target.same_cause}
        more = told - {*self.asked.wholly_it, *self.asked.factors}
        apart = [
            one
            for one in self.design.factors
            if one.name in more
            and one.region
            and one.region in self.train.masks
            and all(overlap_of(self.train, one.region, region) <= DISJOINT for region in core)
        ]
        return tuple(apart[:MOST_ALSO])

    def _notes(self) -> tuple[str, ...]:
        parts = [(self.train, "taught"), (self.choosing, "chose"), (self.proving, "proved")]
        told = listed([f"{len(part)} of {part.split} {what}" for part, what in parts])
        is_made = isinstance(self.factor, Mark) and self.options.groups is None
        groups = "made by laying the mark over" if is_made else "named" if self.options.groups else "guessed"
        shared = (
            f"Left out of train: {counted(self.n_shared, 'image')} that stand in {self.proving.split}, too "
            "(near-duplicates, or of one cluster with images there)."
        )
        alone = (
            "There is no split to learn from: the images that chose have taught, too, and those that prove have not."
        )
        said = [shared] if self.n_shared else [alone] if self.train is self.choosing else []
        return (f"Images: {told}; the groups of images are {groups}.", *said)

    def _step(self) -> None:
        self.done += 1
        self.progress(min(self.done, self.total), max(self.total, 1))


def _donor_effects(trials: Trials, contrast: Contrast) -> Floats:
    """Of each donor (M,) on the margin, which a sure network moves where its probabilities stay at 0 or 1."""
    return class_effect(trials, trials.margin_changes(contrast), contrast)[1]


def _said(error: SeewhyError) -> str:
    """What an error says, with what to type."""
    return " ".join(str(error.args[0]).split())


def _failures(tries: Sequence[Try]) -> list[str]:
    return [f"{one.way} ({one.error})" for one in tries if one.error]


def _refusals(refused: Mapping[str, str]) -> list[str]:
    return [f"{name} ({why.rstrip('.')})" for name, why in refused.items()]


def _best(tries: Sequence[Try]) -> int | None:
    """The try that leaves least of the effects and loses least accuracy, in points and added; None: all failed."""
    able = [place for place, one in enumerate(tries) if not one.error]
    return min(able, key=lambda place: tries[place].left + max(0.0, -tries[place].change), default=None)
