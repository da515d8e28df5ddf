"""What other columns of the table go with: the label, and the answer within classes. Associations, no dependences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seewhy.data.tables.table_columns import usable_columns
from seewhy.errors import counted, listed
from seewhy.estimates import p_words
from seewhy.evidence.findings.column_tests import (
    MOST_NAMED,
    ComparedColumn,
    Told,
    comparable_columns,
    compared_column,
)
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.inference.permutation import PermutationTest, Unit
from seewhy.evidence.inference.ranks import holm
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.trial import Scores
from seewhy.store.manifest import digest_of

TITLE = "Columns: associations, no dependence"


def columns_identity(design: AuditDesign) -> list[str]:
    """The columns that are compared, or were asked for and cannot be, and a hash of what they say of each image."""
    columns, left = usable_columns(design.plan.table, design.audited.images, design.request.columns)
    names = sorted([*(column.name for column in columns), *left])
    return [*names, digest_of([image.cells for image in design.audited.images])] if names else []


def columns_of(design: AuditDesign, before: Scores, findings: Sequence[Finding]) -> dict[str, Any]:
    """What is said of columns, as findings.json has it: `tested` with numbers and words, `left_out` with reasons."""
    columns, left_out = comparable_columns(design, before)
    compared = [compared_column(design, before, column, len(columns)) for column in columns]
    adjusted = holm([test.p_value for each in compared for test in (each.label, each.prediction)])
    tested = [
        _stored(each, adjusted[2 * place], adjusted[2 * place + 1], len(adjusted), findings)
        for place, each in enumerate(compared)
    ]
    tested.sort(key=lambda record: min(record["label"]["p_holm"], record["prediction"]["p_holm"]))
    return {"title": TITLE, "split": design.audited.split, "tested": tested, "left_out": left_out}


def _stored(
    compared: ComparedColumn, p_label: float, p_prediction: float, n_tests: int, findings: Sequence[Finding]
) -> dict[str, Any]:
    """A column as findings.json has it, its sentences included."""
    column = compared.column
    within, over_all = (
        [{"factor": name, "share": share, "finding": _finding_of(name, findings)} for name, share in pairs]
        for pairs in (compared.goes_with, compared.over_all)
    )
    is_shown = min(p_label, p_prediction) < AUDIT_THRESHOLDS["level"]
    return {
        "column": column.name,
        "kind": "number" if column.values is not None else "groups",
        "groups": list(column.names),
        "n": compared.n,
        "label": _numbers_of(compared.label, p_label, compared.by_label),
        "prediction": _numbers_of(compared.prediction, p_prediction, compared.by_prediction),
        "goes_with": within,
        "goes_with_over_all": over_all,
        "is_shown": is_shown,
        "text": f"{_with_label(compared, p_label, n_tests)} {_with_prediction(compared, p_prediction)}",
        "todo": _carried(within, over_all) if is_shown else "",
    }


def _numbers_of(test: PermutationTest, p_holm: float, told: Told | None) -> dict[str, Any]:
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


def _with_label(compared: ComparedColumn, p_holm: float, n_tests: int) -> str:
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


def _with_prediction(compared: ComparedColumn, p_holm: float) -> str:
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


def _difference(told: Told) -> str:
    return f"{signed_points(told.difference.value)} {interval(told.difference)}"


def _unit_words(unit: Unit) -> str:
    return {"image": "", "cluster": ", clusters permuted", "image within its cluster": ", permuted within clusters"}[
        unit
    ]


def _carried(within: Sequence[dict[str, Any]], over_all: Sequence[dict[str, Any]]) -> str:
    """Which tested factors may carry the column, and what their exchange shows; or that none is known."""
    parts = ["This is an association, never a dependence."]
    if within:
        parts.append(
            "What the answers depend on is said by the exchange of what goes with it within classes (in brackets the "
            "share of its variance, in the mix of its numbers that fits best, that lies between the column's values): "
            f"{_named(within)}."
        )
    else:
        parts.append("Within classes no tested region or property goes with it.")
    if over_all:
        parts.append(f"Over all images, where the label may be what both go with, these do: {_named(over_all)}.")
    if not within:
        parts.append(
            "Name what {}carries it (--regions, --properties), and it is exchanged.".format("else " * bool(over_all))
        )
    return " ".join(parts)


def _named(carriers: Sequence[dict[str, Any]]) -> str:
    """The first of them, those that an exchange shows to matter before the others, and how many more there are."""
    carriers = sorted(carriers, key=lambda each: "depends" not in (each["finding"] or ""))
    named = [f"{each['factor']} ({each['share']:.2f}): {each['finding'] or 'not tested'}" for each in carriers]
    return listed(named, MOST_NAMED)
