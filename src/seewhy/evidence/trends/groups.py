"""Groups of the maps of each predicted class, and of what lies under them, in words and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from seewhy.estimates import Estimate, Floats, Integers, wilson
from seewhy.evidence.trends.grouping import LEAST, Grouping, spectral_groups, stable_groups
from seewhy.evidence.trends.looks import in_words, least_deviation, standardized, telling_property, unknown_words
from seewhy.evidence.trends.mapped import MappedImages
from seewhy.evidence.trends.places import TrendPlace, ZonedMaps, place_of
from seewhy.evidence.trends.regions import GRID
from seewhy.records import Outcome

MAPS, LOOKS, SPRAY = "where maps lie", "what lies under them", "SpRAy"
EXAMPLES = 8
NO_CLASS = "all images"


@dataclass(frozen=True)
class Group:
    """Some images of one predicted class that are alike.

    `rows` are their places in records.parquet, `examples` some of them from the most typical to the least. `mean` is
    their mean map (h, w), which sums to 1. `accuracy` is by split, `train_share` the share of train among those with a
    split. `option` and `factor` say which exchange tests the group's hypothesis.
    """

    number: int
    rows: Integers = field(repr=False)
    examples: Integers = field(repr=False)
    mean: Floats = field(repr=False)
    place: TrendPlace
    look: str
    option: str
    factor: str
    accuracy: dict[str, Estimate]
    train_share: Estimate | None


@dataclass(frozen=True)
class Partition:
    """The groups of one predicted class by one proposer; `said` tells how many, or why there are none.

    Where no groups of maps are stable, `groups` holds all of them together. `strength` is the prediction strength of
    the number of groups; NaN of none.
    """

    proposer: str
    predicted: str
    n: int
    strength: float
    said: str
    groups: tuple[Group, ...] = ()


def partitions_of(images: MappedImages, zones: ZonedMaps, looks: Floats, seed: int) -> list[Partition]:
    """What each proposer says of each predicted class, the largest class first; `looks` is (N, 6).

    Classes of too few images to group are taken together.
    """
    names = _classes_of(images.outcomes)
    order = sorted(set(names), key=lambda name: (-names.count(name), name))
    parts: list[Partition] = []
    maps = features_of(images.maps)
    for name in order:
        rows = np.array([row for row, other in enumerate(names) if other == name], dtype=np.int64)
        seen = rows[np.isfinite(looks[rows]).all(axis=1)]
        unknown = unknown_words(images, len(rows) - len(seen), len(rows))
        proposers: dict[str, tuple[Integers, Callable[[Integers], Grouping]]] = {
            MAPS: (rows, lambda at: stable_groups(maps[at], seed)),
            LOOKS: (seen, lambda at: stable_groups(standardized(looks[at]), seed)),
            SPRAY: (rows, lambda at: spectral_groups(maps[at], seed)),
        }
        for proposer, (at, grouped) in proposers.items():
            part = _partition(images, zones, looks, name, at, proposer, grouped)
            if proposer == LOOKS and unknown:
                part = replace(part, said=f"{part.said}; {unknown}" if len(seen) else f"not known: {unknown}")
            parts.append(part)
    return parts


def _classes_of(outcomes: Sequence[Outcome]) -> list[str]:
    """The predicted class of each image; classes of too few images to group are taken together."""
    names = [outcome.prediction or NO_CLASS for outcome in outcomes]
    few = {name for name, count in Counter(names).items() if count < LEAST}
    together = f"{len(few):,} classes of few images together"
    return [together if name in few and len(few) > 1 else name for name in names]


def features_of(maps: Floats) -> Floats:
    """Maps (N, h, w) as points (N, D): the roots of at most 8 x 8 shares, so that distances are Hellinger's."""
    rows, columns = (np.array_split(np.arange(side), min(8, side)) for side in maps.shape[1:])
    starts = [part[0] for part in rows], [part[0] for part in columns]
    cells = np.add.reduceat(np.add.reduceat(maps, starts[0], axis=1), starts[1], axis=2)
    points: Floats = np.sqrt(cells.reshape(len(maps), -1))
    return points


def _partition(
    images: MappedImages,
    zones: ZonedMaps,
    looks: Floats,
    name: str,
    rows: Integers,
    proposer: str,
    grouped: Callable[[Integers], Grouping],
) -> Partition:
    nothing = float("nan")
    if len(rows) < LEAST:
        return Partition(proposer, name, len(rows), nothing, f"too few images to group: {len(rows)} of {LEAST}")
    same = proposer != LOOKS and bool((np.ptp(images.maps[rows], axis=0) < 1e-12).all())
    grouping = Grouping(np.zeros(len(rows), dtype=np.int64), nothing) if same else grouped(rows)
    if grouping.n_groups < 2:
        said = "no stable groups: all maps are the same" if same else "no stable groups"
        together = tuple(_groups(images, zones, looks, rows, grouping, proposer)) if proposer == MAPS else ()
        return Partition(proposer, name, len(rows), nothing, said, together)
    count = f"{grouping.n_groups} groups"
    said = f"{count}, as the eigengap says" if proposer == SPRAY else f"{count} that halves of the images agree on"
    groups = tuple(_groups(images, zones, looks, rows, grouping, proposer))
    return Partition(proposer, name, len(rows), grouping.strength, said, groups)


def _groups(
    images: MappedImages, zones: ZonedMaps, looks: Floats, rows: Integers, grouping: Grouping, proposer: str
) -> Iterator[Group]:
    known = np.isfinite(looks[rows]).all(axis=1)
    scaled = np.full((len(rows), looks.shape[1]), np.nan)
    if known.any():
        scaled[known] = standardized(looks[rows][known])
    points = scaled if proposer == LOOKS else features_of(images.maps[rows])
    has_train = any(outcome.image.split == "train" for outcome in images.outcomes)
    for number in range(grouping.n_groups):
        within = grouping.labels == number
        members, seen = rows[within], within & known
        deviations = scaled[seen].mean(axis=0) if seen.any() else np.zeros(looks.shape[1])
        mean, place = images.maps[members].mean(axis=0), place_of(zones, members)
        option, factor = _test_of(place) if proposer != LOOKS else _test_of_look(deviations)
        outcomes = [images.outcomes[row] for row in members]
        look = _look_words(deviations, int(seen.sum()), len(members), int(known.sum()))
        yield Group(
            number=number + 1,
            rows=images.rows[members],
            examples=images.rows[members[_typical(points[within])]],
            mean=mean,
            place=place,
            look=look,
            option=option,
            factor=factor,
            accuracy=_accuracy(outcomes),
            train_share=_share_of_train(outcomes) if has_train else None,
        )


def _look_words(deviations: Floats, n_seen: int, n: int, n_known: int) -> str:
    """What is said of a group of n images, n_seen of which could be read, of n_known in the class."""
    if not n_seen:
        return "look not known"
    words = in_words(deviations, least_deviation(n_seen, n_known))
    return words if n_seen == n else f"{words}, as far as {n_seen:,} of {n:,} pictures tell"


def _test_of(place: TrendPlace) -> tuple[str, str]:
    """The option of `seewhy audit` whose exchange tests a place, and its factor; a grid and "" for spread maps."""
    return f"--regions {place.region or GRID}", place.zone


def _test_of_look(deviations: Floats) -> tuple[str, str]:
    name = telling_property(deviations)
    return f"--properties {name}", name


def _typical(points: Floats) -> Integers:
    """Places of at most 8 points (N, D), evenly from the one nearest to the mean to the one furthest from it."""
    order = np.argsort(np.linalg.norm(points - points.mean(axis=0), axis=1), kind="stable")
    few = min(EXAMPLES, len(order))
    return order[np.linspace(0, len(order) - 1, few).round().astype(np.int64)]


def _accuracy(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    by_split: dict[str, list[bool]] = {}
    for outcome in outcomes:
        if outcome.correct is not None:
            by_split.setdefault(outcome.image.split or NO_CLASS, []).append(outcome.correct)
    return {split: wilson(sum(answers), len(answers)) for split, answers in sorted(by_split.items())}


def _share_of_train(outcomes: Sequence[Outcome]) -> Estimate | None:
    splits = [outcome.image.split for outcome in outcomes if outcome.image.split]
    return wilson(splits.count("train"), len(splits)) if splits else None
