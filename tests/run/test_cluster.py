"""A run by the workers of a real Ray, several nodes as processes: the bytes of one process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.cluster import AUDIT, EXPLAIN, Place, new_place, on_ray, write_faces
from benchmarks.kills import SHARD, tree
from benchmarks.ray_nodes import two_nodes

from seewhy.cli.spread import with_address
from tests.test_cli import run

ray: Any = pytest.importorskip("ray", reason='the extra "ray" is not installed')
from seewhy.run import cluster, crew, nodes  # noqa: E402

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nodes as processes are tried on Linux")
IMAGES = 88
SHARDS = -(-IMAGES // SHARD)
WORKERS = [pytest.param(count, marks=[] if count == 2 else pytest.mark.slow) for count in (1, 2, 4)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a cluster of two nodes listens, each a process of two CPUs on this machine."""
    with contextlib.ExitStack() as held:
        try:
            nodes = held.enter_context(two_nodes())
        except RuntimeError as error:
            pytest.skip(str(error))
        yield nodes.address


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = new_place(tmp_path_factory.mktemp("cluster"), IMAGES)
    (place.home / "photos" / "broken.png").write_bytes(b"no picture")
    write_faces(place.home / "faces")
    return place


@pytest.fixture
def place(made: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(made.home)
    made.forget()
    made.slow(0)
    return made


@pytest.fixture
def home(place: Place) -> Path:
    return place.home


@pytest.fixture
def straight(place: Place) -> dict[str, str]:
    """What a run by one process holds."""
    assert run(*EXPLAIN, "--workers", "1", "--out", "straight") == 0
    place.forget()
    return tree(place.home / "straight")


@pytest.mark.parametrize("workers", WORKERS)
def test_workers_on_two_nodes_give_the_bytes_of_one_process(
    place: Place, straight: dict[str, str], address: str, workers: int
) -> None:
    place.finish(on_ray(EXPLAIN, address, workers), f"run-{workers}")
    assert tree(place.home / f"run-{workers}") == straight
    batches = place.seen
    assert sorted(shard for _, shard in batches) == list(range(SHARDS))
    assert len({process for process, _ in batches}) <= workers and os.getpid() not in {p for p, _ in batches}
    place.finish([*EXPLAIN, "--ray", address], f"run-{workers}")
    assert len(place.seen) == SHARDS, "a finished run is only opened"


@pytest.mark.parametrize("workers", WORKERS)
def test_an_audit_by_workers_on_two_nodes_gives_the_bytes_of_forked_ones(
    place: Place, address: str, workers: int
) -> None:
    place.finish([*AUDIT, "--workers", "2"], "audit")
    want = tree(place.home / "audit")
    place.finish(on_ray(AUDIT, address, workers), f"audit-{workers}")
    assert tree(place.home / f"audit-{workers}") == want
    findings = (place.home / "audit" / "findings.json").read_text()
    assert '"factor": "tint"' in findings


@pytest.mark.slow
def test_a_killed_worker_costs_its_shard_alone_and_a_killed_driver_nothing(
    place: Place, straight: dict[str, str], address: str
) -> None:
    place.slow(0.5)
    driver = place.start(words := on_ray(EXPLAIN, address), "run")
    process, _ = place.until_seen(2)[-1]
    os.kill(process, signal.SIGKILL)
    place.until_seen(4)
    driver.send_signal(signal.SIGKILL)
    driver.wait(30)
    place.slow(0)
    place.finish(words, "run")
    assert tree(place.home / "run") == straight
    times = Counter(shard for _, shard in place.seen)
    assert sum(times.values()) - SHARDS <= 1 + 2, "one of the worker's, one of each worker when the driver died"


@pytest.mark.slow
def test_a_stopped_command_leaves_with_its_signal_and_no_second_one_writes_beside_it(
    place: Place, straight: dict[str, str], address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place.slow(0.5)
    driver = place.start(words := on_ray(EXPLAIN, address), "stopped")
    place.until_seen(2)
    assert run(*words, "--out", "stopped") == 2 and "is being written by process" in capsys.readouterr().err
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(60) == 128 + signal.SIGTERM
    place.slow(0)
    place.finish(words, "stopped")
    assert tree(place.home / "stopped") == straight


@pytest.mark.slow
def test_an_audit_whose_driver_was_killed_goes_on_with_what_is_there(place: Place, address: str) -> None:
    place.finish([*AUDIT, "--workers", "2"], "audit")
    driver = place.start(words := on_ray(AUDIT, address), "killed")
    parts = place.home / "killed" / "parts"
    while driver.poll() is None and not list(parts.glob("trials-*.parquet")):
        pass
    driver.kill()
    driver.wait(30)
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("trials-*.parquet")}
    assert kept and not (place.home / "killed" / "findings.json").exists()
    place.finish(words, "killed")
    assert tree(place.home / "killed") == tree(place.home / "audit")


def _check(needs: nodes.Needs, workers: int) -> None:
    """Ask the nodes, by so many workers where they are enough."""
    if not workers:
        nodes.check_nodes(needs)
        return
    with crew.crew(lambda: lambda index: index, workers, workers, 0, needs=needs):
        pass


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_the_nodes_lack_is_said_by_name_whoever_is_asked(
    home: Path, straight: dict[str, str], address: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "run" / "parts").mkdir(parents=True, exist_ok=True)
    with cluster.connected(address):
        _check(nodes.Needs(home / "run", [home]), workers)
        monkeypatch.setattr(nodes, "versions", lambda: {"torch": "0.0.1"})
        with pytest.raises(nodes.WorkError, match=r"2 of 2 nodes(.|\n)*it has no /nowhere(.|\n)*torch .*, here 0.0.1"):
            _check(nodes.Needs(home / "run", [home, Path("/nowhere")]), workers)
    assert not list((home / "run" / "parts").iterdir())


def test_more_workers_than_there_is_room_for_are_refused(address: str) -> None:
    with cluster.connected(address):
        with pytest.raises(cluster.OptionError, match=r"room for 4 workers of 1 CPU, and 5 .*\n  --workers 4"):
            next(crew.run_on_ray(lambda: lambda index: index, [0], 5, 0))
        with pytest.raises(cluster.OptionError, match=r"room for 0 workers of 1 CPU and 1 GPUs"):
            next(crew.run_on_ray(lambda: lambda index: index, [0], None, 1))


def test_a_node_that_goes_while_it_is_asked_is_no_reason_to_stop(
    home: Path, straight: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "run" / "parts").mkdir(parents=True, exist_ok=True)
    needs = nodes.Needs(home / "run", [home])
    with cluster.connected(address):
        there, ask = ray.nodes(), ray.nodes
        gone = {**there[0], "NodeID": "ab" * (len(there[0]["NodeID"]) // 2)}  # one that Ray has not missed yet
        said = iter([[*there, gone]])
        monkeypatch.setattr(ray, "nodes", lambda: next(said, None) or ask())
        nodes.check_nodes(needs)
        monkeypatch.setattr(ray, "nodes", lambda: [*there, gone])  # one that stays, and cannot be asked
        with pytest.raises(nodes.WorkError, match=r"1 of 3 nodes(.|\n)*ababab\): it cannot run seewhy"):
            nodes.check_nodes(needs)


def test_what_a_worker_raises_is_said_as_it_would_be_here(home: Path, address: str) -> None:
    def prepare() -> Any:
        raise cluster.OptionError("--layers is wrong", slug="no-such-layer")

    def fails(index: int) -> None:
        raise ZeroDivisionError("in a network")

    with cluster.connected(address):
        with pytest.raises(cluster.OptionError, match="--layers is wrong") as raised:
            list(crew.run_on_ray(prepare, [0, 1], 1, 0))
        assert raised.value.slug == "no-such-layer"
        with pytest.raises(cluster.WorkError, match="ZeroDivisionError: in a network"):
            list(crew.run_on_ray(lambda: fails, [0], 1, 0))
        numbers = list(crew.run_on_ray(lambda: lambda index: index * index, list(range(9)), 2, 0))
        assert sorted(numbers) == [index * index for index in range(9)]
        with crew.crew(lambda: lambda index: (index, os.getpid()), 9, 2, 0) as do:
            rounds = [list(do(range(9))), list(do([])), list(do([9]))]
        assert [index for of in rounds for index, _ in sorted(of)] == list(range(10))
        assert len({process for of in rounds for _, process in of}) <= 2, "workers stay from round to round"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("127.0.0.1:1", r"No Ray cluster answers at 127.0.0.1:1: (.|\n)*ray status --address=127.0.0.1:1"),
        ("no.such.host.invalid:6379", "No Ray cluster answers at no.such.host.invalid:6379"),
        ("ray://127.0.0.1:10001", "must look like 10.0.0.1:6379"),
    ],
    ids=["nobody", "no-host", "client"],
)
def test_an_address_that_does_not_answer(
    home: Path, given: str, match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (EXPLAIN, AUDIT):
        assert run(*words, "--out", "nowhere", "--ray", given) == 2
        assert re.search(match, capsys.readouterr().err) and not (home / "nowhere").exists()


def test_other_versions_of_ray_are_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.10.1\nThis process was …"

    def init(*given: Any, **named: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert os.environ[cluster._TRIES]
        raise RuntimeError(said)

    monkeypatch.setattr(cluster.ray, "init", init)
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.delenv(cluster._TRIES, raising=False)
    with (
        pytest.raises(cluster.OptionError, match=r"Ray: 2.9.0 Python: 3.10.1(.|\n)*pip install ray=="),
        cluster.connected("auto"),
    ):
        pass
    assert signal.getsignal(signal.SIGTERM) is before
    assert cluster._TRIES not in os.environ


def test_a_cluster_that_is_lost_says_that_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.ray, "init", lambda *given, **named: None)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    said = r"cluster was lost: .*head is gone\n(.|\n)*the same command goes on"
    with pytest.raises(cluster.WorkError, match=said), cluster.connected("auto"):
        raise cluster.exceptions.RaySystemError("head is gone")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--ray"], ["--ray=auto"]),
        (["--ray", "--workers", "2"], ["--ray=auto", "--workers", "2"]),
        (["--ray", "photos"], ["--ray=auto", "photos"]),
        (["--ray", "local"], ["--ray", "local"]),
        (["--ray", "head:6379", "photos"], ["--ray", "head:6379", "photos"]),
        (["--ray=head:6379"], ["--ray=head:6379"]),
    ],
)
def test_ray_alone_means_the_cluster_that_is_there(words: list[str], meant: list[str]) -> None:
    assert with_address(words) == meant


def test_ray_goes_with_what_it_can_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*EXPLAIN, "--ray", "--shard", "1/2") == 2 and "without --shard" in capsys.readouterr().err
    assert run(*EXPLAIN, "--ray", "--only", "wrong") == 2 and "without --only" in capsys.readouterr().err
    assert run(*EXPLAIN, "--gpus-per-worker", "1") == 2 and "Add:  --ray" in capsys.readouterr().err
    assert run("check", "photos", "--model", "net.py:Net", "--ray") == 2
    assert "not split by --ray" in capsys.readouterr().err
