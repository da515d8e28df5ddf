"""What is asked of the nodes of a cluster, and by whom, with a Ray that is played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ray: Any = pytest.importorskip("ray", reason='the extra "ray" is not installed')
from ray import exceptions  # noqa: E402

from seewhy.errors import WorkError  # noqa: E402
from seewhy.run import nodes  # noqa: E402


@dataclass(eq=False)
class Said:
    """What a worker or a task says of a node; silent ones never do, dead ones raise."""

    node: str
    fact: dict[str, Any]
    is_silent: bool = False
    is_dead: bool = False


@dataclass
class Played:
    """Ray with nodes "a" and "b", of which some say something wrong."""

    wrong: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # by tasks
    alive: list[str] = field(default_factory=lambda: ["a", "b"])

    def nodes(self) -> list[dict[str, Any]]:
        resources = {"CPU": 2.0}
        return [
            {"NodeID": name, "NodeManagerHostname": f"host-{name}", "Alive": name in self.alive, "Resources": resources}
            for name in ("a", "b")
        ]

    def wait(self, waiting: Sequence[Said], num_returns: int, timeout: float | None = None) -> tuple[Any, Any]:
        done = [said for said in waiting if not said.is_silent][:num_returns]
        return done, [said for said in waiting if said not in done]

    def get(self, said: Said, timeout: float | None = None) -> dict[str, Any]:
        if said.is_dead:
            raise exceptions.ActorDiedError
        if said.is_silent:
            raise exceptions.GetTimeoutError
        return said.fact

    def fact(self, node: str, probe: str) -> dict[str, Any]:
        right = {"probe": Path(probe).read_text(), "missing": [], "versions": nodes.versions()}
        return {"node": node, **right, **self.wrong.get(node, {})}

    def options(self, num_cpus: int, scheduling_strategy: Any) -> Any:
        def remote(probe: str, paths: Sequence[str]) -> Said:
            self.asked.append(node := scheduling_strategy.node_id)
            return Said(node, self.fact(node, probe))

        return SimpleNamespace(remote=remote)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    made = Played()
    monkeypatch.setattr(nodes, "ray", made)
    monkeypatch.setattr(nodes, "_FACTS", made)
    monkeypatch.setattr(nodes, "NodeAffinitySchedulingStrategy", lambda node, soft: SimpleNamespace(node_id=node))
    return made


@pytest.mark.parametrize(
    ("workers", "asked"),
    [
        ("", "ab"),  # nobody is begun
        ("a", "ab"),  # one node at least has no worker
        ("ab", ""),
        ("aabb", ""),
        ("aa", "b"),  # both are on one node
        ("a-", "b"),  # one has no room, and says nothing
        ("a!", "b"),  # one is dead
        ("--", "ab"),
        ("ac", "b"),  # of a node that came meanwhile
    ],
)
@pytest.mark.parametrize("lacking", [None, "a", "b"])
def test_every_node_is_asked_once_by_a_worker_or_else_by_itself(
    tmp_path: Path, played: Played, workers: str, asked: str, lacking: str | None
) -> None:
    if lacking:
        played.wrong = {lacking: {"versions": {**nodes.versions(), "torch": "0.0.1"}}}

    def ask(probe: str, paths: Sequence[str]) -> list[Said]:
        return [Said(name, played.fact(name, probe), name == "-", name == "!") for name in workers]

    if lacking:
        with pytest.raises(WorkError, match=rf"1 of 2 nodes(.|\n)*host-{lacking} \({lacking}\): it has torch 0.0.1"):
            nodes.check_nodes(nodes.Needs(tmp_path, []), ask)
    else:
        nodes.check_nodes(nodes.Needs(tmp_path, []), ask)
    assert sorted(played.asked) == sorted(asked)
    assert not list((tmp_path / "parts").iterdir())
