"""Findings as they are read: a card for each, and a page with everything behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seewhy.evidence.findings.claims import CLAIMS
from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.findings.finding import Finding
from seewhy.report.links import images_of
from seewhy.report.numbers import Number, effect_of, line_of, numbers_of, too_few
from seewhy.report.plain import plain_of

MARKS = {"+": "holds", "-": "does not hold", "?": "settles nothing", "": "noted"}


@dataclass(frozen=True)
class SafeguardLine:
    """One safeguard of a finding: "+" holds, "-" does not, "?" settles nothing, "" is a remark."""

    mark: str
    words: str
    text: str


@dataclass(frozen=True)
class Card:
    """A finding in short. `tone` is bad, caution, good, unknown or none; `page` and `images` are links, "" without.

    `plain` says it for everyone, `measured` the effect in numbers; "" where nothing was measured. `alternatives` are
    the factors that may be the cause in its place.
    """

    factor: str
    level: str
    tone: str
    claims: tuple[str, ...]
    text: str
    signs: tuple[SafeguardLine, ...] = ()
    todo: str = ""
    page: str = ""
    images: str = ""
    plain: str = ""
    measured: str = ""
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class FindingText:
    """One finding with its page: the card, its plain numbers, and a table of them."""

    finding: Finding
    card: Card
    numbers: tuple[Number, ...] = field(default=())


def findings_of(content: Mapping[str, Any]) -> list[Finding]:
    """The findings of findings.json, as the audit had them."""
    plain: list[dict[str, Any]] = [
        {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
        for stored in content.get("findings", ())
    ]
    return [Finding(**fields) for fields in plain]


def texts_of(findings: Sequence[Finding]) -> list[FindingText]:
    """Each finding with its card; those about a tested factor have a page."""
    papers = []
    for number, finding in enumerate(findings, 1):
        has_page = "probability" in finding.numbers
        page = f"finding-{number}.html" if has_page else ""
        images = images_of(sort="-change:" + finding.factor) if has_page else ""
        signs = tuple(map(_safeguard, finding.evidence))
        claims = tuple(claim for claim in finding.claims if claim != "classifier")
        card = Card(
            factor=finding.factor,
            level=level_words(finding),
            tone=tone_of(finding),
            claims=claims,
            text=finding.text,
            signs=signs,
            todo=finding.todo,
            page=page,
            images=images,
            plain=plain_of(finding) if too_few(finding) is None else "",
            measured=_measured(finding),
            alternatives=tuple(finding.alternatives),
        )
        papers.append(FindingText(finding, card, numbers_of(finding)))
    return papers


def _measured(finding: Finding) -> str:
    """The effect and the share of flips, each with its interval and count; "" where nothing was measured."""
    if too_few(finding) is not None:
        return ""
    effect, flips = effect_of(finding), line_of(finding, "flips")
    named = {"effect on " + watched_of(finding.numbers.get("contrast")): effect, "answers that change": flips}
    told = [
        ", ".join([f"{what} {line.value}" + (f" [{line.interval}]" if line.interval else ""), line.count]).rstrip(", ")
        for what, line in named.items()
        if line is not None
    ]
    return "; ".join(told)


def is_untested(finding: Finding) -> bool:
    """Whether the factor could not be tested at all."""
    return "reason" in finding.numbers


def tone_of(finding: Finding) -> str:
    """The gravest tone of the claims; a weak one is at most a caution."""
    tones = [meaning.tone for claim, meaning in CLAIMS.items() if claim in finding.claims]
    if not tones:
        return "unknown" if finding.level == "CANNOT SAY" else "none"
    if "classifier" in finding.claims:
        return "bad"
    tone = "good" if "good" in tones else tones[0]
    return "caution" if tone == "bad" and finding.level == "WEAK" else tone


def level_words(finding: Finding) -> str:
    """The level as a badge says it."""
    if "classifier" in finding.claims:
        return "CLASSIFIER"
    return finding.level_words


def _safeguard(text: str) -> SafeguardLine:
    mark = text[0] if text[:2] in ("+ ", "- ", "? ") else ""
    return SafeguardLine(mark, MARKS[mark], text[2:] if mark else text)
