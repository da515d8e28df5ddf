"""An explanation in a run folder that survives being killed, at any moment and as often as it likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from seewhy.explanation.extend import Layout, restore_parts, settle
from seewhy.explanation.overlays import overlay_name
from seewhy.explanation.result import Explanation
from seewhy.explanation.shard import ShardResult, explain_shard, with_overlays
from seewhy.explanation.sheets import write_pages
from seewhy.records import Progress
from seewhy.run.folder import RunFolder
from seewhy.run.folder import default_folder as folder_named_by
from seewhy.run.identity import VARYING, check_unchanged, content_of, run_identity
from seewhy.run.machine import environment, usual_workers
from seewhy.run.plan import DRAWS_NOTE, Plan, Shard
from seewhy.run.workers import run_shards
from seewhy.store import arrays, claims, manifest, rows, tables
from seewhy.store.schema import MAP_STATS, RECORDS

Explained = Callable[..., ShardResult]  # of a plan and a shard
Finish = Callable[[Shard], int]  # writes a shard as a part of the run; gives its image count
Spread = Callable[[Finish, Sequence[Shard], Callable[[], None]], Iterator[int]]  # does the shards once that was called


def run_in_folder(
    plan: Plan,
    folder: Path,
    *,
    workers: int | None = 1,
    overlays: bool = True,
    extend: bool = False,
    explained: Explained | None = None,
    spread: Spread | None = None,
    progress: Progress,
) -> Explanation:
    """The explanation in a run folder; finished shards of an earlier try are kept, a finished run is only opened.

    With `extend`, a finished run takes in images that were added: its rows stay in front and are not computed again.
    `workers` None takes as many as the machine suggests; `explained` gives what is written of a shard, None computes
    it; `spread` does the shards elsewhere than in workers of this machine. Raises StoreError where the folder holds
    something else, or processes with --shard are at work in it.
    """
    run = RunFolder(folder, "explain")
    with run.held():
        claims.check_free(folder, (run.stored() or {}).get("shards", 0))
        layout, complete = settle(plan, folder, overlays=overlays, extend=extend)
        if complete:
            run.remove_parts()
            explanation = opened(layout, folder)
        else:
            spread = spread or partial(on_this_machine, plan=plan, n_shards=len(layout.shards), workers=workers)
            _work_through(layout, folder, spread, partial(explained or explain_shard, overlays=overlays), progress)
            explanation = finished(layout, folder)
    return explanation


def on_this_machine(
    finish: Finish,
    shards: Sequence[Shard],
    begin: Callable[[], None],
    *,
    plan: Plan,
    n_shards: int,
    workers: int | None,
) -> Iterator[int]:
    """The image counts of shards that forked workers do; None takes as many as the machine suggests for `n_shards`.

    Not for the shards that are left: each worker of a resumed run has as many threads as before.
    """
    count = usual_workers(plan.classifier.device, n_shards) if workers is None else workers
    yield from run_shards(finish, shards, count, begin)


def finished(layout: Layout, folder: Path) -> Explanation:
    """The explanation of the parts of all shards, which become tables and pages; the run is marked as complete."""
    for kind, columns in (("records", RECORDS), ("map_stats", MAP_STATS)):
        parts = [tables.part(folder, kind, shard.index) for shard in layout.shards]
        tables.merge(parts, folder / f"{kind}.parquet", columns)
    explanation = opened(layout, folder)
    write_pages(explanation, folder, layout.overlays)
    facts = {**explanation.summary(), "environment": environment(layout.plan.classifier.device)}
    content = content_of(layout.plan, ((outcome.image.id, outcome.digest) for outcome in explanation.outcomes))
    RunFolder(folder).finish(layout.identity.whole(content), facts)
    return explanation


def default_folder(plan: Plan) -> Path:
    """runs/explain-<hash of the options>."""
    return folder_named_by(run_identity(plan), batch_asked=plan.batch_asked)


def write(explanation: Explanation, folder: Path) -> None:
    """Write an explanation that is held in memory as `run_in_folder` would have."""
    plan = explanation.plan_from_here()
    check_unchanged(plan)
    plan = replace(plan, batch_asked=True)  # as it was run, whatever the folder began with

    def explained(plan: Plan, shard: Shard, *, overlays: bool) -> ShardResult:
        result = explanation.shard(shard)
        return with_overlays(plan, result) if overlays else result

    run_in_folder(plan, folder, explained=explained, progress=lambda done, total: None)


def _work_through(layout: Layout, folder: Path, spread: Spread, explained: Explained, progress: Progress) -> None:
    arrays.load()  # before workers are forked
    (folder / "parts").mkdir(exist_ok=True)
    arrays.remove_leftovers(folder)
    token = manifest.token_of(folder)
    restore_parts(layout, folder, token)
    pending = unfinished(layout, folder, token, layout.shards)
    done = len(layout.plan.table) - sum(shard.stop - shard.start for shard in pending)
    progress(done, len(layout.plan.table))
    # The arrays are made once the workers are forked: zarr starts a thread.
    begin = partial(make_arrays, layout, folder)
    for n_images in spread(partial(finish_shard, layout.plan, folder, token, explained), pending, begin):
        done += n_images
        progress(done, len(layout.plan.table))
    RunFolder(folder).check_token(token)


def make_arrays(layout: Layout, folder: Path) -> None:
    """Make the arrays of the maps, where they are not there."""
    for key in layout.plan.keys:
        arrays.create_maps(folder, key, len(layout.plan.table), layout.plan.grid(key), layout.shard_size)


def unfinished(layout: Layout, folder: Path, token: str, shards: Sequence[Shard]) -> list[Shard]:
    """Those of the shards that are not there, whole, as parts of the run `token`."""
    return [shard for shard in shards if not _is_finished(layout.plan, folder, token, shard, layout.overlays)]


def _is_finished(plan: Plan, folder: Path, token: str, shard: Shard, overlays: bool) -> bool:
    """Whether the rows, the maps and the overlays of a shard are there, as this run wrote them."""
    if not tables.is_published(folder, shard.index, token):
        return False
    drawn = tables.read_drawn(tables.part(folder, "records", shard.index)) if overlays else []
    names = [Path(method, overlay_name(name, plan.image_format)) for name in drawn for method in plan.methods]
    return all(arrays.is_whole(folder, key, shard.index) for key in plan.keys) and all(
        path.is_file() and path.stat().st_size for path in (folder / "overlays" / name for name in names)
    )


def finish_shard(plan: Plan, folder: Path, token: str, explained: Explained, shard: Shard) -> int:
    """Explain one shard and write it, in the worker: maps through a pipe would cost a fifth of the time.

    No two shards share a file. Gives its image count. Raises WorkError where the folder is another run's by now.
    """
    result = explained(plan, shard)
    with RunFolder(folder).watched(token) as (opened_folder, check):
        for key, maps in result.maps.items():
            check()
            arrays.write_maps(opened_folder, key, result.shard.start, maps)
        for method, name, data in result.overlays:
            check()
            path = opened_folder / "overlays" / method / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not (path.is_file() and path.read_bytes() == data):  # whoever was given up does not empty it once more
                path.write_bytes(data)
        check()
        stats, records = map(tables.stat_row, result.stats), map(tables.record_row, result.outcomes)
        tables.publish(opened_folder, result.shard.index, token, stats, records)
    return shard.stop - shard.start


def _told(layout: Layout) -> Plan:
    """The plan, with a word where the network gives other numbers each time."""
    if layout.identity.options["answers"] != VARYING or DRAWS_NOTE in layout.plan.notes:
        return layout.plan
    words = (
        "The network gave other numbers when it was asked again for the same picture: its results are not repeatable."
    )
    return replace(layout.plan, notes=(*layout.plan.notes, words))


def opened(layout: Layout, folder: Path) -> Explanation:
    """The explanation whose tables and maps are in the folder; the rows of very many images stay in their files."""
    records, numbers = folder / "records.parquet", folder / "map_stats.parquet"
    if len(layout.plan.table) < rows.FROM:
        return Explanation(_told(layout), tables.read_outcomes(records), tables.read_stats(numbers), folder=folder)
    outcomes = rows.StoredOutcomes(records)
    stats = rows.stats_by_key(numbers, layout.plan.keys, outcomes)
    return Explanation(_told(layout), outcomes, stats, folder=folder)
