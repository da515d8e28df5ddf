"""Two hundred damaged, lying and strange files through the command line: each is read, or a row with its reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="this system limits no memory")

from benchmarks.hostile import KINDS, judge


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="names of any bytes, and limits that hold, are Linux's"
)
def test_every_hostile_file_has_a_row_and_the_command_ends_well(tmp_path: Path) -> None:
    verdict = judge(tmp_path, 200, limit_s=60)
    assert verdict.wrong == []
    assert verdict.lost.total() == 0
    assert verdict.read.total() + sum(one.total() for one in verdict.reasons.values()) == 200
    for kind in ("intact", "wrong_suffix", "broken_exif", "odd_mode", "strange_name"):
        assert not verdict.reasons[kind], verdict.reasons[kind]
    for kind in ("truncated", "empty", "random_bytes", "absurd_size", "bomb"):
        assert verdict.reasons[kind].total() > 5
    assert set(verdict.reasons) == set(KINDS)
