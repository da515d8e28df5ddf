"""Does a factor act with the properties of the core put back? Else it is the core that acts through its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seewhy.errors import listed
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import CORE_PROPERTY, Case, SafeguardOutcome, depends
from seewhy.evidence.findings.causes import Held, held_edit, held_job, held_of, plain_edit
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job

Left = Mapping[str, Held | None]  # by core property; None where it was not put back


class CoreProperty(Safeguard):
    """What is called a shortcut is left where the properties that were named as core are as the recipient has them.

    A property is put back as far as its edit reaches, and a region has more of it than that: so most of the effect has
    to be left.
    """

    name = CORE_PROPERTY

    def shared_jobs(self, frame: Frame, evidence: Evidence, shown: Sequence[Factor]) -> list[Job]:
        """The exchange of each factor outside of the core with each property of the core put back."""
        held = core_properties(evidence.design)
        others = [factor for factor in shown if factor.name not in evidence.design.core]
        return [held_job(frame, factor, evidence.factors[name]) for name in held for factor in others]

    def measure(self, evidence: Evidence, case: Case) -> Left | None:
        """What is left of the effect with each property of the core put back; None where no property is core."""
        names, design = core_properties(evidence.design), evidence.design
        if not names or case.is_core is not False:
            return None
        factor = evidence.factors[case.factor]
        plain = evidence.of(case.factor, plain_edit(factor, design.core_regions, design.everywhere))
        left: dict[str, Held | None] = {}
        for name in names:
            trials = evidence.of(case.factor, held_edit(factor, name, design.core_regions, design.everywhere))
            left[name] = None if trials is None or plain is None else held_of(case, plain, trials)
        return left

    def outcome(self, case: Case, measured: Left | None) -> SafeguardOutcome | None:
        """It passes where with each of them most of the effect is shown to be left."""
        if not measured or not depends(case):
            return None
        known = {name: held for name, held in measured.items() if held is not None}
        if len(known) < len(measured):
            missing = listed([name for name in measured if name not in known])
            return SafeguardOutcome(self.name, False, f"{missing} was not put back: the budget does not reach it")
        told = [
            f"with the {name} put back as it was, {signed_points(held.probability.value)} {interval(held.probability)} "
            "of it are left"
            for name, held in known.items()
        ]
        passed = all(held.interval[0] >= AUDIT_THRESHOLDS["unexplained"] for held in known.values())
        return SafeguardOutcome(self.name, passed, listed(told) + ("" if passed else ": the rest may be the core's"))

    def stored(self, measured: Left | None) -> dict[str, Any]:
        """By core property what is left, in points of probability."""
        known = {name: held for name, held in (measured or {}).items() if held is not None}
        return {"core_property": {name: vars(held.probability) for name, held in known.items()}} if known else {}


def core_properties(design: AuditDesign) -> list[str]:
    """The factors of the core that are no regions."""
    return [factor.name for factor in design.factors if factor.region is None and factor.name in design.core]
