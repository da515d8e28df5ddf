"""The command killed at random moments, again and again: finished shards stay, and nothing else does."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.kills import MOST_LOST, Losses, Trial, kill_often, new_trial, real, tree

from seewhy.errors import WorkError
from seewhy.run.folder import RunFolder
from seewhy.store import arrays, manifest, tables
from tests.started import started

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")


def assert_kept(losses: Losses, kills: int) -> None:
    assert losses.kills == len(losses.lost) == kills
    assert losses.touched == []
    assert losses.differing == []
    assert 0 < max(losses.lost) <= MOST_LOST, losses.lost


def test_a_killed_command_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    assert_kept(kill_often(new_trial(tmp_path, 184, started), kills=5), 5)


def workers_of(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    limit = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < limit:
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, dict[str, str]]:
    """A trial with slow workers, and what an undisturbed run of it holds."""
    trial = new_trial(tmp_path_factory.mktemp("stops"), 96, started)
    trial.finish(trial.home / "straight", real)
    return trial, tree(trial.home / "straight")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not say who a process's workers are")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_workers_end_with_the_command_alone(straight: tuple[Trial, dict[str, str]], number: signal.Signals) -> None:
    if number != signal.SIGKILL and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever runs the tests ignores this signal, and so does what they start")
    (trial, want), run = straight, straight[0].home / f"run-{number.name}"
    process = trial.start(run, real if number == signal.SIGTERM else started)
    assert until(lambda: list((run / "parts").glob("records-*.parquet")))
    workers = workers_of(process.pid)
    assert len(workers) == 2 and all(map(is_alive, workers))
    process.send_signal(number)
    status, said = process.wait(30), (trial.home / "said.txt").read_text()
    assert until(lambda: not any(map(is_alive, workers)), 5)
    if number != signal.SIGKILL:
        assert status == 128 + number and "the same command goes on" in said and "Traceback" not in said
    trial.finish(run)
    assert tree(run) == want


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not say who a process's workers are")
def test_a_worker_that_is_killed_ends_the_command_with_words(straight: tuple[Trial, dict[str, str]]) -> None:
    (trial, want), run = straight, straight[0].home / "run-worker"
    process = trial.start(run)
    assert until(lambda: list((run / "parts").glob("records-*.parquet")))
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    assert process.wait(30) == 1
    said = (trial.home / "said.txt").read_text()
    assert "\nWorkError: A worker died" in said and "docs/errors.md#worker-died" in said
    assert (run / "manifest.json").exists()
    trial.finish(run)
    assert tree(run) == want


def test_what_another_run_left_is_never_taken_in(straight: tuple[Trial, dict[str, str]]) -> None:
    """The folder is removed under a run, and the same path begun anew with another network."""
    trial, _ = straight
    run, other = trial.home / "replaced", new_trial(trial.home / "other", 96, started)
    (other.home / "net.py").write_text((trial.home / "net.py").read_text().replace("self.fc(", "-self.fc("))
    process = trial.start(run)
    assert until(lambda: list((run / "parts").glob("records-*.parquet")))
    processes = [process.pid, *workers_of(process.pid)]
    for number in processes:  # so that none writes between the removal and the other run's beginning
        os.kill(number, signal.SIGSTOP)
    shutil.rmtree(run)
    other.finish(run)
    for number in processes:
        os.kill(number, signal.SIGCONT)
    assert process.wait(60) == 1
    assert "begun anew" in (trial.home / "said.txt").read_text()
    other.finish(other.home / "straight")
    assert tree(run) == tree(other.home / "straight")


@pytest.mark.parametrize("is_complete", [False, True])
def test_whoever_writes_is_told_in_the_midst_of_it_that_the_folder_is_another_runs(
    tmp_path: Path, is_complete: bool
) -> None:
    run = RunFolder(tmp_path / "run")
    manifest.begin(run.path, {})
    with run.watched(manifest.token_of(run.path)) as (_, check):
        check()
        shutil.rmtree(run.path)
        with pytest.raises(WorkError, match="removed or begun anew"):
            check()
        manifest.begin(run.path, {})
        if is_complete:  # it keeps no token
            manifest.finish(run.path, {}, {})
        with pytest.raises(WorkError, match="removed or begun anew"):
            check()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system has no name for an open folder")
def test_what_was_about_to_be_written_is_not_written_into_the_folder_of_another_run(tmp_path: Path) -> None:
    """The check has passed; then the folder is replaced, and then each kind of file is written."""
    run, key, maps = RunFolder(tmp_path / "run"), ("hirescam", "conv", "predicted"), np.ones((4, 2, 2), np.float32)

    def begin(folder: Path) -> None:
        manifest.begin(folder, {})
        arrays.create_maps(folder, key, 4, (2, 2), 4)
        (folder / "parts").mkdir()

    def write(folder: Path, token: str) -> list[Callable[[], object]]:
        return [
            lambda: arrays.write_maps(folder, key, 0, maps),
            lambda: (folder / "overlays").mkdir(parents=True, exist_ok=True),
            lambda: tables.publish(folder, 0, token, [], []),
            lambda: tables.write_columns(folder / "parts" / "trials-0.parquet", {}, {}, token),
        ]

    for number in range(4):
        begin(run.path)
        token = manifest.token_of(run.path)
        with pytest.raises(WorkError, match="removed or begun anew"), run.watched(token) as (opened, check):
            check()
            shutil.rmtree(run.path)
            begin(run.path)
            write(opened, token)[number]()
        assert np.isnan(arrays.read_maps(run.path, key)).all()
        assert sorted(path.name for path in run.path.iterdir()) == ["manifest.json", "maps.zarr", "parts"]
        assert not list((run.path / "parts").iterdir())
        for write_it in write(run.path, token):  # in a folder that is there they all write
            write_it()
        assert np.array_equal(arrays.read_maps(run.path, key), maps)
        assert (run.path / "overlays").is_dir() and len(list((run.path / "parts").iterdir())) == 3
        shutil.rmtree(run.path)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    assert_kept(kill_often(new_trial(tmp_path, images=184), kills=200, seed=1), 200)
