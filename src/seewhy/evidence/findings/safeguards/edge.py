"""Does the effect persist when the region is drawn back? A leak at the mask's edge dies within a few pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seewhy.evidence.factors.edits import shrunk
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.findings.effects import class_effect
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job

MARGINS = (2, 4, 8)  # pixels by which a region is drawn back from what it borders on
EDGE = 4  # pixels within which a leak at the region's edge dies
LEAST_LEFT = 0.5  # of a region, for what is left to stand for it
_SOME = 32  # images on which the share that is left is measured


@dataclass(frozen=True)
class DrawnBack:
    """The effects with the region drawn back by so many pixels, and the shares of its area that are left then."""

    effects: Mapping[int, ClassDifference] = field(default_factory=dict)
    left: Mapping[int, float] = field(default_factory=dict)


class Edge(Safeguard):
    """Half of the effect, in proportion to the area, is left some pixels away from the region's edge."""

    name = "edge"

    def later_jobs(self, frame: Frame, factor: Factor) -> list[Job]:
        """Exchanges of a region that differs between the images, drawn back."""
        audited = frame.samples.audited
        if not factor.region or len(audited.masks[factor.region]) < 2:
            return []
        pairs = audited.pairs([factor.region])
        edits = [Edit("exchange", shrink_px=pixels) for pixels in MARGINS]
        return [Job(TrialKey(factor.name, edit, audited.split), pairs, (factor,)) for edit in edits]

    def measure(self, evidence: Evidence, case: Case) -> DrawnBack:
        """The effects as far as enough of the region is left."""
        effects, contrast = {}, case.effect.contrast
        left = {pixels: _left(evidence.audited, evidence.factors[case.factor], pixels) for pixels in MARGINS}
        for pixels in MARGINS:
            exchanges = evidence.of(case.factor, Edit("exchange", shrink_px=pixels))
            if exchanges is not None and left[pixels] >= LEAST_LEFT:
                effects[pixels] = class_effect(exchanges, exchanges.probability_changes(contrast), contrast)[0]
        return DrawnBack(effects, left)

    def outcome(self, case: Case, measured: DrawnBack | None) -> SafeguardOutcome | None:
        """It passes where so much of the effect may be left; a region too small for that settles nothing."""
        if measured is None or not measured.effects:
            return None
        pixels = EDGE if EDGE in measured.effects else max(measured.effects)
        left = measured.effects[pixels]
        sign = float(np.sign(case.value)) or 1.0
        upper = max(sign * left.low, sign * left.high)
        persists = upper >= AUDIT_THRESHOLDS["edge"] * abs(case.value) * measured.left.get(pixels, 1.0)
        words = (
            f"with {pixels} pixels along its edge left as they were it is {signed_points(left.value)} {interval(left)}"
        )
        if pixels < EDGE:
            words += f"; {EDGE} pixels would leave less than half of it"
        return SafeguardOutcome(self.name, persists if pixels >= EDGE or not persists else None, words)

    def stored(self, measured: DrawnBack | None) -> dict[str, Any]:
        """By pixels the effect that is left."""
        return {"edge": {str(pixels): vars(effect) for pixels, effect in (measured or DrawnBack()).effects.items()}}


def _left(sample: Sample, factor: Factor, pixels: int) -> float:
    """The share of the region that is left when it is drawn back."""
    if factor.region is None:
        return 1.0
    masks = sample.masks_at(factor.region, sample.some(_SOME))
    return float(shrunk(masks, pixels).mean()) / max(float(masks.mean()), 1e-9)
