"""Who does a shard when workers on Ray die or have no room, with a Ray that is played."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

ray: Any = pytest.importorskip("ray", reason='the extra "ray" is not installed')
from ray import exceptions  # noqa: E402

from seewhy.errors import OptionError, WorkError  # noqa: E402
from seewhy.run import crew  # noqa: E402

SHARDS = list(range(40))


@dataclass(eq=False)
class Task:
    """What was asked of a worker: a shard, or -1 whether it is there."""

    actor: Actor
    shard: int


@dataclass(eq=False)
class Actor:
    """A worker that does what it was asked in turn, until it dies."""

    played: Played
    is_dead: bool = False
    queue: list[Task] = field(default_factory=list)

    def _asked(self, shard: int) -> Task:
        self.queue.append(task := Task(self, shard))
        return task

    @property
    def do(self) -> SimpleNamespace:
        return SimpleNamespace(remote=self._asked)

    @property
    def is_there(self) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda: self._asked(-1))


@dataclass(eq=False)
class Played:
    """Ray, with room for so many workers, in which a shard kills its worker so many times."""

    room: int
    deadly: Counter[int] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=random.Random)
    actors: list[Actor] = field(default_factory=list)
    begun: Counter[int] = field(default_factory=Counter)

    def make(self) -> Actor:
        self.actors.append(actor := Actor(self))
        return actor

    def wait(self, tasks: list[Task], num_returns: int, timeout: float | None = None) -> tuple[list[Task], list[Task]]:
        alive = [actor for actor in self.actors if not actor.is_dead][: self.room]
        ready = [task for task in tasks if task.actor.is_dead or (task.actor in alive and task.actor.queue[0] is task)]
        if not ready:
            assert timeout is not None, "a round that never ends"
            self.room += 1  # until it is waited for again
            return [], tasks
        return [self.chance.choice(ready)], []

    def get(self, task: Task) -> int:
        if not task.actor.is_dead:
            self.begun[task.shard] += 1
            if self.deadly[task.shard] > 0:
                self.deadly[task.shard] -= 1
                task.actor.is_dead = True
        if task.actor.is_dead:
            raise exceptions.ActorDiedError
        task.actor.queue.remove(task)
        return task.shard

    def kill(self, actor: Actor) -> None:
        actor.is_dead = True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}


def _crew(played: Played, workers: int, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> Any:
    monkeypatch.setattr(crew, "ray", played)
    made = crew._Crew(played.make, told.append)
    for _ in range(workers):
        made.begin_worker()
    return made


@pytest.mark.parametrize("seed", range(30))
def test_each_shard_is_given_once_and_a_death_costs_the_shard_that_was_done(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    deadly = Counter({shard: chance.randint(1, 3) for shard in chance.sample(SHARDS, 7)})
    deaths, workers = deadly.total(), chance.randint(1, 5)
    played = Played(chance.randint(1, workers), deadly, chance)
    told: list[str] = []
    made = _crew(played, workers, monkeypatch, told)
    assert sorted(made.do(SHARDS)) == SHARDS and sorted(made.do([3, 4])) == [3, 4] and not list(made.do([]))
    assert len(told) == deaths
    del played.begun[-1]
    assert played.begun.total() == len(SHARDS) + 2 + deaths, "a shard that waited is not begun twice"
    made.end()
    assert all(actor.is_dead for actor in played.actors)


def test_workers_without_room_hold_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(2, Counter({0: 1}))
    made = _crew(played, 3, monkeypatch, told := [])
    assert sorted(made.do(SHARDS)) == SHARDS
    assert len(told) == 1 and len([actor for actor in played.actors if not actor.is_dead]) == 3


def test_where_nobody_can_begin_that_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _crew(Played(0), 3, monkeypatch, told := [])
    assert sorted(made.do(SHARDS)) == SHARDS
    assert len(told) == 1 and "1 of 4 CPUs" in told[0] and "ray status" in told[0]


def test_a_shard_that_kills_each_worker_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(2, Counter({5: 99}))
    made = _crew(played, 2, monkeypatch, [])
    with pytest.raises(WorkError, match=r"died 4 times at one shard(.|\n)*--batch-size 4"):
        list(made.do(SHARDS))
    assert played.begun[5] == 4
    made = _crew(Played(2, Counter({-1: 99})), 2, monkeypatch, [])
    with pytest.raises(WorkError, match="died 7 times before any"):
        list(made.do(SHARDS))


@pytest.mark.parametrize(
    ("nodes", "gpus", "workers", "want"),
    [
        ([(2, 0), (2, 0)], 0, None, 4),
        ([(2, 0), (2, 0)], 0, 3, 3),
        ([(8, 1), (8, 1)], 1, None, 2),
        ([(8, 1), (8, 1)], 2, None, "room for 0 workers of 1 CPU and 2 GPUs, .*\n  --gpus-per-worker 1"),
        ([(8, 0), (8, 0)], 1, None, "room for 0 workers of 1 CPU and 1 GPUs, .*\n  --device cpu"),
        ([(8, 2)], 0.4, None, 4),
        ([(8, 1)], 0.1, None, 8),
        ([(4, 4), (0, 8)], 1, 5, "has 4 CPUs and 12 GPUs on 2 nodes: room for 4 workers .*\n  --workers 4, or more"),
        ([(0, 0)], 0, None, "room for 0 workers of 1 CPU, .*\n  It needs more nodes"),
    ],
)
def test_how_many_workers_there_is_room_for(
    nodes: list[tuple[int, int]], gpus: float, workers: int | None, want: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [{"Alive": True, "Resources": {"CPU": cpus, "GPU": n_gpus}} for cpus, n_gpus in nodes]
    monkeypatch.setattr(crew, "ray", SimpleNamespace(nodes=lambda: [*there, {"Alive": False, "Resources": {"CPU": 9}}]))
    if isinstance(want, int):
        assert crew._room(workers, gpus) == want
    else:
        with pytest.raises(OptionError, match=want):
            crew._room(workers, gpus)
