"""A run that several processes do in one folder, each its portion of the shards, and its merging once all are there."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError, WorkError, counted, listed
from seewhy.explanation.extend import Layout, join
from seewhy.explanation.folder import finish_shard, finished, make_arrays, on_this_machine, opened, unfinished
from seewhy.explanation.result import Explanation
from seewhy.explanation.shard import explain_shard
from seewhy.records import Progress
from seewhy.run.folder import RunFolder
from seewhy.run.identity import changed_images
from seewhy.run.machine import versions
from seewhy.run.plan import Plan, Shard
from seewhy.run.portion import Portion
from seewhy.store import arrays, checksums, claims, manifest, tables

WAIT_S = 120  # for others that begin or join at the same moment
_NAMED = 8  # portions in a message


@dataclass(frozen=True)
class PortionDone:
    """What one process has done of a run: its own shards with their images, and how many are left of the whole run."""

    portion: Portion
    shards: int
    images: int
    left: int
    of: int


def run_portion(
    plan: Plan, folder: Path, portion: Portion, *, typed: str, workers: int | None = 1, progress: Progress
) -> PortionDone:
    """Do every n-th shard of the run in `folder`, beside other processes that do the others, on any machine.

    What is finished is kept. `typed` is the command line that makes the run, which `merge` goes by. Raises StoreError
    where the folder holds another run, was begun by other versions, or somebody else is at this portion.
    """
    run, layout = RunFolder(folder), new_layout(plan)
    with contextlib.ExitStack() as claim:
        with run.held(WAIT_S):
            layout, complete = _joined(layout, folder, portion, typed)
            if not complete:
                claim.enter_context(claims.claimed(folder, portion.number, portion.count))
        mine = portion.of(layout.shards)
        if not complete:
            _work_through(layout, run, mine, workers, progress)
        left = [] if complete else _without_parts(folder, layout.shards)
    images = sum(shard.stop - shard.start for shard in mine)
    return PortionDone(portion, len(mine), images, len(left), len(layout.shards))


def merge(plan: Plan, folder: Path) -> Explanation:
    """The explanation of a run whose shards are all there: tables, pages and the list of files are written.

    A run that is merged already is opened. Raises WorkError with what is missing, and StoreError where the folder holds
    another run, or parts of one.
    """
    run, layout = RunFolder(folder), new_layout(plan)
    with run.held():
        stored = manifest.read_manifest(folder)
        check_versions(folder, stored)
        layout, complete = join(layout, folder, {})
        if complete:
            checksums.check(folder, stored)
            run.remove_parts()
            return opened(layout, folder)
        missing = unfinished(layout, folder, manifest.token_of(folder), layout.shards)
        if missing:
            indices = [shard.index for shard in missing]
            raise not_whole(folder, indices, len(layout.shards), stored.get("shards", 1))
        arrays.remove_leftovers(folder)
        return finished(layout, folder)


def new_layout(plan: Plan) -> Layout:
    """The layout of a new run, with its identity: known before the folder is held, for which others wait."""
    layout = Layout(plan, plan.shard_size)
    layout.identity.begun()
    return layout


def check_versions(folder: Path, stored: Mapping[str, Any]) -> None:
    """Raise StoreError where the run was begun by other versions, or on another kind of processor, than these."""
    begun, here = {"seewhy": stored["identity"].get("seewhy"), **stored.get("environment", {})}, versions()
    others = [f"{name} {begun[name]}, here {here[name]}" for name in here if begun.get(name) not in (None, here[name])]
    if others:
        raise StoreError(
            f"{folder} was begun with {listed(others)}.\n  Install the same there as here, so that all parts are of "
            f"one run; or name a new folder:  --out {folder}-2",
            slug="other-versions",
        )


def note_shards(folder: Path, stored: Mapping[str, Any], portion: Portion, typed: str) -> None:
    """Keep in how many shards the begun run is done. Raises StoreError where others are at work in another number."""
    before = stored.get("shards", 0)
    if before == portion.count:
        return
    if claims.at_work(folder, before):
        raise StoreError(
            f"{folder} is being done in {before} shards, not {portion.count}, and others are at work.\n"
            f"  Type  --shard K/{before},  or wait for them: once none is at work it may be split anew.",
            slug="other-shards",
        )
    manifest.note(folder, **{"environment": versions(), "typed": typed, **stored, "shards": portion.count})


def _joined(layout: Layout, folder: Path, portion: Portion, typed: str) -> tuple[Layout, bool]:
    """The layout of the run that this process joins, or begins; whoever calls it holds the folder."""
    stored = manifest.find(folder, "explain")
    if stored is None:
        return join(layout, folder, {"environment": versions(), "shards": portion.count, "typed": typed})
    check_versions(folder, stored)
    layout, complete = join(layout, folder, {})
    if not complete:
        note_shards(folder, stored, portion, typed)
    return layout, complete


def _work_through(
    layout: Layout, run: RunFolder, mine: Sequence[Shard], workers: int | None, progress: Progress
) -> None:
    folder, plan = run.path, layout.plan

    def begin() -> None:
        with run.held(WAIT_S):
            make_arrays(layout, folder)

    with run.written():
        arrays.load()  # before workers are forked
        token = manifest.token_of(folder)
        pending = unfinished(layout, folder, token, mine)
        _check_unchanged(plan, folder, [shard for shard in mine if shard not in pending])
        total = sum(shard.stop - shard.start for shard in mine)
        done = total - sum(shard.stop - shard.start for shard in pending)
        progress(done, total)
        finish = partial(finish_shard, plan, folder, token, partial(explain_shard, overlays=layout.overlays))
        n_shards = len(layout.shards)
        for n_images in on_this_machine(finish, pending, begin, plan=plan, n_shards=n_shards, workers=workers):
            done += n_images
            progress(done, total)


def _check_unchanged(plan: Plan, folder: Path, shards: Sequence[Shard]) -> None:
    """Raise StoreError where images of finished shards are others by now."""
    digests = tables.digests_in(tables.part(folder, "records", shard.index) for shard in shards)
    if changed := changed_images(plan, digests):
        raise StoreError(
            f"{len(changed):,} images have changed since their parts of {folder} were made: {listed(changed, 4)}.\n"
            f"  Name a new folder:  --out {folder}-2",
            slug="images-changed",
        )


def _without_parts(folder: Path, shards: Sequence[Shard]) -> list[Shard]:
    """The shards whose rows are not there: known from names alone, which `merge` does not trust."""
    return [shard for shard in shards if not tables.part(folder, "records", shard.index).exists()]


def not_whole(folder: Path, missing: Sequence[int], n_parts: int, count: int) -> WorkError:
    """The error for a run of `n_parts` parts, done in `count` shards, of which these are missing: whose they are."""
    busy = claims.at_work(folder, count)
    by_portion = Counter(index % count + 1 for index in missing)
    said = [
        f"{number}/{count} ({n} of {len(Portion(number, count).of(range(n_parts)))} parts"
        + (f", at work: {busy[number]})" if number in busy else ")")
        for number, n in sorted(by_portion.items())
    ]
    todo = "Wait for those at work" if by_portion.keys() <= busy.keys() else "Run those again, with --shard as before"
    return WorkError(
        f"{folder} is not whole: {len(missing):,} of {counted(n_parts, 'part')} are missing, those of "
        f"--shard {listed(said, _NAMED)}.\n  {todo}, then merge again; what is finished is kept.",
        slug="not-whole",
    )
