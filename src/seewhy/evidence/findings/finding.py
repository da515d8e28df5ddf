"""A finding: what is claimed of a factor, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seewhy.evidence.findings.claims import Claim
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS


@dataclass(frozen=True)
class Finding:
    """A finding: a factor with its level, its claims, words, numbers and examples.

    `evidence` are its safeguards in words, "+" for those that hold, "-" for those that do not, "?" for those that
    settle nothing. `members` are factors that it explains, or that these data cannot separate from it; `alternatives`
    are those of them that may be the cause in its place. `examples` and `counter_examples` are trials chosen by rule.
    """

    factor: str
    level: Level
    claims: tuple[Claim, ...]
    text: str
    todo: str = ""
    evidence: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    members: tuple[str, ...] = ()
    examples: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    counter_examples: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    alternatives: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing is claimed of a tested factor: such findings are told together, but for marks.

        One that turns decisions, though it moves no probability by much, is told by itself.
        """
        is_tested = bool(self.numbers.get("probability")) and not self.numbers.get("turns_decisions")
        return not self.claims and is_tested and "answers" not in self.numbers

    @property
    def level_words(self) -> str:
        """The level with the floor where it is about that: "NONE LARGER THAN 2 POINTS"."""
        floor = f"{100 * AUDIT_THRESHOLDS['floor']:.0f} POINTS"
        return f"{self.level} {floor}" if self.level == "NONE LARGER THAN" else self.level

    @property
    def title(self) -> str:
        """Level, factor and claims: "STRONG  background: depends, shortcut", "WEAK  noise or sharpness: depends"."""
        claims = ", ".join(claim for claim in self.claims if claim != "classifier")
        named = " or ".join((self.factor, *self.alternatives))
        return f"{self.level_words}  {named}" + (f": {claims}" if claims else "")


Level = Literal["STRONG", "MODERATE", "WEAK", "NONE LARGER THAN", "CANNOT SAY"]
