"""The steps of an audit, each of which follows from the trials of those before it, whoever makes these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seewhy.evidence.findings.cases import Cases, first_cases, with_outside
from seewhy.evidence.findings.follow_up import outside_the_core, with_follow_up
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import TrialKey
from seewhy.evidence.trials.trial import Trials
from seewhy.records import Progress


def steps(
    design: AuditDesign, trials: Mapping[TrialKey, Trials], weighing: Progress = lambda done, total: None
) -> Iterator[tuple[AuditDesign, Cases]]:
    """The design as each step has it, those of the last step's cases beside it; STAGES names the steps.

    The jobs of a step stand behind those of the steps before. Whoever takes a step sees to it that `trials` holds the
    trials of all of its jobs, in order, before the next one is taken.
    """
    yield design, Cases((), (), (), None)
    first = first_cases(design, trials, weighing)
    design = outside_the_core(design, first.singles)
    yield design, first
    first = with_outside(first, design, trials)
    yield with_follow_up(design, trials, first, SAFEGUARDS), first
