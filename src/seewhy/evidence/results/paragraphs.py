"""Findings as paragraphs: those that claim nothing are told together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seewhy.errors import listed
from seewhy.evidence.findings.confusion_words import ConfusionFinding
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES
from seewhy.evidence.trials.contrast import OWN_CLASS
from seewhy.evidence.trials.resolution import in_short, more_words

LARGE = "CANNOT SAY: large, but not shown among all tests"
DISAGREE = "CANNOT SAY: probability and margin move opposite ways"


@dataclass(frozen=True)
class Paragraph:
    """A finding, or several of which nothing is claimed, as they are read: title, words, evidence, advice.

    `is_open`: it says what cannot be said.
    """

    title: str
    text: str
    evidence: tuple[str, ...] = ()
    todo: str = ""
    is_open: bool = False

    def as_stored(self) -> dict[str, Any]:
        """The paragraph as findings.json has it."""
        return {name: value for name, value in vars(self).items() if name != "is_open"}


def paragraphs_of(findings: Sequence[Finding], confusions: Sequence[ConfusionFinding] = ()) -> list[Paragraph]:
    """The findings in the order to read them, factors without a dependence in one; then the confusions."""
    plain_ones = [finding for finding in findings if finding.is_plain]
    unpaid = [finding for finding in findings if finding.numbers.get("reason") == "budget"]
    told = [
        Paragraph(finding.title, finding.text, finding.evidence, finding.todo)
        for finding in findings
        if finding not in plain_ones and (finding not in unpaid or len(unpaid) == 1)
    ]
    if len(unpaid) > 1:
        names = listed([finding.factor for finding in unpaid], 40)
        text = f"The budget does not reach these, which are the least suspect: {names}."
        told.append(Paragraph("CANNOT SAY: not tested", text, todo=unpaid[0].todo, is_open=True))
    few = [finding for finding in plain_ones if finding.numbers.get("fewest", LEAST_IMAGES) < LEAST_IMAGES]
    plain_ones = [finding for finding in plain_ones if finding not in few]
    if few:
        names = listed([finding.factor for finding in few], 40)
        told.append(
            Paragraph("CANNOT SAY: too few images", f"{few[0].text} So of {names}.", todo=few[0].todo, is_open=True)
        )
    floor = f"{100 * AUDIT_THRESHOLDS['floor']:.0f} POINTS"
    open_ones = [finding for finding in plain_ones if finding.level == "CANNOT SAY"]
    for title, those in (
        (DISAGREE, [one for one in open_ones if _of_open(one) == DISAGREE]),
        (LARGE, [one for one in open_ones if _of_open(one) == LARGE]),
        (f"CANNOT SAY whether {floor} or more", [one for one in open_ones if not _of_open(one)]),
        (f"NONE LARGER THAN {floor}", [one for one in plain_ones if one.level == "NONE LARGER THAN"]),
    ):
        is_open = title.startswith("CANNOT SAY")
        named = [
            f"{one.factor} {_small(one)}" + (in_short(one.numbers, _sides(one)) if is_open else "") for one in those
        ]
        if named:
            units = f"{those[0].numbers.get('unit', 'image')}s"  # one for all of an audit
            of_each = "of all classes" if those[0].numbers.get("contrast") == OWN_CLASS else "of each class"
            words = "points of probability, 95 %" + (f"; ~: {units} {of_each} that would tell" if is_open else "")
            used = max(one.numbers.get("fewest" if _sides(one) == 1 else "donors") or 0 for one in those)
            counted_ones = f"{used:,}{' clusters' if units == 'clusters' else ''}"
            todo = f"{counted_ones} {of_each} were used. {more_words(units)}" if is_open else ""
            told.append(Paragraph(title=title, text=f"{listed(named, 40)} ({words}).", todo=todo, is_open=is_open))
    return told + [Paragraph(one.title, one.text, (), one.todo, one.said == "cannot say") for one in confusions]


def _of_open(finding: Finding) -> str:
    """The title of an open finding that is no matter of the floor alone: its interval lies beyond that; else ""."""
    effect, floor = finding.numbers["probability"], AUDIT_THRESHOLDS["floor"]
    if not (effect["low"] > floor or effect["high"] < -floor):
        return ""
    return DISAGREE if effect["value"] * finding.numbers["margin"]["value"] < 0 else LARGE


def _sides(finding: Finding) -> int:
    """Of how many sides the images are counted together: of the own class against all others of both."""
    is_mark = finding.numbers.get("kind") == "insert"
    return 2 if finding.numbers.get("contrast") == OWN_CLASS and not is_mark else 1


def _small(finding: Finding) -> str:
    effect = finding.numbers.get("probability") or finding.numbers.get("benefit") or {}
    if not effect:
        return ""
    low, high = (100 * min(1.0, max(-1.0, effect[end])) for end in ("low", "high"))  # there are 100 points either way
    return f"{100 * effect['value']:+.1f} [{low:+.1f}, {high:+.1f}]"
