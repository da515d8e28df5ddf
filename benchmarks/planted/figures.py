"""The tables of the benchmark: each figure beside what is aimed at, and what each safeguard saves and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from benchmarks.planted.detector import Detected, fitted, measured
from benchmarks.planted.scores import (
    LARGE,
    SEEN,
    Score,
    Share,
    coverage,
    exactness,
    false_alarms,
    first_names,
    left_open,
    naming,
    recall,
    score_of,
    share,
    told,
    verdicts,
)  # fmt: skip

AIMS: dict[str, tuple[str, str]] = {  # at least, goal
    "audits with a false shortcut, of all negatives": ("<= 3 %", "<= 1 %"),
    "recall, effect to see of 4 points or more": ("90 %", "95 %"),
    "recall, effect to see of 10 points or more": ("97 %", "99 %"),
    "the cause named right in a title, of those found": ("80 %", "90 %"),
    "exactly the cause, nothing more": ("60 %", "80 %"),
    "coverage of 95 % intervals, by networks": ("93-97 %", ""),
    "shortcut against overfit against none": ("90 %", "95 %"),
}


def table(*rows: Sequence[str]) -> str:
    """A table in Markdown; the first row is its head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def halves(scores: Iterable[Score]) -> dict[str, list[Score]]:
    kept = list(scores)
    return {half: [score for score in kept if score.case.half == half] for half in ("frozen", "tune")}


def figures_of(scores: Sequence[Score]) -> dict[str, str]:
    """Each figure in words, over some cases."""
    mean, error, networks = coverage(scores)
    covered = f"{100 * mean:.1f} % ± {100 * error:.1f} ({networks} networks)" if networks > 1 else "too few"
    return {
        "audits with a false shortcut, of all negatives": str(false_alarms(scores)),
        "recall, effect to see of 4 points or more": str(recall(scores, SEEN)),
        "recall, effect to see of 10 points or more": str(recall(scores, LARGE)),
        "of those missed, named as at the core's rim": str(left_open(scores)),
        "the cause named right in a title, of those found": str(naming(scores)),
        "the first title names the cause": str(first_names(scores)),
        "exactly the cause, nothing more": str(exactness(scores)),
        "coverage of 95 % intervals, by networks": covered,
        "shortcut against overfit against none": str(verdicts(scores)),
    }


def main_table(scores: Sequence[Score]) -> str:
    """All figures on both halves; the detector's map is fitted on the half for tuning."""
    parts = halves(scores)
    columns = {half: figures_of(of_half) for half, of_half in parts.items()}
    rows = [
        (name, *AIMS.get(name, ("", "")), columns["frozen"][name], columns["tune"][name]) for name in columns["frozen"]
    ]
    weights = fitted(parts["tune"]) if parts["tune"] else None
    for name in ("cross_entropy", "brier", "auc"):
        cells = [
            _detected(None if weights is None else measured(parts[half], weights), name) for half in ("frozen", "tune")
        ]
        rows.append((f'"has a shortcut": {name.replace("_", " ")}', "stated", "", *cells))
    return table(("figure", "at least", "goal", "frozen half", "half for tuning"), *rows)


def _detected(detected: Detected | None, name: str) -> str:
    if detected is None:
        return "needs both kinds"
    value, low, high = getattr(detected, name)
    return f"{value:.3f} [{low:.3f}, {high:.3f}] (n = {detected.n})"


def counts_table(scores: Sequence[Score]) -> str:
    """How many cases there are of each kind of truth; what is in between is left out of the figures."""
    rows = []
    for half, of_half in halves(scores).items():
        negative = sum(score.is_negative for score in of_half)
        seen = sum(score.largest >= SEEN for score in of_half)
        grey, hidden = len(of_half) - negative - seen, sum(score.hidden for score in of_half)
        networks = len({repr(score.case.network) for score in of_half})
        rows.append((half, str(len(of_half)), str(networks), str(negative), str(seen), str(grey), str(hidden)))
    head = ("half", "audits", "networks", "no shortcut to see", "4 points or more", "in between", "within the core")
    return table(head, *rows)


def safeguards_table(scores: Sequence[Score]) -> str:
    """What would be told without each safeguard: the false shortcuts that it saves, the true ones that it costs."""
    names = list(scores[0].record["without"]) if scores else []
    rows = []
    for name in names:
        others = [score_of(score.case, score.record, score.oracle, score.outside, without=name) for score in scores]
        saved = _hits(others, false_alarms) - _hits(scores, false_alarms)
        cost = _hits(others, lambda of: recall(of, SEEN)) - _hits(scores, lambda of: recall(of, SEEN))
        exact = _hits(scores, exactness) - _hits(others, exactness)
        extra = sum(_extra(score) for score in others) - sum(_extra(score) for score in scores)
        rows.append((name, f"{saved:+d}", f"{extra:+d}", f"{exact:+d}", f"{cost:+d}"))
    head = ("safeguard", "audits with a false shortcut that it saves", "wrong ones beside a true one that it saves",
            "exact audits that it gives", "kinds that it costs")  # fmt: skip
    return table(head, *rows)


def _hits(scores: Sequence[Score], figure: Callable[[Sequence[Score]], Share]) -> int:
    return figure(scores).hits


def _extra(score: Score) -> int:
    """How many shortcuts are told beyond those that are so, where there is one."""
    return 0 if score.is_negative else max(0, len(score.shortcuts) - sum(score.named.values()))


def by(scores: Sequence[Score], of: Callable[[Score], Iterable[str]], head: str) -> str:
    """False shortcuts and recall by something: the group, the renderer, the core, the head, the kind."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        for name in of(score):
            groups.setdefault(name, []).append(score)
    rows = [
        (name, str(false_alarms(some)), str(recall(some, SEEN)), str(naming(some)), str(exactness(some)))
        for name, some in sorted(groups.items())
    ]
    return table((head, "false shortcuts", "recall from 4 points", "named right", "exact"), *rows)


def kinds_table(scores: Sequence[Score]) -> str:
    """Each kind of each renderer: how large its effects are, and what became of it."""
    kinds: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        for kind in score.effects:
            kinds.setdefault((score.case.recipe.renderer, kind), []).append(score)
    rows = []
    for (renderer, kind), some in sorted(kinds.items()):
        asked = [score for score in some if kind in score.found]
        within = " (within the core)" if some[0].hidden else ""
        sizes = ", ".join(f"{100 * score.effects[kind]:.0f}" for score in some)
        found, right = share(score.found[kind] for score in asked), share(score.named[kind] for score in asked)
        rows.append((f"{renderer}: {kind}{within}", sizes, _plain(found), _plain(right)))
    return table(("kind", "effects to see, points", "found, of those from 4 points", "named right"), *rows)


def _plain(answers: Share) -> str:
    return f"{answers.hits} of {answers.of}" if answers.of else "none asked"


def strength_table(scores: Sequence[Score]) -> str:
    """From which effect on shortcuts are found."""
    steps = (0.01, 0.02, 0.04, 0.07, 0.10, 0.20, 0.40, 1.01)
    rows = []
    for low, high in pairwise(steps):
        some = [score for score in told(scores) if low <= score.largest < high]
        rows.append(
            (f"{100 * low:.0f} to {100 * min(high, 1):.0f}", str(share(bool(score.shortcuts) for score in some)))
        )
    return table(("largest effect to see, points", "audits that tell a shortcut"), *rows)


def rows_of(scores: Sequence[Score]) -> list[Mapping[str, object]]:
    """Every case in short, for the file of results."""
    return [
        {
            "case": score.case.name, "half": score.case.half, "truth": score.truth, "verdict": score.verdict,
            "effects": {kind: round(effect, 4) for kind, effect in score.effects.items()},
            "shortcuts": [row["title"] for row in score.shortcuts], "named": score.named, "exact": score.exact,
            "coverage": score.coverage,
            "accuracy": score.oracle["accuracy"], "memory": round(score.oracle["memory"]["value"], 4),
        }
        for score in scores
    ]  # fmt: skip
