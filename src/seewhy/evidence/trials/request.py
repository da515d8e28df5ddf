"""What the user asked of an audit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from seewhy.data.tables.table_columns import ALL
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.properties.catalogue import Property
from seewhy.records import checked_count

USUAL_REGIONS = ("zones", SEARCH)  # where none is named


@dataclass(frozen=True)
class Effort:
    """How much work: images edited for each factor and split, donors of each class, and how many of them each meets.

    `controls` are regions for each area, `pairs` factors exchanged together.
    """

    recipients: int = 300
    donors: int = 300
    uses: int = 4
    controls: int = 20
    pairs: int = 6

    def __post_init__(self) -> None:
        for name, count in vars(self).items():
            checked_count(count, f"--{name}", least=0 if name in ("controls", "pairs") else 1)

    def as_stored(self) -> dict[str, int]:
        """The effort as findings.json and the manifest have it."""
        return dict(vars(self))

    def given_up(self, asked: Effort) -> list[str]:
        """What is said of an effort that a budget made smaller than the one that was asked for; [] where it is that."""
        counts = {"control regions of an area": "controls", "pairs": "pairs", "recipients": "recipients"}
        counts |= {"meetings of a donor": "uses"}
        less = [
            f"{getattr(self, name)} {words} instead of {getattr(asked, name)}"
            for words, name in counts.items()
            if getattr(self, name) < getattr(asked, name)
        ]
        return [f"The budget does not reach all: {'; '.join(less)}."] if less else []

    def smaller(self) -> list[Effort]:
        """What is given up, step by step, where the budget is short: controls and pairs, then images, then factors.

        Never below 120 recipients and 60 donors of a class.
        """
        steps = [self, replace(self, controls=min(12, self.controls), pairs=0)]
        steps += [replace(steps[-1], uses=min(2, self.uses))]
        return steps + [replace(steps[-1], recipients=count) for count in (200, 120) if count < self.recipients]


@dataclass(frozen=True)
class AuditRequest:
    """What the user asked for, as it was typed."""

    regions: tuple[str | Region, ...] = USUAL_REGIONS
    core: tuple[str, ...] = ()
    properties: tuple[str | Property | Factor, ...] = ("all",)
    marks: tuple[str, ...] = ()
    columns: tuple[str, ...] = (ALL,)  # of the table, which are compared with labels and answers
    effort: Effort = field(default_factory=Effort)
    as_given: bool = False  # whether classes that are clearly in another order are taken as they are


def request(
    regions: Any = USUAL_REGIONS,
    core: Any = (),
    properties: Any = ("all",),
    marks: Any = (),
    recipients: int = 300,
    donors: int = 300,
    columns: Any = (ALL,),
    *,
    as_given: bool = False,
) -> AuditRequest:
    """What the user asked for: words by commas, or lists of words and objects."""
    return AuditRequest(
        regions=_listed(regions),
        core=_listed(core),
        properties=_listed(properties),
        marks=_listed(marks),
        columns=_listed(columns),
        effort=Effort(recipients, donors),
        as_given=as_given,
    )


def _listed(words: Any) -> tuple[Any, ...]:
    if isinstance(words, str):
        return tuple(word.strip() for word in words.split(",") if word.strip())
    return tuple(words) if isinstance(words, (list, tuple)) else (words,)
