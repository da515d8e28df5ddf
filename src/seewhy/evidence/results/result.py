"""What an audit gives: findings in words, every number behind them, and all trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.errors import OptionError, counted, listed, nearest
from seewhy.estimates import Estimate
from seewhy.evidence.checks.behaviour import Behaviour
from seewhy.evidence.findings.cases import Cases
from seewhy.evidence.findings.confusion_words import ConfusionFinding
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.chart import kind_of, rows_of_findings
from seewhy.evidence.results.class_table import ClassTable
from seewhy.evidence.results.map_shares import MapRecords, MapShares
from seewhy.evidence.results.paragraphs import Paragraph, paragraphs_of
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import contrasts_of
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import TrialKey
from seewhy.evidence.trials.trial import Scores, Trials
from seewhy.render import notebook
from seewhy.render.chart import interval_chart
from seewhy.render.page import BAD, QUIET, UNKNOWN
from seewhy.render.rows import look_of
from seewhy.store.frames import frame_of
from seewhy.store.plain import plain


@dataclass(repr=False, eq=False)
class Audit:
    """What `audit` gives: `findings` (a finding for each factor, or group that cannot be separated), worst first.

    `design` holds what was tested, `trials` every edited image's scores, `cases` every effect with its safeguards,
    `before` what is said of the images as they are. `folder` is the run folder, None as long as there is none.
    """

    findings: tuple[Finding, ...]
    facts: dict[str, Any]
    design: AuditDesign
    cases: Cases
    before: Mapping[str, Baseline]
    trials: Mapping[TrialKey, Trials]
    map_records: Mapping[str, MapRecords]
    writer: Callable[[Path, Audit], Path]
    folder: Path | None = None

    @property
    def by_class(self) -> ClassTable:
        """What each tested factor does to each class: a table in a notebook."""
        return ClassTable(self.facts["by_class"])

    @property
    def confusions(self) -> tuple[ConfusionFinding, ...]:
        """The most frequent confusions of more than two classes, with what moves the one class into the other."""
        return tuple(self.facts["confusions"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return tuple(self.facts["classes"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be decided, in sentences."""
        return tuple(self.facts["notes"])

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, factor: str) -> Finding:
        for finding in self.findings:
            if factor == finding.factor or factor in finding.members:
                return finding
        raise OptionError(
            f"The audit has no finding about {factor!r}.  {nearest(factor, self._names)}".rstrip() + "\n"
            f"  It has: {', '.join(self._names)}."
        )

    @property
    def _names(self) -> list[str]:
        return [finding.factor for finding in self.findings]

    def __repr__(self) -> str:
        said = "\n".join(f"  {one.title}\n      {one.text}" for one in paragraphs_of(self.findings, self.confusions))
        counts = f"{counted(self.facts['images'], 'image')}, {counted(self.facts['trials'], 'trial')}"
        where = f"; in {self.folder}" if self.folder else ""
        return f"<Audit of {counts}{where}>\n{said}"

    def _repr_html_(self) -> str:
        colours = {finding.title: _colour(finding) for finding in self.findings}
        return notebook.page(
            notebook.heading("Audit", _header(self.facts)),
            _chart(self.findings),
            *(_card(one, colours.get(one.title)) for one in paragraphs_of(self.findings, self.confusions)),
            self.by_class.grid() if self.by_class.is_by_class else "",
            *_column_cards(self.columns),
            notebook.sentence(self.facts["scope"]),
            notebook.typed("The full report, with pictures of the exchanges:", _REPORT),
        )

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each finding: factor, level, claims, effect with its interval and p, flips, text."""
        return [_record_of(finding) for finding in self.findings]

    @property
    def columns(self) -> list[dict[str, Any]]:
        """A dict for each column of the table that was compared: what goes with it, as associations, and in words."""
        return list(self.facts.get("columns", {}).get("tested", ()))

    def to_pandas(self) -> Any:
        """`records` as a pandas DataFrame. Raises MissingExtraError without pandas."""
        return frame_of(self.records)

    def summary(self) -> dict[str, Any]:
        """Everything but the trials as plain values, ready for JSON."""
        return summary_of(self.findings, self.facts)

    def save(self, folder: str | Path) -> Path:
        """Write the findings, every trial and the pictures to a folder that is empty or does not exist."""
        self.folder = self.writer(Path(folder), self)
        return self.folder


_REPORT = 'seewhy.write_report(audit.save("folder"))'


def _record_of(finding: Finding) -> dict[str, Any]:
    """A finding as a plain row; what was not measured is None."""
    numbers = finding.numbers
    effect, flips = numbers.get("probability") or {}, numbers.get("flips") or {}
    return {
        "factor": finding.factor,
        "level": finding.level,
        "claims": ", ".join(finding.claims),
        "contrast": numbers.get("contrast"),
        "split": numbers.get("split"),
        "effect": effect.get("value"),
        "low": effect.get("low"),
        "high": effect.get("high"),
        "p": numbers.get("p_holm"),
        "flips": flips.get("value"),
        "text": finding.text,
    }


def _header(facts: Mapping[str, Any]) -> list[str]:
    """Images, classes, accuracy and trials in words."""
    splits = ", ".join(f"{count:,} {name}" for name, count in facts["splits"].items())
    header = [f"{counted(facts['images'], 'image')} ({splits})", f"classes {listed(facts['classes'])}"]
    accuracy = facts["accuracy"] and Estimate(**facts["accuracy"])
    header += [f"accuracy {accuracy} on {counted(accuracy.n, 'image')}"] if accuracy else []
    return [*header, counted(facts["trials"], "trial")]


def _chart(findings: Sequence[Finding]) -> str:
    """The effects of all tested factors; "" where none was tested."""
    rows = rows_of_findings([vars(finding) for finding in findings])
    words = "Effect of each tested factor"
    svg = interval_chart(rows, floor=AUDIT_THRESHOLDS["floor"], title=words, describe=words) if rows else ""
    return notebook.picture(svg, words) if rows else ""


def _colour(finding: Finding) -> str:
    return BAD if "classifier" in finding.claims else look_of(kind_of(vars(finding)), AUDIT_THRESHOLDS["floor"]).colour


def _column_cards(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns that are shown to go with labels or answers, told apart from findings."""
    return [
        notebook.card("ASSOCIATION", column["column"], column["text"], (), column["todo"], colour=QUIET)
        for column in columns
        if column["is_shown"]
    ]


def _card(paragraph: Paragraph, colour: str | None) -> str:
    level, _, title = paragraph.title.partition("  ")
    if colour is None:
        colour = UNKNOWN if paragraph.is_open else QUIET
    return notebook.card(level, title, paragraph.text, paragraph.evidence, paragraph.todo, colour=colour)


@dataclass(frozen=True)
class Baseline:
    """What the classifier says of the unedited images of one split."""

    scores: Scores
    logits: np.ndarray[tuple[int, int], np.dtype[np.float64]]


def summary_of(findings: Sequence[Finding], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The findings and facts as plain values."""
    told = [paragraph.as_stored() for paragraph in paragraphs_of(findings, facts.get("confusions", ()))]
    all_of = [vars(finding) for finding in findings]
    summary: dict[str, Any] = plain({**facts, "findings": all_of, "told": told, "thresholds": AUDIT_THRESHOLDS})
    return summary


def facts_of(
    design: AuditDesign,
    behaviour: Behaviour,
    shares: MapShares,
    trials: Mapping[TrialKey, Trials],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """What was tested, on which images, with which outcome of the classifier itself."""
    samples = design.samples
    names = {str(key.factor) for key in trials}
    asked = [*(factor.name for factor in design.factors), *(mark.name for mark in design.marks)]
    tested = [name for name in asked if name in names]
    return {
        "images": sum(map(len, samples.values())),
        "splits": {split: len(sample) for split, sample in samples.items()},
        "distinct": {split: len(np.unique(sample.clusters)) for split, sample in samples.items()},
        **({"cluster_by": design.plan.table.cluster_by} if design.plan.table.cluster_by else {}),
        "unreadable": {i.id: why for sample in samples.values() for i, why in sample.unreadable},
        "classes": list(design.classes),
        "audited_classes": [design.classes[index] for index in np.unique(samples.audited.labels)],
        "contrasts": [contrast.name for contrast in contrasts_of(design.classes)],
        "accuracy": None if behaviour.accuracy is None else vars(behaviour.accuracy),
        "core": list(design.core),
        "tested": tested,
        "found_in": {name: home for name in tested if (home := _home_of(name, findings)) is not None},
        "suspicion": design.associations,
        "trials": design.schedule.n_trials,
        "jobs": len(design.schedule.jobs),
        "effort": design.schedule.effort.as_stored(),
        "regions": {factor.name: factor.words for factor in design.factors if factor.region},
        "warnings": {name: list(words) for name, words in design.warnings.items()},
        "notes": list(design.notes),
        "maps": {
            "layer": list(design.plan.grids)[:1],
            "method": design.plan.methods[0],
            "score": design.plan.scores[0].name,
            "shares": shares.shares,
            "lifts": shares.lifts,
        },
        "scope": f"Tested: {', '.join(tested) or 'nothing'}. Outside of this list nothing is said.",
    }


def _home_of(factor: str, findings: Sequence[Finding]) -> str | None:
    """The factor of the finding that holds a tested factor's numbers: its own, or that of the group it is in."""
    holding = (finding for finding in findings if "probability" in finding.numbers)
    return next((finding.factor for finding in holding if factor in (finding.factor, *finding.members)), None)
