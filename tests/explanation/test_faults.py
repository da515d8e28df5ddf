"""A short form of benchmarks/faults.py and benchmarks/power.py: calls that fail, ends at a call, cuts of the power."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from benchmarks.faults import FAULTS, Runner, make_cases, run_all
from benchmarks.power import failures_of, mounted, new_disk

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux")


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler for the shim")
@pytest.mark.parametrize(("command", "every"), [("explain", 37), ("audit", 71), ("train", 5)])
def test_no_call_that_fails_costs_more_than_itself(tmp_path: Path, command: str, every: int) -> None:
    tally, calls = run_all(tmp_path, [command], every, list(FAULTS))
    assert tally.failures == [] and calls[command] > 10
    assert sum(tally.attempts.values()) >= 3 * (calls[command] // every)


@linux
def test_a_run_goes_on_after_the_power_was_cut(tmp_path: Path) -> None:
    try:
        new_disk(tmp_path / "try.img")
        with mounted(tmp_path / "try.img", tmp_path / "try"):
            pass
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user cannot mount a disk")
    cases, runner = make_cases(tmp_path), Runner(tmp_path, None)
    try:
        assert failures_of(runner, cases["explain"], tmp_path, 8) == []
    finally:
        runner.close()
