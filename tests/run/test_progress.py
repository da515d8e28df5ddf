"""How far the work is: silent while it is quick, a line at intervals where nobody watches a bar."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seewhy.run import progress
from tests.small_images import write_images

ROOT = Path(__file__).parents[2]
needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarm on this system")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines after a tenth of a second."""
    monkeypatch.setattr(progress, "EVERY", 0.1)


def waited(seconds: float) -> None:
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        time.sleep(0.01)


def test_quick_work_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bar("Explaining") as update:
        for done in range(1, 11):
            update(done, 10)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("quick")
@needs_alarm
def test_slow_work_is_told_at_intervals_between_its_own_words_too(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bar("Explaining  ") as update:
        waited(0.25)
        update(1_500, 6_000)
        waited(0.35)
    waited(0.15)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == "" and 3 <= len(lines) <= 7
    assert lines[0] == "Explaining: 0 s"
    assert re.fullmatch(r"Explaining: 1,500 of 6,000, \d s, about [12] s left", lines[-1])


@pytest.mark.usefixtures("quick")
def test_each_part_has_its_own_words_and_time(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars("Trials     ", "Weighing them") as (trials, weighing):
        waited(0.15)
        trials(5, 5)
        waited(0.15)
        weighing(1, 4)
        waited(0.15)
        weighing(1, 4)
    lines = capfd.readouterr().err.splitlines()
    assert any(line.startswith("Trials: 5 of 5, 0 s") for line in lines)
    assert any(line.startswith("Weighing them: 1 of 4, 0 s") for line in lines)


@pytest.mark.usefixtures("quick")
def test_in_a_thread_and_beside_an_alarm_of_the_users_only_the_work_itself_tells(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        with progress.progress_bar("Explaining") as update:
            waited(0.15)
            update(1, 2)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert capfd.readouterr().err.startswith("Explaining: 1 of 2, 0 s, about 0 s left")
    if hasattr(signal, "setitimer"):
        mine = signal.signal(signal.SIGALRM, lambda number, frame: None)
        theirs = signal.getsignal(signal.SIGALRM)
        try:
            work()
            assert signal.getsignal(signal.SIGALRM) is theirs
        finally:
            signal.signal(signal.SIGALRM, mine)


@needs_alarm
def test_the_alarm_is_given_back_even_after_an_error() -> None:
    with pytest.raises(KeyError), progress.progress_bar("Explaining"):
        raise KeyError
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@needs_alarm
def test_a_piped_command_tells_how_far_it_is_and_its_json_stays_json(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", counts={"train": 6})
    (tmp_path / "slow.py").write_text(
        "import time\nfrom tests.models import FourConv, seeded\n\n\nclass Slow(FourConv):\n"
        "    def forward(self, x):\n        time.sleep(0.1)\n        return super().forward(x)\n\n\n"
        "def net():\n    return seeded(Slow())\n"
    )
    code = (
        "import sys\nfrom seewhy.run import progress\nprogress.EVERY = 0.1\n"
        "from seewhy.cli.app import main\nmain(sys.argv[1:])"
    )
    words = [
        "explain",
        "photos",
        "--model",
        "slow.py:net",
        "--batch-size",
        "1",
        "--json",
        "--no-report",
        "--out",
        "run",
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    ran = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["images"] == 12
    assert any(line.startswith("Explaining: ") for line in ran.stderr.splitlines()), ran.stderr
