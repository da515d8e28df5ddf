"""A short form of benchmarks/faults.py and benchmarks/power.py: calls that fail, ends at a call, cuts of the power.

`make test` tries a tenth as many calls as `make test-slow` does, and the two programs try them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from benchmarks.disk import CUTS, Disk
from benchmarks.faults import FAULTS, Calls, Runner, compiled, make_cases, run_all
from benchmarks.power import failures_of, mounted, new_disk

EACH = {"explain": 53, "shard": 53, "merge": 61, "audit": 97, "train": 7}  # of so many calls one fails
EACH_CUT = {"explain": 61, "merge": 53, "audit": 97, "train": 9}


def of_commands(each: dict[str, int]) -> pytest.MarkDecorator:
    """The commands with how many of their calls are tried, few here and ten times as many where there is time."""
    few = [pytest.param(command, every, id=command) for command, every in each.items()]
    many = [
        pytest.param(command, max(1, every // 10), id=f"{command}-many", marks=pytest.mark.slow)
        for command, every in each.items()
    ]
    return pytest.mark.parametrize(("command", "every"), few + many)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux")


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler for the shim")
@of_commands(EACH)
def test_no_call_that_fails_costs_more_than_itself(tmp_path: Path, command: str, every: int) -> None:
    tally, calls = run_all(tmp_path, [command], list(FAULTS), Calls(every, in_turn=True))
    assert tally.failures == [] and calls[command] > 10
    assert len(tally.attempts) == 3 and sum(tally.attempts.values()) >= calls[command] // every


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler for the shim")
@of_commands(EACH_CUT)
def test_a_run_goes_on_from_what_its_syncs_made_sure_of(tmp_path: Path, command: str, every: int) -> None:
    tally, calls = run_all(tmp_path, [command], list(CUTS), Calls(every, in_turn=True))
    assert tally.failures == [] and calls[command] > 10 and len(tally.attempts) == len(CUTS)


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler for the shim")
@pytest.mark.parametrize("command", ["explain", "merge", "audit"])
@pytest.mark.parametrize("last", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_parts_that_a_loss_of_power_brings_back_go_when_the_finished_run_is_opened(
    tmp_path: Path, command: str, last: int
) -> None:
    tally, _ = run_all(tmp_path, [command], list(CUTS), Calls(last=last))
    assert tally.failures == [] and sum(tally.attempts.values()) == len(CUTS) * last


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler for the shim")
def test_what_no_sync_has_reached_is_lost_in_a_cut(tmp_path: Path) -> None:
    root, disk, library = tmp_path / "root", Disk(tmp_path / "shadow"), compiled(tmp_path)
    code = (
        "import os\nos.mkdir('root/in')\n"
        "for name, folder in (('synced', 1), ('nameless', 0), ('unsynced', 0)):\n"
        "    file = os.open(f'root/in/{name}', os.O_CREAT | os.O_WRONLY)\n    os.write(file, b'kept')\n"
        "    if name != 'unsynced':\n        os.fsync(file)\n"
        "    if folder:\n        [os.fsync(os.open(at, os.O_RDONLY)) for at in ('root', 'root/in')]\n"
        "    os.write(file, b', lost')\n"
        "os.rename('root/in/synced', 'root/in/moved')\n"
    )
    want = {
        CUTS[0]: {"synced": b"kept"},
        CUTS[1]: {"moved": b"kept", "nameless": b"kept", "unsynced": b""},
    }
    for kind, content in want.items():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        disk.begin(root)
        watched = {"LD_PRELOAD": str(library), "FAULT_ROOT": str(root), "FAULT_SHADOW": str(disk.shadow)}
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **watched}, check=True)
        disk.cut(root, kind, 0)
        held = {path.name: path.read_bytes().rstrip(b"\0") for path in (root / "in").iterdir()}
        assert held == content


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
