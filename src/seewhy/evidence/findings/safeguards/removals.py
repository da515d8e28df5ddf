"""Does taking the content away, in other ways than by an exchange, say the same?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seewhy.errors import listed
from seewhy.estimates import Estimate
from seewhy.evidence.factors.edits import REMOVALS
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.findings.safeguards.matching import Controls, matched_controls
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.differences import mean_with_interval
from seewhy.evidence.inference.units import unit_means
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.schedule import Frame, without_donors
from seewhy.evidence.trials.trial import Job, Trials

LEAST = 0.01  # of the effect on the margin: an edit that changes it by less leaves what is read as it was


class Removals(Safeguard):
    """Taking the content away hurts the label where its donors help it, by at least one other kind of edit."""

    name = "edits"
    by_contrast = False

    def later_jobs(self, frame: Frame, factor: Factor) -> list[Job]:
        """Each way of taking the factor's content away, once for each recipient."""
        audited = frame.samples.audited
        alone = without_donors(audited, [factor.region] if factor.region else [])
        edits = [Edit("removal", removal=removal) for removal in factor.removals]
        return [Job(TrialKey(factor.name, edit, audited.split), alone, (factor,), seed=frame.seed) for edit in edits]

    def shared_jobs(self, frame: Frame, evidence: Evidence, shown: Sequence[Factor]) -> list[Job]:
        """The same for control regions of the areas of these factors, each image having one of an area, in turn.

        Without a core what matters most may lie elsewhere, so nothing is compared.
        """
        if not frame.samples.core:
            return []
        alone = without_donors(frame.samples.audited, ())
        jobs = []
        areas = [region.all_of_its_area for factor in shown for region in matched_controls(evidence, factor)]
        for area in dict.fromkeys(areas):
            stack = torch.stack([mask for region, mask in frame.controls.items() if region.all_of_its_area == area])
            for removal in REMOVALS:
                key = TrialKey(area, Edit("control", removal=removal), frame.samples.audited.split)
                jobs.append(Job(key, alone, control=stack, seed=frame.seed))
        return jobs

    def measure(self, evidence: Evidence, case: Case) -> dict[str, Estimate] | None:
        """By removal how far the label's margin falls, beyond the same edit elsewhere where that can be compared.

        None where there is no other way of taking the content away.
        """
        factor = evidence.factors[case.factor]
        if not factor.removals:
            return None
        controls = matched_controls(evidence, factor)
        falls = {}
        for removal in factor.removals:
            trials = evidence.of(factor.name, Edit("removal", removal=removal))
            if trials is None:
                continue
            elsewhere = None
            if controls and evidence.design.core_regions:  # elsewhere may lie what matters most, without a core
                area = next(iter(controls)).all_of_its_area
                elsewhere = evidence.of(area, Edit("control", removal=removal))
                elsewhere = None if elsewhere is None else elsewhere.only(_apart_places(evidence, controls))
            falls[removal] = mean_fall(trials, elsewhere)
        return falls

    def outcome(self, case: Case, measured: Mapping[str, Estimate] | None) -> SafeguardOutcome | None:
        """It passes where one of them agrees in sign; where none settles it, that is said."""
        if measured is None:
            return None
        if not measured:
            return SafeguardOutcome(
                self.name, None, "taking it away in other ways was not tried: the budget does not reach it"
            )
        sign, least = np.sign(case.value), LEAST * abs(case.effect.margin.value)
        shown = {
            name: sign * fall.value
            for name, fall in measured.items()
            if (fall.low > 0 or fall.high < 0) and abs(fall.value) >= least
        }
        agree = [name for name, value in shown.items() if value > 0]
        against = [name for name, value in shown.items() if value < 0]
        if not agree and not against:
            return SafeguardOutcome(self.name, None, f"edits that take it away do not settle it ({listed(measured)})")
        way = "lowers" if (sign > 0) == bool(agree) else "raises"
        said = f"taking it away ({listed(agree or against)}) {way} the margin of the right class"
        more = f"; {listed(against)} does not" if agree and against else ""
        return SafeguardOutcome(self.name, bool(agree), said + more)

    def stored(self, measured: Mapping[str, Estimate] | None) -> dict[str, Any]:
        """By removal the fall of the label's margin."""
        return {"families": {name: vars(fall) for name, fall in (measured or {}).items()}}


def mean_fall(trials: Trials, elsewhere: Trials | None) -> Estimate:
    """How much more the label's margin falls than for the same edit of regions elsewhere; image or cluster is the unit.

    Without regions elsewhere, how far it falls. Every class counts alike.
    """
    fall = np.full(trials.n_images, np.nan)
    fall[trials.recipients] = trials.falls()
    if elsewhere is not None:
        other = np.full(trials.n_images, np.nan)
        other[elsewhere.recipients] = elsewhere.falls()
        fall = fall - other
    kept = np.isfinite(fall)
    falls = unit_means(fall[kept], trials.clusters[kept])
    if len(falls) < 2:
        return Estimate(float("nan"), float("-inf"), float("inf"), len(falls))
    return mean_with_interval(falls)


def _apart_places(evidence: Evidence, controls: Controls) -> NDArray[np.bool_]:
    """The images (M,) whose control region leaves the factor alone: each has one, in turn."""
    area = next(iter(controls)).thousandths
    members = [region for region in evidence.design.schedule.controls if region.thousandths == area]
    fine = np.array([region in controls for region in members])
    return np.asarray(fine[np.arange(len(evidence.audited)) % len(members)])
