"""Is a shortcut compatible with what the omnibus test says of everything outside of the core?"""

from __future__ import annotations

from dataclasses import dataclass

from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.bootstrap import Omnibus
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import contrasts_of


@dataclass(frozen=True)
class AllOutside:
    """The omnibus test, and whether what it shows is not shown away from the core."""

    test: Omnibus
    is_at_rim: bool


class EverythingOutside(Safeguard):
    """A region outside of the core does not do more than all that is outside of it together.

    Of a property that goes with the classes everywhere, the rest must be shown to tell the label at all, and not at the
    core's rim alone. Else it is read in the core, and there the object may have it by nature, as its surroundings may.
    """

    name = "everything outside"

    def measure(self, evidence: Evidence, case: Case) -> AllOutside | None:
        """The omnibus test, where it is about this contrast and a region outside of the core; or about a property."""
        is_first = case.effect.contrast == contrasts_of(evidence.design.classes)[0]
        is_asked = evidence.factors[case.factor].region is not None and is_first and case.value > 0
        if evidence.rest is None or case.is_core is not False or not (is_asked or case.is_everywhere):
            return None
        return AllOutside(evidence.rest, evidence.rest_is_at_rim)

    def outcome(self, case: Case, measured: AllOutside | None) -> SafeguardOutcome | None:
        """It is told only where it fails: all that is outside moves the margin by far less than the region alone."""
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
