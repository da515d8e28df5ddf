"""What an audit tells beside its findings: what was tested, on which images, and where each factor's numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seewhy.evidence.behaviour import Behaviour
from seewhy.evidence.drift import Drift
from seewhy.evidence.prepare import Setting
from seewhy.evidence.trials import Trials, contrasts_of
from seewhy.evidence.verdict import Verdict


def facts_of(
    setting: Setting, behaviour: Behaviour, drift: Drift, trials: Sequence[Trials], findings: Sequence[Verdict]
) -> dict[str, Any]:
    """What was tested, on which images, with which outcome of the classifier itself."""
    samples = setting.ground.samples
    names = {one.name for one in trials if len(one)}
    asked = [*(one.name for one in setting.factors), *(one.name for one in setting.inserts)]
    tested = [name for name in asked if name in names]
    return {
        "images": sum(map(len, samples.values())),
        "splits": {split: len(sample) for split, sample in samples.items()},
        "distinct": {split: len(np.unique(sample.units)) for split, sample in samples.items()},
        "unreadable": {i.id: why for sample in samples.values() for i, why in sample.unreadable},
        "classes": list(setting.classes),
        "contrasts": list(contrasts_of(setting.classes)),
        "accuracy": None if behaviour.accuracy is None else vars(behaviour.accuracy),
        "core": list(setting.core),
        "tested": tested,
        "found_in": {name: home for name in tested if (home := _home_of(name, findings)) is not None},
        "suspicion": setting.suspicions,
        "trials": setting.schedule.n_trials,
        "jobs": len(setting.schedule.jobs),
        "effort": vars(setting.schedule.effort),
        "regions": {one.name: one.words for one in setting.factors if one.region},
        "warnings": {name: list(words) for name, words in setting.warnings.items()},
        "notes": list(setting.notes),
        "maps": {
            "layer": list(setting.plan.grids)[:1],
            "method": setting.plan.methods[0],
            "score": setting.plan.scores[0].name,
            "drift": {"distance": drift.distance, "p": drift.p_value},
            "shares": drift.shares,
            "lifts": drift.lifts,
        },
        "scope": f"Tested: {', '.join(tested) or 'nothing'}. Outside of this list nothing is said.",
    }


def _home_of(factor: str, findings: Sequence[Verdict]) -> str | None:
    """The factor of the finding that holds a tested factor's numbers: its own, or that of the group it is in."""
    holding = (one for one in findings if "probability" in one.numbers)
    return next((one.factor for one in holding if factor in (one.factor, *one.members)), None)
