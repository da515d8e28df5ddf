"""What an audit knows of single classes: the effect of each factor on each, and what moves one into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seewhy.evidence.findings.case import Case, depends
from seewhy.evidence.findings.cases import AllTrials, Cases
from seewhy.evidence.findings.confusion_words import told_of
from seewhy.evidence.findings.confusions import confusions_of
from seewhy.evidence.findings.levels import level_of
from seewhy.evidence.results.class_table import ClassEffect
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.trial import Scores


def facts_by_class(design: AuditDesign, trials: AllTrials, cases: Cases, before: Scores) -> dict[str, Any]:
    """What an audit knows of single classes: the effect of each factor on each, and the confusions."""
    confused, split = confusions_of(design, trials, before), design.audited.split
    return {
        "by_class": class_effects(cases.singles),
        "confusions": tuple(told_of(one, design.classes, split) for one in confused),
    }


def class_effects(cases: Sequence[Case]) -> tuple[ClassEffect, ...]:
    """The effect of every factor on every class that was asked about, in the order of the cases."""
    return tuple(map(_effect, cases))


def _effect(case: Case) -> ClassEffect:
    level, effect = level_of(case), case.effect
    told = case.selected if depends(case) else effect.probability
    return ClassEffect(
        factor=case.factor,
        label=effect.contrast.name,
        effect=effect.probability.value,
        low=told.low,
        high=told.high,
        p=case.p_holm,
        said="none" if level == "NONE LARGER THAN" else "cannot say" if level == "CANNOT SAY" else "shown",
        images=effect.n_recipients,
        donors=effect.n_donors,
    )
