"""Is a shortcut compatible with what the omnibus test says of everything outside of the core?"""

from __future__ import annotations

from dataclasses import dataclass

from seewhy.evidence.factors.factor import Factor, is_of_the_file
from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.findings.effects import class_effect
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.findings.safeguards.rim import larger_cores
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.bootstrap import Omnibus
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import MOST_CLASSES, contrasts_of
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job


@dataclass(frozen=True)
class AllOutside:
    """The omnibus test, and whether what it shows is not shown away from the core.

    `alone` is what a property does where it is changed away from the core alone, by `alone_px` pixels.
    """

    test: Omnibus
    is_at_rim: bool
    alone: ClassDifference | None = None
    alone_px: int = 0


class EverythingOutside(Safeguard):
    """A region outside of the core does not do more than all that is outside of it together.

    Of a property that goes with the classes everywhere, the rest must be shown to tell the label at all, and not at the
    core's rim alone; or the property must act where it is changed away from the core alone. Else it is read in the
    core, and there the object may have it by nature, as its surroundings may. No object has what a file was made with.
    """

    name = "everything outside"

    def later_jobs(self, frame: Frame, factor: Factor) -> list[Job]:
        """The exchange of a property that goes with the classes everywhere, away from the core alone."""
        audited, core = frame.samples.audited, frame.samples.core
        n_classes = int(audited.labels.max(initial=0)) + 1
        if not core or factor.name not in frame.everywhere or n_classes > MOST_CLASSES or is_of_the_file(factor):
            return []
        edit = Edit("exchange", outside=core[0], grow_px=larger_cores(audited, factor, core[0])[0])
        return [Job(TrialKey(factor.name, edit, audited.split), audited.pairs(core), (factor,))]

    def measure(self, evidence: Evidence, case: Case) -> AllOutside | None:
        """The omnibus test, where it is about this contrast and a region outside of the core; or about a property."""
        is_first = case.effect.contrast == contrasts_of(evidence.design.classes)[0]
        is_asked = evidence.factors[case.factor].region is not None and is_first and case.value > 0
        if evidence.rest is None or case.is_core is not False or not (is_asked or case.is_everywhere):
            return None
        if is_of_the_file(evidence.factors[case.factor]):
            return None
        if not case.is_everywhere:
            return AllOutside(evidence.rest, evidence.rest_is_at_rim)
        return AllOutside(evidence.rest, evidence.rest_is_at_rim, *self._alone(evidence, case))

    def _alone(self, evidence: Evidence, case: Case) -> tuple[ClassDifference | None, int]:
        """What a property does away from the core alone, as far as that was tried, and by how many pixels."""
        core, contrast = evidence.design.core_regions[0], case.effect.contrast
        pixels = larger_cores(evidence.audited, evidence.factors[case.factor], core)[0]
        exchanges = evidence.of(case.factor, Edit("exchange", outside=core, grow_px=pixels))
        if exchanges is None:
            return None, pixels
        return class_effect(exchanges, exchanges.probability_changes(contrast), contrast)[0], pixels

    def outcome(self, case: Case, measured: AllOutside | None) -> SafeguardOutcome | None:
        """Of a region it is told where it fails: all that is outside moves the margin by far less than the region."""
        if measured is None:
            return None
        if case.kind == "property":
            return self._of_a_property(case, measured)
        all_of_it, alone = measured.test.contrast, case.effect.margin
        if all_of_it.high >= AUDIT_THRESHOLDS["rest"] * alone.low:
            return None
        words = (
            f"with the core exchanged, everything outside of it moves the margin by {all_of_it.value:+.2f} "
            f"[{all_of_it.low:+.2f}, {all_of_it.high:+.2f}] logits, this alone by {alone.value:+.2f} "
            f"[{alone.low:+.2f}, {alone.high:+.2f}]: both cannot hold"
        )
        return SafeguardOutcome(self.name, False, words)

    def _of_a_property(self, case: Case, rest: AllOutside) -> SafeguardOutcome | None:
        benefit, is_told = rest.test.benefit, rest.test.surest_class.p_value < AUDIT_THRESHOLDS["level"]
        if is_told and benefit.low > 0 and not rest.is_at_rim:
            return None
        if rest.alone is not None and _acts(rest.alone, case.value):
            words = (
                f"with the {case.factor} changed {rest.alone_px} pixels away from the core alone it is "
                f"{signed_points(rest.alone.value)} {interval(rest.alone)}"
            )
            return SafeguardOutcome(self.name, True, words)
        told = f"{100 * benefit.value:+.1f} points [{100 * benefit.low:+.1f}, {100 * benefit.high:+.1f}]"
        why = (
            "what is outside of it tells the label near to it alone, where the rim of the core may lie"
            if is_told and benefit.low > 0
            else f"what is outside of it is not shown to tell the label ({told} better than by guessing)"
        )
        words = (
            f"with the core exchanged, {why}: so it is read in the core, and whether the pictures were made with this "
            f"{case.factor}, or object and surroundings are so by nature, these data cannot tell"
        )
        return SafeguardOutcome(self.name, False, words)


def _acts(alone: ClassDifference, whole: float) -> bool:
    """Whether an effect is shown that is a fair part of the whole, and as large as what is reported."""
    least = max(AUDIT_THRESHOLDS["floor"], AUDIT_THRESHOLDS["outside"] * abs(whole))
    is_large = alone.value * whole > 0 and abs(alone.value) >= least
    return is_large and alone.p_value < AUDIT_THRESHOLDS["level"]
