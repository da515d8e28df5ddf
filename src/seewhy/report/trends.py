"""What the page of trends says: groups as sheets, the plane of all maps, and the shares of maps in zones."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.errors import printable
from seewhy.estimates import Estimate
from seewhy.evidence.trends.hypotheses import findings_beside, verdict_on
from seewhy.explanation.mean_maps import brightest
from seewhy.render.color import heat
from seewhy.report.averages import picture_of
from seewhy.report.examples import Example, example_of
from seewhy.report.gallery import CHUNK, Gallery
from seewhy.report.next_commands import audit_command
from seewhy.report.stored import StoredRun
from seewhy.store import manifest
from seewhy.store.tables import read_columns

FOLDER, FILE = "trends", "trends.json"
MOST_POINTS = 4000  # that are drawn
EVERY = "all"
COLOURS = 6  # that the page has for groups


@dataclass(frozen=True)
class GroupSheet:
    """One group: its words, mean map (a data URI), accuracies, examples, the command that tests it, and the verdict."""

    name: str
    title: str
    words: str
    mean: str
    accuracy: tuple[str, ...]
    train: str
    examples: tuple[Example, ...]
    command: str
    verdict: str


@dataclass(frozen=True)
class PartitionPage:
    """What one proposer says of one predicted class; without groups, `said` tells why."""

    predicted: str
    proposer: str
    said: str
    n: int
    strength: str
    is_published: bool
    groups: tuple[GroupSheet, ...]


@dataclass(frozen=True)
class Point:
    """One map on the plane (0 to 100 each way); `colour` is the number of its group of maps, 0 for none."""

    x: float
    y: float
    row: int
    colour: int
    title: str


@dataclass(frozen=True)
class ZoneRow:
    """The shares of the maps of some images in each zone, in words."""

    label: str
    split: str
    answer: str
    n: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class TrendsPage:
    """Everything that the page says; `members` are the rows of the images of each group, by its name."""

    counted: str
    left_out: str
    map: str
    partitions: tuple[PartitionPage, ...]
    points: tuple[Point, ...]
    n_left_out_points: int
    zones: tuple[str, ...]
    shares: tuple[ZoneRow, ...]
    top: float
    members: Mapping[str, list[int]]
    colours: Mapping[str, int]


def has_trends(stored: StoredRun) -> bool:
    """Whether the trends of a run were made."""
    return (stored.folder / FOLDER / FILE).is_file()


def trends_digest(stored: StoredRun) -> str:
    """What the page is made of, audits that lie beside the run included; "" where there is none."""
    if not has_trends(stored):
        return ""
    return manifest.digest_of([_read(stored.folder), findings_beside(stored.folder, stored.manifest)])


def trends_page(stored: StoredRun, gallery: Gallery) -> TrendsPage:
    """What the page says of the trends in a run's folder."""
    held, home = _read(stored.folder), stored.folder / FOLDER
    rows = stored.rows()
    members = _members(home, rows)
    top = brightest(
        [np.array(group["mean"], dtype=np.float32) for part in held["partitions"] for group in part["groups"]]
    )
    verdicts = findings_beside(stored.folder, stored.manifest)
    parts = tuple(_partition(stored, gallery, rows, part, top, verdicts) for part in held["partitions"])
    order = _colours(members)
    colours = {row: colour for name, colour in order.items() for row in members[name]}
    points = _points(home, stored, rows, colours)
    zones, shares = _shares(home)
    left_out = ", ".join(f"{count:,} {why}" for why, count in held["left_out"].items())
    few = tuple(points[:: max(1, -(-len(points) // MOST_POINTS))])
    return TrendsPage(
        counted=f"{held['images']:,}",
        left_out=left_out,
        map=held["map"],
        partitions=parts,
        points=few,
        n_left_out_points=len(points) - len(few),
        zones=zones,
        shares=shares,
        top=top,
        members=members,
        colours=order,
    )


def _read(folder: Path) -> dict[str, Any]:
    return manifest.read_json(folder / FOLDER / FILE)


def _partition(
    stored: StoredRun,
    gallery: Gallery,
    rows: Mapping[str, int],
    part: Mapping[str, Any],
    top: float,
    verdicts: Mapping[str, str],
) -> PartitionPage:
    groups = tuple(_sheet(stored, gallery, rows, part, group, top, verdicts) for group in part["groups"])
    strength = "" if part["strength"] is None else f"{part['strength']:.2f}"
    return PartitionPage(
        predicted=part["predicted"],
        proposer=part["proposer"],
        said=part["said"],
        n=part["images"],
        strength=strength,
        is_published=part["proposer"] == "SpRAy",
        groups=groups,
    )


def _sheet(
    stored: StoredRun,
    gallery: Gallery,
    rows: Mapping[str, int],
    part: Mapping[str, Any],
    group: Mapping[str, Any],
    top: float,
    verdicts: Mapping[str, str],
) -> GroupSheet:
    examples = [example_of(gallery, rows[name]) for name in group["examples"] if name in rows]
    accuracy = tuple(f"{split}: {_percent(Estimate(**share))}" for split, share in group["accuracy"].items())
    train = "" if group["train_share"] is None else _percent(Estimate(**group["train_share"]))
    which = "All of them" if part["strength"] is None else f"Group {group['number']}"
    return GroupSheet(
        name=_name(part["predicted"], part["proposer"], group["number"]),
        title=f"{which}: {group['images']:,} images",
        words=f"{group['place']}; {group['look']}",
        mean=picture_of(np.array(group["mean"], dtype=np.float32), top),
        accuracy=accuracy,
        train=train,
        examples=tuple(example for example in examples if example is not None),
        command=audit_command(stored, part["predicted"], [group["option"]]),
        verdict=verdict_on(group["factor"], verdicts),
    )


def _name(predicted: str, proposer: str, number: int) -> str:
    kind = {"where maps lie": "maps", "what lies under them": "looks"}.get(proposer, "spray")
    return f"{predicted}:{kind}-{number}"


def _members(home: Path, rows: Mapping[str, int]) -> dict[str, list[int]]:
    held = read_columns(home / "groups.parquet")
    members: dict[str, list[int]] = {}
    for proposer, predicted, number, name in zip(
        held["proposer"], held["predicted"], held["group"], held["id"], strict=True
    ):
        if name in rows:
            members.setdefault(_name(predicted, proposer, int(number)), []).append(rows[name])
    return members


def _colours(members: Mapping[str, list[int]]) -> dict[str, int]:
    """The number of the colour of each group of maps; 0, the colour of none, beyond the first six."""
    maps = [name for name in members if name.rpartition(":")[2].startswith("maps-")]
    names = sorted(maps, key=lambda name: (-len(members[name]), name))
    return {name: number if number <= COLOURS else 0 for number, name in enumerate(names, 1)}


def _points(home: Path, stored: StoredRun, rows: Mapping[str, int], colours: Mapping[int, int]) -> list[Point]:
    held = read_columns(home / "images.parquet")
    return [
        Point(
            round(100 * float(x), 2), round(100 * float(y), 2), rows[name], colours.get(rows[name], 0),
            f"{name}: {stored.outcomes[rows[name]].prediction or 'no class'}",
        )
        for name, x, y in zip(held["id"], held["x"], held["y"], strict=True)
        if name in rows
    ]  # fmt: skip


def _shares(home: Path) -> tuple[tuple[str, ...], tuple[ZoneRow, ...]]:
    held = read_columns(home / "shares.parquet")
    places: dict[tuple[str, str, str], dict[str, tuple[str, int]]] = {}
    areas: dict[str, float] = {}
    columns = (held[name] for name in ("zone", "label", "split", "answer", "area", "share", "low", "high", "images"))
    for zone, label, split, answer, area, share, low, high, n in zip(*columns, strict=True):
        if zone not in areas or (label, split, answer) == (EVERY, EVERY, EVERY):
            areas[zone] = float(area)
        interval = ", no interval" if np.isnan(low) else f" [{100 * low:.0f}, {100 * high:.0f}]"
        places.setdefault((label, split, answer), {})[zone] = (f"{100 * share:.0f} %{interval}", int(n))
    order = sorted(places, key=lambda key: tuple((part != EVERY, part) for part in key))
    zones = tuple(f"{zone}, {100 * area:.0f} % of the area" for zone, area in areas.items())
    rows = [
        ZoneRow(*key, next(iter(places[key].values()))[1], tuple(places[key][zone][0] for zone in areas))
        for key in order
    ]
    return zones, tuple(rows)


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}], n = {share.n:,}"


def script_values(page: TrendsPage, stored: StoredRun) -> dict[str, Any]:
    """What the page's script needs: the images' names by row, the rows of each group, and the colours of maps."""
    return {
        "chunk": CHUNK,
        "names": [printable(outcome.image.id) for outcome in stored.outcomes],
        "members": {printable(name): rows for name, rows in page.members.items()},
        "colours": base64.b64encode(heat().tobytes()).decode(),
    }
