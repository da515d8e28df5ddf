"""Whether the nodes of a Ray cluster can do a run: each says what it has, by its workers where it has some."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from seewhy.errors import WorkError, listed
from seewhy.run.machine import versions

SEEN_S = 5  # until a node sees what was just written here
NODE_S = 300  # until every node has said what it has, for which it imports torch
FIRST_S, NEXT_S = 60, 15  # until a worker says it, and then another one: else their nodes are asked without them
_NAMED = 4  # nodes in a message
Ask = Callable[[str, Sequence[str]], list[Any]]  # every worker, for the facts of its node: what is waited for


@dataclass(frozen=True)
class Needs:
    """What every node must see: the run folder, and the paths."""

    folder: Path
    paths: Sequence[Path]


def check_nodes(needs: Needs, ask: Ask = lambda probe, paths: []) -> None:
    """Raise WorkError that names the nodes which lack the run folder or a path, or have other versions than here.

    `ask` puts the question to workers that are begun anyway, each of which imports torch once for both.
    """
    here, folder = versions(), needs.folder
    probe, word = folder / "parts" / f"seen-{secrets.token_hex(4)}.txt", secrets.token_hex(8)
    probe.parent.mkdir(exist_ok=True)
    probe.write_text(word)
    try:
        facts = _facts_of_nodes(str(probe), list(map(str, needs.paths)), ask)
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


def _facts_of_nodes(probe: str, paths: Sequence[str], ask: Ask) -> dict[str, dict[str, Any]]:
    """What each node that could take a worker has, by its name; "error" where that could not be asked.

    A node that goes meanwhile is left out: a cluster says of one that it is alive until it has missed it for a while.
    """
    names, by_workers = _alive(), ask(probe, paths)
    facts = _said_by(by_workers, names) if len(by_workers) >= len(names) else {}  # else some have no worker
    asked = {
        node: _FACTS.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            probe, paths
        )
        for node in names.keys() - facts.keys()
    }
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=NODE_S)
    facts |= {node: _fact(reference) for node, reference in asked.items()}
    there = _alive()
    return {name: facts[node] for node, name in names.items() if node in there or "error" not in facts[node]}


def _said_by(waiting: Sequence[Any], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What workers say of their nodes, until all nodes are known, or no worker says more for a while."""
    facts: dict[str, dict[str, Any]] = {}
    while waiting and names.keys() - facts.keys():
        done, waiting = ray.wait(list(waiting), num_returns=1, timeout=NEXT_S if facts else FIRST_S)
        if not done:
            break
        with contextlib.suppress(Exception):  # a worker that died, or could not import seewhy: its node says why
            fact = ray.get(done[0])
            facts[fact["node"]] = fact
    return {node: fact for node, fact in facts.items() if node in names}


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


def facts_here(probe: str, paths: Sequence[str]) -> dict[str, Any]:
    """What this node has: the probe's text (None where it is not there), the paths that are missing, the versions."""
    limit, text = time.monotonic() + SEEN_S, None
    while text is None and time.monotonic() < limit:  # a file system of the network may show it late
        with contextlib.suppress(OSError):
            text = Path(probe).read_text()
        time.sleep(0 if text else 0.2)
    node = ray.get_runtime_context().get_node_id()
    missing = [path for path in paths if not Path(path).exists()]
    return {"node": node, "probe": text, "missing": missing, "versions": versions()}


_FACTS: Any = ray.remote(facts_here)


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


def other_versions(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The versions that differ, in words."""
    return [f"{name} {there.get(name)}, here {here[name]}" for name in here if there.get(name) != here[name]]


def first_line(error: Exception) -> str:
    """The first line of an error's words."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def last_line(error: Exception) -> str:
    """The last line of an error's words that says something."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
