"""A Ray cluster: a connection to it, and whether its nodes can do a run."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from seewhy.errors import OptionError, WorkError, listed
from seewhy.run.crew import first_line, last_line, other_versions
from seewhy.run.machine import versions

ANSWER_S = 10  # until somebody listens at an address
SEEN_S = 5  # until a node sees what was just written here
NODE_S = 300  # until every node has said what it has, for which it imports torch
_NAMED = 4  # nodes in a message
_TRIES = "RAY_gcs_server_port_wait_time_s"


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
    tried = contextlib.nullcontext() if local else _tried_once()
    try:
        with warnings.catch_warnings(), _stopped_as_before(), tried:
            warnings.simplefilter("ignore")  # tips about future versions of Ray
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:
        raise _not_connected(address, error) from error
    try:
        yield
    except exceptions.RayError as error:
        raise WorkError(
            f"The Ray cluster was lost: {first_line(error)}\n  What is finished is kept; once  ray status  shows the "
            "cluster again, the same command goes on.",
            slug="ray-address",
        ) from error
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _stopped_as_before() -> Iterator[None]:
    """What SIGTERM does stays as it is: Ray would let it end the process by sys.exit()."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _tried_once() -> Iterator[None]:
    """Ray tries once to connect, which takes half a minute where an address is silent, and not again and again."""
    is_ours = _TRIES not in os.environ
    os.environ.setdefault(_TRIES, "1")
    try:
        yield
    finally:
        if is_ours:
            os.environ.pop(_TRIES, None)


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


def _facts_of_nodes(probe: Path, paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """What each node that could take a worker has, by its name; "error" where that could not be asked.

    A node that goes meanwhile is left out: a cluster says of one that it is alive until it has missed it for a while.
    """
    names = _alive()
    asked = {
        node: _FACTS.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            str(probe), list(map(str, paths))
        )
        for node in names
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=NODE_S)
    facts = {node: _fact(reference) for node, reference in asked.items()}
    there = _alive()
    return {names[node]: fact for node, fact in facts.items() if node in there or "error" not in fact}


def _alive() -> dict[str, str]:
    """The names of the nodes that could take a worker, by what Ray calls them."""
    return {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeID'][:6]})"
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    }


def _fact(reference: Any) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = ray.get(reference, timeout=0.1)
    except exceptions.GetTimeoutError:
        return {"error": f"it did not answer within {NODE_S} s"}
    except Exception as error:  # noqa: BLE001 -- what a node raises where it cannot import seewhy is of many kinds
        return {"error": f"it cannot run seewhy: {last_line(error)}"}
    return facts


def _facts(probe: str, paths: Sequence[str]) -> dict[str, Any]:
    """What this node has: the probe's text (None where it is not there), the paths that are missing, the versions."""
    limit, text = time.monotonic() + SEEN_S, None
    while text is None and time.monotonic() < limit:  # a file system of the network may show it late
        with contextlib.suppress(OSError):
            text = Path(probe).read_text()
        time.sleep(0 if text else 0.2)
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
    if others := other_versions(fact["versions"], here):
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


def _not_connected(address: str, error: Exception) -> OptionError:
    """The error where Ray itself could not connect; other versions of Ray or Python it tells in several lines."""
    lines = [line.strip() for line in str(error).splitlines()]
    if not lines or "ersion mismatch" not in lines[0]:
        return _no_answer(address, first_line(error))
    return OptionError(
        f"The cluster at {address} is of other versions: {' '.join(lines)}\n  Install the same Ray and Python on all "
        "machines:  pip install ray==…",
        slug="ray-address",
    )


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
