"""Is the effect beyond that of the same exchange elsewhere, or of donors whose classes are scrambled?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from seewhy.estimates import Floats
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, SafeguardOutcome, depends
from seewhy.evidence.findings.effects import Effect, plain_difference, weights_of
from seewhy.evidence.findings.figures import points
from seewhy.evidence.findings.safeguards.matching import Controls, matched_controls
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.differences import permuted_controls
from seewhy.evidence.inference.two_way import cluster_effects
from seewhy.evidence.trials.edit import CONTROL, EXCHANGE, ControlRegion, TrialKey
from seewhy.evidence.trials.sample import Ints, Sample, mean_mask
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job, Trials

LEAST_CONTROLS = 12  # regions that leave a factor alone; with fewer its donors are scrambled
N_SCRAMBLED = 20


@dataclass(frozen=True)
class ControlEffects:
    """What the same edit does elsewhere (`kind` "regions") or with donors of permuted classes ("scrambled donors").

    `limit` is the 95 % quantile of the sizes of their effects on the probability; `values` (n,) are these sizes.
    """

    kind: str
    limit: float
    values: tuple[float, ...]


class Control(Safeguard):
    """The effect is larger than that of regions of the factor's area elsewhere, else of scrambled donors."""

    name = "control"

    def shared_jobs(self, frame: Frame, evidence: Evidence, shown: Sequence[Factor]) -> list[Job]:
        """Exchanges of the control regions of these factors, each donor once."""
        regions = [region for factor in shown for region in matched_controls(evidence, factor)]
        return [control_job(frame.samples.audited, region, frame.controls[region]) for region in dict.fromkeys(regions)]

    def measure(self, evidence: Evidence, case: Case) -> ControlEffects | None:
        """The sizes of the effects of regions elsewhere; None where no dependence is shown."""
        exchanges = evidence.of(case.factor, EXCHANGE)
        if exchanges is None or not depends(case):
            return None
        sizes = []
        for region in _without_stronger(evidence, case, matched_controls(evidence, evidence.factors[case.factor])):
            trials = evidence.of(region, CONTROL)
            if trials is not None:
                change = trials.probability_changes(case.effect.contrast)
                sizes.append(abs(plain_difference(trials, change, case.effect.contrast)))
        return control_effects(
            case.effect, [size for size in sizes if math.isfinite(size)], exchanges, evidence.design.seed
        )

    def outcome(self, case: Case, measured: ControlEffects | None) -> SafeguardOutcome | None:
        """It passes where the effect is larger than 95 % of theirs."""
        if measured is None:
            return None
        count = len(measured.values)
        elsewhere = f"{count} regions of its area elsewhere"
        what = elsewhere if measured.kind == "regions" else f"the donors' classes permuted {count} times"
        words = f"the same with {what}: at most {points(measured.limit)} points in 95 % of them"
        return SafeguardOutcome(self.name, abs(case.value) > measured.limit, words)

    def stored(self, measured: ControlEffects | None) -> dict[str, Any]:
        """The kind of the controls, their sizes and the limit."""
        return {"control": None if measured is None else vars(measured)}


def control_job(sample: Sample, region: ControlRegion, mask: Tensor) -> Job:
    """The exchange of one control region (H, W), each donor once."""
    return Job(TrialKey(region, CONTROL, sample.split), sample.pairs(uses=1), control=mask[None])


def control_effects(effect: Effect, elsewhere: Sequence[float], exchanges: Trials, seed: int) -> ControlEffects:
    """What the factor is held against: regions that leave it alone (the sizes of their effects), else its donors."""
    if len(elsewhere) >= LEAST_CONTROLS:
        return ControlEffects("regions", float(np.quantile(elsewhere, 0.95)), tuple(elsewhere))
    rng = np.random.default_rng((seed, len(effect.factor), *effect.factor.encode()))
    if effect.contrast.is_own_class:  # the changes of each recipient go to its donors in another order
        change = exchanges.probability_changes(effect.contrast)
        mixed = [_within_recipients(exchanges.recipients, change, rng) for _ in range(N_SCRAMBLED)]
        scrambled = np.abs([plain_difference(exchanges, permuted, effect.contrast) for permuted in mixed])
    else:
        effects, classes = cluster_effects(effect.donors, exchanges.labels, exchanges.clusters)
        scrambled = permuted_controls(effects, classes, weights_of(exchanges, effect.contrast), n=N_SCRAMBLED, rng=rng)
    return ControlEffects("scrambled donors", float(np.quantile(scrambled, 0.95)), tuple(scrambled.tolist()))


def _without_stronger(evidence: Evidence, case: Case, controls: Controls) -> Controls:
    """The control regions that do not lie mostly in a region which does more than the factor itself."""
    stronger = [
        mean_mask(evidence.audited, factor.region)
        for rival in evidence.cases
        if abs(rival.value) > abs(case.value) and (factor := evidence.factors[rival.factor]).region is not None
    ]
    return {
        region: mask
        for region, mask in controls.items()
        if all(float((mask * other).sum()) <= 0.5 * float(mask.sum()) for other in stronger)
    }


def _within_recipients(recipients: Ints, change: Floats, rng: np.random.Generator) -> Floats:
    """The changes (T,) permuted among the trials of each recipient."""
    order = np.lexsort((rng.random(len(change)), recipients))
    permuted = np.empty_like(change)
    permuted[np.lexsort((np.arange(len(change)), recipients))] = change[order]
    return permuted
