"""From evidence to words: which level and which claims a factor earns, by a table of rules."""

from __future__ import annotations

from collections.abc import Callable

from seewhy.evidence.findings.case import (
    Case,
    acts_outside,
    acts_through_the_core,
    depends,
    is_at_rim,
    is_fragile,
    is_none,
    moves_decisions,
    too_few,
    turns_either_way,
)
from seewhy.evidence.findings.claims import Claim
from seewhy.evidence.findings.finding import Level
from seewhy.evidence.findings.safeguards.removals import Removals
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS

LEVELS: tuple[Level, ...] = ("STRONG", "MODERATE", "WEAK", "CANNOT SAY", "NONE LARGER THAN")  # as they are told


def is_strong(case: Case) -> bool:
    """Whether the interval after selection stays above twice the floor, and another kind of edit agrees."""
    least = min(abs(case.selected.low), abs(case.selected.high))
    agreed = [outcome.passed for outcome in case.outcomes if outcome.name == Removals.name]
    return least >= AUDIT_THRESHOLDS["strong"] * AUDIT_THRESHOLDS["floor"] and None not in agreed


def all_pass(case: Case) -> bool:
    """Whether no safeguard failed."""
    return all(outcome.passed is not False for outcome in case.outcomes)


RULES: tuple[tuple[Level, tuple[Callable[[Case], bool], ...]], ...] = (  # the first whose conditions all hold
    ("CANNOT SAY", (too_few,)),
    ("CANNOT SAY", (depends, acts_outside, is_at_rim)),
    ("STRONG", (depends, all_pass, is_strong)),
    ("MODERATE", (depends, all_pass)),
    ("WEAK", (depends,)),
    ("CANNOT SAY", (is_none, moves_decisions)),
    ("NONE LARGER THAN", (is_none,)),
    ("CANNOT SAY", ()),
)


def level_of(case: Case) -> Level:
    """The level of a case: the first rule whose conditions all hold."""
    return next(level for level, conditions in RULES if all(holds(case) for holds in conditions))


def claims_of(case: Case, level: Level) -> tuple[Claim, ...]:
    """What is claimed: dependence, shortcut and overfit are three things, and one does not follow from another."""
    claims = _of_a_dependence(case, level) if level in ("STRONG", "MODERATE", "WEAK") else []
    if level == "CANNOT SAY" and depends(case) and is_at_rim(case):
        claims.append("at the core's rim")
    if case.is_overfit:
        claims.append("overfit")
    if level == "NONE LARGER THAN":
        claims += ["fragile"] if is_fragile(case) else []
        claims += ["core not used"] if case.is_core and case.is_named and not case.shape_may_matter else []
    if level == "CANNOT SAY" and not too_few(case) and case.kind != "insert" and turns_either_way(case):
        claims.append("fragile")
    return tuple(claims)


def _of_a_dependence(case: Case, level: Level) -> list[Claim]:
    claims: list[Claim] = ["depends", "jointly"] if case.pair else ["depends"]
    if case.kind == "insert":
        return claims
    if case.value < 0:
        claims.append("against the label")
    elif case.is_core:
        claims.append("intended")
    elif case.is_core is False and not acts_outside(case):
        claims += ["through the core"] if acts_through_the_core(case) else []
    elif case.is_core is False and level != "WEAK":
        claims.append("shortcut")
    return claims
