"""The trends of a finished run: where its maps lie, which groups they make, and which exchange would test each."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.errors import StoreError, counted
from seewhy.estimates import Estimate, Floats
from seewhy.evidence.trends.grouping import plane
from seewhy.evidence.trends.groups import NO_CLASS, Group, Partition, features_of, partitions_of
from seewhy.evidence.trends.hypotheses import findings_beside, verdict_on
from seewhy.evidence.trends.looks import looks_of
from seewhy.evidence.trends.mapped import MappedImages, read_mapped
from seewhy.evidence.trends.places import ZoneShare, zone_shares, zoned
from seewhy.records import checked_seed
from seewhy.run.folder import Result, folder_of
from seewhy.store import durable, manifest
from seewhy.store.schema import TREND_GROUPS, TREND_IMAGES, TREND_SHARES
from seewhy.store.tables import write_rows
from seewhy.version import __version__

NAME, FILE = "trends", "trends.json"
PROPOSAL = "Trends are hypotheses: only an exchange tests whether the decisions depend on what a group shows."


@dataclass(frozen=True)
class Trends:
    """What `trends` gives: `partitions` into groups, `zones` with the maps' shares, and how many images are left out.

    `folder` is the folder `trends` of the run; `verdicts` say of a factor what audits beside the run found.
    """

    folder: Path
    images: MappedImages = field(repr=False)
    partitions: list[Partition]
    zones: list[ZoneShare] = field(repr=False)
    places: Floats = field(repr=False)
    verdicts: Mapping[str, str]
    seed: int

    def __len__(self) -> int:
        return sum(len(partition.groups) for partition in self.partitions)

    def summary(self) -> dict[str, Any]:
        """Plain values: images, left_out, map, seed, proposal, and the partitions with their groups."""
        return {
            "seewhy": __version__,
            "images": len(self.images),
            "left_out": dict(self.images.left_out),
            "map": "/".join(self.images.key),
            "seed": self.seed,
            "proposal": PROPOSAL,
            "partitions": [self._partition(partition) for partition in self.partitions],
        }

    def lines(self) -> list[str]:
        """What is said in a terminal: a line for each partition, and for each of its groups."""
        lines = [f"{counted(len(self.images), 'map')} of {'/'.join(self.images.key)}"]
        lines += [f"left out {why}: {count:,}" for why, count in self.images.left_out.items()]
        for partition in self.partitions:
            whole = math.isnan(partition.strength)
            strength = "" if whole else f", prediction strength {partition.strength:.2f}"
            said = f"{partition.said} (n = {partition.n:,}{strength})"
            lines.append(f"{partition.predicted}, {partition.proposer}: {said}")
            lines += [f"  {self.sentence(group, is_whole=whole)}" for group in partition.groups]
        return [*lines, PROPOSAL]

    def sentence(self, group: Group, *, is_whole: bool = False) -> str:
        """A group, or all maps of a class, in words: size, place, look, accuracy, share of train, test, verdict."""
        name = "All of them" if is_whole else f"Group {group.number}"
        parts = [f"{name}, {counted(len(group.rows), 'image')}: {group.place.words}; {group.look}"]
        parts += [f"right {_words(share)} on {split}" for split, share in group.accuracy.items()]
        parts += [f"of train are {_words(group.train_share)}"] if group.train_share else []
        return f"{'; '.join(parts)}. Test by an audit with {group.option} ({verdict_on(group.factor, self.verdicts)})"

    def save(self, folder: str | Path) -> Path:
        """Copy the folder of the trends to another place, which must not exist; gives that back."""
        folder = Path(folder)
        if folder.resolve() == self.folder.resolve():
            return folder
        if folder.exists():
            raise StoreError(f"{folder} exists already.  Name a new folder:  trends.save('{folder}-2')")
        shutil.copytree(self.folder, folder)
        return folder

    def write(self) -> None:
        """Write the folder of the trends anew, complete or not at all."""
        partial = self.folder.with_name(f"{NAME}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        write_rows(partial / "images.parquet", self._image_rows(), TREND_IMAGES)
        write_rows(partial / "groups.parquet", self._group_rows(), TREND_GROUPS)
        write_rows(partial / "shares.parquet", [_share_row(share) for share in self.zones], TREND_SHARES)
        manifest.write_json(partial / FILE, self.summary())
        durable.sync_all(partial)
        shutil.rmtree(self.folder, ignore_errors=True)
        partial.rename(self.folder)

    def _partition(self, partition: Partition) -> dict[str, Any]:
        return {
            "predicted": partition.predicted,
            "proposer": partition.proposer,
            "images": partition.n,
            "strength": _or_none(partition.strength),
            "said": partition.said,
            "groups": [self._group(group) for group in partition.groups],
        }

    def _group(self, group: Group) -> dict[str, Any]:
        ids = dict(zip(self.images.rows.tolist(), (o.image.id for o in self.images.outcomes), strict=True))
        return {
            "number": group.number,
            "images": len(group.rows),
            "place": group.place.words,
            "look": group.look,
            "test": f"seewhy audit DATA --model … {group.option}",
            "option": group.option,
            "factor": group.factor,
            "verdict": verdict_on(group.factor, self.verdicts),
            "accuracy": {split: vars(share) for split, share in group.accuracy.items()},
            "train_share": None if group.train_share is None else vars(group.train_share),
            "examples": [ids[row] for row in group.examples.tolist()],
            "mean": np.round(group.mean * group.mean.size, 4).tolist(),
        }

    def _image_rows(self) -> list[dict[str, Any]]:
        return [
            {"id": o.image.id, "split": o.image.split, "predicted": o.prediction or NO_CLASS, "x": x, "y": y}
            for o, (x, y) in zip(self.images.outcomes, self.places.tolist(), strict=True)
        ]

    def _group_rows(self) -> list[dict[str, Any]]:
        ids = dict(zip(self.images.rows.tolist(), (o.image.id for o in self.images.outcomes), strict=True))
        return [
            {"proposer": part.proposer, "predicted": part.predicted, "group": group.number, "id": ids[row]}
            for part in self.partitions
            for group in part.groups
            for row in group.rows.tolist()
        ]


def trends(run: str | Path | Result, *, seed: int = 0) -> Trends:
    """The trends of a finished explain or audit run, also written to the folder `trends` within the run's.

    Shares of the maps in zones of the picture; groups of the maps of each predicted class, and of what lies under them,
    as many as halves of the images agree on, none included; and the groups that SpRAy proposes. Images without a
    result, or with an empty map, are left out and counted. Trends propose: `test` of a group is what to type.

    Args:
        run: a result that has a folder, or the folder of a finished run; the first of its maps is looked at
        seed: the same one gives the same groups

    Returns:
        Trends, with `partitions`, `zones`, `folder`, `summary()`, `lines()` and `save()`

    Raises:
        StoreError (no finished run with maps), MissingExtraError (no scikit-learn), OptionError (not saved yet, a seed
        out of range).

    Example:
        >>> found = seewhy.trends("runs/explain")
        >>> print("\\n".join(found.lines()))
    """
    checked_seed(seed)
    folder = folder_of(run, "trends")
    images = read_mapped(folder)
    looks, zones = looks_of(images), zoned(images)
    result = Trends(
        folder=folder / NAME,
        images=images,
        partitions=partitions_of(images, zones, looks, seed) if len(images) else [],
        zones=zone_shares(images.outcomes, zones) if len(images) else [],
        places=plane(features_of(images.maps), seed) if len(images) else np.zeros((0, 2)),
        verdicts=findings_beside(folder, images.stored),
        seed=seed,
    )
    with manifest.writer(folder):
        result.write()
    return result


def _share_row(share: ZoneShare) -> dict[str, Any]:
    names = ("zone", "label", "split", "answer", "area")
    numbers = {"share": share.share.value, "low": _or_none(share.share.low), "high": _or_none(share.share.high)}
    return {**{name: getattr(share, name) for name in names}, **numbers, "images": share.share.n}


def _words(share: Estimate) -> str:
    return f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}] of {share.n:,}"


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
