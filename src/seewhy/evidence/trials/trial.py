"""Edited images, re-scored: one job is one factor edited in one way on one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.cam.scores.targets import probabilities, two_sided
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.trials.sample import MOST_CLASSES, OWN_CLASS, Ints

DONORS, OUTSIDE, INSERTED, NEUTRAL_MARK, CONTROL = "donors", "outside", "inserted", "neutral mark", "control"
NO_DONOR = UNDECIDED = -1  # no donor; no prediction, since logits are not finite
_CHUNK = 64  # images of which a factor is measured at once

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """Trials that belong together: `factors` are put in one after the other, from the same donor.

    `edit` is "donors" (a transplant), "outside" (the same outside of `core`: the rest of a region, or a property of
    donors with their core painted over), "shrunk-4" (with the region drawn back by 4 pixels), one of the factor's
    removals ("blur", …), "inserted" or "neutral mark", "control" (another region in place of the factor), or "control
    blur" (the same for a removal; of several regions each image has its own).
    `pairs` (T, 2) are the places of recipient and donor, -1 where there is none.
    """

    name: str
    edit: str
    split: str
    pairs: Ints
    factors: tuple[Factor, ...] = ()
    mark: Mark | None = None
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
    of_classes = probabilities(both)
    n_classes = both.shape[1]
    if n_classes > MOST_CLASSES:
        own = both.gather(1, labels[:, None])
        rest = both.scatter(1, labels[:, None], float("-inf")).amax(dim=1, keepdim=True)
        margins, of_classes = own - rest, of_classes.gather(1, labels[:, None])
    else:
        best, order = both.topk(2, dim=1)
        places = torch.arange(n_classes).to(order)
        margins = both - torch.where(order[:, :1] == places, best[:, 1:], best[:, :1])
        if n_classes == 2:
            margins, of_classes = margins[:, :1], of_classes[:, :1]
    finite = both.isfinite().all(dim=1)
    decided = torch.where(finite, both.argmax(dim=1), UNDECIDED).numpy().astype(np.int64)
    return Scores(margins.float().numpy(), of_classes.float().numpy(), decided, is_own_class=n_classes > MOST_CLASSES)


def _only(trials: Trials, places: NDArray[np.bool_]) -> Trials:
    """The trials whose recipient is among the places (M,)."""
    kept = np.flatnonzero(places[trials.recipients])
    scores = trials.scores
    some = replace(
        scores,
        margins=scores.margins[kept],
        probabilities=scores.probabilities[kept],
        predictions=scores.predictions[kept],
    )
    return replace(trials, recipients=trials.recipients[kept], donors=trials.donors[kept], scores=some)
