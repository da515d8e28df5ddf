"""The rows of the chart of effects, from findings as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from seewhy.errors import counted
from seewhy.evidence.findings.claims import CLAIMS
from seewhy.evidence.findings.figures import watched_of
from seewhy.render.rows import KINDS, Row


def rows_of_findings(findings: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for each tested factor in the order of the findings, those not separated from it below it.

    The findings are those of findings.json, or `vars` of findings. What was not tested, and what has no effect on a
    probability, has no row. A dependence has its interval after the choice of findings, as in its words.
    """
    rows = []
    for finding in findings:
        numbers = finding["numbers"]
        rows.append(_row(finding["factor"], kind_of(finding), numbers.get("probability"), numbers))
        shared = {name: numbers.get(name) for name in ("contrast", "recipients")}
        for name, member in (numbers.get("members") or {}).items():
            rows.append(_row(name, "not separated", member, {**shared, **member}))
    return [row for row in rows if row is not None]


def kind_of(finding: Mapping[str, Any]) -> str:
    """What a finding is shown as: the gravest of its claims, or that it makes none."""
    claimed = next((claim for claim in CLAIMS if claim in KINDS and claim in finding["claims"]), None)
    return claimed or ("cannot say" if finding["level"] == "CANNOT SAY" else "none")


def _row(name: str, kind: str, contrast: Mapping[str, Any] | None, numbers: Mapping[str, Any]) -> Row | None:
    effect = _effect(contrast)
    if effect is None:
        return None
    ends = numbers.get("selected_interval") or (None, None)
    if kind not in ("none", "cannot say", "core not used", "fragile") and all(map(_is_number, ends)):
        effect = (effect[0], *ends)
    limit = (numbers.get("control") or {}).get("limit")
    control = limit if _is_number(limit) else None
    return Row(name, *effect, kind, _effect(numbers.get("train")), control, _note(numbers))


def _effect(contrast: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
    """Value, low and high; an interval without an end reaches as far as shares do."""
    if contrast is None or not _is_number(contrast.get("value")):
        return None
    low, high = (
        float(contrast[name]) if _is_number(contrast.get(name)) else end for name, end in (("low", -1.0), ("high", 1.0))
    )
    return float(contrast["value"]), low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _note(numbers: Mapping[str, Any]) -> str:
    """Whose probability it is, and how many images stand behind it."""
    contrast, count = numbers.get("contrast"), numbers.get("recipients")
    watched = watched_of(contrast)
    return f"{watched}; {counted(count, 'image')}" if count else watched
