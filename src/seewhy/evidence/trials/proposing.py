"""What is asked of the half of the images that proposes places: parts of the picture exchanged, in so many trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.factors.edits import filled, transplanted
from seewhy.evidence.inference.differences import (
    ClassDifference,
    class_difference,
    one_versus_rest,
    own_class_difference,
)
from seewhy.evidence.inference.two_way import cluster_effects, two_way
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.proposers import part_of
from seewhy.evidence.trials.sample import CHUNK, Ints, Sample, gathered
from seewhy.evidence.trials.scorer import Editing, Scorer
from seewhy.evidence.trials.trial import Scores
from seewhy.records import Progress

RECIPIENTS, USES = 120, 2  # images that are edited for each place, donors of each group that each meets
USUAL = 64  # places that are tried in all, about


class SpentError(Exception):
    """All trials are made that the search may make."""


@dataclass
class Proposing:
    """The half of the images that proposes, and what was tried on it.

    `content` (M, 3, H, W) is what an image gives, its core painted over; `free` (1 or M, H, W) is 1 outside of the core
    and of the places that were found.
    """

    scorer: Scorer
    sample: Sample
    content: Tensor
    before: Scores
    free: Tensor
    pairs: Ints
    progress: Progress
    most: float
    tried: dict[Box, ClassDifference] = field(default_factory=dict)
    n_places: int = 0
    n_trials: int = 0

    def turn_inside(self, core: str) -> None:
        """Exchange parts of the core from here on, and nothing outside of it."""
        sample = self.sample
        parts = torch.arange(len(sample)).split(CHUNK)
        masks = [sample.masks_at(core, places) for places in parts]
        filled_in = [filled(sample.canvases(places), mask) for places, mask in zip(parts, masks, strict=True)]
        self.free = masks[0] if len(masks[0]) == 1 else torch.cat(masks)
        self.content = torch.cat(filled_in)
        self.tried.clear()

    def area(self, box: Box) -> float:
        """How much of the picture is free in a box, 0 to 1."""
        height, width = (int(side) for side in self.sample.pixels.shape[2:])
        return max(float((box.mask(height, width).to(self.free) * self.free).mean()), 1e-9)

    def effect(self, box: Box, contrast: Contrast) -> ClassDifference:
        """What the donors' content in a box does to the contrast's margin, in logits."""
        if box not in self.tried:
            self.tried[box] = self.measured(box, contrast)
        return self.tried[box]

    def kept(self, within: Box, contrast: Contrast) -> Callable[[Box, Box | None], float]:
        """The share of the effect of a box that goes where a part of it, but for a part of that, is left as it was."""
        height, width = (int(side) for side in self.sample.pixels.shape[2:])
        whole, around = self.effect(within, contrast).value, within.mask(height, width)

        @cache
        def share(box: Box, but: Box | None) -> float:
            left = box.mask(height, width) * (1 if but is None else 1 - but.mask(height, width))
            return 1 - self._measured(around * (1 - left), contrast).value / whole

        return share

    def measured(self, box: Box, contrast: Contrast) -> ClassDifference:
        """The same, tried anew."""
        height, width = (int(side) for side in self.sample.pixels.shape[2:])
        return self._measured(box.mask(height, width), contrast)

    def _measured(self, mask: Tensor, contrast: Contrast) -> ClassDifference:
        """Of a mask (1, H, W). Raises SpentError where that would be more trials than may be made."""

        def edited(recipients: Tensor, donors: Tensor) -> Tensor:
            free = self.free if len(self.free) == 1 else self.free[recipients]
            given = gathered(self.content, donors)
            return transplanted(self.sample.canvases(recipients), given, (mask * free).to(given))

        return self.exchanged(self.pairs, edited, contrast)

    def exchanged(self, pairs: Ints, edited: Editing, contrast: Contrast) -> ClassDifference:
        """What an exchange between pairs (T, 2) does to the contrast's margin. Raises SpentError."""
        self.spend(len(pairs))
        self.n_places += 1
        self.progress(min(self.n_places, USUAL - 1), USUAL)
        after, before = self.scorer.scored(pairs, edited), self.before.at(pairs[:, 0])
        change = after.margins[:, contrast.column].astype(np.float64) - before.margins[:, contrast.column]
        return _difference(self.sample, pairs, change, contrast)

    def spend(self, n_trials: int) -> None:
        """Count trials that are to be made. Raises SpentError where they are more than may be."""
        if self.n_trials + n_trials > self.most:
            raise SpentError
        self.n_trials += n_trials


def begun(
    audited: Sample,
    proposes: NDArray[np.bool_],
    core: str | None,
    scorer_of: Callable[[Sample], Scorer],
    seed: int,
    progress: Progress,
    most: float,
) -> Proposing:
    """What is asked of the half of the images that `proposes`, with nothing tried yet."""
    sample = with_partners(part_of(audited, np.flatnonzero(proposes)), RECIPIENTS, USES, seed)
    scorer = scorer_of(sample)
    sample = scorer.sample
    everywhere = torch.ones(1, *sample.pixels.shape[2:], device=sample.pixels.device)
    free, content = everywhere, sample.pixels
    if core is not None:
        masks = [sample.masks_at(core, places) for places in torch.arange(len(sample)).split(CHUNK)]
        free = 1 - (masks[0] if len(masks[0]) == 1 else torch.cat(masks))
        content = torch.cat(
            [
                filled(sample.canvases(places), free if len(free) == 1 else free[places])
                for places in torch.arange(len(sample)).split(CHUNK)
            ]
        )
    before = scorer.scores()
    return Proposing(
        scorer=scorer,
        sample=sample,
        content=content,
        before=before,
        free=free,
        pairs=sample.pairs([core] if core else []),
        progress=progress,
        most=most,
    )


def strength(effect: ClassDifference) -> float:
    """How many standard errors an effect is from 0."""
    return abs(effect.value) / max(effect.error, 1e-12) if np.isfinite(effect.value) else 0.0


def _difference(sample: Sample, pairs: Ints, change: NDArray[np.float64], contrast: Contrast) -> ClassDifference:
    rows, columns, labels = pairs[:, 0], pairs[:, 1], sample.labels
    if contrast.is_own_class:
        return own_class_difference(rows, columns, change, labels, labels, clusters=sample.clusters)
    fit = two_way(rows, columns, change, len(labels), len(labels))
    effects, classes = cluster_effects(fit.donors, labels, sample.clusters)
    present = [int(label) for label in np.unique(labels)]
    return class_difference(effects, classes, one_versus_rest(contrast.column, present))
