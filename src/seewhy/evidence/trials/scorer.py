"""Edited images through the classifier, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seewhy.cam.model import forward, untouched
from seewhy.evidence.factors.edits import REMOVALS, filled, grown, shrunk, transplanted
from seewhy.evidence.factors.factor import Factor, PropertyFactor, RegionFactor, part_of, skips_unknown
from seewhy.evidence.trials.edit import Edit
from seewhy.evidence.trials.everywhere import surrounded, unit_means
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample, gathered
from seewhy.evidence.trials.trial import Job, Scores, scores_of
from seewhy.run.machine import out_of_memory

_BLOCK_PX = 64 * 64 * 64  # pixels of the images whose property is edited at once: more than the network takes at once
Editing = Callable[[Tensor, Tensor], Tensor]  # places of recipients (n,) and donors (n,) -> canvases (n, 3, H, W)


class Scorer:
    """The classifier as a function of canvases, and what donors give, computed once for each factor."""

    def __init__(self, model: nn.Module, sample: Sample, batch_size: int, memory_format: torch.memory_format) -> None:
        device = next((parameter.device for parameter in model.parameters()), sample.pixels.device)
        self.model, self.sample, self.batch_size = model, sample.on(device), batch_size
        self._format = memory_format
        self.labels = torch.from_numpy(sample.labels)
        self._content: tuple[tuple[str, str | None, int], Tensor] | None = None
        self._ranges: dict[str, tuple[Tensor, Tensor]] = {}
        self._means: dict[tuple[str, str | None, int], Tensor] = {}

    def logits(self) -> Tensor:
        """The logits (M, K) of every image of the sample as it is."""
        parts = []
        with untouched(self.model):
            for places in torch.arange(len(self.sample)).split(self.batch_size):
                parts.append(self.logits_of(self.sample.canvases(places)))
        return torch.cat(parts)

    def scores(self) -> Scores:
        """The scores (M) of every image of the sample as it is."""
        return scores_of(self.logits(), self.labels)

    def run(self, job: Job) -> Scores:
        """The scores (T) of one job's images after the edit; none where its property cannot be told of an image."""
        scores = self._by_recipient(job) or self.scored(job.pairs, self._editing(job))
        return scores.without(self._untold(job))

    def _untold(self, job: Job) -> NDArray[np.bool_]:
        """The pairs (T,) of which one leaves too little outside of the core to measure what would be exchanged."""
        untold = np.zeros(len(job.pairs), dtype=bool)
        if job.edit.kind == "exchange" and job.edit.outside is not None and not job.edit.whole:
            for factor in filter(skips_unknown, job.factors):
                content = self.content(factor, job.edit.outside, job.edit.grow_px)
                untold |= content.isnan().any(dim=1).cpu().numpy()[job.pairs].any(axis=1)
        return untold

    def edited(self, job: Job, pairs: Ints) -> Tensor:
        """The edited canvases (n, 3, H, W) of some pairs of a job."""
        recipients, other = (torch.from_numpy(np.ascontiguousarray(column)) for column in pairs.T)
        return self._editing(job)(recipients, other)

    def _editing(self, job: Job) -> Editing:
        sample = self.sample
        if job.mark is not None:
            laid = job.mark.patched if job.edit.kind == "patch" else job.mark.laid
            return lambda recipients, _: laid(sample.canvases(recipients))
        if job.control is not None:
            return self._control_of(job, job.control)
        if job.edit.kind == "exchange":
            contents = [(factor, self.content(factor, job.edit.outside, job.edit.grow_px)) for factor in job.factors]
            return lambda recipients, other: self._transplant(job, contents, recipients, other)
        (factor,) = job.factors
        average = self.content(factor).cpu().double().mean(dim=0).float() if factor.region is None else torch.zeros(0)
        return lambda recipients, _: factor.removed(
            sample.canvases(recipients), self._masks(factor, recipients), str(job.edit), average, job.seed
        )

    def _control_of(self, job: Job, regions: Tensor) -> Editing:
        """The same edit of regions that are no factor; of several each image has its own, in turn."""
        sample = self.sample
        if job.edit.removal is None:
            return lambda recipients, other: transplanted(sample.canvases(recipients), sample.canvases(other), regions)
        removed = REMOVALS[job.edit.removal]
        placed = regions.to(sample.pixels.device)
        return lambda recipients, _: removed(sample.canvases(recipients), placed[recipients % len(placed)], job.seed)

    def _transplant(
        self, job: Job, contents: Sequence[tuple[Factor, Tensor]], recipients: Tensor, other: Tensor
    ) -> Tensor:
        canvases = before = self.sample.canvases(recipients)
        for factor, content in contents:
            masks = self._masks(factor, recipients, job.edit.shrink_px)
            if masks is not None and job.edit.outside is not None:
                masks = masks * (1 - grown(self.sample.masks_at(job.edit.outside, recipients), job.edit.grow_px))
            given = self._given(job, factor, content, before, recipients, other)
            if job.held is not None and masks is not None and job.held.region in self.sample.corners:
                given = self._with_held(job.held, before, given, recipients, other)
            if job.held is not None and masks is not None and job.held.region is None:
                donors = self._needed_masks(factor, other)
                donors = self.sample.brought(factor.region, donors[:, None], recipients, other)[:, 0]
                given = _with_own(job.held, before, masks, given, donors)
            canvases = self._put(job, factor, canvases, masks, given, recipients)
        if job.held is not None and (job.held.region is not None or job.factors[0].region is None):
            canvases = self._put_back(job, job.held, canvases, recipients)
        return canvases

    def _given(
        self, job: Job, factor: Factor, content: Tensor, canvases: Tensor, recipients: Tensor, other: Tensor
    ) -> Tensor:
        """What the donors give to the recipients: their content.

        To the whole from outside as much of a change as the classes differ there: a donor stands for its class, so that
        what one picture happens to have is in none of it.
        """
        if not job.edit.whole or not isinstance(factor, PropertyFactor):
            return self.sample.brought(factor.region, gathered(content, other), recipients, other)
        content = self._class_means(factor, content, job.edit)
        wanted = factor.of.carried_over(
            factor.of.measure(canvases), gathered(content, recipients), gathered(content, other)
        )
        return wanted.clamp(*self._range_of(factor))

    def _with_held(self, held: Factor, before: Tensor, given: Tensor, recipients: Tensor, other: Tensor) -> Tensor:
        """What donors give (n, 3, H, W), with what lies elsewhere in each image as the recipients have it there."""
        masks = self._needed_masks(held, recipients)
        own = self.sample.brought(held.region, filled(before, masks), other, recipients)
        return transplanted(given, own, self._needed_masks(held, other))

    def _class_means(self, factor: Factor, content: Tensor, edit: Edit) -> Tensor:
        """For each image the mean of a property's values (M, D) over the units of its class that have an outside.

        Of a class in which the core leaves nothing outside, the mean of all.
        """
        core, key = edit.outside or "", (factor.name, edit.outside, edit.grow_px)
        if key not in self._means:
            sample = self.sample
            known = content.isfinite().all(dim=1)  # too little of a picture may be left to measure it in
            told = surrounded(sample, core, edit.grow_px) & known.cpu().numpy()
            means, labels = unit_means(content, sample.labels, sample.clusters, told)
            given = content[known].mean(dim=0).repeat(int(sample.labels.max()) + 1, 1)
            for label in np.unique(labels).tolist():
                given[label] = means[torch.from_numpy(labels == label)].mean(dim=0)
            self._means[key] = given[self.labels.to(given.device)]
        return self._means[key]

    def _range_of(self, factor: PropertyFactor) -> tuple[Tensor, Tensor]:
        """The least and the largest value of a property (D,) that an image of the sample has: no edit goes beyond."""
        if factor.name not in self._ranges:
            parts = torch.arange(len(self.sample)).split(CHUNK)
            values = torch.cat([factor.of.measure(self.sample.canvases(places)) for places in parts])
            self._ranges[factor.name] = values.amin(dim=0), values.amax(dim=0)
        return self._ranges[factor.name]

    def _put_back(self, job: Job, held: Factor, canvases: Tensor, recipients: Tensor) -> Tensor:
        """The edited canvases with a factor as the recipients have it: a region's own pixels, a property's value."""
        masks, before = self._masks(held, recipients), self.sample.canvases(recipients)
        if isinstance(held, RegionFactor) and masks is not None:
            return transplanted(canvases, before, masks)
        given = held.take(self._shown(job, held, before, recipients), masks)
        return self._put(job, held, canvases, masks, given, recipients)

    def _put(
        self, job: Job, factor: Factor, canvases: Tensor, masks: Tensor | None, given: Tensor, recipients: Tensor
    ) -> Tensor:
        """The canvases with what is given; a property as it is outside of the core, where it is asked for there."""
        shown = self._shown(job, factor, canvases, recipients)
        return self._changed(job, factor, canvases, shown, factor.put(shown, masks, given), recipients)

    def _changed(
        self, job: Job, factor: Factor, canvases: Tensor, shown: Tensor, edited: Tensor, recipients: Tensor
    ) -> Tensor:
        """The canvases with what an edit of what was shown of them has changed; the core keeps its bits."""
        if shown is canvases:
            return edited
        change = torch.nan_to_num(edited - shown) if skips_unknown(factor) else edited - shown
        return torch.addcmul(canvases, change, self._around(job, recipients)[:, None]).clamp_(0, 1)

    def _shown(self, job: Job, factor: Factor, canvases: Tensor, places: Tensor) -> Tensor:
        """The canvases on which a factor is set: of a property outside of the core without that, as it is measured."""
        if job.edit.outside is None or job.edit.whole or factor.region is not None:
            return canvases
        return part_of(factor, canvases, self._around(job, places))

    def _around(self, job: Job, places: Tensor) -> Tensor:
        """What lies outside of the core that is drawn larger, (n, H, W) or (1, H, W)."""
        return 1 - grown(self.sample.masks_at(job.edit.outside or "", places), job.edit.grow_px)

    def _needed_masks(self, factor: Factor, places: Tensor) -> Tensor:
        masks = self._masks(factor, places)
        if masks is None:
            raise ValueError("the content of a region needs its masks")
        return masks

    def _by_recipient(self, job: Job) -> Scores | None:
        """The scores of a property's transplants, where each recipient is prepared once for all of its donors.

        None where the job is no such thing, or its recipients do not all meet equally many donors.
        """
        if len(job.factors) != 1 or job.edit.kind != "exchange" or job.edit.shrink_px or job.held is not None:
            return None
        if not isinstance(factor := job.factors[0], PropertyFactor):
            return None
        recipients, counts = np.unique(job.pairs[:, 0], return_counts=True)
        uses = int(counts[0]) if len(counts) else 0
        if not uses or (counts != uses).any() or (np.repeat(job.pairs[::uses, 0], uses) != job.pairs[:, 0]).any():
            return None
        content = self.content(factor, job.edit.outside, job.edit.grow_px)
        places, others = (
            torch.from_numpy(job.pairs[::uses, 0].copy()),
            torch.from_numpy(job.pairs[:, 1].reshape(-1, uses)),
        )
        parts = []
        with untouched(self.model):
            height, width = self.sample.pixels.shape[2:]
            block = max(self.batch_size, _BLOCK_PX // (int(height) * int(width)))
            for start in range(0, len(recipients), block):
                rows = slice(start, start + block)
                before = self.sample.canvases(places[rows])
                shown = self._shown(job, factor, before, places[rows])
                edit = factor.of.editor(shown)
                given = (
                    self._given(job, factor, content, before, places[rows], others[rows, use]) for use in range(uses)
                )
                edited = (self._changed(job, factor, before, shown, edit(each), places[rows]) for each in given)
                columns = [self.logits_of(each) for each in edited]
                parts.append(torch.stack(columns, dim=1).flatten(0, 1))  # the first recipient's donors first
        return scores_of(torch.cat(parts), self.labels[torch.from_numpy(job.pairs[:, 0].copy())])

    def _masks(self, factor: Factor, places: Tensor, shrink_px: int = 0) -> Tensor | None:
        if factor.region is None:
            return None
        masks = self.sample.masks_at(factor.region, places)
        return shrunk(masks, shrink_px) if shrink_px else masks

    def content(self, factor: Factor, core: str | None = None, grow_px: int = 0) -> Tensor:
        """What every image of the sample gives as a donor (M, …); pixels as bytes.

        With the region `core`, drawn larger by `grow_px` pixels, painted over before: nothing of it is given.
        """
        is_region = isinstance(factor, RegionFactor)
        if is_region and all(len(self.sample.masks[name]) == 1 for name in filter(None, (factor.region, core))):
            return self.sample.pixels  # the same place in every image: its pixels as they are
        if self._content is None or self._content[0] != (factor.name, core, grow_px):
            parts = []
            for places in torch.arange(len(self.sample)).split(CHUNK):
                canvases, masks = self.sample.canvases(places), self._masks(factor, places)
                if core is not None:
                    around = 1 - grown(self.sample.masks_at(core, places), grow_px)
                    canvases = part_of(factor, canvases, around)
                    masks = None if masks is None else masks * around
                taken = factor.take(canvases, masks)
                as_bytes = is_region and self.sample.pixels.dtype == torch.uint8
                parts.append((taken * 255).round().clamp(0, 255).byte() if as_bytes else taken)
            self._content = (factor.name, core, grow_px), torch.cat(parts)
        return self._content[1]

    def scored(self, pairs: Ints, edit: Editing) -> Scores:
        """The scores (T) of recipients that are edited with their donors, by places (T, 2)."""
        places, other = (torch.from_numpy(column.copy()) for column in pairs.T)
        with untouched(self.model):
            both = zip(places.split(self.batch_size), other.split(self.batch_size), strict=True)
            parts = [self.logits_of(edit(recipients, donors)) for recipients, donors in both]
        return scores_of(torch.cat(parts), self.labels[places])

    def logits_of(self, canvases: Tensor) -> Tensor:
        """The logits (N, K) of canvases, which are given up."""
        inputs = self.sample.inputs(canvases)
        parts = (part.contiguous(memory_format=self._format) for part in inputs.split(self.batch_size))
        return torch.cat([self._answer(part).cpu() for part in parts])

    def _answer(self, inputs: Tensor) -> Tensor:
        """The logits (N, K); NaN for an image on which the network fails. Raises its error where it fails on all."""
        try:
            return forward(self.model, inputs)
        except Exception as error:
            if (full := out_of_memory(error, len(inputs))) is not None:
                raise full from error
            answers = [self._answer_alone(image) for image in inputs.split(1)]
            known = next((logits for logits in answers if logits is not None), None)
            if known is None:
                raise
            return torch.cat([torch.full_like(known, torch.nan) if row is None else row for row in answers])

    def _answer_alone(self, image: Tensor) -> Tensor | None:
        try:
            return forward(self.model, image)
        except Exception:  # noqa: BLE001 -- the network's own code may raise anything; explain and check say what
            return None


def _with_own(held: Factor, before: Tensor, masks: Tensor, given: Tensor, donors: Tensor) -> Tensor:
    """The content that donors give of a region, `donors` their masks, with a property as the recipients' own has it."""
    edited = held.put(part_of(held, given, donors), None, held.take(part_of(held, before, masks), None))
    return torch.where(edited.isnan(), filled(given, donors), edited) if skips_unknown(held) else edited
