"""What a run folder says about the rows of a run: their order, their shards, and whether a finished run may grow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError, counted, listed
from seewhy.explanation.overlays import overlay_name
from seewhy.run.identity import RunIdentity, as_begun, changed_images, differing, run_identity
from seewhy.run.plan import Plan, Shard
from seewhy.store import checksums, manifest, tables

_NAMED = 4  # images of each kind in a message


@dataclass(frozen=True)
class Layout:
    """A plan with its images in the order of the run folder, in shards of the folder's own size.

    `before` describes the images of the run that was extended, which are the first rows; None where none was.
    """

    plan: Plan
    shard_size: int
    before: dict[str, Any] | None = None
    overlays: bool = True

    @property
    def shards(self) -> list[Shard]:
        """The shards, in order."""
        size, count = self.shard_size, len(self.plan.table)
        return [Shard(n, start, min(start + size, count)) for n, start in enumerate(range(0, count, size))]

    @property
    def kept(self) -> list[Shard]:
        """The shards that the extended run had whole."""
        count = self.before["count"] if self.before else 0
        return [shard for shard in self.shards if shard.start + self.shard_size <= count]

    @cached_property
    def identity(self) -> RunIdentity:
        """Everything that decides the results."""
        known = run_identity(self.plan, overlays=self.overlays, shard_size=self.shard_size)
        images = {**known.options["images"], **({"before": self.before} if self.before else {})}
        return RunIdentity(self.plan, {**known.options, "images": images})


def settle(plan: Plan, folder: Path, *, overlays: bool, extend: bool) -> tuple[Layout, bool]:
    """The layout of the run in `folder`, which now is this one, and whether it is finished.

    Raises StoreError where the folder holds something else, or a run of other options or images, naming what differs.
    """
    stored = manifest.find(folder, "explain")
    if stored is None:
        layout = Layout(plan, plan.shard_size, overlays=overlays)
        manifest.clear(folder)
        manifest.begin(folder, layout.identity.begun())
        return layout, False
    layout = _as_stored(as_begun(plan, stored["identity"]), folder, stored, overlays)
    if layout.identity.like(stored["identity"]) == stored["identity"] and not _changed_since(
        layout.plan, folder, stored
    ):
        if stored["status"] != "complete":
            return layout, False
        checksums.check(folder, stored)
        return layout, True
    return _extended(layout.plan, folder, stored, overlays, extend), False


def join(layout: Layout, folder: Path, begun: Mapping[str, Any]) -> tuple[Layout, bool]:
    """The layout of the run in `folder`, which now is this one, and whether it is finished; no image is read for it.

    For one of several processes, each of which looks after its own shards. `layout` is that of a new run, and is given
    back where the folder's is the same; `begun` is kept beside the identity of a run that is new. Raises StoreError
    where the folder holds something else, or another run.
    """
    stored = manifest.find(folder, "explain")
    if stored is None:
        manifest.clear(folder)
        manifest.begin(folder, layout.identity.begun(), **begun)
        return layout, False
    there = {**stored["identity"], "images": dict(stored["identity"].get("images", {}))}
    there["images"].pop("content", None)
    as_there = _as_stored(as_begun(layout.plan, there), folder, stored, layout.overlays)
    joined = layout if as_there == layout else as_there  # its identity is known already
    if joined.identity.like(there) != there:
        raise _refusal(joined.plan, folder, stored, differing(there, joined.identity.options))
    return joined, stored["status"] == "complete"


def _changed_since(plan: Plan, folder: Path, stored: Mapping[str, Any]) -> list[str]:
    """The images whose files changed since their shards were finished, where the run has not got to its end."""
    return [] if "content" in stored["identity"]["images"] else changed_images(plan, tables.read_digests(folder))


def restore_parts(layout: Layout, folder: Path, token: str) -> None:
    """Write the parts of the shards that an extension keeps, from the tables of the run that it extends."""
    missing = [shard for shard in layout.kept if not tables.is_published(folder, shard.index, token)]
    ids = [image.id for image in layout.plan.table.images]
    tables.split(folder, token, {shard.index: ids[shard.start : shard.stop] for shard in missing})


def _as_stored(plan: Plan, folder: Path, stored: Mapping[str, Any], overlays: bool) -> Layout:
    before = stored["identity"].get("images", {}).get("before")
    size = stored["identity"].get("shard_size", plan.shard_size)
    first = tables.read_ids(folder / "records.parquet", before["count"]) if before else []
    return Layout(_ordered(plan, first), size, before, overlays)


def _ordered(plan: Plan, first: Sequence[str]) -> Plan:
    """The plan with the images of the ids `first` in front, as far as they are there, and the others behind."""
    if not first:
        return plan
    by_id = {image.id: image for image in plan.table.images}
    old = [by_id.pop(name) for name in first if name in by_id]
    return replace(plan, table=replace(plan.table, images=(*old, *by_id.values())))


def _extended(plan: Plan, folder: Path, stored: Mapping[str, Any], overlays: bool, extend: bool) -> Layout:
    """The layout of a run that grows by the images that were added; raises StoreError where it may not."""
    identity, complete = stored["identity"], stored["status"] == "complete"
    before = identity["images"] if complete else identity["images"].get("before")
    ids = tables.read_ids(folder / "records.parquet", before["count"]) if before else []
    grown = Layout(_ordered(plan, ids), identity["shard_size"], before and _without_before(before), overlays)
    old = replace(grown.plan, table=replace(grown.plan.table, images=grown.plan.table.images[: len(ids)]))
    asked = run_identity(old if ids else plan, overlays=overlays)
    options = differing(identity, asked.options)
    if options or not ids or asked.whole()["images"] != grown.before:
        raise _refusal(plan, folder, stored, options)
    if not extend:
        raise _says_extend(plan, folder, ids)
    shutil.rmtree(folder / "parts", ignore_errors=True)
    if not complete:
        _remove_strange_overlays(plan, folder)
    manifest.begin(folder, grown.identity.begun())
    return grown


def _without_before(images: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in images.items() if key != "before"}


def _remove_strange_overlays(plan: Plan, folder: Path) -> None:
    """An extension that was given up may have drawn images that are no longer among these."""
    home = folder / "overlays"
    names = [overlay_name(image.id, plan.image_format) for image in plan.table.images]
    known = {home / method / name for method in plan.methods for name in names}
    for path in [path for path in home.rglob("*") if path.is_file() and path not in known]:
        path.unlink()


def _says_extend(plan: Plan, folder: Path, ids: Sequence[str]) -> StoreError:
    known = set(ids)
    added = [image.id for image in plan.table.images if image.id not in known]
    if not added:  # those of an extension that was stopped are gone again
        return StoreError(
            f"{folder} was being extended by images that are no longer there.\n"
            f"  Go back to the {len(ids):,} images that it had:  --extend",
            slug="images-added",
        )
    had = counted(len(ids), "image")
    return StoreError(
        f"{folder} holds this run of {had}; {_counted(added)} added since: {listed(added, _NAMED)}.\n"
        "  Explain those too, and keep what is there:  --extend",
        slug="images-added",
    )


def _counted(names: Sequence[str]) -> str:
    return "1 was" if len(names) == 1 else f"{len(names):,} were"


def _refusal(plan: Plan, folder: Path, stored: Mapping[str, Any], options: Sequence[str]) -> StoreError:
    lines = "\n".join(f"  {line}" for line in [*options, *_differing_images(plan, folder, stored)][:10])
    said = f"{folder} holds another run; these differ:\n{lines}\n  Name a new folder:  --out {folder}-2"
    return StoreError(said, slug="another-run") if options else StoreError(said, slug="images-changed")


def _differing_images(plan: Plan, folder: Path, stored: Mapping[str, Any]) -> list[str]:
    """Lines that say which images were removed, added or changed, as far as the folder knows the names."""
    there, asked = _without_before(stored["identity"]["images"]), run_identity(plan).like(stored["identity"])["images"]
    known = tables.read_digests(folder)
    images = {image.id: image for image in plan.table.images}
    whole = len(known) == there["count"]
    removed = [name for name in known if name not in images]
    added = [name for name in images if name not in known] if whole else []
    kinds = (("removed", removed), ("changed", changed_images(plan, known)), ("added", added))
    lines = [f"images {kind}: {len(names):,} ({listed(names, _NAMED)})" for kind, names in kinds if names]
    if not whole and there["count"] != len(images):
        lines.append(f"images: {there['count']:,} there (that run is not finished), {len(images):,} asked")
    if lines or asked == there:
        return lines
    if asked["ids"] != there["ids"]:
        return ["images: other names or labels, or another order"]
    return ["images: the same names with other content"]
