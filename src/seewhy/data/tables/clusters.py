"""Which images belong together (one patient, sign or video): by a column of their table, or a pattern over names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.packed import gathered
from seewhy.data.tables.sheet import plain
from seewhy.errors import OptionError, counted, listed, nearest

ClusterBy = str | Iterable[object] | None
NAMES = "name:"  # what a pattern over file names begins with
_VALUES = "a list"  # what clusters are by that were given one by one
_EMPTY = ("", "nan", "none", "<na>", "null")


def clustered(table: ImageTable, cluster_by: ClusterBy) -> ImageTable:
    """The table with the cluster of each image, and what is to be said of them.

    Args:
        table: the images
        cluster_by: a column of their table, "name:" and a regular expression that is looked for in each file's name
            (with a "/" in it, in its path below the folder), whose first group, or whole match, is the cluster; or a
            list with a value for each image. Images without one are clusters of their own.

    Raises:
        OptionError: no such column, a pattern that is none or fits no name, a list of another length, one cluster alone
    """
    if cluster_by is None:
        return table
    if not isinstance(cluster_by, str):
        asked, (clusters, notes) = _VALUES, _of_values(table, list(cluster_by))
    elif (asked := cluster_by.strip()).startswith(NAMES):
        clusters, notes = _of_names(table, asked.removeprefix(NAMES))
    else:
        clusters, notes = _of_column(table, asked)
    known = {cluster for cluster in clusters if cluster is not None}
    if len(known) == 1 and None not in clusters and len(clusters) > 1:
        raise OptionError(
            f"--cluster-by {asked} makes one cluster of all {len(clusters):,} images ({next(iter(known))!r}), so that "
            "none could be compared with another.\n  Leave it out, or name what differs between them.",
            slug="cluster-by",
        )
    if len(known) == len(clusters) - clusters.count(None):
        notes += [f"By --cluster-by {asked} every image is a cluster of its own, so that it changes nothing."]
    pairs = zip(table.images, clusters, strict=True)
    images = gathered(replace(image, cluster=cluster) for image, cluster in pairs)
    return replace(table, images=images, cluster_by=asked, notes=(*table.notes, *notes))


def cells_of(table: ImageTable, column: str) -> list[str]:
    """What a column of the table says of each image."""
    place = table.columns.index(column)
    return [image.cells[place] if image.cells else "" for image in table.images]


def _of_column(table: ImageTable, name: str) -> tuple[list[str | None], list[str]]:
    column = next((one for one in table.columns if one == name), None) or next(
        (one for one in table.columns if plain(one) == plain(name)), None
    )
    if column is None:
        raise OptionError(_no_column(table, name), slug="cluster-by")
    clusters = [None if cell.lower() in _EMPTY else cell for cell in cells_of(table, column)]
    return clusters, _without(clusters, f"have an empty {column}", table)


def _no_column(table: ImageTable, name: str) -> str:
    pattern = "A pattern over file names begins with name:, as in  --cluster-by 'name:(\\d+)_\\d+'"
    if not table.columns:
        what = f"{table.source or 'what was given'} is no table with columns"
        return f"--cluster-by is {name!r}, but {what}.\n  {pattern}"
    close = nearest(name, table.columns)
    columns = listed(table.columns, 20)
    return f"{table.source} has no column {name!r} (--cluster-by), but: {columns}.  {close}".rstrip() + f"\n  {pattern}"


def _of_names(table: ImageTable, text: str) -> tuple[list[str | None], list[str]]:
    pattern = _compiled(text)
    if table.items is not None:
        what = "the images are no files and have no names.  In Python give a value for each: cluster_by=[...]"
        raise OptionError(f"--cluster-by {NAMES}{text} looks at file names, but {what}", slug="cluster-by")
    whole = "/" in text
    names = [image.id if whole else PurePosixPath(image.id).name for image in table.images]
    clusters = [_found(pattern, name) for name in names]
    if not any(clusters):
        raise OptionError(
            f"--cluster-by {NAMES}{text} fits none of {counted(len(names), 'name')}, like {names[0]!r}.\n"
            "  It is a regular expression, whose first group is the cluster: name:(\\d+)_ takes 12 from 12_003.png",
            slug="cluster-by",
        )
    unfit = next((name for name, cluster in zip(names, clusters, strict=True) if cluster is None), "")
    return clusters, _without(clusters, f"do not fit --cluster-by {NAMES}{text} ({unfit!r})", table)


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        at = error.pos or 0
        raise OptionError(
            f"--cluster-by {NAMES}{text} is no regular expression: {error.msg}, at letter {at + 1}: "
            f"{text[:at]}>>>{text[at:]}\n  A cluster is its first group: name:(\\d+)_ takes 12 from 12_003.png",
            slug="cluster-by",
        ) from error


def _found(pattern: re.Pattern[str], name: str) -> str | None:
    """The first group of the first match, the whole of it where there is no group or it took no part."""
    match = pattern.search(name)
    if match is None:
        return None
    return (match[1] if pattern.groups and match[1] is not None else match[0]) or None


def _of_values(table: ImageTable, values: Sequence[object]) -> tuple[list[str | None], list[str]]:
    if len(values) != len(table):
        raise OptionError(
            f"cluster_by has {counted(len(values), 'value')} for {counted(len(table), 'image')}: give one for each, in "
            "their order.",
            slug="cluster-by",
        )
    clusters = [None if value is None or str(value).strip().lower() in _EMPTY else str(value) for value in values]
    return clusters, _without(clusters, "have no value in cluster_by", table)


def _without(clusters: Sequence[str | None], what: str, table: ImageTable) -> list[str]:
    """What is said of images that are in no cluster."""
    if not (count := clusters.count(None)):
        return []
    first = table.images[clusters.index(None)].id
    return [f"{count:,} of {len(clusters):,} images {what}, the first {first}: each is a cluster of its own."]


def largest(clusters: Iterable[str | None]) -> tuple[str, int]:
    """The cluster of the most images, and how many; ("", 1) where there is none."""
    counts = Counter(cluster for cluster in clusters if cluster is not None)
    return counts.most_common(1)[0] if counts else ("", 1)
