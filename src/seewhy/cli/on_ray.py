"""`seewhy explain --ray`: the shards of a run done by workers of a Ray cluster, each of which plans the run anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seewhy.cli.spread import planned
from seewhy.errors import MissingExtraError, WorkError

if TYPE_CHECKING:
    from seewhy.explanation.folder import Finish, Spread
    from seewhy.run.plan import Plan, Shard


@dataclass(frozen=True)
class ShardDone:
    """A shard that a worker wrote: its image count, and the hash of its rows as the worker's machine has them."""

    index: int
    images: int
    digest: str


def spread_on_ray(
    typed: Mapping[str, Any], plan: Plan, folder: Path, address: str, workers: int | None, gpus: float | None
) -> Spread:
    """What does the shards of the run in `folder` on the cluster at an address. Raises MissingExtraError without Ray.

    `typed` are the options of the command, from which every worker plans the same run. `gpus` None gives each worker
    one GPU where the plan is for GPUs.
    """
    if address == "local":  # what Ray calls clusters are those that other machines reach: it listens on the loopback
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        from seewhy.run import cluster
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "ray":
            raise
        raise MissingExtraError("ray", "ray", "--ray") from error
    each = gpus if gpus is not None else float(plan.classifier.device.type == "cuda")
    prepare = partial(shard_work, dict(typed), str(Path.cwd()), str(folder.absolute()))

    def spread(finish: Finish, shards: Sequence[Shard], begin: Callable[[], None]) -> Iterator[int]:
        begin()
        if not shards:
            return
        with cluster.connected(address):
            cluster.check_nodes(folder.absolute(), _paths(typed, plan))
            for done in cluster.run_on_ray(prepare, [shard.index for shard in shards], workers, each):
                _check_seen(folder, done)
                yield done.images

    return spread


def shard_work(typed: Mapping[str, Any], home: str, folder: str) -> Callable[[int], ShardDone]:
    """In a worker: the plan of the same run, made once, and what writes a shard of it by its index."""
    from seewhy.explanation.extend import join
    from seewhy.explanation.folder import finish_shard, unfinished
    from seewhy.explanation.portions import new_layout
    from seewhy.explanation.shard import explain_shard
    from seewhy.run.workers import use_one_thread
    from seewhy.store import arrays, manifest

    os.chdir(home)
    use_one_thread()
    arrays.load()
    run = Path(folder)
    layout, _ = join(new_layout(planned(typed)), run, {})
    token, shards = manifest.token_of(run), layout.shards
    finish = partial(finish_shard, layout.plan, run, token, partial(explain_shard, overlays=layout.overlays))

    def work(index: int) -> ShardDone:
        shard = shards[index]
        if unfinished(layout, run, token, [shard]):  # else it was written by a worker that died before it said so
            finish(shard)
        return ShardDone(index, shard.stop - shard.start, _digest(run, index))

    return work


def _paths(typed: Mapping[str, Any], plan: Plan) -> list[Path]:
    """What every node must see: the folder that was typed in, the network's file, the weights, where the images lie."""
    from seewhy.data.addresses import address_of
    from seewhy.data.shards import file_of

    paths = (image.path for image in plan.table.images if image.path and not address_of(image.path))
    first = next(map(file_of, paths), None)
    kind, _, file = str(typed.get("model")).partition(":")
    named = [Path(), file if kind in ("onnx", "pt2") else None, typed.get("weights"), plan.table.root, first]
    return [Path(path).absolute() for path in named if path is not None]


def _check_seen(folder: Path, done: ShardDone) -> None:
    """Raise WorkError where this machine does not see what a worker wrote."""
    if _digest(folder, done.index) != done.digest:
        raise WorkError(
            f"Part {done.index} of {folder} has other bytes here than on the node that wrote it: that is not the same "
            "folder.\n  Name one by --out that all nodes share.",
            slug="ray-nodes",
        )


def _digest(folder: Path, index: int) -> str:
    from seewhy.data.decode import file_digest
    from seewhy.store import tables

    return file_digest(tables.part(folder, "records", index))
