"""Edited images, re-scored: one job is one factor edited in one way on one split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seewhy.cam.capture import forward, untouched
from seewhy.cam.scores import probabilities, two_sided
from seewhy.errors import WorkError
from seewhy.evidence.edits import FAMILIES, filled, shrunk, transplanted
from seewhy.evidence.factors import Factor, Insert, PropertyFactor, RegionFactor
from seewhy.evidence.sample import MOST_CLASSES, OWN_CLASS, Ints, Sample, gathered

DONORS, OUTSIDE, INSERTED, NEUTRAL_MARK, CONTROL = "donors", "outside", "inserted", "neutral mark", "control"
NO_DONOR = UNDECIDED = -1  # no donor; no prediction, since logits are not finite
_CHUNK = 64  # images of which a factor is measured at once
_BLOCK_PX = 64 * 64 * 64  # pixels of the images whose property is edited at once: more than the network takes at once

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """Trials that belong together: `factors` are put in one after the other, from the same donor.

    `edit` is "donors" (a transplant), "outside" (the same outside of `core`: the rest of a region, or a property of
    donors with their core painted over), "shrunk-4" (with the region drawn back by 4 pixels), one of the factor's
    families ("blur", …), "inserted" or "neutral mark", "control" (another region in place of the factor), or "control
    blur" (the same for a family; of several regions each image has its own).
    `pairs` (T, 2) are the places of recipient and donor, -1 where there is none.
    """

    name: str
    edit: str
    split: str
    pairs: Ints
    factors: tuple[Factor, ...] = ()
    insert: Insert | None = None
    control: Tensor | None = None
    core: str | None = None
    seed: int = 0

    @property
    def n_trials(self) -> int:
        """How many images are edited and scored again."""
        return len(self.pairs)


@dataclass(frozen=True)
class Scores:
    """What the classifier says of images (T): margins and probabilities (T, C) by contrast, and predictions (T,) or -1.

    The contrasts are: of two classes the first; of up to MOST_CLASSES each; of more the image's own class.
    """

    margins: Floats32
    probabilities: Floats32
    predictions: Ints
    is_own_class: bool = False

    def __len__(self) -> int:
        return len(self.predictions)


@dataclass(frozen=True)
class Trials:
    """The trials of one job, with the places of recipient and donor (-1: none) in the sample."""

    name: str
    edit: str
    split: str
    recipients: Ints
    donors: Ints
    scores: Scores = field(repr=False)

    def __len__(self) -> int:
        return len(self.recipients)


def contrasts_of(classes: Sequence[str]) -> tuple[str, ...]:
    """What effects are asked about, in the order of the columns of Scores."""
    if len(classes) == 2:
        return (classes[0],)
    return tuple(classes) if len(classes) <= MOST_CLASSES else (OWN_CLASS,)


def scores_of(logits: Tensor, labels: Tensor) -> Scores:
    """The scores of logits (T, K) of images with these labels (T,): class margins to the best other class."""
    raw = logits.detach().cpu().double()
    both = two_sided(raw) / 2 if raw.shape[1] == 1 else raw  # so that softmax is the one logit's sigmoid
    shares = probabilities(both)
    n_classes = both.shape[1]
    if n_classes > MOST_CLASSES:
        own = both.gather(1, labels[:, None])
        rest = both.scatter(1, labels[:, None], float("-inf")).amax(dim=1, keepdim=True)
        margins, shares = own - rest, shares.gather(1, labels[:, None])
    else:
        best, order = both.topk(2, dim=1)
        places = torch.arange(n_classes).to(order)
        margins = both - torch.where(order[:, :1] == places, best[:, 1:], best[:, :1])
        if n_classes == 2:
            margins, shares = margins[:, :1], shares[:, :1]
    finite = both.isfinite().all(dim=1)
    decided = torch.where(finite, both.argmax(dim=1), UNDECIDED).numpy().astype(np.int64)
    return Scores(margins.float().numpy(), shares.float().numpy(), decided, is_own_class=n_classes > MOST_CLASSES)


class Scorer:
    """The classifier as a function of canvases, and what donors give, computed once for each factor."""

    def __init__(self, model: nn.Module, sample: Sample, batch_size: int, memory_format: torch.memory_format) -> None:
        device = next((one.device for one in model.parameters()), sample.pixels.device)
        self.model, self.sample, self.batch_size = model, sample.on(device), batch_size
        self._format = memory_format
        self.labels = torch.from_numpy(sample.labels)
        self._content: tuple[tuple[str, str | None], Tensor] | None = None

    def logits(self) -> Tensor:
        """The logits (M, K) of every image of the sample as it is."""
        parts = []
        with untouched(self.model):
            for places in torch.arange(len(self.sample)).split(self.batch_size):
                parts.append(self._logits(self.sample.canvases(places)))
        return torch.cat(parts)

    def run(self, job: Job) -> Trials:
        """The trials of one job."""
        scores = self._by_recipient(job) or self._scored(job.pairs, self._edit_of(job))
        return Trials(job.name, job.edit, job.split, job.pairs[:, 0], job.pairs[:, 1], scores)

    def edited(self, job: Job, pairs: Ints) -> Tensor:
        """The edited canvases (n, 3, H, W) of some pairs of a job."""
        own, other = (torch.from_numpy(np.ascontiguousarray(column)) for column in pairs.T)
        return self._edit_of(job)(own, other)

    def _edit_of(self, job: Job) -> Callable[[Tensor, Tensor], Tensor]:
        sample = self.sample
        if job.insert is not None:
            mark, neutral = job.insert, job.edit == NEUTRAL_MARK
            return lambda own, _: mark.laid(sample.canvases(own), neutral=neutral)
        if job.control is not None:
            return self._control_of(job, job.control)
        if job.edit in (DONORS, OUTSIDE) or job.edit.startswith("shrunk-"):
            contents = [(factor, self.content(factor, None if factor.region else job.core)) for factor in job.factors]
            return lambda own, other: self._transplant(job, contents, own, other)
        (factor,) = job.factors
        average = self.content(factor).cpu().double().mean(dim=0).float() if factor.region is None else torch.zeros(0)
        return lambda own, _: factor.neutral(
            sample.canvases(own), self._masks(factor, own, 0), job.edit, average, job.seed
        )

    def _control_of(self, job: Job, regions: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The same edit of regions that are no factor; of several each image has its own, in turn."""
        sample = self.sample
        if job.edit == CONTROL:
            return lambda own, other: transplanted(sample.canvases(own), sample.canvases(other), regions)
        family = FAMILIES[job.edit.removeprefix(f"{CONTROL} ")]
        placed = regions.to(sample.pixels.device)
        return lambda own, _: family(sample.canvases(own), placed[own % len(placed)], job.seed)

    def _transplant(self, job: Job, contents: Sequence[tuple[Factor, Tensor]], own: Tensor, other: Tensor) -> Tensor:
        pixels = int(job.edit.removeprefix("shrunk-")) if job.edit not in (DONORS, OUTSIDE) else 0
        canvases = self.sample.canvases(own)
        for factor, content in contents:
            masks = self._masks(factor, own, pixels)
            if masks is not None and job.core is not None:
                masks = masks * (1 - self.sample.masks_at(job.core, own))
            canvases = factor.put(canvases, masks, gathered(content, other))
        return canvases

    def _by_recipient(self, job: Job) -> Scores | None:
        """The scores of a property's transplants, where each recipient is prepared once for all of its donors.

        None where the job is no such thing, or its recipients do not all meet equally many donors.
        """
        if len(job.factors) != 1 or job.edit not in (DONORS, OUTSIDE) or not isinstance(job.factors[0], PropertyFactor):
            return None
        recipients, counts = np.unique(job.pairs[:, 0], return_counts=True)
        uses = int(counts[0]) if len(counts) else 0
        if not uses or (counts != uses).any() or (np.repeat(job.pairs[::uses, 0], uses) != job.pairs[:, 0]).any():
            return None
        content = self.content(job.factors[0], job.core)
        own, others = torch.from_numpy(job.pairs[::uses, 0].copy()), torch.from_numpy(job.pairs[:, 1].reshape(-1, uses))
        parts = []
        with untouched(self.model):
            height, width = self.sample.pixels.shape[2:]
            block = max(self.batch_size, _BLOCK_PX // (int(height) * int(width)))
            for start in range(0, len(recipients), block):
                rows = slice(start, start + block)
                edit = job.factors[0].of.editor(self.sample.canvases(own[rows]))
                columns = [self._logits(edit(gathered(content, others[rows, use]))) for use in range(uses)]
                parts.append(
                    torch.stack(columns, dim=1).flatten(0, 1)
                )  # the first recipient's donors, then the second's
        return scores_of(torch.cat(parts), self.labels[torch.from_numpy(job.pairs[:, 0].copy())])

    def _masks(self, factor: Factor, places: Tensor, pixels: int) -> Tensor | None:
        if factor.region is None:
            return None
        masks = self.sample.masks_at(factor.region, places)
        return shrunk(masks, pixels) if pixels else masks

    def content(self, factor: Factor, core: str | None = None) -> Tensor:
        """What every image of the sample gives as a donor (M, …); pixels as bytes. With `core` painted over before."""
        is_region = isinstance(factor, RegionFactor)
        if is_region and self.sample.masks[factor.name].shape[0] == 1:
            return self.sample.pixels  # the same place in every image: its pixels as they are
        if self._content is None or self._content[0] != (factor.name, core):
            parts = []
            for places in torch.arange(len(self.sample)).split(_CHUNK):
                canvases = self.sample.canvases(places)
                if core is not None:
                    canvases = filled(canvases, 1 - self.sample.masks_at(core, places))
                taken = factor.take(canvases, self._masks(factor, places, 0))
                as_bytes = is_region and self.sample.pixels.dtype == torch.uint8
                parts.append((taken * 255).round().clamp(0, 255).byte() if as_bytes else taken)
            self._content = (factor.name, core), torch.cat(parts)
        return self._content[1]

    def _scored(self, pairs: Ints, edit: Callable[[Tensor, Tensor], Tensor]) -> Scores:
        own, other = (torch.from_numpy(column.copy()) for column in pairs.T)
        with untouched(self.model):
            both = zip(own.split(self.batch_size), other.split(self.batch_size), strict=True)
            parts = [self._logits(edit(recipients, donors)) for recipients, donors in both]
        return scores_of(torch.cat(parts), self.labels[own])

    def _logits(self, canvases: Tensor) -> Tensor:
        inputs = self.sample.inputs(canvases)
        parts = (part.contiguous(memory_format=self._format) for part in inputs.split(self.batch_size))
        return torch.cat([self._answer(part).cpu() for part in parts])

    def _answer(self, inputs: Tensor) -> Tensor:
        try:
            return forward(self.model, inputs)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, MemoryError) or "memory" in str(error).lower():
                text = (
                    f"Out of memory with {len(inputs)} images at once.\n  Type:  --batch-size {len(inputs) // 4 or 1}"
                )
                raise WorkError(text, slug="out-of-memory") from error
            raise
