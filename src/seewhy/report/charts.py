"""The charts of the pages, each drawn twice: for a page and for a telephone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.chart import rows_of_findings
from seewhy.render.chart import NARROW, WIDE, Share, histogram_chart, interval_chart, share_chart
from seewhy.render.rows import Row
from seewhy.report.accuracy import Accuracy, Sureness
from seewhy.report.averages import EVERY_CLASS
from seewhy.report.exchanges import DonorEffects
from seewhy.report.numbers import too_few

MOST_CLASSES = 24  # with a row of their own


def effect_chart(findings: Sequence[Finding], floor: float, title: str) -> str:
    """The effects of tested factors with their intervals, the floor and the controls, as SVG; "" without any."""
    rows = [row for finding in findings if too_few(finding) is None for row in _rows_of(finding)]
    describe = "How many points of probability each factor moves, with 95 % intervals, beside train and controls."
    return interval_svg(rows, floor, title, describe)


def _rows_of(finding: Finding) -> list[Row]:
    """The finding's row, then those of the factors that it explains or may be one of, each with its leader's name."""
    rows = rows_of_findings([vars(finding)])
    return [_under(finding, row) if row.kind == "not separated" else row for row in rows]


def _under(finding: Finding, row: Row) -> Row:
    """How a row is told with the finding's factor; what is no cause ("held" has what is left of it) is of the core."""
    if row.name in finding.alternatives:
        return replace(row, kind="alternative", under=f"may be the cause in place of {finding.factor}")
    if "held" in finding.numbers:
        return replace(row, kind="explained", under=f"explained by {finding.factor}")
    return replace(row, under=f"not separated from {finding.factor}")


def interval_svg(rows: Sequence[Row], floor: float, title: str, describe: str) -> str:
    """Rows with their intervals and the floor as SVG; "" without any."""
    return _for_screens(interval_chart, rows, floor=floor, title=title, describe=describe) if rows else ""


def share_svg(shares: Sequence[Share], guess: float | None, title: str, describe: str) -> str:
    """Shares of right answers with their intervals as SVG; "" without any."""
    return _for_screens(share_chart, shares, guess=guess, title=title, describe=describe) if shares else ""


def accuracy_chart(accuracy: Sequence[Accuracy], chance: float | None) -> str:
    """The accuracy by split and class as SVG; "" without labels."""
    labels = {row.label for row in accuracy}
    shown = [row for row in accuracy if len(labels) <= MOST_CLASSES or row.label is None]
    shares = [Share(row.label or EVERY_CLASS, row.split or "all images", **vars(row.share)) for row in shown]
    title = "Share of right answers"
    describe = f"{title} by split and class."
    return _for_screens(share_chart, shares, guess=chance, title=title, describe=describe) if shares else ""


def sureness_chart(bins: Sequence[Sureness]) -> str:
    """How often answers are right beside how sure they are, as SVG; "" where no image has a label."""
    shares = [Share(row.name, "", **vars(row.share)) for row in bins]
    said = {row.name: row.said for row in bins}
    title = "Share of right answers by how sure they are"
    describe = "For each range of the network's own probability: how often its answer is right."
    return _for_screens(share_chart, shares, guess=said, title=title, describe=describe) if shares else ""


def donors_chart(donors: DonorEffects | None, factor: str) -> str:
    """The donors' own effects by their class as SVG; "" without donors."""
    if donors is None or not any(donors.effects.values()):
        return ""
    return _for_screens(
        histogram_chart,
        donors.effects,
        title=f"What each donor's {factor} does to {donors.watched}",
        unit="points of probability",
        describe="The distribution of the donors' own effects by their class.",
    )


def _for_screens(chart: Callable[..., str], values: Any, **words: Any) -> str:
    return chart(values, width=WIDE, **words) + chart(values, width=NARROW, **words)
