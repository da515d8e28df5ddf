"""A safeguard that is added to the tuple gets its trials, is measured, told and stored, and can make a finding weak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import seewhy
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job
from tests.small_images import Reader, classifier_of, write_images, write_masks

ONE_BACK = Edit("exchange", shrink_px=1)


class Toy(Safeguard):
    """Passes where the trials of a region drawn back by one pixel are as many as it was promised."""

    name = "toy"

    def __init__(self, promised: int) -> None:
        self.promised = promised

    def later_jobs(self, frame: Frame, factor: Factor) -> list[Job]:
        if factor.region is None:
            return []
        audited = frame.samples.audited
        return [Job(TrialKey(factor.name, ONE_BACK, audited.split), audited.pairs([factor.region], uses=1), (factor,))]

    def measure(self, evidence: Evidence, case: Case) -> int | None:
        trials = evidence.of(case.factor, ONE_BACK)
        return None if trials is None else len(trials)

    def outcome(self, case: Case, measured: int | None) -> SafeguardOutcome | None:
        return (
            None
            if measured is None
            else SafeguardOutcome(self.name, measured == self.promised, f"{measured} toy trials")
        )

    def stored(self, measured: int | None) -> dict[str, Any]:
        return {"toy": measured}


@pytest.mark.parametrize(("promised", "level", "sign"), [(240, "STRONG", "+"), (241, "WEAK", "-")])
def test_a_safeguard_is_one_class_and_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promised: int, level: str, sign: str
) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 80})
    regions = f"core={write_masks(tmp_path / 'core', data)},around=not:core"
    for module in ("audit", "findings.steps"):
        monkeypatch.setattr(f"seewhy.evidence.{module}.SAFEGUARDS", (*SAFEGUARDS, Toy(promised)))
    audit = seewhy.audit(
        classifier_of(Reader(core=20.0, tint=20.0)), data, regions=regions, core="core", properties="brightness",
        recipients=120, progress=False,
    )  # fmt: skip
    finding = audit["around"]
    assert finding.numbers["toy"] == 240 and finding.level == level
    assert f"{sign} 240 toy trials." in finding.evidence
    brightness = next(case for case in audit.cases.singles if case.factor == "brightness")
    assert brightness.measured["toy"] is None and "toy" not in {outcome.name for outcome in brightness.outcomes}


def test_each_safeguard_has_its_own_name() -> None:
    assert len({safeguard.name for safeguard in SAFEGUARDS}) == len(SAFEGUARDS)
