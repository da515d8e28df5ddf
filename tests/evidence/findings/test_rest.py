"""A property that goes with the classes everywhere is a shortcut only where it is read outside of the core, too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seewhy.estimates import Estimate
from seewhy.evidence.findings.safeguards.rest import AllOutside, EverythingOutside
from seewhy.evidence.inference.bootstrap import Omnibus
from seewhy.evidence.inference.differences import difference_of
from tests.evidence.findings.test_sentences import case

NOT_SHOWN = Omnibus(difference_of(0.1, 0.2, 100.0, {0: 60, 1: 60}), Estimate(0.01, -0.02, 0.05, 120))
SHOWN = Omnibus(difference_of(2.0, 0.2, 100.0, {0: 60, 1: 60}), Estimate(0.2, 0.1, 0.3, 120))


@pytest.mark.parametrize(
    ("rest", "alone", "passed"),
    [
        (AllOutside(SHOWN, is_at_rim=False), None, None),  # nothing to tell
        (AllOutside(SHOWN, is_at_rim=True), None, False),
        (AllOutside(NOT_SHOWN, is_at_rim=False), None, False),
        (AllOutside(NOT_SHOWN, is_at_rim=False), 0.08, True),
        (AllOutside(SHOWN, is_at_rim=True), 0.08, True),
        (AllOutside(NOT_SHOWN, is_at_rim=False), 0.05, False),  # less than a fourth of the whole
        (AllOutside(NOT_SHOWN, is_at_rim=False), 0.01, False),  # less than is reported
        (AllOutside(NOT_SHOWN, is_at_rim=False), -0.05, False),  # the other way
    ],
)
def test_it_has_to_tell_the_label_or_to_act_away_from_the_core(
    rest: AllOutside, alone: float | None, passed: bool | None
) -> None:
    effect = None if alone is None else difference_of(alone, 0.002, 100.0, {0: 60, 1: 60})
    of_tint = replace(case(), kind="property", is_everywhere=True)
    outcome = EverythingOutside().outcome(of_tint, replace(rest, alone=effect, alone_px=4))
    assert (None if outcome is None else outcome.passed) is passed
    assert passed is not True or (
        outcome is not None and "4 pixels away from the core alone it is +8.0" in outcome.words
    )


def test_what_is_not_shown_to_act_there_is_none() -> None:
    unsure = AllOutside(NOT_SHOWN, False, difference_of(0.1, 0.1, 100.0, {0: 60, 1: 60}), 4)
    outcome = EverythingOutside().outcome(replace(case(), kind="property", is_everywhere=True), unsure)
    assert outcome is not None and outcome.passed is False
