"""A command from the nursery is the command: its words, its status, its folder, its environment, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from benchmarks.nursery import IS_POSSIBLE

from tests.started import SEEWHY, run_apart, run_code_apart, started

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="elsewhere every command is a real start")


@pytest.mark.parametrize("words", [("methods",), ("explain", "nowhere"), ("explain", "--nonsense")])
def test_a_command_says_and_ends_as_a_real_start(tmp_path: Path, words: tuple[str, ...]) -> None:
    real = subprocess.run([*SEEWHY, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    ran = run_apart(*words, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (real.returncode, real.stdout, real.stderr)


@pytest.mark.parametrize(("code", "status"), [("1 / 0", 1), ("raise SystemExit(7)", 7), ("raise SystemExit('no')", 1)])
def test_code_that_fails_has_a_status(tmp_path: Path, code: str, status: int) -> None:
    assert run_code_apart(code, tmp_path).returncode == status


def test_each_has_its_own_folder_and_environment_and_none_sees_the_other(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("NAME = 'mine'")
    code = "import helper, os, sys; print(helper.NAME, os.getcwd(), os.environ.get('OWN')); os.environ['OWN'] = 'x'"
    for _ in range(2):
        assert run_code_apart(code, tmp_path).stdout == f"mine {tmp_path.resolve()} None\n"
    other = run_code_apart("import helper", tmp_path.parent)
    assert other.returncode == 1 and "No module named 'helper'" in other.stderr


def test_it_can_be_killed_with_its_group(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import time\ntime.sleep(600)")
    with (tmp_path / "said.txt").open("w") as said:
        words = ("layers", "--model", "net.py:Net")
        child = started(*words, cwd=tmp_path, stdout=said, stderr=said, start_new_session=True)
    assert child.poll() is None and os.getpgid(child.pid) == child.pid != os.getpgid(0)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait(60) == child.poll() == -signal.SIGKILL
