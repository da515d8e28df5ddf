"""What a check says of the classifier and of the maps, as the pages of its runs tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seewhy.records import MapKey
from seewhy.report.findings import Card

GRADES = {
    "A": "nothing speaks against reading them",
    "B": "read them with the reasons in mind",
    "C": "do not read them as what the network uses",
}
_PARTS = {
    "works": "Does it work?",
    "leaks": "Does train hold what it is judged by?",
    "fed": "Is it fed as it was trained?",
    "maps": "May its maps be read?",
}
_TONES = {"bad": "bad", "caution": "caution", "cannot say": "unknown", "good": "good"}


@dataclass(frozen=True)
class Grade:
    """The grade of one layer's maps in words."""

    layer: str
    grade: str
    words: str

    @property
    def tone(self) -> str:
        """How grave it is."""
        return {"A": "good", "B": "caution", "C": "bad"}.get(self.grade, "unknown")


def cards_of(check: Mapping[str, Any]) -> list[Card]:
    """The check's findings, worst first."""
    return [
        Card(
            factor=_PARTS.get(finding["part"], finding["part"]),
            level=finding["level"].upper(),
            tone=_TONES[finding["level"]],
            claims=(),
            text=finding["text"],
            todo=finding.get("todo", ""),
        )
        for finding in check.get("findings", ())
    ]


def grades_of(check: Mapping[str, Any]) -> list[Grade]:
    """The grade of each layer that the check examined."""
    return [Grade(layer, grade, GRADES.get(grade, "")) for layer, grade in check.get("grades", {}).items()]


def grades_of_maps(check: Mapping[str, Any], keys: Sequence[MapKey]) -> list[Grade]:
    """The grades of those maps that were examined with the very method and target."""
    examined = {key.layer for key in keys if (key.method, key.score) == (check.get("method"), check.get("score"))}
    return [grade for grade in grades_of(check) if grade.layer in examined]


def ungraded_words(check: Mapping[str, Any], key: MapKey) -> str:
    """That the check has examined other maps than these."""
    layers = ", ".join(check.get("layers", ()))
    return (
        f"These maps ({key.method} of {key.layer} for {key.score}) were not graded: the check beside this run "
        f"examined {check.get('method')} of {layers} for {check.get('score')}."
    )
