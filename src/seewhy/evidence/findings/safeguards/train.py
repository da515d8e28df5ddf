"""Is the network overfit to a factor: is it worth more on train than on valid, beyond what other regions are?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from seewhy.estimates import Estimate
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import TRAIN, Case
from seewhy.evidence.findings.safeguards.matching import controls_elsewhere, matched_controls
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.overfit import EditTrials, OverfitExcess, overfit_excess
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES
from seewhy.evidence.trials.edit import CONTROL, EXCHANGE, ControlRegion, Edit
from seewhy.evidence.trials.sample import DISJOINT, overlap_of
from seewhy.evidence.trials.trial import Trials

FEWEST_CONTROLS, MOST_CONTROLS = 3, 12  # regions, for a comparison of train and valid
SKETCH, BOOTSTRAP = 300, 6000  # draws
Both = tuple[EditTrials, EditTrials]  # on train and on the audited split


class Train(Safeguard):
    """Overfit is a claim of its own: it turns on this alone, and no level does."""

    name = TRAIN
    by_contrast = False

    def measure(self, evidence: Evidence, case: Case) -> OverfitExcess | None:
        """The excess on train over that of other regions; None without train, or without regions to compare with."""
        design = evidence.design
        if "train" not in design.samples or evidence.audited.split == "train":
            return None
        both = _on_both(evidence, case.factor, EXCHANGE)
        others = _compared_with(evidence, evidence.factors[case.factor])
        if both is None or not others or min(trials.n_units for trials in both) < LEAST_IMAGES:
            return None  # nearly all images are in both splits
        excess = partial(
            overfit_excess,
            *both,
            [train for train, _ in others[:MOST_CONTROLS]],
            [valid for _, valid in others[:MOST_CONTROLS]],
            chance=1 / len(design.classes),
            rng=np.random.default_rng((design.seed, len(case.factor), *case.factor.encode())),
        )
        sketch = excess(draws=SKETCH)
        if not sketch.overfit:  # at 95 %, so neither with the stricter level for several factors
            return sketch
        return excess(draws=BOOTSTRAP, level=1 - AUDIT_THRESHOLDS["level"] / len(design.factors))

    def stored(self, measured: OverfitExcess | None) -> dict[str, Any]:
        """The excess in margin and in accuracy, and what it is made of."""
        if measured is None:
            return {"overfit": None}
        return {
            "overfit": {
                name: vars(value) if isinstance(value, Estimate) else value for name, value in vars(measured).items()
            }
        }


def _compared_with(evidence: Evidence, factor: Factor) -> list[Both]:
    """Control regions on both splits; where too few leave the factor alone, other regions that were asked about."""
    regions: Sequence[ControlRegion] = list(matched_controls(evidence, factor))
    if len(regions) < FEWEST_CONTROLS:
        regions = list(controls_elsewhere(evidence, factor))
    if len(regions) < FEWEST_CONTROLS:
        candidates = [_on_both(evidence, name, EXCHANGE) for name in _beside(evidence, factor)]
    else:
        candidates = [_on_both(evidence, region, CONTROL) for region in regions]
    return [both for both in candidates if both is not None]


def _beside(evidence: Evidence, factor: Factor) -> list[str]:
    """The other regions that share no pixels with the factor."""
    if factor.region is None:
        return []
    return [
        other.name
        for other in evidence.design.factors
        if other.region
        and other.name != factor.name
        and overlap_of(evidence.audited, other.region, factor.region) <= DISJOINT
    ]


def _on_both(evidence: Evidence, factor: str | ControlRegion, edit: Edit) -> Both | None:
    train, valid = (evidence.of(factor, edit, split) for split in ("train", evidence.audited.split))
    return None if train is None or valid is None else (_edited(evidence, train), _edited(evidence, valid))


def _edited(evidence: Evidence, trials: Trials) -> EditTrials:
    """The trials judged by the recipient's label, without images that lie in another split, too."""
    samples = evidence.design.samples
    others = np.concatenate([sample.clusters for split, sample in samples.items() if split != trials.key.split])
    trials = trials.only(~np.isin(trials.clusters, others))
    labels = trials.recipient_labels
    return EditTrials(
        recipient=trials.recipients,
        donor=trials.donors,
        margin_before=trials.before.label_margins(labels),
        margin_after=trials.after.label_margins(labels),
        right_before=trials.before.predictions == labels,
        right_after=trials.after.predictions == labels,
        clusters=trials.clusters,
    )
