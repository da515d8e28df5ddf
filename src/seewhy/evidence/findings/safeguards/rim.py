"""Does a shortcut outlive a larger core? What leaks from the rim of a core drawn too small dies within a few pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seewhy.evidence.factors.edits import grown
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import RIM, Case, SafeguardOutcome, depends
from seewhy.evidence.findings.effects import class_effect
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.findings.safeguards.beside import beside_jobs, beside_key, beside_share
from seewhy.evidence.findings.safeguards.outside import effect_outside
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.edit import TrialKey, outside_edit
from seewhy.evidence.trials.masked import is_part
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job

GROWTHS = (1 / 8, 1 / 16)  # of the shorter side, by which the core is drawn larger
LEAST_LEFT = 0.15  # of the factor's area, for a growth to be used; what keeps less with the smallest one is all rim
_SOME = 32  # images on which the share that is left is measured


@dataclass(frozen=True)
class LargerCore:
    """The effect outside of the core as it is named (`whole`), and with it drawn larger by so many pixels.

    `left` are the shares of the factor's area that are left then. `beside` is what the rest of the core's rim does
    without it, `beside_share` how much of it there is for each pixel of the rim that is the factor's. `leaves_enough`:
    the core that is larger by the most left enough of the factor, so that it was tried. `nothing_beyond`: all that is
    outside of the core tells the label, and outside of a larger core it is not shown to. `was_sought`: the factor is a
    place that was looked for near the core, where the rest of an object on one side of it would be found as well.
    """

    whole: ClassDifference
    is_region: bool
    effects: Mapping[int, ClassDifference] = field(default_factory=dict)
    left: Mapping[int, float] = field(default_factory=dict)
    beside: ClassDifference | None = None
    beside_share: float = 0.0
    leaves_enough: bool = True
    nothing_beyond: bool = False
    was_sought: bool = False

    @property
    def largest(self) -> int:
        """The pixels of the largest core that was tried."""
        return max(self.effects)

    @property
    def smallest(self) -> int:
        """The pixels of the smallest."""
        return min(self.effects)

    @property
    def passes(self) -> bool:
        """Whether what it does is shown not to be the core's rim: by a larger core, or by the rest of the rim.

        A factor that lies so near to the core all over that only the smaller core can be tried has to pass by the rest
        of the rim where there is such a rest.
        """
        if self.was_sought:
            return False
        if self.beside is not None and not self.leaves_enough:
            return self.is_the_factor_alone
        return self.persists or self.is_the_factor_alone

    @property
    def dies(self) -> bool:
        """Whether what is left is shown to be less than its area's fair share of the effect, or all of it is rim.

        Of a place that was looked for near the core no more is said, whatever is left.
        """
        if self.passes:
            return False
        if self.was_sought:
            return True
        if self.is_all_rim or (not self.leaves_enough and self.is_as_much_beside):
            return True
        left = self.effects[self.largest]
        upper = max(self._sign * left.low, self._sign * left.high)
        return not self.persists and upper < AUDIT_THRESHOLDS["rim"] * self._expected

    @property
    def persists(self) -> bool:
        """Whether with the largest core tried a fair part of the effect is shown to be left.

        Of a region it is fair by its area; what a property does need not grow with the area that it is measured in. Of
        a factor that lies mostly near to the core it has to be as large as what is reported, or all of its share.
        """
        if self.is_all_rim:
            return False
        left, share = self.effects[self.largest], AUDIT_THRESHOLDS["rim" if self.is_region else "outside"]
        least = share * self._expected
        if not self.leaves_enough:
            least = max(least, min(AUDIT_THRESHOLDS["floor"], self._expected))
        return self._sign * left.value >= least and left.p_value < AUDIT_THRESHOLDS["level"]

    @property
    def is_the_factor_alone(self) -> bool:
        """Whether the rest of the core's rim is shown to do less than its area's fair share of what the factor does.

        What a core drawn too small leaves out lies all around it, and not in one region beside it alone.
        """
        if self.beside is None:
            return False
        return max(self._sign * self.beside.low, self._sign * self.beside.high) < self._fair_beside

    @property
    def is_as_much_beside(self) -> bool:
        """Whether the rest of the rim is shown to do its area's fair share."""
        if self.beside is None:
            return False
        return min(self._sign * self.beside.low, self._sign * self.beside.high) >= self._fair_beside

    @property
    def _fair_beside(self) -> float:
        return AUDIT_THRESHOLDS["rim"] * abs(self.whole.value) * min(1.0, self.beside_share)

    @property
    def is_all_rim(self) -> bool:
        """Whether most of the factor's area lies so near to the core that it cannot be told from its rim.

        So does a region all around the core where nothing is shown beyond the largest core, which leaves too little
        of it: both have to be compatible.
        """
        is_around = self.is_region and not self.leaves_enough and self.beside is None
        return self.left[self.smallest] < LEAST_LEFT or (is_around and self.nothing_beyond)

    @property
    def _sign(self) -> float:
        return float(np.sign(self.whole.value)) or 1.0

    @property
    def _expected(self) -> float:
        return abs(self.whole.value) * self.left[self.largest]


class Rim(Safeguard):
    """What is called a shortcut is left where the core is drawn larger."""

    name = RIM

    def later_jobs(self, frame: Frame, factor: Factor) -> list[Job]:
        """The exchange outside of the core, drawn larger by the growths that leave enough of the factor."""
        audited, core = frame.samples.audited, frame.samples.core
        if not core or factor.name in core or (factor.region and is_part(audited, factor.region, core[0])):
            return []
        pairs = audited.pairs([*([factor.region] if factor.region else []), *core])
        larger = [
            Job(
                TrialKey(factor.name, outside_edit(factor, core, frame.everywhere, pixels), audited.split),
                pairs,
                (factor,),
            )
            for pixels in larger_cores(audited, factor, core[0])
        ]
        return larger + beside_jobs(frame, factor, growths_in_pixels(audited)[0])

    def measure(self, evidence: Evidence, case: Case) -> LargerCore | None:
        """The effects on the probability outside of the larger cores."""
        core = evidence.design.core_regions
        if not core:
            return None
        effects, left, contrast = {}, {}, case.effect.contrast
        factor = evidence.factors[case.factor]
        for pixels in growths_in_pixels(evidence.audited):
            effect = effect_outside(evidence, case, pixels)
            if effect is not None:
                effects[pixels] = effect
                left[pixels] = _left(evidence.audited, factor, core[0], pixels)
        whole, pixels = case.outside or case.effect.probability, growths_in_pixels(evidence.audited)[0]
        if not effects:
            return None
        key = beside_key(factor, core[0], pixels, evidence.audited.split)
        rest = evidence.trials.get(key)
        beside = None if rest is None else class_effect(rest, rest.probability_changes(contrast), contrast)[0]
        share = 0.0 if rest is None else beside_share(evidence.audited, factor, core[0], pixels)
        return LargerCore(
            whole=whole,
            is_region=factor.region is not None,
            effects=effects,
            left=left,
            beside=beside,
            beside_share=share,
            leaves_enough=pixels in effects,
            nothing_beyond=evidence.nothing_beyond,
            was_sought=case.factor in evidence.design.sought_at_rim,
        )

    def outcome(self, case: Case, measured: LargerCore | None) -> SafeguardOutcome | None:
        """It passes where enough is shown to be left; nothing is said of the core, nor where no region is one."""
        if case.is_core is not False or not case.core_is_region or case.kind in ("pair", "insert"):
            return None
        if measured is None:
            words = "the core was not drawn larger: the budget does not reach it"
            return SafeguardOutcome(self.name, False, words) if depends(case) else None
        pixels = measured.largest
        left = measured.effects[pixels]
        words = f"with the core drawn {pixels} pixels larger it is {signed_points(left.value)} {interval(left)}"
        if measured.beside is not None and not (measured.leaves_enough and measured.persists):
            words += (
                "; all else that lies as near to the core does "
                f"{signed_points(measured.beside.value)} {interval(measured.beside)}"
            )
        if measured.was_sought:
            words += "; it was looked for near the core, where the rest of an object would be found as well"
        return SafeguardOutcome(self.name, measured.passes, words)

    def stored(self, measured: LargerCore | None) -> dict[str, Any]:
        """By pixels the effect that is left, and that of the rest of the rim."""
        if measured is None:
            return {"rim": {}}
        beside = {} if measured.beside is None else {"beside": vars(measured.beside)}
        return {"rim": {str(pixels): vars(effect) for pixels, effect in measured.effects.items()}, **beside}


def growths_in_pixels(sample: Sample) -> list[int]:
    """The growths in pixels, the largest first."""
    side = min(sample.pixels.shape[2:])
    return list(dict.fromkeys(max(1, round(side * growth)) for growth in GROWTHS))


def larger_cores(sample: Sample, factor: Factor, core: str) -> list[int]:
    """By how many pixels the core is drawn larger for a factor, the most first: what leaves enough of it, or least."""
    sizes = growths_in_pixels(sample)
    enough = [pixels for pixels in sizes if _left(sample, factor, core, pixels) >= LEAST_LEFT]
    return enough or sizes[-1:]


def _left(sample: Sample, factor: Factor, core: str, pixels: int) -> float:
    """The share of the factor's area outside of the core that the larger core leaves; of a property's the canvas's."""
    some = sample.some(_SOME)
    cores = sample.masks_at(core, some)
    masks = 1 - cores if factor.region is None else sample.masks_at(factor.region, some) * (1 - cores)
    left = masks * (1 - grown(cores, pixels))
    return float(left.mean()) / max(float(masks.mean()), 1e-9)
