"""Workers on Ray that prepare once and do shards, and what becomes of the shards of one that dies."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import ray
from ray import exceptions

from seewhy.errors import OptionError, SeewhyError, WorkError, listed
from seewhy.run.machine import versions
from seewhy.run.nodes import Needs, check_nodes, facts_here, first_line, last_line, other_versions

T = TypeVar("T")
Work = Callable[[int], T]  # of a shard's index
Tell = Callable[[str], None]  # somebody who waits
TELL_S = 60  # until somebody is told that no worker has begun
_AT_ONCE = 2  # shards that a worker holds: the one that it is at, and the next
_TRIES = 3  # of a shard whose worker dies, beyond the first


def run_on_ray(
    prepare: Callable[[], Work[T]],
    shards: Sequence[int],
    workers: int | None,
    gpus: float,
    tell: Tell = lambda text: None,
    needs: Needs | None = None,
) -> Iterator[T]:
    """What the work gives for each shard, as it gets done: `prepare` makes it, once in each worker.

    `workers` None takes as many as the cluster has room for, of a CPU and so many GPUs each; `tell` is told where none
    can begin. An error of ours that a worker raises is raised here. Raises WorkError where nodes lack what it `needs`,
    before any shard is begun, and where a shard's workers die again and again; what was yielded before is complete.
    """
    with crew(prepare, len(shards), workers, gpus, tell, needs) as do:
        yield from do(shards)


@contextlib.contextmanager
def crew(
    prepare: Callable[[], Work[T]],
    most: int,
    workers: int | None,
    gpus: float,
    tell: Tell = lambda text: None,
    needs: Needs | None = None,
) -> Iterator[Callable[[Sequence[int]], Iterator[T]]]:
    """Workers, `most` of them at most, that stay for several rounds of shards; what does a round, as `run_on_ray`."""
    # Who restarts what is dead is the driver: Ray would keep the shards of a dead worker until it has room for another.
    options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
    options |= {"scheduling_strategy": "SPREAD"}  # each says what its node has, and reads and writes by itself
    here = versions()
    held = _Crew(lambda: _ACTOR.options(**options).remote(prepare, here), tell)
    try:
        for _ in range(min(_room(workers, gpus), max(1, most))):
            held.begin_worker()
        if needs is not None:
            check_nodes(needs, held.ask)
        yield held.do
    finally:
        held.end()


class _Crew:
    """Workers by number, and the shards that each holds."""

    def __init__(self, make: Callable[[], Any], tell: Tell) -> None:
        self.make, self.tell = make, tell
        self.numbers = itertools.count()
        self.actors: dict[int, Any] = {}
        self.starting: dict[Any, int] = {}  # who has not begun, by what says so
        self.doing: dict[Any, tuple[int, int]] = {}  # (worker, shard) by what is waited for, in the order handed out
        self.deaths: Counter[int | None] = Counter()  # by the shard that was done; None: before any

    def begin_worker(self) -> None:
        """One more worker, which begins once there is room for it."""
        number = next(self.numbers)
        self.actors[number] = self.make()
        self.starting[self.actors[number].is_there.remote()] = number

    def ask(self, probe: str, paths: Sequence[str]) -> list[Any]:
        """Ask every worker what its node has; meanwhile it prepares itself."""
        asked = [actor.facts.remote(probe, paths) for actor in self.actors.values()]
        for actor in self.actors.values():
            actor.get_ready.remote()
        return asked

    def end(self) -> None:
        """No worker is left."""
        for actor in self.actors.values():
            with contextlib.suppress(Exception):  # of a cluster that is gone
                ray.kill(actor)

    def do(self, shards: Sequence[int]) -> Iterator[Any]:
        """What the workers give for each shard, as it gets done; a dead worker's shards are handed out again."""
        left = deque(shards)
        while left or self.doing:
            self._hand_out(left)
            reference = self._next()
            number = self.starting[reference] if reference in self.starting else self.doing[reference][0]
            try:
                result = _result(reference)
            except exceptions.RayError as error:
                left.extendleft(reversed(self._given_up(number, error)))
                self.tell("A worker on Ray died. Another takes its place; what it was at is done again.")
                self.begin_worker()
                continue
            if self.starting.pop(reference, None) is None:
                del self.doing[reference]
                yield result

    def _hand_out(self, left: deque[int]) -> None:
        """Give shards to workers that have begun, first to those that hold none."""
        holding = Counter(number for number, _ in self.doing.values())
        begun = [number for number in self.actors if number not in self.starting.values()]
        for count in range(_AT_ONCE):
            for number in begun:
                if left and holding[number] == count:
                    shard = left.popleft()
                    self.doing[self.actors[number].do.remote(shard)] = (number, shard)
                    holding[number] += 1

    def _next(self) -> Any:
        """What is done next; told is once where no worker has begun for long."""
        asked = [*self.doing, *self.starting]
        done, _ = ray.wait(asked, num_returns=1, timeout=None if self.doing else TELL_S)
        if not done:
            self.tell(_no_room())
            done, _ = ray.wait(asked, num_returns=1)
        return done[0]

    def _given_up(self, number: int, error: exceptions.RayError) -> list[int]:
        """The shards that a dead worker held. Raises WorkError where that happened too often."""
        with contextlib.suppress(Exception):  # it may only be out of reach
            ray.kill(self.actors[number])
        del self.actors[number]
        held = [shard for holder, shard in self.doing.values() if holder == number]
        self.doing = {reference: given for reference, given in self.doing.items() if given[0] != number}
        self.starting = {reference: holder for reference, holder in self.starting.items() if holder != number}
        at = held[0] if held else None
        self.deaths[at] += 1
        if self.deaths[at] > (_TRIES if held else _TRIES * (len(self.actors) + 1)):
            raise WorkError(
                f"A worker on Ray died {self.deaths[at]} times "
                f"{'at one shard' if held else 'before any'} (killed, or out of memory): {first_line(error)}\n"
                "  What is finished is kept; the same command goes on.  If it happens again:  --batch-size 4",
                slug="worker-died",
            ) from error
        return held


class _Worker:
    """Does shards, after it has prepared itself at the first one, or before."""

    def __init__(self, prepare: Callable[[], Work[Any]], versions_there: Mapping[str, str]) -> None:
        self.prepare, self.versions = prepare, versions_there
        self.work: Work[Any] | None = None

    def is_there(self) -> None:
        """Answers once there is room for this worker."""

    def facts(self, probe: str, paths: Sequence[str]) -> dict[str, Any]:
        """What this worker's node has."""
        return facts_here(probe, paths)

    def get_ready(self) -> None:
        """Prepare before the first shard; what is raised comes again with that one."""
        with contextlib.suppress(Exception):
            self.work = self._prepared()

    def do(self, shard: int) -> Any:
        """The work of one shard; what is raised here, and not in the constructor, comes to the driver as it is."""
        self.work = self.work or self._prepared()
        return self.work(shard)

    def _prepared(self) -> Work[Any]:
        if others := other_versions(versions(), self.versions):  # of a node that came after all were asked
            where = ray.util.get_node_ip_address()
            raise WorkError(
                f"The node at {where} came later, and has {listed(others)}.\n  Install there what is here; the same "
                "command goes on.",
                slug="ray-nodes",
            )
        return self.prepare()


_ACTOR: Any = ray.remote(_Worker)


def _result(reference: Any) -> Any:
    """What a worker gave. Raises what it raised, and RayError where it died."""
    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, SeewhyError):
            raise error.cause from None
        raise WorkError(
            f"A worker on Ray failed at {getattr(error, 'ip', 'a node')}: {last_line(error)}\n"
            "  What is finished is kept; once that is mended, the same command goes on.",
            slug="worker-died",
        ) from error


def _room(workers: int | None, gpus: float) -> int:
    """How many workers are made. Raises OptionError where the cluster never has room for them."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = sum(_room_on(node.get("CPU", 0), node.get("GPU", 0), gpus) for node in nodes)
    if most < 1 or (workers or 0) > most:
        n_cpus, n_gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
        each = f" and {gpus:g} GPUs" if gpus else ""
        raise OptionError(
            f"The cluster has {n_cpus:g} CPUs and {n_gpus:g} GPUs on {len(nodes)} nodes: room for {most} workers of 1 "
            f"CPU{each}, and {workers or 1} were asked for.\n  {_fewer(most, gpus)} more nodes:  ray start --address=…",
            slug="ray-nodes",
        )
    return workers or most


def _room_on(n_cpus: float, n_gpus: float, gpus: float) -> int:
    """How many workers one node can have: no worker is on two nodes, and no part of a GPU on two GPUs."""
    if not gpus:
        return int(n_cpus)
    each = int(n_gpus // gpus) if gpus >= 1 else int(n_gpus) * int(1 / gpus + 1e-9)
    return min(int(n_cpus), each)


def _fewer(most: int, gpus: float) -> str:
    if most:
        return f"--workers {most}, or"
    if gpus:
        return "--gpus-per-worker 1, or" if gpus > 1 else "--device cpu without --gpus-per-worker, or"
    return "It needs"


def _no_room() -> str:
    there, free = ray.cluster_resources(), ray.available_resources()
    said = ", ".join(f"{free.get(kind, 0):g} of {there[kind]:g} {kind}s" for kind in ("CPU", "GPU") if there.get(kind))
    return (
        f"No worker has begun within {TELL_S} s. Free in the cluster: {said or 'nothing, no node is left'}.\n"
        "  Other work may hold the rest:  ray status.  This waits until there is room; Ctrl-C ends it, and what is "
        "finished is kept."
    )
