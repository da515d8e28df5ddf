"""What is true of a case, by the oracle, against what its audit told; and the figures over many cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from benchmarks.planted.cases import Case, asked_of
from benchmarks.planted.names import WITHIN_THE_CORE, is_right, is_true, named_in
from scipy import stats

from seewhy.evidence.findings.claims import Claim

SEEN, LARGE, NOTHING = 0.04, 0.10, 0.01  # effects to see: from here on asked for, and large; up to here there is none
BY_HEART, NOT_BY_HEART = 0.05, 0.02  # what a background that was learned by heart adds, and what none adds

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """One case: what is so, and what was told.

    `effects` are those to see, by kind; `truth` is "shortcut", "overfit", "none" or "grey", `verdict` what the audit
    says of the three. `shortcuts` are the titles of findings that tell one. `found` and `named` say by kind, of those
    that are asked for, whether a shortcut tells it at all, and whether one tells it by its right name; `exact` whether
    there are just the right names. `hidden`: the kind lies within the core that was named, so no audit can tell.
    """

    case: Case
    effects: dict[str, float]
    truth: str
    verdict: str
    shortcuts: list[Record]
    found: dict[str, bool]
    named: dict[str, bool]
    at_rim: dict[str, bool]
    exact: bool
    evidence: tuple[float, float]  # of the strongest finding that tells a shortcut: its level, and its effect
    seconds: float | None  # None where trials of an earlier audit were taken
    coverage: float | None
    hidden: bool
    record: Record = field(repr=False)
    oracle: Record = field(repr=False)
    outside: Record = field(repr=False)
    drawn: Record | None = field(repr=False, default=None)

    @property
    def largest(self) -> float:
        return max(map(abs, self.effects.values()), default=0.0)

    @property
    def is_negative(self) -> bool:
        """Whether there is no shortcut to be told."""
        return self.largest <= NOTHING

    @property
    def is_false(self) -> bool:
        """Whether a shortcut is told that is none."""
        return self.is_negative and bool(self.shortcuts)


RIM: Claim = "at the core's rim"
LEVELS = {"WEAK": 1.0, "MODERATE": 2.0, "STRONG": 3.0}


def score_of(
    case: Case, record: Record, oracle: Record, outside: Record, drawn: Record | None = None, without: str = ""
) -> Score:
    """The score of an audit, or of what it would have told without one safeguard."""
    findings = record["without"][without] if without else record["findings"]
    effects = {planted.kind: planted.effect for planted in asked_of(case, oracle, outside)}
    shortcuts = [row for row in findings if "shortcut" in row["claims"]]
    asked = [kind for kind, effect in effects.items() if abs(effect) >= SEEN]
    renderer = case.recipe.renderer
    names = [row["factor"] for row in shortcuts]
    told = [name for row in shortcuts for name in (row["factor"], *row["members"], *named_in(row["title"]))]
    found = {kind: any(is_true(name, renderer, kind) for name in told) for kind in asked}
    named = {kind: any(is_right(name, renderer, kind) for name in names) for kind in asked}
    rim = [name for row in findings if RIM in row["claims"] for name in (row["factor"], *named_in(row["title"]))]
    at_rim = {kind: any(is_right(name, renderer, kind) for name in rim) for kind in asked if not found[kind]}
    allowed = [kind for kind, effect in effects.items() if abs(effect) > NOTHING]
    is_exact = all(named.values()) and len(names) <= len(allowed)
    is_exact = is_exact and all(any(is_right(name, renderer, kind) for kind in allowed) for name in names)
    strongest = max(
        ((LEVELS.get(row["level"], 0.0), abs(row["value"] or 0.0)) for row in shortcuts), default=(0.0, 0.0)
    )
    return Score(
        case, effects, truth_of(effects, oracle), verdict_of(findings), shortcuts, found, named, at_rim, is_exact,
        strongest if shortcuts else (0.0, _largest_open(findings)), record["seconds"],
        None if without else coverage_of(record, drawn), is_hidden(case, effects, oracle), record, oracle,
        outside, drawn,
    )  # fmt: skip


def is_hidden(case: Case, effects: Mapping[str, float], oracle: Record) -> bool:
    """Whether a kind lies within the core: by what it is, or since the core as named covers what matters of it."""
    wholes = {planted.kind: planted.effect for planted in asked_of(case, oracle, {})}
    covered = (abs(wholes[kind]) >= SEEN and abs(effect) < SEEN for kind, effect in effects.items())
    return bool(set(effects) & set(WITHIN_THE_CORE)) or any(covered)


def truth_of(effects: Mapping[str, float], oracle: Record) -> str:
    """What the oracle says: a shortcut, overfit to the background, none, or in between."""
    largest, memory = max(map(abs, effects.values()), default=0.0), oracle["memory"]["value"]
    if largest >= SEEN:
        return "shortcut"
    if largest > NOTHING:
        return "grey"
    return "overfit" if memory >= BY_HEART else "none" if memory <= NOT_BY_HEART else "grey"


def verdict_of(findings: Iterable[Record]) -> str:
    """What an audit says: of several claims the gravest."""
    claims = {claim for row in findings for claim in row["claims"]}
    return next((claim for claim in ("shortcut", "overfit") if claim in claims), "none")


def _largest_open(findings: Iterable[Record]) -> float:
    """The largest dependence that is neither a shortcut nor intended."""
    open_claims = ("depends", "through the core")
    sizes = [
        abs(row["value"] or 0.0)
        for row in findings
        if set(open_claims) & set(row["claims"]) and "intended" not in row["claims"]
    ]
    return max(sizes, default=0.0)


def coverage_of(record: Record, drawn: Mapping[str, Record] | None) -> float | None:
    """The share of a network's intervals that hold the effect known from drawing; None where that was not drawn.

    The drawn effect has an error of its own, by which the interval is widened.
    """
    inside = []
    for name, true in (drawn or {}).items():
        if (told := record["effects"].get(name)) is None:
            continue
        half = np.hypot((told["high"] - told["low"]) / 2, 1.96 * true["error"])
        inside.append(abs(told["value"] - true["value"]) <= half)
    return float(np.mean(inside)) if inside else None


@dataclass(frozen=True)
class Share:
    """A share with its exact interval of 95 % (Clopper and Pearson 1934)."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        low = float(stats.beta.ppf(0.025, self.hits, self.of - self.hits + 1)) if self.hits else 0.0
        high = float(stats.beta.ppf(0.975, self.hits + 1, self.of - self.hits)) if self.hits < self.of else 1.0
        return low, high

    def __str__(self) -> str:
        if not self.of:
            return "none asked"
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] ({self.hits} of {self.of})"


def share(answers: Iterable[bool]) -> Share:
    given = list(answers)
    return Share(sum(given), len(given))


def false_alarms(scores: Sequence[Score]) -> Share:
    """Audits with a false shortcut, of all negatives."""
    return share(score.is_false for score in scores if score.is_negative)


def recall(scores: Sequence[Score], least: float) -> Share:
    """Of the planted kinds with an effect to see of at least so much, those that a shortcut tells."""
    return _of_kinds(scores, least, lambda score: score.found)


def left_open(scores: Sequence[Score]) -> Share:
    """Of the kinds that no shortcut tells, those that are named as lying at the core's rim: left open by the audit."""
    return share(is_open for score in told(scores) for is_open in score.at_rim.values())


def naming(scores: Sequence[Score]) -> Share:
    """Of the kinds that were found, those with the right name in a title."""
    return share(score.named[kind] for score in told(scores) for kind, is_found in score.found.items() if is_found)


def first_names(scores: Sequence[Score]) -> Share:
    """Of the audits that found their cause, those whose first shortcut has the right name."""
    return share(
        any(is_right(score.shortcuts[0]["factor"], score.case.recipe.renderer, kind) for kind in score.effects)
        for score in told(scores)
        if any(score.found.values())
    )


def exactness(scores: Sequence[Score]) -> Share:
    """Of the audits with a cause to find, those that tell just that, by its right name."""
    return share(score.exact for score in told(scores) if score.found)


def told(scores: Iterable[Score]) -> list[Score]:
    """Those whose kinds an audit can tell apart from the core."""
    return [score for score in scores if not score.hidden]


def verdicts(scores: Sequence[Score]) -> Share:
    """Shortcut against overfit against none, where it is clear which is so."""
    return share(score.verdict == score.truth for score in told(scores) if score.truth != "grey")


def _of_kinds(scores: Sequence[Score], least: float, answer: Callable[[Score], Mapping[str, bool]]) -> Share:
    return share(
        answer(score)[kind] for score in told(scores) for kind in answer(score) if abs(score.effects[kind]) >= least
    )


def coverage(scores: Sequence[Score]) -> tuple[float, float, int]:
    """The mean over networks of the share of intervals that hold the drawn effect, its standard error, how many."""
    shares = np.array([score.coverage for score in scores if score.coverage is not None])
    if len(shares) < 2:
        return float("nan"), float("nan"), len(shares)
    return float(shares.mean()), float(shares.std(ddof=1) / np.sqrt(len(shares))), len(shares)
