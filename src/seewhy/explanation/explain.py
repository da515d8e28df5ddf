"""`explain`: run a plan in memory, or into a run folder that survives being killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from seewhy.cam.scores.targets import Targets
from seewhy.data.classifier import Classifier
from seewhy.explanation.extend import Layout, check_extend, restore_parts, settle
from seewhy.explanation.result import Explanation
from seewhy.explanation.shard import ShardResult, explain_shard, with_overlays
from seewhy.explanation.sheets import write_pages
from seewhy.records import Progress
from seewhy.run.folder import RunFolder
from seewhy.run.folder import default_folder as folder_named_by
from seewhy.run.identity import content_of, run_identity
from seewhy.run.machine import environment, usual_workers
from seewhy.run.methods import MethodName
from seewhy.run.plan import Plan, Shard, make_plan
from seewhy.run.progress import chosen_progress
from seewhy.run.workers import run_shards
from seewhy.store import arrays, tables
from seewhy.store.schema import MAP_STATS, RECORDS

Explained = Callable[..., ShardResult]  # of a plan and a shard


def explain(
    classifier: Classifier | nn.Module,
    images: Any,
    *,
    target: Targets = "predicted",
    layers: str | Sequence[str] = "auto",
    method: MethodName | Sequence[MethodName] = "auto",
    preset: str | None = None,
    smooth: str | Sequence[str] = (),
    grid: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    extend: bool = False,
    progress: bool | Progress = True,
) -> Explanation:
    """Maps, overlays and predictions of every image, raw maps signed on the layer's own grid.

    The model is left exactly as found.

    Args:
        classifier: a Classifier or an nn.Module
        images: what names images
        target: a class by name or index, "predicted", "label", "margin", "contrast:A:B", …; a function of
            the output that gives (N,); a list with one for each image; a dict of several by name
        layers: dotted names, in a list or by commas; "auto": the last layer with a grid that matters
        method: a name or several: seewhy methods lists them; "auto": HiResCAM where the head flattens, else
            Grad-CAM; or your own
        preset: "pytorch-grad-cam": the pictures that this package makes
        smooth: "augment": the mean over mirrored and scaled inputs; "eigen": the first component; or both
        grid: "14x14", "channels-first" or "channels-last", where a layer's grid cannot be told
        limit: only the first so many images
        sample: so many images by seeded chance, each class and split keeping its share
        batch_size: images at once, 64 at most; None: by the free memory
        seed: of every random choice
        out: a run folder that survives being killed; None: in memory
        extend: take images that were added into the finished run in out
        progress: True: a bar; False: none; or a function of (done, total), in images

    Returns:
        an Explanation.

    Raises:
        LayerError (no such layer, no grid), OptionError (no such method or target), DataError (no images,
        sizes that differ), StoreError (the folder holds something else).

    Example:
        >>> explanation = seewhy.explain(classifier, "faces/valid", target="fake", layers=["conv3", "conv4"], limit=40)
        >>> print(explanation)
        >>> print(explanation.maps["conv4"].shape)  # (40, 4, 4)
        >>> explanation[3].overlay.save("overlay.png")
        >>> explanation.save("runs/explain")
    """
    check_extend(extend, out)
    plan = make_plan(
        classifier,
        images,
        target=target,
        layers=layers,
        method=method,
        preset=preset,
        smooth=smooth,
        grid=grid,
        limit=limit,
        sample=sample,
        batch_size=batch_size,
        seed=seed,
    )
    with chosen_progress(progress, "Explaining") as update:
        if out is None:
            return run_in_memory(plan, progress=update)
        return run_in_folder(plan, Path(out), extend=extend, progress=update)


def run_in_memory(plan: Plan, *, progress: Progress) -> Explanation:
    """The explanation with all maps held in memory; overlays are drawn when asked for."""
    results = []
    for result in run_shards(partial(explain_shard, plan, overlays=False), plan.shards()):
        results.append(result)
        progress(result.shard.stop, len(plan.table))
    maps = {key: np.concatenate([result.maps[key] for result in results]) for key in plan.keys}
    outcomes = [outcome for result in results for outcome in result.outcomes]
    stats = [stat for result in results for stat in result.stats]
    return Explanation(plan, outcomes, stats, maps, writer=_write)


def run_in_folder(
    plan: Plan,
    folder: Path,
    *,
    workers: int | None = 1,
    overlays: bool = True,
    extend: bool = False,
    explained: Explained | None = None,
    progress: Progress,
) -> Explanation:
    """The explanation in a run folder; finished shards of an earlier try are kept, a finished run is only opened.

    With `extend`, a finished run takes in images that were added: its rows stay in front and are not computed again.
    `workers` None takes as many as the machine suggests; `explained` gives what is written of a shard, None computes
    it. Raises StoreError where the folder holds something else.
    """
    run = RunFolder(folder)
    with run.held():
        layout, complete = settle(plan, folder, overlays=overlays, extend=extend)
        if not complete:
            _work_through(layout, folder, workers, partial(explained or explain_shard, overlays=overlays), progress)
        explanation = _opened(layout.plan, folder)
        if not complete:
            write_pages(explanation, folder, overlays)
            facts = {**explanation.summary(), "environment": environment(plan.classifier.device)}
            content = content_of(layout.plan, tables.read_digests(folder))
            run.finish(layout.identity.whole(content), facts)
        shutil.rmtree(folder / "parts", ignore_errors=True)
    return explanation


def default_folder(plan: Plan) -> Path:
    """runs/explain-<hash of the options>."""
    return folder_named_by(run_identity(plan), batch_asked=plan.batch_asked)


def _write(explanation: Explanation, folder: Path) -> None:
    """Write an explanation that is held in memory as `run_in_folder` would have."""
    plan = replace(explanation.plan, batch_asked=True)  # as it was run, whatever the folder began with

    def explained(plan: Plan, shard: Shard, *, overlays: bool) -> ShardResult:
        result = explanation.shard(shard)
        return with_overlays(plan, result) if overlays else result

    run_in_folder(plan, folder, explained=explained, progress=lambda done, total: None)


def _work_through(layout: Layout, folder: Path, workers: int | None, explained: Explained, progress: Progress) -> None:
    plan, shards = layout.plan, layout.shards
    (folder / "parts").mkdir(exist_ok=True)
    arrays.remove_leftovers(folder)
    restore_parts(layout, folder)
    pending = [shard for shard in shards if not tables.part(folder, "records", shard.index).exists()]
    done = sum(shard.stop - shard.start for shard in shards) - sum(shard.stop - shard.start for shard in pending)
    progress(done, len(plan.table))
    # From all shards, not the pending ones: each worker of a resumed run has as many threads as before.
    count = usual_workers(plan.classifier.device, len(shards)) if workers is None else workers
    # The arrays are made once the workers are forked: zarr starts a thread.
    begin = partial(_make_arrays, layout, folder)
    for n_images in run_shards(partial(_finish_shard, plan, folder, explained), pending, count, begin):
        done += n_images
        progress(done, len(plan.table))
    for kind, columns in (("records", RECORDS), ("map_stats", MAP_STATS)):
        parts = [tables.part(folder, kind, shard.index) for shard in shards]
        tables.merge(parts, folder / f"{kind}.parquet", columns)


def _make_arrays(layout: Layout, folder: Path) -> None:
    for key in layout.plan.keys:
        arrays.create_maps(folder, key, len(layout.plan.table), layout.plan.grid(key), layout.shard_size)


def _finish_shard(plan: Plan, folder: Path, explained: Explained, shard: Shard) -> int:
    """Explain one shard and write it, in the worker: maps through a pipe would cost a fifth of the time.

    No two shards share a file. The records come last, so that a shard with records is whole. Gives its image count.
    """
    result = explained(plan, shard)
    for key, maps in result.maps.items():
        arrays.write_maps(folder, key, result.shard.start, maps)
    for method, name, data in result.overlays:
        path = folder / "overlays" / method / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    index = result.shard.index
    tables.write_rows(tables.part(folder, "map_stats", index), map(tables.stat_row, result.stats), MAP_STATS)
    tables.write_rows(tables.part(folder, "records", index), map(tables.record_row, result.outcomes), RECORDS)
    return shard.stop - shard.start


def _opened(plan: Plan, folder: Path) -> Explanation:
    outcomes = tables.read_outcomes(folder / "records.parquet")
    stats = tables.read_stats(folder / "map_stats.parquet")
    return Explanation(plan, outcomes, stats, folder=folder)
