"""A training whose images get named factors from each other, so that less of them is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seewhy.data.networks.classifier import Classifier
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import OptionError, counted, listed
from seewhy.evidence.trials.design import design_audit
from seewhy.evidence.trials.request import AuditRequest, Effort
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.exchange.exchange import FactorExchange
from seewhy.learn.measure import FactorWord, by_kind, words_of
from seewhy.learn.parts import ALL
from seewhy.records import Image

SHARE = 0.5  # of the images of a batch


@dataclass(frozen=True)
class TrainingExchange:
    """Factors that the images of a sample get from each other, all from the same; `places` are theirs in it, by id."""

    sample: Sample
    exchange: FactorExchange
    places: Mapping[str, int]

    @property
    def notes(self) -> list[str]:
        """What is exchanged, and how many images stay as they are since they have no mask."""
        factors, total = (self.exchange.factor, *self.exchange.further), len(self.sample)
        without = {factor.name: total - int(self.exchange.has_of(factor).sum()) for factor in factors}
        return [f"In each epoch half of the training images get from another one: {listed(without)}."] + [
            f"{counted(number, 'training image')} of {total:,} without a mask of {name}: it is not exchanged there."
            for name, number in without.items()
            if number
        ]

    def into(self, inputs: Tensor, images: Sequence[Image], generator: torch.Generator) -> Tensor:
        """The network's inputs (N, C, H, W) of some images, half of them with the factors of another image each."""
        places = torch.tensor([self.places[image.id] for image in images])
        chosen = torch.rand(len(images), generator=generator) < SHARE
        rows = torch.nonzero(chosen & torch.from_numpy(self.exchange.eligible)[places])[:, 0]
        mixed = inputs.clone()
        if len(rows):
            donors = self.exchange.donors_for(places[rows], generator)
            edited = self.sample.inputs(self.exchange.edited(places[rows], donors))
            mixed[rows.to(mixed.device)] = edited.to(mixed.device, mixed.dtype)
        return mixed


def exchange_among(
    factors: str | Sequence[FactorWord], classifier: Classifier, table: ImageTable, images: Sequence[Image], seed: int
) -> TrainingExchange:
    """The exchange of factors among some images of a table. Raises OptionError for one that cannot be exchanged."""
    regions, properties, unasked = by_kind(words_of(factors), table)
    effort = Effort(1, ALL, controls=0, pairs=0)
    request = AuditRequest(regions=regions, properties=properties, columns=("none",), effort=effort, as_given=True)
    design = design_audit(classifier, replace(table, images=tuple(images)), request, seed=seed)
    kept = sorted((factor for factor in design.factors if factor.name not in unasked), key=lambda factor: factor.name)
    missing = [f"{name}: {why.reason}" for name, why in design.ruled_out.items() if name not in unasked]
    if missing or not kept:
        said = listed(missing, 4) or "none has content to exchange"
        raise OptionError(f"This cannot be exchanged among the training images ({said}).", slug="no-such-factor")
    sample = design.audited
    beside = tuple(sorted(unasked))  # the face that a background was told from
    exchange = FactorExchange(sample, kept[0], share=SHARE, core=beside, further=tuple(kept[1:]))
    exchange.prepare()
    return TrainingExchange(sample, exchange, {image.id: place for place, image in enumerate(sample.images)})


def named(factors: str | Sequence[FactorWord]) -> str:
    """The factors in words: what a resumed training must share."""
    return ", ".join(word if isinstance(word, str) else word.name for word in words_of(factors))
