"""One run by several processes in one folder, each its portion: the bytes are those of one process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.kills import NET, tree, write_images

from seewhy.errors import OptionError, StoreError, WorkError
from seewhy.explanation import portions
from seewhy.explanation.portions import check_versions, merge, run_portion
from seewhy.run.machine import versions
from seewhy.run.plan import make_plan
from seewhy.run.portion import Portion, portion_of
from seewhy.store import claims, manifest
from tests.models import FourConv, seeded
from tests.started import started
from tests.test_cli import run

WORDS = ["explain", "photos", "--model", "net.py:Net", "--layers", "conv", "--workers", "1"]
SLOW = NET.replace("time.sleep(0.25)", "time.sleep(float(os.environ.get('SLOW', '0')))")
IMAGES = 88  # six shards of 16


def nothing(done: int, total: int) -> None:
    pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_images(tmp_path / "photos", range(IMAGES))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "net.py").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.txt"))
    return tmp_path


@pytest.fixture
def straight(home: Path) -> dict[str, str]:
    """What a run by one process holds."""
    assert run(*WORDS, "--out", "straight", "--no-report") == 0
    return tree(home / "straight")


def portion(out: str, shard: str, *more: str) -> int:
    return run(*WORDS, "--out", out, "--shard", shard, *more)


def begun(home: Path, out: str, shard: str, slow: str = "0") -> Any:
    with (home / f"said-{shard.replace('/', '-of-')}.txt").open("wb") as said:
        environment = {**os.environ, "SLOW": slow}
        return started(*WORDS, "--out", out, "--shard", shard, cwd=home, env=environment, stdout=said, stderr=said)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_so_many_shards_merged_are_the_run_of_one_process(home: Path, straight: dict[str, str], count: int) -> None:
    for number in range(count, 0, -1):
        assert portion("run", f"{number}/{count}") == 0
    assert run("merge", "run", "--no-report") == 0
    assert tree(home / "run") == straight


def test_processes_at_once_one_of_them_killed_give_the_same_bytes(home: Path, straight: dict[str, str]) -> None:
    processes = [begun(home, "run", f"{number}/3", slow="0.4") for number in (1, 2, 3)]
    limit = time.monotonic() + 60
    while not list((home / "run" / "parts").glob("records-*.parquet")) and time.monotonic() < limit:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    assert [process.wait(120) for process in processes] == [0, -signal.SIGKILL, 0]
    assert run("merge", "run", "--no-report") == 1, "the killed one has not done all of its shards"
    assert portion("run", "2/3") == 0
    assert run("merge", "run", "--no-report") == 0
    assert tree(home / "run") == straight


def test_merge_says_whose_shards_are_missing_and_keeps_the_others(
    home: Path, straight: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert portion("run", "1/3") == 0 and portion("run", "2/3", "--json") == 0
    assert '"left": 2' in capsys.readouterr().out
    (home / "run" / "parts" / "records-000001.parquet").unlink()
    assert run("merge", "run") == 1
    said = capsys.readouterr().err
    assert "3 of 6 parts are missing" in said and "2/3 (1 of 2 parts), 3/3 (2 of 2 parts)" in said
    assert portion("run", "3/3") == 0
    assert run(*WORDS, "--out", "run", "--no-report") == 0, "the command without --shard does the rest, and merges"
    assert tree(home / "run") == straight


def test_what_is_merged_may_be_merged_again_and_asked_for_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert portion("run", "1/1") == 0 and run("merge", "run") == 0
    before = tree(home / "run")
    assert (home / "run" / "report" / "index.html").exists() and not (home / "run" / "parts").exists()
    capsys.readouterr()
    assert run("merge", "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"] == IMAGES + 1
    assert portion("run", "1/4") == 0 and "All 6 parts" not in capsys.readouterr().err
    assert tree(home / "run") == before


def test_another_run_is_not_joined_and_not_merged(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert portion("run", "1/2") == 0
    assert portion("run", "2/2", "--target", "margin") == 2
    assert "--target: predicted there, margin asked" in capsys.readouterr().err
    (home / "net.py").write_text(SLOW.replace("self.fc(self", "-self.fc(self"))
    assert portion("run", "2/2") == 2 and "the code" in capsys.readouterr().err
    (home / "net.py").write_text(SLOW)
    write_images(home / "photos", range(500, 501))
    assert portion("run", "2/2") == 2 and "images" in capsys.readouterr().err
    shutil.rmtree(home / "photos")
    assert run("merge", "run") == 2
    said = capsys.readouterr().err
    assert "#run-moved" in said and "seewhy explain photos" in said


def test_an_image_that_changed_meanwhile_is_told_to_whoever_has_its_shard(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert portion("run", "1/2") == 0
    shutil.copy(home / "photos" / "00040.png", home / "photos" / "00000.png")
    assert portion("run", "2/2") == 0
    assert portion("run", "1/2") == 2 and "00000.png" in capsys.readouterr().err


def test_whoever_is_at_work_is_waited_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert portion("run", "1/2") == 0
    with claims.claimed(home / "run", 2, 2):
        assert portion("run", "2/2") == 2, "the same shard twice at once"
        assert f"process {os.getpid()} on " in capsys.readouterr().err
        assert portion("run", "1/3") == 2 and "Type  --shard K/2" in capsys.readouterr().err
        assert run(*WORDS, "--out", "run") == 2 and "Wait for them" in capsys.readouterr().err
        assert run("merge", "run") == 1 and "at work" in capsys.readouterr().err
    assert portion("run", "1/3") == 0, "with none at work it may be split anew"
    assert manifest.read_manifest(home / "run")["shards"] == 3


def test_a_run_that_holds_the_folder_is_told_after_a_while(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(portions, "WAIT_S", 0.2)
    code = "import sys, time; from seewhy.store import manifest; from pathlib import Path\n"
    code += "with manifest.writer(Path('run')): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        assert portion("run", "1/2") == 2 and f"process {holder.pid}" in capsys.readouterr().err
        holder.kill()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("3", "must look like 3/16"),
        ("a/b", "must look like 3/16"),
        ("-1/4", "must look like 3/16"),
        ("0/4", r"1/4 to 4/4.\n  Of a rank that counts from 0:  --shard \$\(\(RANK \+ 1\)\)"),
        ("5/4", "of 4 shards there are 1/4 to 4/4"),
        ("1/0", "1 to 100,000 processes"),
    ],
)
def test_a_shard_out_of_range_is_refused_in_words(text: str, match: str) -> None:
    with pytest.raises(OptionError, match=match):
        portion_of(text)


def test_portions_share_all_shards_and_none_twice() -> None:
    shards = list(range(11))
    for count in (1, 2, 3, 11, 16):
        shared = [shard for number in range(1, count + 1) for shard in Portion(number, count).of(shards)]
        assert sorted(shared) == shards


def test_what_is_not_split_says_why(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "photos", "--model", "net.py:Net", "--shard", "1/2") == 2
    assert "check is not split by --shard: it " in capsys.readouterr().err
    assert run(*WORDS, "--shard", "1/2", "--only", "wrong") == 2
    assert run(*WORDS, "--shard", "1/2", "--out", "run", "--extend") == 2
    assert not (home / "run").exists()


@pytest.mark.parametrize("name", ["seewhy", "torch", "pillow"])
def test_other_versions_are_named_before_any_work(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, run_folder = seeded(FourConv(size=32)), home / "run"
    plan = make_plan(net, "photos", layers="conv2")
    run_portion(plan, run_folder, Portion(1, 2), typed="", progress=nothing)
    here = versions()
    check_versions(run_folder, manifest.read_manifest(run_folder))
    monkeypatch.setattr(portions, "versions", lambda: {**here, name: "0.0.1"})
    for join in (
        lambda: run_portion(plan, run_folder, Portion(2, 2), typed="", progress=nothing),
        lambda: merge(plan, run_folder),
    ):
        with pytest.raises(StoreError, match=re.escape(f"begun with {name} {here[name]}, here 0.0.1")):
            join()
    monkeypatch.undo()
    with pytest.raises(WorkError, match="not whole"):
        merge(plan, run_folder)
