"""The effects of named factors on any network: the same images, the same donors, the same edits each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from seewhy.data.networks.classifier import Classifier
from seewhy.data.sources.folder import read_table
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, OptionError, listed, nearest
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.factors.region_grammar import BACKGROUND, GRAMMAR, find_regions, is_region
from seewhy.evidence.factors.region_sources import FACE
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.factors.zones import WORDS
from seewhy.evidence.findings.effects import Effect, effect_of
from seewhy.evidence.properties.catalogue import PROPERTIES, Property
from seewhy.evidence.trials.budget import smallest_of
from seewhy.evidence.trials.design import AuditDesign, design_audit, scheduled
from seewhy.evidence.trials.edit import EXCHANGE, Edit
from seewhy.evidence.trials.request import AuditRequest, Effort
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Job, Scores, Trials, scores_of, trials_of_job

FactorWord = str | Property | Factor | Region


@dataclass(frozen=True)
class Measure:
    """What is measured again and again: `design` holds images, factors and who meets whom, on one split."""

    design: AuditDesign

    @property
    def names(self) -> tuple[str, ...]:
        """The factors and marks, by name."""
        return tuple(dict.fromkeys(str(job.key.factor) for job in self.design.schedule.jobs))

    @property
    def split(self) -> str:
        """The split whose images are edited."""
        return self.design.audited.split

    @property
    def network(self) -> nn.Module:
        """The network that the measure was made for, as it is now."""
        return self.design.plan.classifier.model

    @property
    def n_passes(self) -> int:
        """How many images go through a network each time."""
        return len(self.design.audited) + sum(job.n_trials for job in self.design.schedule.jobs)

    def only(self, *factors: str) -> Measure:
        """The same measure of some factors or marks alone."""
        return self._of([job for job in self.design.schedule.jobs if job.name in factors])

    def without(self, *factors: str) -> Measure:
        """The same measure of everything but some factors or marks."""
        return self._of([job for job in self.design.schedule.jobs if job.name not in factors])

    def also(self, job: Job) -> Measure:
        """The same measure with one job more."""
        return self._of([*self.design.schedule.jobs, job])

    def _of(self, jobs: Sequence[Job]) -> Measure:
        return Measure(replace(self.design, schedule=replace(self.design.schedule, jobs=tuple(jobs))))

    def scorer(self, model: nn.Module | None = None) -> Scorer:
        """A network as a function of edited images. None: the measure's own.

        Another one must answer as that does, like a copy of it with other weights.
        """
        plan = self.design.plan
        return Scorer(model or self.network, self.design.audited, plan.batch_size, plan.memory_format)

    def by_edit(self, model: nn.Module | None = None) -> tuple[Scores, dict[tuple[str, Edit], Trials]]:
        """What a network says of each image as it is, and all trials by what is edited and how; it is left as found."""
        sample, scorer = self.design.audited, self.scorer(model)
        before = scores_of(scorer.logits(), scorer.labels)
        jobs = self.design.schedule.jobs
        return before, {(job.name, job.edit): trials_of_job(job, sample, before, scorer.run(job)) for job in jobs}

    def scored(self, model: nn.Module | None = None) -> tuple[Scores, dict[str, Trials]]:
        """What a network says of every image as it is, and each factor's exchanges by its name."""
        before, trials = self.by_edit(model)
        return before, {name: of_factor for (name, edit), of_factor in trials.items() if edit == EXCHANGE}

    def trials(self, model: nn.Module | None = None) -> dict[str, Trials]:
        """Each factor's exchanges by its name, as a network scores them."""
        return self.scored(model)[1]

    def effects(self, model: nn.Module | None = None) -> list[Effect]:
        """Each factor's effect for each contrast, with its interval, as `audit` measures it."""
        kinds = {factor.name: factor.kind for factor in self.design.factors}
        return [
            effect_of(trials, contrast, kinds[name])
            for name, trials in self.trials(model).items()
            for contrast in self.design.contrasts
        ]


def measure_of(
    classifier: Classifier | nn.Module,
    images: Any,
    factors: str | Sequence[FactorWord],
    *,
    recipients: int = 100,
    donors: int = 100,
    seed: int = 0,
    among: ImageTable | None = None,
    **options: Any,
) -> Measure:
    """The measure of named factors on the images that an audit would judge: those of valid, where there are any.

    `recipients` images are edited for each factor; `donors` is how many give content, of all classes together.
    Where the images are some of a larger table, `among` is that, so that none takes the mask of one that was left out.
    `options` are those of `design_audit`. Raises OptionError for a factor that is unknown or cannot be exchanged here,
    DataError where no class can be compared with another.
    """
    table = read_table(images)
    regions, properties, unasked = by_kind(words_of(factors), among or table)
    n_classes = max(2, len(set(table.labels)))
    effort = Effort(recipients, max(8, -(-donors // n_classes)), uses=2, controls=0, pairs=0)
    request = AuditRequest(regions=regions, properties=properties, columns=("none",), effort=effort, as_given=True)
    design = design_audit(classifier, table, request, seed=seed, **options)
    kept = tuple(factor for factor in design.factors if factor.name not in unasked)
    _refuse_ruled_out({name: why.reason for name, why in design.ruled_out.items() if name not in unasked}, kept)
    audited = design.audited
    samples = replace(design.samples, by_split={audited.split: audited})
    design = scheduled(replace(design, factors=kept, samples=samples), None)
    if not design.schedule.jobs:
        raise DataError(smallest_of(design), slug="no-labels")
    return Measure(design)


def words_of(factors: str | Sequence[FactorWord]) -> list[FactorWord]:
    """The factors that were named, each by itself. Raises OptionError where none was."""
    words = [word.strip() for word in factors.split(",")] if isinstance(factors, str) else list(factors)
    if not (asked := [word for word in words if word]):
        raise OptionError(
            f"No factor was named.  Name some:  background=masks/background, border, {listed(PROPERTIES, 4)}",
            slug="no-such-factor",
        )
    return asked


def by_kind(
    words: Sequence[FactorWord], among: ImageTable
) -> tuple[tuple[str | Region, ...], tuple[str | Property | Factor, ...], set[str]]:
    """Regions, with masks of a table's images, and properties; and regions that are needed but were not asked for."""
    regions: list[str | Region] = []
    properties: list[str | Property | Factor] = []
    for word in words:
        if isinstance(word, Region) or (isinstance(word, str) and is_region(word)):
            regions.append(word)
        elif not isinstance(word, str) or word in PROPERTIES or ":" in word:
            properties.append(word)
        else:
            raise OptionError(
                f"There is no factor {word!r}.  {nearest(word, (*PROPERTIES, *WORDS, FACE, BACKGROUND))}".rstrip()
                + f"\n  Properties: {listed(PROPERTIES, 20)}\n  Regions: {GRAMMAR}",
                slug="no-such-factor",
            )
    unasked = {FACE} if BACKGROUND in regions and FACE not in regions else set()
    named = (*unasked, *regions)
    return tuple(find_regions(named, among)) if named else ("none",), tuple(properties) or ("none",), unasked


def _refuse_ruled_out(reasons: Mapping[str, str], kept: Sequence[Factor]) -> None:
    if kept:
        return
    said = listed([f"{name}: {reason}" for name, reason in reasons.items()], 4) or "none has content to exchange"
    raise OptionError(f"No factor that was named can be measured here ({said}).", slug="no-such-factor")
