"""What an audit gives: findings in words, every number behind them, and all trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.errors import OptionError, listed
from seewhy.evidence.drift import MapRecords
from seewhy.evidence.plain import plain
from seewhy.evidence.prepare import Setting
from seewhy.evidence.trials import Scores, Trials
from seewhy.evidence.verdict import THRESHOLDS, Verdict
from seewhy.evidence.weigh import Weighed


@dataclass(frozen=True, repr=False)
class Audit:
    """What `audit` gives: `findings` (a finding for each factor, or group that cannot be separated), worst first.

    `setting` holds what was tested, `trials` every edited image's scores, `weighed` every effect with its safeguards.
    """

    findings: tuple[Verdict, ...]
    facts: dict[str, Any]
    setting: Setting
    weighed: Weighed
    before: Mapping[str, Baseline]
    trials: tuple[Trials, ...]
    maps: Mapping[str, MapRecords]
    writer: Callable[[Path, Audit], Path]

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, factor: str) -> Verdict:
        for one in self.findings:
            if factor == one.factor or factor in one.members:
                return one
        raise OptionError(
            f"The audit has no finding about {factor!r}; it has: {', '.join(f.factor for f in self.findings)}."
        )

    def __repr__(self) -> str:
        said = "\n".join(f"  {title}\n      {text}" for title, text, _ in told_of(self.findings))
        return f"<Audit of {self.facts['images']:,} images, {self.facts['trials']:,} trials>\n{said}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(title)}</td><td style='text-align:left'>{escape(text)}<br><i>{escape(todo)}</i></td></tr>"
            for title, text, todo in told_of(self.findings)
        )
        return f"<table>{rows}</table><p>{escape(self.facts['scope'])}</p>"

    def summary(self) -> dict[str, Any]:
        """Everything but the trials as plain values, ready for JSON."""
        return summary_of(self.findings, self.facts)

    def save(self, folder: str | Path) -> Path:
        """Write the findings, every trial and the pictures to a folder that is empty or does not exist."""
        return self.writer(Path(folder), self)


@dataclass(frozen=True)
class Baseline:
    """What the classifier says of the unedited images of one split."""

    scores: Scores
    logits: np.ndarray[tuple[int, int], np.dtype[np.float64]]


def summary_of(findings: Sequence[Verdict], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The findings and facts as plain values."""
    told = [{"title": title, "text": text, "todo": todo} for title, text, todo in told_of(findings)]
    all_of = [vars(one) for one in findings]
    found: dict[str, Any] = plain({**facts, "findings": all_of, "told": told, "thresholds": THRESHOLDS})
    return found


def told_of(findings: Sequence[Verdict]) -> list[tuple[str, str, str]]:
    """Title, words and advice in the order to read them; factors without a dependence share a line."""
    small = [one for one in findings if one.level == "NONE LARGER THAN" and not one.claims]
    rows = [(title_of(one), one.text, one.todo) for one in findings if one not in small]
    if small:
        named = [f"{one.factor} {_small(one)}" for one in small]
        rows.append((title_of(small[0]), f"{listed(named, 30)} (points of probability, 95 %).", ""))
    return rows


def _small(one: Verdict) -> str:
    found = one.numbers.get("probability") or one.numbers.get("benefit") or {}
    return f"{100 * found['value']:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]" if found else ""


def title_of(one: Verdict) -> str:
    """Level and claims in one word each: "STRONG depends, shortcut"."""
    level = f"NONE LARGER THAN {100 * THRESHOLDS['floor']:.0f} POINTS" if one.level == "NONE LARGER THAN" else one.level
    return f"{level}  {', '.join(claim for claim in one.claims if claim != 'classifier')}".strip()
