"""Is the network overfit to a factor: is it worth more on train than on valid, beyond what other regions are?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from seewhy.estimates import Estimate
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import TRAIN, Case
from seewhy.evidence.findings.safeguards.control import control_job
from seewhy.evidence.findings.safeguards.matching import controls_elsewhere, matched_controls
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.overfit import EditTrials, OverfitExcess, overfit_excess
from seewhy.evidence.inference.units import unit_means
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES
from seewhy.evidence.trials.edit import CONTROL, EXCHANGE, ControlRegion, Edit
from seewhy.evidence.trials.sample import DISJOINT, overlap_of
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job, Trials

FEWEST_CONTROLS, MOST_CONTROLS = 3, 12  # regions, for a comparison of train and valid
SKETCH, BOOTSTRAP = 300, 6000  # draws
EASILY = 0.84  # standard errors, which chance exceeds one time in five
Both = tuple[EditTrials, EditTrials]  # on train and on the audited split


class Train(Safeguard):
    """Overfit is a claim of its own: it turns on this alone, and no level does."""

    name = TRAIN
    by_contrast = False

    def shared_jobs(self, frame: Frame, evidence: Evidence, shown: Sequence[Factor]) -> list[Job]:
        """Exchanges on both splits of the control regions of each factor that may be overfit."""
        suspects = [factor for factor in evidence.design.factors if may_be_overfit(evidence, factor.name)]
        regions = [region for factor in suspects for region in _controls_for(evidence, factor)]
        return [
            control_job(frame.samples[split], region, frame.controls[region])
            for region in dict.fromkeys(regions)
            for split in ("train", evidence.audited.split)
        ]

    def measure(self, evidence: Evidence, case: Case) -> OverfitExcess | None:
        """The excess on train over that of other regions; None where it cannot be, or no regions can be compared."""
        design = evidence.design
        if not may_be_overfit(evidence, case.factor):
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


def may_be_overfit(evidence: Evidence, factor: str) -> bool:
    """Whether exchanging the factor costs more on train than on valid, by more than chance easily does.

    What is overfit must do so beyond other regions; this alone is no evidence.
    """
    audited = evidence.audited.split
    if "train" not in evidence.design.samples or audited == "train":
        return False
    on_both = [evidence.of(factor, EXCHANGE, split) for split in ("train", audited)]
    if None in on_both:
        return False
    falls = [unit_means(trials.falls(), trials.clusters[trials.recipients]) for trials in on_both if trials is not None]
    if min(map(len, falls)) < LEAST_IMAGES:
        return False
    seen, unseen = falls
    error = math.sqrt(seen.var(ddof=1) / len(seen) + unseen.var(ddof=1) / len(unseen))
    return bool(seen.mean() - unseen.mean() > EASILY * error)


def has_controls(evidence: Evidence, factor: Factor) -> bool:
    """Whether there are regions that a factor could be compared with, though they may not have been tried."""
    return bool(_controls_for(evidence, factor) or _beside(evidence, factor))


def _controls_for(evidence: Evidence, factor: Factor) -> list[ControlRegion]:
    """The control regions that a factor is compared with on both splits; [] where too few leave it alone."""
    for controls in (matched_controls(evidence, factor), controls_elsewhere(evidence, factor)):
        regions = [region for region in controls if (region.number or 0) < MOST_CONTROLS]
        if len(regions) >= FEWEST_CONTROLS:
            return regions
    return []


def _compared_with(evidence: Evidence, factor: Factor) -> list[Both]:
    """Control regions on both splits; where too few leave the factor alone, other regions that were asked about."""
    if regions := _controls_for(evidence, factor):
        candidates = [_on_both(evidence, region, CONTROL) for region in regions]
    else:
        candidates = [_on_both(evidence, name, EXCHANGE) for name in _beside(evidence, factor)]
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
