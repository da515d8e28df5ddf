"""Is a shortcut compatible with what the omnibus test says of everything outside of the core?"""

from __future__ import annotations

from typing import Any

from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.inference.bootstrap import Omnibus
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import contrasts_of


class EverythingOutside(Safeguard):
    """A region outside of the core does not do more than all that is outside of it together.

    Of a property that goes with the classes everywhere, the rest must be shown to tell the label at all. Else it is
    read in the core alone, and there the object may have it by nature, as its surroundings may.
    """

    name = "everything outside"

    def measure(self, evidence: Evidence, case: Case) -> Omnibus | None:
        """The omnibus test, where it is about this contrast and a region outside of the core; or about a property."""
        is_first = case.effect.contrast == contrasts_of(evidence.design.classes)[0]
        is_asked = evidence.factors[case.factor].region is not None and is_first and case.value > 0
        return evidence.rest if (is_asked or case.is_everywhere) and case.is_core is False else None

    def outcome(self, case: Case, measured: Any) -> SafeguardOutcome | None:
        """It is told only where it fails: all that is outside moves the margin by far less than the region alone."""
        if measured is None:
            return None
        if case.kind == "property":
            return self._of_a_property(case, measured)
        if measured.contrast.high >= AUDIT_THRESHOLDS["rest"] * case.effect.margin.low:
            return None
        all_of_it, alone = measured.contrast, case.effect.margin
        words = (
            f"with the core exchanged, everything outside of it moves the margin by {all_of_it.value:+.2f} "
            f"[{all_of_it.low:+.2f}, {all_of_it.high:+.2f}] logits, this alone by {alone.value:+.2f} "
            f"[{alone.low:+.2f}, {alone.high:+.2f}]: both cannot hold"
        )
        return SafeguardOutcome(self.name, False, words)

    def _of_a_property(self, case: Case, rest: Omnibus) -> SafeguardOutcome | None:
        if rest.surest_class.p_value < AUDIT_THRESHOLDS["level"] and rest.benefit.low > 0:
            return None
        words = (
            "with the core exchanged, what is outside of it is not shown to tell the label "
            f"({100 * rest.benefit.value:+.1f} points [{100 * rest.benefit.low:+.1f}, {100 * rest.benefit.high:+.1f}] "
            "better than by guessing): it is read in the core, and whether the pictures were made with this "
            f"{case.factor}, or object and surroundings are so by nature, these data cannot tell"
        )
        return SafeguardOutcome(self.name, False, words)
