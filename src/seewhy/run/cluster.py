"""Shards mapped over the workers of a Ray cluster, which prepare once: neither maps nor weights go through Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from seewhy.errors import OptionError, SeewhyError, WorkError, listed
from seewhy.run.machine import versions

T = TypeVar("T")
Work = Callable[[int], T]  # of a shard's index
ANSWER_S = 10  # until somebody listens at an address
NODE_S = 300  # until every node has said what it has, for which it imports torch
_AT_ONCE = 2  # shards that an actor holds: the one that it is at, and the next
_TRIES = 3  # of a shard whose worker dies, beyond the first
_NAMED = 4  # nodes in a message


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the cluster at "host:port", or to the one that runs here or that RAY_ADDRESS names ("auto").

    "local" begins one for this machine alone, without a dashboard. Raises OptionError where nothing answers.
    """
    if ray.is_initialized():
        yield
        return
    if address not in ("auto", "local"):
        check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    if not local:
        os.environ.setdefault(
            "RAY_gcs_server_port_wait_time_s", "1"
        )  # tries, of half a minute each, where it is silent
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tips about future versions of Ray
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:
        raise _no_answer(address, _first_line(error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def check_nodes(folder: Path, paths: Sequence[Path]) -> None:
    """Raise WorkError that names the nodes which lack the run folder or a path, or have other versions than here."""
    here = versions()
    probe, word = folder / "parts" / f"seen-{secrets.token_hex(4)}.txt", secrets.token_hex(8)
    probe.parent.mkdir(exist_ok=True)
    probe.write_text(word)
    try:
        facts = _facts_of_nodes(probe, paths)
    finally:
        probe.unlink(missing_ok=True)
    wrong = [f"{name}: {what}" for name, fact in facts.items() for what in _what_is_wrong(fact, folder, word, here)]
    if wrong:
        lines = "".join(f"  {line}\n" for line in wrong[:10])
        raise WorkError(
            f"{len({line.split(':')[0] for line in wrong})} of {len(facts)} nodes cannot do this run:\n{lines}"
            "  Images, weights, code and the run folder must lie on a path that all nodes see, with the same versions.",
            slug="ray-nodes",
        )


def run_on_ray(
    prepare: Callable[[], Work[T]], shards: Sequence[int], workers: int | None, gpus_per_worker: float
) -> Iterator[T]:
    """What the work gives for each shard, as it gets done: `prepare` makes it, once in each worker.

    `workers` None takes as many as the cluster has room for. An error of ours that a worker raises is raised here.
    Raises WorkError where a shard's workers die again and again; what was yielded before is complete.
    """
    with crew(prepare, len(shards), workers, gpus_per_worker) as do:
        yield from do(shards)


@contextlib.contextmanager
def crew(
    prepare: Callable[[], Work[T]], most: int, workers: int | None, gpus_per_worker: float
) -> Iterator[Callable[[Sequence[int]], Iterator[T]]]:
    """Workers, `most` of them at most, that stay for several rounds of shards; what does a round, as `run_on_ray`."""
    count = min(_room(workers, gpus_per_worker), max(1, most))
    options = {"num_cpus": 1, "num_gpus": gpus_per_worker, "max_restarts": -1, "max_task_retries": _TRIES}
    actors = [_ACTOR.options(**options).remote(prepare) for _ in range(count)]
    try:
        yield partial(_round, actors)
    finally:
        for actor in actors:
            ray.kill(actor)


def _round(actors: Sequence[Any], shards: Sequence[int]) -> Iterator[Any]:
    """What the workers give for each shard, as it gets done; each is given shards once there is room for it."""
    left = deque(shards)
    waiting: dict[Any, Any] = {actor.is_there.remote(): actor for actor in actors}  # of what: who gives it
    starting = set(waiting)
    while waiting and (left or waiting.keys() - starting):
        done, _ = ray.wait(list(waiting), num_returns=1)
        actor = waiting.pop(done[0])
        result = _result(done[0])
        for _ in range(_AT_ONCE if done[0] in starting else 1):
            if left:
                waiting[actor.do.remote(left.popleft())] = actor
        if done[0] not in starting:
            yield result


class _Worker:
    """Does shards; restarted by Ray where its process dies, and then prepares anew."""

    def __init__(self, prepare: Callable[[], Work[Any]]) -> None:
        self.prepare = prepare
        self.work: Work[Any] | None = None

    def is_there(self) -> None:
        """Answers once there is room for this worker."""

    def do(self, shard: int) -> Any:
        """The work of one shard; what is raised here, and not in the constructor, comes to the driver as it is."""
        self.work = self.work or self.prepare()
        return self.work(shard)


_ACTOR: Any = ray.remote(_Worker)


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, SeewhyError):
            raise error.cause from None
        raise WorkError(f"A worker on Ray failed: {_last_line(error)}", slug="worker-died") from error
    except exceptions.RayError as error:
        raise WorkError(
            f"A worker on Ray died {_TRIES + 1} times at one shard (killed, or out of memory): {_first_line(error)}\n"
            "  What is finished is kept; the same command goes on.  If it happens again:  --batch-size 4",
            slug="worker-died",
        ) from error


def _room(workers: int | None, gpus_per_worker: float) -> int:
    """How many workers are made. Raises OptionError where the cluster never has room for them."""
    there = ray.cluster_resources()
    n_cpus, n_gpus = int(there.get("CPU", 0)), there.get("GPU", 0.0)
    most = min(n_cpus, int(n_gpus / gpus_per_worker)) if gpus_per_worker else n_cpus
    if most < 1 or (workers or 0) > most:
        each = f" and {gpus_per_worker:g} GPUs" if gpus_per_worker else ""
        raise OptionError(
            f"The cluster has {n_cpus} CPUs and {n_gpus:g} GPUs: room for {most} workers of 1 CPU{each}, and "
            f"{workers or 1} were asked for.\n  --workers {max(most, 1)}, or more nodes:  ray start --address=…",
            slug="ray-nodes",
        )
    return workers or most


def _facts_of_nodes(probe: Path, paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """What each node that could take a worker has, by its name; "error" where that could not be asked."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    asked = {
        f"{node['NodeManagerHostname']} ({node['NodeID'][:6]})": _FACTS.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(str(probe), list(map(str, paths)))
        for node in nodes
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=NODE_S)
    return {name: _fact(reference) for name, reference in asked.items()}


def _fact(reference: Any) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = ray.get(reference, timeout=0.1)
    except exceptions.GetTimeoutError:
        return {"error": f"it did not answer within {NODE_S} s"}
    except Exception as error:  # noqa: BLE001 -- what a node raises where it cannot import seewhy is of many kinds
        return {"error": f"it cannot run seewhy: {_last_line(error)}"}
    return facts


def _facts(probe: str, paths: Sequence[str]) -> dict[str, Any]:
    """What this node has: the probe's text (None where it is not there), the paths that are missing, the versions."""
    try:
        text = Path(probe).read_text()
    except OSError:
        text = None
    return {"probe": text, "missing": [path for path in paths if not Path(path).exists()], "versions": versions()}


_FACTS: Any = ray.remote(_facts)


def _what_is_wrong(fact: Mapping[str, Any], folder: Path, word: str, here: Mapping[str, str]) -> Iterator[str]:
    if "error" in fact:
        yield fact["error"]
        return
    if fact["probe"] != word:
        yield f"it does not see what is written to {folder} here"
    if fact["missing"]:
        yield f"it has no {listed(fact['missing'], _NAMED)}"
    there = fact["versions"]
    if others := [f"{name} {there.get(name)}, here {here[name]}" for name in here if there.get(name) != here[name]]:
        yield f"it has {listed(others)}"


def check_answers(address: str) -> None:
    """Raise OptionError where the address is none, or nothing listens there."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdecimal():
        raise OptionError(
            f"--ray is {address!r}, but must look like 10.0.0.1:6379, or be auto or local.\n  The address is what  ray "
            "start --head  prints; type the command on a machine of the cluster, which sees its files.",
            slug="ray-address",
        )
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, str(getattr(error, "strerror", None) or error)) from error


def _no_answer(address: str, why: str) -> OptionError:
    if address == "local":
        return OptionError(
            f"Ray could not be begun on this machine: {why}\n  Ray gives up after half a minute: try again when the "
            "machine is less busy, or leave --ray out: --workers does the same here.",
            slug="ray-address",
        )
    if address == "auto":
        todo = "Name one:  --ray HOST:6379, or begin one for this machine alone:  --ray local"
        return OptionError(f"No Ray cluster runs here: {why}\n  {todo}", slug="ray-address")
    return OptionError(
        f"No Ray cluster answers at {address}: {why}.\n  Look:  ray status --address={address}.  Is the head started "
        "(ray start --head), is the port 6379, does a firewall lie between?",
        slug="ray-address",
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
