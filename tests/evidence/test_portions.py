"""One audit by several processes in one folder, each its portion of every step: the bytes are those of one process."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from seewhy.cli import on_ray
from seewhy.evidence.findings.follow_up import STAGES
from seewhy.evidence.trials.scorer import Scorer
from seewhy.run.machine import versions
from seewhy.store import claims
from tests.evidence.results.test_folder import NET, ROOT, WORDS, tree
from tests.small_images import write_images, write_masks
from tests.started import started
from tests.test_cli import run

MORE = [*WORDS, "--workers", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portions")
    (folder / "net.py").write_text(NET)
    write_masks(folder / "core", write_images(folder / "data", counts={"train": 24, "valid": 24}))
    return folder


@pytest.fixture
def home(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    shutil.rmtree(place / "run", ignore_errors=True)
    return place


@pytest.fixture
def straight(home: Path) -> dict[str, str]:
    """What an audit by one process holds; made once, afterwards only told again."""
    assert run(*MORE, "--out", "straight", "--no-report") == 0
    return tree(home / "straight")


def portion(shard: str, *more: str) -> int:
    return run(*MORE, "--out", "run", "--no-report", "--shard", shard, *more)


def merge(*more: str) -> int:
    return run("merge", "run", "--no-report", *more)


def refused(self: Scorer, job: object) -> None:
    raise AssertionError("a trial was made again")


@pytest.mark.parametrize("count", [1, 3])
def test_shards_of_the_first_step_merged_are_the_audit_of_one_process(
    home: Path, straight: dict[str, str], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(count, 0, -1):
        capsys.readouterr()
        assert portion(f"{number}/{count}", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["portion"] == f"1/{count}" and told["steps"] == len(STAGES)
    assert merge() == 0
    assert tree(home / "run") == straight


def test_rounds_of_shards_do_all_steps_and_merge_makes_no_trial(
    home: Path, straight: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert portion("1/2") == 0
    assert f"Shard 1/2 of step 1 of {len(STAGES)} (exchanges) is done" in capsys.readouterr().out
    assert portion("2/2") == 0, "which finds the first step whole, and does its share of the second"
    for _ in STAGES[1:]:
        assert portion("1/2") == 0 and portion("2/2") == 0
    assert "so is every step.  Now:  seewhy merge run" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "run", refused)
        assert merge() == 0
    assert tree(home / "run") == straight
    assert portion("1/4") == 0 and merge() == 0, "what is merged is only told again"
    assert run(*MORE, "--out", "run", "--no-report", "--fail-on", "shortcut:strong") in (0, 1)
    assert tree(home / "run") == straight


def test_processes_at_once_one_of_them_killed_give_the_same_bytes(home: Path, straight: dict[str, str]) -> None:
    environment = {**os.environ, "PAUSE": "0.02", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    words = [*MORE, "--out", "run", "--shard"]
    with (home / "said.txt").open("wb") as said:
        processes = [
            started(*words, f"{number}/2", cwd=home, env=environment, stdout=said, stderr=said) for number in (1, 2)
        ]
        limit = time.monotonic() + 120
        while not list((home / "run" / "parts").glob("trials-*.parquet")) and time.monotonic() < limit:
            time.sleep(0.01)
        processes[1].send_signal(signal.SIGKILL)
        assert [process.wait(240) for process in processes] == [0, -signal.SIGKILL], (home / "said.txt").read_text()
    kept = {path: path.stat().st_mtime_ns for path in (home / "run" / "parts").glob("trials-*.parquet")}
    assert portion("2/2") == 0
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in kept}.items()
    assert merge() == 0
    assert tree(home / "run") == straight


def test_merge_says_whose_jobs_of_the_first_step_are_missing(
    home: Path, straight: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert portion("1/2") == 0
    capsys.readouterr()
    assert merge() == 1
    said = capsys.readouterr().err
    assert "parts are missing, those of --shard 2/2" in said and "#not-whole" in said
    with claims.claimed(home / "run", 2, 2):
        assert merge() == 1 and "at work" in capsys.readouterr().err
        assert portion("2/2") == 2 and "#locked" in capsys.readouterr().err
        assert portion("1/3") == 2 and "#other-shards" in capsys.readouterr().err
        assert run(*MORE, "--out", "run", "--no-report") == 2 and "#locked" in capsys.readouterr().err
    assert run(*MORE, "--out", "run", "--no-report") == 0, "the command without --shard does the rest, and merges"
    assert tree(home / "run") == straight


def test_another_audit_is_not_joined_and_not_merged(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert portion("1/2") == 0
    assert portion("2/2", "--recipients", "19") == 2 and "--recipients" in capsys.readouterr().err
    assert portion("2/2", "--budget", "500") == 2 and "--budget" in capsys.readouterr().err
    assert portion("3/2") == 2 and "1/2 to 2/2" in capsys.readouterr().err
    here = versions()
    with monkeypatch.context() as patch:
        patch.setattr("seewhy.explanation.portions.versions", lambda: {**here, "torch": "0.0.1"})
        assert portion("2/2") == 2 and f"begun with torch {here['torch']}, here 0.0.1" in capsys.readouterr().err
        assert merge() == 2 and "#other-versions" in capsys.readouterr().err
    assert portion("2/2") == 0
    net = (home / "net.py").read_text()
    try:
        (home / "net.py").write_text(net.replace("tint=20.0", "tint=19.25"))
        capsys.readouterr()
        assert merge() == 2 and "#another-run" in capsys.readouterr().err
    finally:
        (home / "net.py").write_text(net)


class Nearby:
    """Does in this process what workers of a cluster would, the last of what it is given first."""

    rounds = 0

    def connected(self, address: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def check_answers(self, address: str) -> None:
        assert address == "head:6379"

    def Needs(self, folder: Path, paths: Sequence[Path]) -> str:
        assert folder.is_dir() and all(path.exists() for path in paths)
        return "needs"

    @contextlib.contextmanager
    def crew(self, prepare: Any, most: int, workers: int | None, gpus: float, tell: Any, needs: Any) -> Iterator[Any]:
        assert most > 1 and workers == 2 and gpus == 0 and needs == "needs"
        do = pickle.loads(pickle.dumps(prepare))()

        def one_round(indices: Sequence[int]) -> Iterator[Any]:
            self.rounds += 1
            yield from map(do, reversed(indices))

        yield one_round


def test_jobs_that_workers_do_in_any_order_give_the_same_bytes(
    home: Path, straight: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nearby = Nearby()
    monkeypatch.setattr(on_ray, "_cluster", lambda address: nearby)
    monkeypatch.setattr(on_ray, "_crew", lambda: nearby)
    words = [*WORDS, "--workers", "2", "--ray", "head:6379", "--out", "run", "--no-report"]
    assert run(*words) == 0
    assert nearby.rounds == len(STAGES) and tree(home / "run") == straight
    assert run(*words) == 0 and nearby.rounds == len(STAGES), "a finished run is only told again"


def test_a_shard_is_not_judged_and_a_plan_is_not_split(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert portion("1/2", "--fail-on", "shortcut") == 2
    assert "--fail-on judges the whole audit" in capsys.readouterr().err
    assert run(*MORE, "--shard", "1/2", "--plan") == 0
    assert not (home / "run").exists()
