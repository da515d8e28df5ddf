"""`--ray`: the parts of a run done by workers of a Ray cluster, each of which plans the run anew."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seewhy.cli.designs import designed_as
from seewhy.cli.printing import warn
from seewhy.cli.spread import planned
from seewhy.errors import MissingExtraError, WorkError

if TYPE_CHECKING:
    from seewhy.data.tables.image_table import ImageTable
    from seewhy.evidence.trials.design import AuditDesign
    from seewhy.explanation.folder import Finish, Spread
    from seewhy.run.plan import Plan, Shard


SEEN_S = 90  # until this machine sees what a node wrote: longer than NFS remembers what a folder did not hold
JobsSpread = Callable[["AuditDesign", Sequence[int]], Iterator[int]]  # jobs by index; each once its part is there


@dataclass(frozen=True)
class JobDone:
    """A job whose trials a worker wrote: where, and their hash as the worker's machine has them."""

    index: int
    part: str
    digest: str


@dataclass(frozen=True)
class ShardDone:
    """A shard that a worker wrote: its image count, and the hash of its rows as the worker's machine has them."""

    index: int
    images: int
    digest: str


def check_ray(address: str | None) -> None:
    """Raise MissingExtraError without Ray, and OptionError where nobody listens at an address; before any work."""
    if address is None:
        return
    cluster = _cluster(address)
    if address not in ("auto", "local"):
        cluster.check_answers(address)


def spread_on_ray(
    typed: Mapping[str, Any],
    table: ImageTable,
    plan: Plan,
    folder: Path,
    address: str,
    workers: int | None,
    gpus: float | None,
) -> Spread:
    """What does the shards of the run in `folder` on the cluster at an address. Raises MissingExtraError without Ray.

    `typed` are the options of the command, from which every worker plans the same run of the `table`, whose images it
    finds in the folder: none lists them again. `gpus` None gives each worker one GPU where the plan is for GPUs.
    """
    from seewhy.data.tables import packed

    cluster, each = _cluster(address), _gpus_each(plan, gpus)
    images, handed = folder.absolute() / "parts" / "images.bin", replace(table, images=())

    def spread(finish: Finish, shards: Sequence[Shard], begin: Callable[[], None]) -> Iterator[int]:
        begin()
        if not shards:
            return
        packed.write(table.images, images)
        prepare = partial(shard_work, dict(typed), str(Path.cwd()), str(folder.absolute()), handed, str(images))
        with cluster.connected(address):
            needs = _crew().Needs(folder.absolute(), _paths(typed, plan))
            for done in _crew().run_on_ray(prepare, [shard.index for shard in shards], workers, each, warn, needs):
                _check_seen(folder, done.index, _rows_of(folder, done.index), done.digest)
                yield done.images

    return spread


@contextlib.contextmanager
def jobs_on_ray(
    typed: Mapping[str, Any], design: AuditDesign, folder: Path, address: str, workers: int | None, gpus: float | None
) -> Iterator[JobsSpread]:
    """What does jobs of the audit in `folder` on the cluster, by workers that stay from its first step to its last.

    Nothing is connected before a job is asked for. Raises MissingExtraError without Ray.
    """
    cluster, each = _cluster(address), _gpus_each(design.plan, gpus)
    prepare = partial(job_work, dict(typed), str(Path.cwd()), str(folder.absolute()))
    found: list[Callable[[Sequence[int]], Iterator[JobDone]]] = []
    with contextlib.ExitStack() as held:

        def spread(design: AuditDesign, indices: Sequence[int]) -> Iterator[int]:
            if not indices:
                return
            if not found:
                held.enter_context(cluster.connected(address))
                needs = _crew().Needs(folder.absolute(), _paths(typed, design.plan))
                most = len(design.schedule.jobs)
                found.append(held.enter_context(_crew().crew(prepare, most, workers, each, warn, needs)))
            for done in found[0](indices):
                _check_seen(folder, done.index, Path(done.part), done.digest)
                yield done.index

        yield spread


def job_work(typed: Mapping[str, Any], home: str, folder: str) -> Callable[[int], JobDone]:
    """In a worker: the design of the same audit, made once, and what writes the trials of a job by its index."""
    from seewhy.data.pictures.decode import file_digest
    from seewhy.evidence.portions import jobs_of
    from seewhy.run.workers import steady_process, use_one_thread
    from seewhy.store import arrays

    os.chdir(home)
    arrays.load()
    steady_process()
    use_one_thread()
    do = jobs_of(designed_as(typed), Path(folder), typed["budget"])

    def work(index: int) -> JobDone:
        with _written_here(Path(folder)):
            part = do(index)
        return JobDone(index, str(part), file_digest(part))

    return work


def _cluster(address: str) -> ModuleType:
    """Our module that speaks with Ray. Raises MissingExtraError without it."""
    if address == "local":  # what Ray calls clusters are those that other machines reach: it listens on the loopback
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        from seewhy.run import cluster
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "ray":
            raise
        raise MissingExtraError("ray", "ray", "--ray") from error
    return cluster


def _crew() -> ModuleType:
    from seewhy.run import crew

    return crew


def _gpus_each(plan: Plan, gpus: float | None) -> float:
    return gpus if gpus is not None else float(plan.classifier.device.type == "cuda")


def shard_work(
    typed: Mapping[str, Any], home: str, folder: str, table: ImageTable, images: str
) -> Callable[[int], ShardDone]:
    """In a worker: the plan of the same run, made once, and what writes a shard of it by its index.

    The images of the table lie in a file, which is not read into memory.
    """
    from seewhy.data.tables import packed
    from seewhy.explanation.extend import join
    from seewhy.explanation.folder import finish_shard, unfinished
    from seewhy.explanation.portions import new_layout
    from seewhy.explanation.shard import explain_shard
    from seewhy.run.workers import steady_process, use_one_thread
    from seewhy.store import arrays, manifest

    os.chdir(home)
    arrays.load()
    steady_process()
    use_one_thread()
    run = Path(folder)
    token = manifest.token_of(run)  # raises where the run is gone, which would be begun anew by who joins
    table = replace(table, images=packed.read(Path(images)))
    layout, _ = join(new_layout(planned(typed, table)), run, {})
    shards = layout.shards
    finish = partial(finish_shard, layout.plan, run, token, partial(explain_shard, overlays=layout.overlays))

    def work(index: int) -> ShardDone:
        shard = shards[index]
        with _written_here(run):
            if unfinished(layout, run, token, [shard]):  # else it was written by a worker that died before it said so
                finish(shard)
        return ShardDone(index, shard.stop - shard.start, _digest(run, index))

    return work


def _paths(typed: Mapping[str, Any], plan: Plan) -> list[Path]:
    """What every node must see: the folder that was typed in, the network's file, the weights, where the images lie."""
    from seewhy.data.sources.addresses import address_of
    from seewhy.data.sources.shards import file_of

    paths = (image.path for image in plan.table.images if image.path and not address_of(image.path))
    first = next(map(file_of, paths), None)
    kind, _, file = str(typed.get("model")).partition(":")
    named = [Path(), file if kind in ("onnx", "pt2") else None, typed.get("weights"), plan.table.root, first]
    return [Path(path).absolute() for path in named if path is not None]


@contextlib.contextmanager
def _written_here(folder: Path) -> Iterator[None]:
    """What a worker cannot write says on which node."""
    from seewhy.run.folder import RunFolder

    try:
        with RunFolder(folder).written():
            yield
    except WorkError as error:
        if error.slug != "cannot-write":
            raise
        first, _, rest = error.message.partition("\n")
        space = "Make room there:  df -h  says where" if "space" in first else "Look there"
        said = f"On the node {socket.gethostname()}: {first}\n  {space}.\n{rest}"
        raise WorkError(said, slug="cannot-write") from error


def _check_seen(folder: Path, index: int, part: Path, digest: str) -> None:
    """Raise WorkError where this machine does not see what a worker wrote, also after a while."""
    limit = time.monotonic() + SEEN_S
    while not _is_seen(part, digest):
        if time.monotonic() > limit:
            raise WorkError(
                f"Part {index} of {folder} has other bytes here than on the node that wrote it: that is not the same "
                "folder.\n  Name one by --out that all nodes share.",
                slug="ray-nodes",
            )
        time.sleep(0.2)


def _is_seen(part: Path, digest: str) -> bool:
    from seewhy.data.pictures.decode import file_digest

    if not part.exists():
        with contextlib.suppress(OSError):
            any(part.parent.iterdir())  # asks a file system of the network for what is there now
    return part.exists() and file_digest(part) == digest


def _rows_of(folder: Path, index: int) -> Path:
    from seewhy.store import tables

    return tables.part(folder, "records", index)


def _digest(folder: Path, index: int) -> str:
    from seewhy.data.pictures.decode import file_digest

    return file_digest(_rows_of(folder, index))
