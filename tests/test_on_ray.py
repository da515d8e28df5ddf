"""`explain --ray` without Ray: what a worker does is done in this process, and what it cannot do is said."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.cluster import EXPLAIN, new_place
from benchmarks.kills import tree, write_images

from seewhy.cli import on_ray
from seewhy.errors import StoreError, WorkError
from tests.test_cli import run

ON_RAY = [*EXPLAIN, "--ray", "head:6379"]


class Nearby:
    """Does in this process what workers of a cluster would, the last shard first."""

    prepare: Any
    done: list[int]

    def connected(self, address: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def check_answers(self, address: str) -> None:
        assert address == "head:6379"

    def Needs(self, folder: Path, paths: Sequence[Path]) -> str:
        assert folder.is_dir() and all(path.exists() for path in paths)
        return "needs"

    def run_on_ray(self, prepare: Any, shards: Sequence[int], *given: Any) -> Iterator[Any]:
        assert given[-1] == "needs"
        self.prepare, self.done = pickle.loads(pickle.dumps(prepare)), sorted(shards)
        yield from map(self.prepare(), reversed(shards))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(new_place(tmp_path, 56).home)
    return tmp_path


@pytest.fixture
def nearby(monkeypatch: pytest.MonkeyPatch) -> Nearby:
    played = Nearby()
    monkeypatch.setattr(on_ray, "_cluster", lambda address: played)
    monkeypatch.setattr(on_ray, "_crew", lambda: played)
    return played


def test_workers_that_plan_anew_give_the_same_bytes_also_of_an_extension(home: Path, nearby: Nearby) -> None:
    assert run(*EXPLAIN, "--out", "straight", "--workers", "1") == 0
    assert run(*ON_RAY, "--out", "run") == 0 and nearby.done == [0, 1, 2, 3]
    assert tree(home / "run") == tree(home / "straight")
    write_images(home / "photos", range(56, 72))
    assert run(*EXPLAIN, "--out", "straight", "--workers", "1", "--extend") == 0
    assert run(*ON_RAY, "--out", "run", "--extend") == 0 and nearby.done == [3, 4]
    assert tree(home / "run") == tree(home / "straight")


def test_a_worker_begins_no_run_where_the_folder_is_gone(home: Path, nearby: Nearby) -> None:
    assert run(*ON_RAY, "--out", "run") == 0
    shutil.rmtree(home / "run")
    with pytest.raises(StoreError, match="no run folder"):
        nearby.prepare()
    assert not (home / "run").exists()


def test_a_full_disk_of_one_node_names_the_node_and_the_run_goes_on(
    home: Path, nearby: Nearby, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*EXPLAIN, "--out", "straight", "--workers", "1") == 0
    write = Path.write_bytes
    held = iter(range(30))

    def full(path: Path, data: bytes) -> int:
        if path.suffix == ".jpg" and next(held, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        patched.setattr(on_ray.socket, "gethostname", lambda: "node-7")
        assert run(*ON_RAY, "--out", "run") == 1
    said = capsys.readouterr().err
    assert "On the node node-7: Writing to" in said and "No space left on device" in said
    assert "df -h" in said and "the same command goes on" in said
    assert run(*ON_RAY, "--out", "run") == 0 and nearby.done == [0, 1], "the last two were whole"
    assert tree(home / "run") == tree(home / "straight")


def test_a_part_that_is_seen_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seewhy.data.pictures.decode import file_digest

    (tmp_path / "there").write_bytes(b"rows")
    digest, part = file_digest(tmp_path / "there"), tmp_path / "part"
    threading.Timer(0.5, lambda: part.write_bytes(b"rows")).start()
    on_ray._check_seen(tmp_path, 3, part, digest)
    monkeypatch.setattr(on_ray, "SEEN_S", 0.1)
    part.write_bytes(b"others")
    with pytest.raises(WorkError, match=r"Part 3 of (.|\n)*not the same folder(.|\n)*--out that all nodes share"):
        on_ray._check_seen(tmp_path, 3, part, digest)


def test_a_worker_has_no_part_of_a_second_gpu(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*ON_RAY, "--gpus-per-worker", "1.5") == 2
    assert "above 1 Ray gives whole GPUs alone" in capsys.readouterr().err
