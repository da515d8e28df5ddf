"""Columns of the table against the label and, within classes, the answer: which can be compared, and their tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seewhy.data.tables.sheet import plain
from seewhy.data.tables.table_columns import MOST_GROUPS, OTHER, TableColumn, usable_columns
from seewhy.estimates import Estimate, Floats, Integers
from seewhy.evidence.inference.permutation import (
    PermutationTest,
    is_nested,
    permutation_test,
    rate_difference,
    shared_by_clusters,
)
from seewhy.evidence.inference.ranks import ranks
from seewhy.evidence.inference.units import share_of
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.trial import UNDECIDED, Scores

GOES_WITH = 0.2  # of a factor's variance that lies between a column's values, for it to be named
MOST_NAMED = 3  # factors that are named to go with a column
_LEAST_DRAWS, _DRAWS_PER_TEST = 1999, 60  # so that Holm's least p-value can be reached
_BINS = 5  # of numbers, for what goes with them
_MOST_MIXED = 8  # principal components of a factor's values


@dataclass(frozen=True)
class Told:
    """The group of a column that differs most: how much more often its images are of, or taken for, a class."""

    group: str
    name: str  # of the class
    difference: Estimate
    inside: Estimate
    outside: Estimate


@dataclass(frozen=True)
class ComparedColumn:
    """A column with both of its tests; `told` are the groups that differ most, None where none can be compared.

    `goes_with` are factors and how much of their variance within classes lies between the column's values, `over_all`
    the same of all images together, of other factors.
    """

    column: TableColumn
    n: int
    label: PermutationTest
    prediction: PermutationTest
    by_label: Told | None
    by_prediction: Told | None
    goes_with: tuple[tuple[str, float], ...]
    over_all: tuple[tuple[str, float], ...]


def comparable_columns(design: AuditDesign, before: Scores) -> tuple[list[TableColumn], dict[str, str]]:
    """The columns as they are compared, on images whose prediction is known, and why others are not."""
    columns, left_out = usable_columns(design.plan.table, design.audited.images, design.request.columns)
    kept = list[TableColumn]()
    for column in columns:
        known = replace(column, kept=column.kept & (before.predictions != UNDECIDED))
        if _is_the_cluster(design, column):
            by = f"--cluster-by {design.plan.table.cluster_by}"
            left_out[column.name] = f"it says which cluster an image is of ({by}), and clusters are the units"
        elif (read := _by_clusters(design, known)) is None:
            left_out[column.name] = (
                "no two clusters have a value of it in common, so that it says but which cluster it is"
            )
        else:
            kept.append(read)
    return kept, left_out


def _is_the_cluster(design: AuditDesign, column: TableColumn) -> bool:
    """Whether a column is that of --cluster-by, or the same under another name."""
    if not (asked := design.plan.table.cluster_by):
        return False
    named = [image.cluster or image.id for image in design.audited.images]
    pairs = set(zip(_cells(design, column), named, strict=True))
    return plain(column.name) == plain(asked) or len(pairs) == len({cell for cell, _ in pairs}) == len({*named})


def _cells(design: AuditDesign, column: TableColumn) -> list[str]:
    place = design.plan.table.columns.index(column.name)
    return [image.cells[place] if image.cells else "" for image in design.audited.images]


def _by_clusters(design: AuditDesign, column: TableColumn) -> TableColumn | None:
    """The column; where it is the same within each cluster, values are groups that several clusters have.

    Whether a value has images enough for a group of its own depends on how large its clusters are, so that clusters of
    few images would be in another group for that alone. None where no two clusters have the same.
    """
    kept, clusters = column.kept, design.audited.clusters[column.kept]
    if column.groups is None or not kept.any() or len(np.unique(clusters)) == len(clusters):
        return column
    merged = [column.names[place] for place in column.groups[kept]]
    cells = [cell for cell, is_kept in zip(_cells(design, column), kept, strict=True) if is_kept]
    unmerged = [cell if name == OTHER else name for name, cell in zip(merged, cells, strict=True)]
    words = next((np.array(each) for each in (unmerged, merged) if is_nested(np.array(each), clusters)), None)
    if words is None:
        return column
    is_shared = shared_by_clusters(words, clusters, MOST_GROUPS)
    names, places = np.unique(np.where(is_shared, words, OTHER), return_inverse=True)
    groups = np.zeros(len(kept), dtype=np.int64)
    groups[kept] = places
    return replace(column, names=tuple(map(str, names)), groups=groups) if len(names) > 1 else None


def compared_column(design: AuditDesign, before: Scores, column: TableColumn, n_columns: int) -> ComparedColumn:
    """A column against labels and predictions of the images of which both are known."""
    sample = design.audited
    kept = column.kept
    labels, predictions, clusters = sample.labels[kept], before.predictions[kept], sample.clusters[kept]
    numbers = _as_numbers(column, kept)
    none = np.zeros(int(kept.sum()), dtype=np.int64)
    rng = np.random.default_rng((design.seed, len(column.name), *column.name.encode()))
    draws = max(_LEAST_DRAWS, _DRAWS_PER_TEST * 2 * n_columns)
    groups = _groups(column, kept)
    within = _factors_with(design, column, lambda values: _less_class_means(values, labels))
    over_all = _factors_with(design, column, lambda values: values)
    return ComparedColumn(
        column=column,
        n=int(kept.sum()),
        label=permutation_test(numbers, labels, none, clusters, draws=draws, rng=rng),
        prediction=permutation_test(numbers, predictions, labels, clusters, draws=draws, rng=rng),
        by_label=_most_different(groups, labels, none, clusters, design.classes),
        by_prediction=_most_different(groups, predictions, labels, clusters, design.classes),
        goes_with=within,
        over_all=tuple(pair for pair in over_all if pair[0] not in dict(within)),
    )


def _as_numbers(column: TableColumn, kept: NDArray[np.bool_]) -> Floats:
    """The column as the test takes it: indicators (n, G), or ranks (n, 1)."""
    if column.groups is None or column.values is not None:
        values = np.zeros(len(kept)) if column.values is None else column.values
        return np.asarray(ranks(values[kept])[:, None])
    held = np.unique(column.groups[kept])
    return np.asarray((column.groups[kept][:, None] == held).astype(np.float64))


def _groups(column: TableColumn, kept: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Each group with the images (n,) in it; of numbers those above the median."""
    if column.values is not None:
        values = column.values[kept]
        middle = float(np.median(values))
        above = values > middle
        return [(f"above {middle:g}", above)] if above.any() else [(f"of {middle:g}", values >= middle)]
    groups = np.zeros(len(kept), dtype=np.int64) if column.groups is None else column.groups
    held = [(f"= {name}", groups[kept] == place) for place, name in enumerate(column.names)]
    return held[1:] if len(held) == 2 else held  # two say the same with another sign


def _most_different(
    groups: Sequence[tuple[str, NDArray[np.bool_]]],
    outcome: Integers,
    strata: Integers,
    clusters: Integers,
    classes: Sequence[str],
) -> Told | None:
    """The group and class whose rates differ most for their error; the interval knows of how many it was chosen."""
    held = [int(index) for index in np.unique(outcome)]
    held = held[-1:] if len(classes) == 2 else held
    pairs = [(words, group, index) for words, group in groups if group.any() and not group.all() for index in held]
    level = 1 - (1 - 0.95) / max(len(pairs), 1)
    found = [
        (rate_difference(group, outcome == index, strata, clusters, level=level), words, group, index)
        for words, group, index in pairs
    ]
    found = [each for each in found if np.isfinite(each[0].value)]
    if not found:
        return None
    difference, words, group, index = max(found, key=lambda each: abs(each[0].value) / (each[0].high - each[0].low))
    rates = [share_of(outcome[part] == index, clusters[part]) for part in (group, ~group)]
    return Told(words, classes[index], difference, *rates)


def _factors_with(
    design: AuditDesign, column: TableColumn, adjusted: Callable[[Floats], Floats]
) -> tuple[tuple[str, float], ...]:
    """The tested factors whose values, adjusted, differ between the column's, with how much; the most first."""
    kept = column.kept
    if column.values is not None:
        values = column.values[kept]
        bins = np.searchsorted(np.quantile(values, np.arange(1, _BINS) / _BINS), values).astype(np.int64)
    else:
        bins = np.zeros(int(kept.sum()), np.int64) if column.groups is None else column.groups[kept]
    groups = adjusted((bins[:, None] == np.unique(bins)).astype(np.float64))
    shares = {
        factor.name: _share_between(adjusted(design.values[factor.name][kept]), groups)
        for factor in design.factors
        if factor.name in design.values
    }
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return tuple((name, share) for name, share in ordered if share >= GOES_WITH)


def _share_between(values: Floats, groups: Floats) -> float:
    """The share of variance between groups (N, G) of that mix of values (N, D) that has the largest, less chance.

    A mix, since colour may go with a column where red, green and blue vary with the light far more (the first canonical
    correlation, squared; Wachter 1980, Annals of Statistics 8, for chance). Where values and groups are without their
    class means it is that within classes (Rao 1969: partial canonical correlation).
    """
    mixes, between = _directions(values)[:, :_MOST_MIXED], _directions(groups)
    chance = (math.sqrt(mixes.shape[1]) + math.sqrt(between.shape[1])) ** 2 / max(len(values) - 1, 1)
    if not mixes.size or not between.size or chance >= 1:
        return 0.0
    return max(0.0, (float(np.linalg.norm(mixes.T @ between, 2)) ** 2 - chance) / (1 - chance))


def _directions(values: Floats) -> Floats:
    """Orthonormal columns (N, R) that span the centred, scaled values (N, D), the largest first."""
    spread = values.std(axis=0)
    scaled = ((values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1))[:, spread > 1e-12]
    directions, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(directions[:, sizes > 1e-6 * max(sizes, default=0.0)])


def _less_class_means(values: Floats, labels: Integers) -> Floats:
    left = values.copy()
    for index in np.unique(labels):
        left[labels == index] -= left[labels == index].mean(axis=0)
    return left
