"""A run by the workers of a real Ray, several nodes as processes: the bytes of one process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.kills import SHARD, tree, write_images

from seewhy.cli.spread import with_address
from tests.test_cli import run

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # nodes listen on the loopback alone
ray: Any = pytest.importorskip("ray", reason='the extra "ray" is not installed')
from ray.cluster_utils import Cluster  # noqa: E402

from seewhy.run import cluster  # noqa: E402

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nodes as processes are tried on Linux")
IMAGES = 88
SHARDS = -(-IMAGES // SHARD)
WORDS = ["explain", "photos", "--model", "net.py:Net", "--layers", "conv", "--no-report"]
NET = """
import os
import time
from pathlib import Path

from torch import nn


class Net(nn.Module):
    '''Notes down its process and the number of the first image of each batch.'''

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4 * 16 * 16, 2)

    def forward(self, x):
        if len(x) > 2:  # not what planning tries
            high, low = (round(float(x[0, 0, 0, place]) * 255) for place in (0, 1))
            with open("seen.txt", "a") as file:
                file.write(f"{os.getpid()} {high * 256 + low}\\n")
            time.sleep(float(Path("slow.txt").read_text()))
        return self.fc(self.conv(x).relu().flatten(1))
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a cluster of two nodes listens, each a process of two CPUs on this machine."""
    node = {"num_cpus": 2, "object_store_memory": 100 << 20}
    nodes = Cluster()
    try:
        nodes.add_node(**node, include_dashboard=False)
        nodes.add_node(**node)
    except Exception as error:
        nodes.shutdown()
        if "timed out during startup" not in str(error):
            raise
        pytest.skip("Ray gives a node 30 seconds to start, which this machine is too busy for")
    yield nodes.address
    nodes.shutdown()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("cluster")
    write_images(home / "photos", range(IMAGES))
    (home / "photos" / "broken.png").write_bytes(b"no picture")
    (home / "net.py").write_text(NET)
    (home / "slow.txt").write_text("0")
    return home


@pytest.fixture
def home(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    (place / "seen.txt").unlink(missing_ok=True)
    (place / "slow.txt").write_text("0")
    return place


@pytest.fixture
def straight(home: Path) -> dict[str, str]:
    """What a run by one process holds."""
    assert run(*WORDS, "--workers", "1", "--out", "straight") == 0
    (home / "seen.txt").unlink(missing_ok=True)
    return tree(home / "straight")


def started(home: Path, out: str, *words: str) -> subprocess.Popen[bytes]:
    with (home / "said.txt").open("wb") as said:
        command = [sys.executable, "-m", "seewhy", *WORDS, "--out", out, *words]
        return subprocess.Popen(command, cwd=home, stdout=said, stderr=said)


def finish(home: Path, out: str, *words: str) -> None:
    assert started(home, out, *words).wait(300) == 0, (home / "said.txt").read_text()


def seen(home: Path) -> list[tuple[int, int]]:
    """The process and the shard of each batch that the network saw."""
    path = home / "seen.txt"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(process), int(number) // SHARD) for process, number in lines]


def until_seen(home: Path, count: int) -> list[tuple[int, int]]:
    limit = time.monotonic() + 120
    while len(batches := seen(home)) < count and time.monotonic() < limit:
        time.sleep(0.02)
    return batches


@pytest.mark.parametrize(
    "workers", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_workers_on_two_nodes_give_the_bytes_of_one_process(
    home: Path, straight: dict[str, str], address: str, workers: int
) -> None:
    finish(home, f"run-{workers}", "--ray", address, "--workers", str(workers))
    assert tree(home / f"run-{workers}") == straight
    batches = seen(home)
    assert sorted(shard for _, shard in batches) == list(range(SHARDS))
    assert len({process for process, _ in batches}) == workers and os.getpid() not in {p for p, _ in batches}
    finish(home, f"run-{workers}", "--ray", address)
    assert len(seen(home)) == SHARDS, "a finished run is only opened"


@pytest.mark.slow
def test_a_killed_worker_costs_its_shard_alone_and_a_killed_driver_nothing(
    home: Path, straight: dict[str, str], address: str
) -> None:
    (home / "slow.txt").write_text("0.5")
    driver = started(home, "run", "--ray", address, "--workers", "2")
    process, _ = until_seen(home, 2)[-1]
    os.kill(process, signal.SIGKILL)
    until_seen(home, 4)
    driver.send_signal(signal.SIGKILL)
    driver.wait(30)
    (home / "slow.txt").write_text("0")
    finish(home, "run", "--ray", address, "--workers", "2")
    assert tree(home / "run") == straight
    times = Counter(shard for _, shard in seen(home))
    assert sum(times.values()) - SHARDS <= 1 + 2, "one of the worker's, one of each worker when the driver died"


def test_what_the_nodes_lack_is_said_by_name(
    home: Path, straight: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "run" / "parts").mkdir(parents=True, exist_ok=True)
    with cluster.connected(address):
        cluster.check_nodes(home / "run", [home])
        monkeypatch.setattr(cluster, "versions", lambda: {"torch": "0.0.1"})
        with pytest.raises(
            cluster.WorkError, match=r"2 of 2 nodes(.|\n)*it has no /nowhere(.|\n)*torch .*, here 0.0.1"
        ):
            cluster.check_nodes(home / "run", [home, Path("/nowhere")])
        with pytest.raises(cluster.OptionError, match=r"room for 4 workers of 1 CPU, and 5 were asked for"):
            next(cluster.run_on_ray(lambda: lambda index: index, [0], 5, 0))
        with pytest.raises(cluster.OptionError, match=r"room for 0 workers of 1 CPU and 1 GPUs"):
            next(cluster.run_on_ray(lambda: lambda index: index, [0], None, 1))
    assert not list((home / "run" / "parts").iterdir())


def test_what_a_worker_raises_is_said_as_it_would_be_here(home: Path, address: str) -> None:
    def prepare() -> Any:
        raise cluster.OptionError("--layers is wrong", slug="no-such-layer")

    def fails(index: int) -> None:
        raise ZeroDivisionError("in a network")

    with cluster.connected(address):
        with pytest.raises(cluster.OptionError, match="--layers is wrong") as raised:
            list(cluster.run_on_ray(prepare, [0, 1], 1, 0))
        assert raised.value.slug == "no-such-layer"
        with pytest.raises(cluster.WorkError, match="ZeroDivisionError: in a network"):
            list(cluster.run_on_ray(lambda: fails, [0], 1, 0))
        numbers = list(cluster.run_on_ray(lambda: lambda index: index * index, list(range(9)), 2, 0))
        assert sorted(numbers) == [index * index for index in range(9)]


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
    assert run(*WORDS, "--out", "nowhere", "--ray", given) == 2
    assert re.search(match, capsys.readouterr().err)


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
    assert run(*WORDS, "--ray", "--shard", "1/2") == 2 and "without --shard" in capsys.readouterr().err
    assert run(*WORDS, "--ray", "--only", "wrong") == 2 and "without --only" in capsys.readouterr().err
    assert run(*WORDS, "--gpus-per-worker", "1") == 2 and "Add:  --ray" in capsys.readouterr().err
    assert run("check", "photos", "--model", "net.py:Net", "--ray") == 2
    assert "not split by --ray" in capsys.readouterr().err
