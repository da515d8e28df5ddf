"""What other columns of the table go with: the label, and the answer within classes. Associations, no dependences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.data.table_columns import TableColumn, usable_columns
from seewhy.errors import counted, listed
from seewhy.estimates import Estimate, Floats, Integers, p_words
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.inference.permutation import PermutationTest, Unit, permutation_test, rate_difference
from seewhy.evidence.inference.ranks import holm, ranks
from seewhy.evidence.inference.units import share_of
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.association import association
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.trial import UNDECIDED, Scores
from seewhy.store.manifest import digest_of

TITLE = "Columns: associations, no dependence"
GOES_WITH = 0.2  # of a factor's variance that lies between a column's values, for it to be named
_LEAST_DRAWS, _DRAWS_PER_TEST = 1999, 60  # so that Holm's least p-value can be reached
_BINS = 5  # of numbers, for what goes with them
_SHOWN = 3


def columns_identity(design: AuditDesign) -> list[str]:
    """The columns that are compared, or were asked for and cannot be, and a hash of what they say of each image."""
    columns, left = usable_columns(design.plan.table, design.audited.images, design.request.columns)
    names = sorted([*(column.name for column in columns), *left])
    return [*names, digest_of([image.cells for image in design.audited.images])] if names else []


@dataclass(frozen=True)
class _Told:
    """The group of a column that differs most: how much more often its images are of, or taken for, a class."""

    group: str
    name: str  # of the class
    difference: Estimate
    inside: Estimate
    outside: Estimate


@dataclass(frozen=True)
class _Compared:
    """A column with both of its tests; `told` are the groups that differ most, None where none can be compared."""

    column: TableColumn
    n: int
    label: PermutationTest
    prediction: PermutationTest
    by_label: _Told | None
    by_prediction: _Told | None
    goes_with: tuple[tuple[str, float], ...]


def columns_of(design: AuditDesign, before: Scores, findings: Sequence[Finding]) -> dict[str, Any]:
    """What is said of columns, as findings.json has it: `tested` with numbers and words, `left_out` with reasons."""
    sample = design.audited
    columns, left_out = usable_columns(design.plan.table, sample.images, design.request.columns)
    compared = [_compared(design, before, column, len(columns)) for column in columns]
    adjusted = holm([test.p_value for each in compared for test in (each.label, each.prediction)])
    tested = [
        _stored(each, adjusted[2 * place], adjusted[2 * place + 1], len(adjusted), findings)
        for place, each in enumerate(compared)
    ]
    tested.sort(key=lambda record: min(record["label"]["p_holm"], record["prediction"]["p_holm"]))
    return {"title": TITLE, "split": sample.split, "tested": tested, "left_out": left_out}


def _compared(design: AuditDesign, before: Scores, column: TableColumn, n_columns: int) -> _Compared:
    """A column against labels and predictions of the images of which both are known."""
    sample = design.audited
    kept = column.kept & (before.predictions != UNDECIDED)
    labels, predictions, clusters = sample.labels[kept], before.predictions[kept], sample.clusters[kept]
    numbers = _as_numbers(column, kept)
    none = np.zeros(int(kept.sum()), dtype=np.int64)
    rng = np.random.default_rng((design.seed, len(column.name), *column.name.encode()))
    draws = max(_LEAST_DRAWS, _DRAWS_PER_TEST * 2 * n_columns)
    groups = _groups(column, kept)
    return _Compared(
        column=column,
        n=int(kept.sum()),
        label=permutation_test(numbers, labels, none, clusters, draws=draws, rng=rng),
        prediction=permutation_test(numbers, predictions, labels, clusters, draws=draws, rng=rng),
        by_label=_most_different(groups, labels, none, clusters, design.classes),
        by_prediction=_most_different(groups, predictions, labels, clusters, design.classes),
        goes_with=_factors_with(design, column, kept),
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
) -> _Told | None:
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
    return _Told(words, classes[index], difference, *rates)


def _factors_with(design: AuditDesign, column: TableColumn, kept: NDArray[np.bool_]) -> tuple[tuple[str, float], ...]:
    """The tested factors whose values differ most between the column's, within classes, with how much."""
    labels = design.audited.labels[kept]
    if column.values is not None:
        values = column.values[kept]
        bins = np.searchsorted(np.quantile(values, np.arange(1, _BINS) / _BINS), values).astype(np.int64)
    else:
        bins = np.zeros(len(labels), np.int64) if column.groups is None else column.groups[kept]
    shares = {
        factor.name: association(_less_class_means(design.values[factor.name][kept], labels), bins)
        for factor in design.factors
        if factor.name in design.values
    }
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return tuple((name, share) for name, share in ordered if share >= GOES_WITH)[:_SHOWN]


def _less_class_means(values: Floats, labels: Integers) -> Floats:
    left = values.copy()
    for index in np.unique(labels):
        left[labels == index] -= left[labels == index].mean(axis=0)
    return left


def _stored(
    compared: _Compared, p_label: float, p_prediction: float, n_tests: int, findings: Sequence[Finding]
) -> dict[str, Any]:
    """A column as findings.json has it, its sentences included."""
    column = compared.column
    carriers = [
        {"factor": name, "share": share, "finding": _finding_of(name, findings)} for name, share in compared.goes_with
    ]
    is_shown = min(p_label, p_prediction) < AUDIT_THRESHOLDS["level"]
    return {
        "column": column.name,
        "kind": "number" if column.values is not None else "groups",
        "groups": list(column.names),
        "n": compared.n,
        "label": _numbers_of(compared.label, p_label, compared.by_label),
        "prediction": _numbers_of(compared.prediction, p_prediction, compared.by_prediction),
        "goes_with": carriers,
        "is_shown": is_shown,
        "text": f"{_with_label(compared, p_label, n_tests)} {_with_prediction(compared, p_prediction)}",
        "todo": _carried(carriers) if is_shown else "",
    }


def _numbers_of(test: PermutationTest, p_holm: float, told: _Told | None) -> dict[str, Any]:
    numbers = {**vars(test), "p_holm": p_holm}
    if told is None:
        return {**numbers, "group": None}
    rates = {name: vars(getattr(told, name)) for name in ("difference", "inside", "outside")}
    return {**numbers, "group": told.group, "class": told.name, **rates}


def _finding_of(factor: str, findings: Sequence[Finding]) -> str | None:
    """What the exchange of a factor says: level, claims and effect, and under which finding it is told."""
    finding = next((each for each in findings if factor in (each.factor, *each.members)), None)
    if finding is None:
        return None
    effect = finding.numbers.get("members", {}).get(factor) or finding.numbers.get("probability") or {}
    words = [finding.level_words, *finding.claims]
    words += [signed_points(effect["value"])] if effect else []
    words += [f"told under {finding.factor}"] if finding.factor != factor else []
    return ", ".join(words)


def _with_label(compared: _Compared, p_holm: float, n_tests: int) -> str:
    test, told, name = compared.label, compared.by_label, compared.column.name
    how = f"{p_words(p_holm, 2)} after Holm over {counted(n_tests, 'test')} of columns{_unit_words(test.unit)}"
    v = f"Cramér's V {test.cramers_v:.2f}, " if np.isfinite(test.cramers_v) else ""
    images = counted(compared.n, "image")
    if told is None:
        return f"Whether it goes with the label cannot be said ({images})."
    size = (
        f"of the {counted(told.inside.n, 'image')} with {name} {told.group} {told.inside.value:.0%} are "
        f"{told.name}, of the {told.outside.n:,} others {told.outside.value:.0%}: {_difference(told)}"
    )
    if p_holm < AUDIT_THRESHOLDS["level"]:
        return f"It goes with the label ({v}{how}): {size}."
    return f"That it goes with the label is not shown ({v}{how}): {size}."


def _with_prediction(compared: _Compared, p_holm: float) -> str:
    test, told, name = compared.prediction, compared.by_prediction, compared.column.name
    if told is None:
        return "Within classes it has one value alone, so nothing can be said of the answers."
    size = (
        f"how often images of one class are taken for {told.name} differs by {_difference(told)} between those with "
        f"{name} {told.group} and others (n = {told.difference.n:,})"
    )
    how = f"{p_words(p_holm, 2)}{_unit_words(test.unit)}"
    if p_holm < AUDIT_THRESHOLDS["level"]:
        return f"Within classes the answers go with it, too ({how}): {size}."
    return f"That answers go with it within classes is not shown ({how}): {size}."


def _difference(told: _Told) -> str:
    return f"{signed_points(told.difference.value)} {interval(told.difference)}"


def _unit_words(unit: Unit) -> str:
    return {"image": "", "cluster": ", clusters permuted", "image within its cluster": ", permuted within clusters"}[
        unit
    ]


def _carried(carriers: Sequence[dict[str, Any]]) -> str:
    """Which tested factor may carry the column, and what its exchange shows; or that none is known."""
    head = "This is an association, never a dependence."
    if not carriers:
        return (
            f"{head} No tested region or property goes with it: name what carries it (--regions, --properties), and it "
            "is exchanged."
        )
    named = [f"{each['factor']} ({each['share']:.2f}): {each['finding'] or 'not tested'}" for each in carriers]
    return (
        f"{head} What the answers depend on is said by the exchange of what goes with it (in brackets the share of its "
        f"variance within classes that lies between the column's values): {listed(named, _SHOWN)}."
    )
