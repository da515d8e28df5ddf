"""What every safeguard is: the trials it needs, what it measures, when it passes, and its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.inference.bootstrap import Omnibus
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import ControlRegion, Edit, TrialKey
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job, Trials


@dataclass(frozen=True)
class Evidence:
    """What safeguards are measured on: the design, all trials, the effects of all single factors, the omnibus test.

    `rest_is_at_rim`: what that test shows is not shown away from the core; `nothing_beyond`: nor in the margin, which
    may show it alone.
    """

    design: AuditDesign
    trials: Mapping[TrialKey, Trials]
    cases: Sequence[Case]
    rest: Omnibus | None = None
    rest_is_at_rim: bool = False
    nothing_beyond: bool = False
    factors: Mapping[str, Factor] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", {factor.name: factor for factor in self.design.factors})

    @property
    def audited(self) -> Sample:
        """The sample that findings are about."""
        return self.design.audited

    def of(self, factor: str | ControlRegion, edit: Edit, split: str | None = None) -> Trials | None:
        """The trials of one factor or control region, where there are any; of the audited split if none is named."""
        return self.trials.get(TrialKey(factor, edit, split or self.audited.split))


class Safeguard:
    """One thing that has to hold besides the effect itself, before a finding is strong.

    Whatever a kind of safeguard does not need it leaves as it is here. `name` is unique; what `measure` gives is kept
    under it in `Case.measured`.
    """

    name: str
    by_contrast = True  # whether what is measured differs between the contrasts of one factor

    def later_jobs(self, frame: Frame, factor: Factor) -> list[Job]:
        """The trials that it needs for a factor that is shown to matter."""
        return []

    def shared_jobs(self, frame: Frame, evidence: Evidence, shown: Sequence[Factor]) -> list[Job]:
        """The trials that it needs once, for all factors; `shown` are those that are shown to matter."""
        return []

    def measure(self, evidence: Evidence, case: Case) -> Any:
        """What it finds out about a single factor; None where it cannot be had."""
        return None

    def outcome(self, case: Case, measured: Any) -> SafeguardOutcome | None:
        """Whether it holds, in words; None where it has nothing to say. `measured` is None of pairs and of marks."""
        return None

    def stored(self, measured: Any) -> dict[str, Any]:
        """Its numbers as plain values, by their keys in findings.json."""
        return {}


def with_measurements(case: Case, safeguards: Sequence[Safeguard], evidence: Evidence, kept: dict[Any, Any]) -> Case:
    """The case with what each safeguard measures; `kept` holds what is the same for every contrast of a factor."""
    for safeguard in safeguards:
        key = (safeguard.name, case.factor, case.effect.contrast if safeguard.by_contrast else None)
        if key not in kept:
            kept[key] = safeguard.measure(evidence, case)
        case = replace(case, measured={**case.measured, safeguard.name: kept[key]})
    return case


def with_outcomes(case: Case, safeguards: Sequence[Safeguard]) -> Case:
    """The case with the outcome and the numbers of each safeguard, from what was measured."""
    told = [(safeguard, case.measured.get(safeguard.name)) for safeguard in safeguards]
    outcomes = [safeguard.outcome(case, measured) for safeguard, measured in told]
    stored = [safeguard.stored(measured) for safeguard, measured in told]
    return replace(
        case,
        outcomes=tuple(outcome for outcome in outcomes if outcome is not None),
        stored={key: value for numbers in stored for key, value in numbers.items()},
    )
