"""The words of a confusion: how often it happens, and which factor moves the one class into the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seewhy.errors import counted, listed
from seewhy.estimates import p_words
from seewhy.evidence.findings.confusions import LEAST_UNITS, Confused, Move
from seewhy.evidence.findings.figures import interval, points, signed_points
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.resolution import advice, images_needed
from seewhy.store.plain import plain

MOST_NAMED = 6  # factors in one sentence
LEVELS = {"shown": "CONFUSION", "none": "NONE LARGER THAN", "cannot say": "CANNOT SAY"}  # by what is said


@dataclass(frozen=True)
class ConfusionFinding:
    """A confusion as it is read: `label` called `prediction`, `count` of `of` images; what it depends on, and how far.

    `said` is "shown" where a tested factor is shown to move the one class into the other, "none" where every one is
    excluded, else "cannot say". `moves` has a row for each tested factor, the largest first.
    """

    label: str
    prediction: str
    count: int
    of: int
    expected: float
    said: str
    title: str
    text: str
    todo: str
    moves: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        return f"{self.title}\n    {self.text}"


def told_of(confused: Confused, classes: Sequence[str], split: str) -> ConfusionFinding:
    """The confusion in words, with the numbers behind them."""
    one = confused.confusion
    label, prediction = classes[one.label], classes[one.prediction]
    shown = [move for move in confused.moves if move.said == "shown"]
    excluded = bool(confused.moves) and all(move.said in ("none", "the other way") for move in confused.moves)
    said = "shown" if shown else "none" if excluded else "cannot say"
    floor = f"{100 * AUDIT_THRESHOLDS['floor']:.0f} POINTS"
    level = f"{LEVELS[said]} {floor}" if said == "none" else LEVELS[said]
    by = f": {listed([move.factor for move in shown], 3)}" if shown else ""
    head = (
        f"{one.count} of {counted(one.of, f'{label} image')} of {split} are called {prediction}; {one.expected:.1f} "
        "would be, if the errors fell on all classes alike."
    )
    return ConfusionFinding(
        label=label,
        prediction=prediction,
        count=one.count,
        of=one.of,
        expected=one.expected,
        said=said,
        title=f"{level}  {label} called {prediction}{by}",
        text=f"{head} {_of_moves(confused.moves, shown, label, prediction)}",
        todo=_todo(confused, said, label, prediction),
        moves=tuple(map(row_of, confused.moves)),
    )


def row_of(move: Move) -> dict[str, Any]:
    """The numbers of one factor as findings.json and confusion_effects.parquet have them."""
    numbers: dict[str, Any] = plain(
        {
            "factor": move.factor,
            "effect": move.probability.value,
            "low": move.told.low,
            "high": move.told.high,
            "margin": move.margin.value,
            "margin_low": move.margin.low,
            "margin_high": move.margin.high,
            "p": move.p_holm,
            "said": move.said,
            "images": move.n_recipients,
            "donors": sum(move.probability.n.values()),
            "own_images": move.of_label,
        }
    )
    return numbers


def _of_moves(moves: Sequence[Move], shown: Sequence[Move], label: str, prediction: str) -> str:
    floor = f"{100 * AUDIT_THRESHOLDS['floor']:.0f} points"
    if not moves:
        return f"What moves {label} to {prediction} cannot be said: these trials do not hold the two classes."
    if shown:
        first, others = shown[0], [f"{move.factor} {_small(move)}" for move in shown[1:]]
        more = (
            f" Others: {listed(others, MOST_NAMED)}; what overlaps, or goes along, can be one cause." if others else ""
        )
        return f"{_sentence(first, label, prediction)}{more}"
    open_ones = [move for move in moves if move.said == "cannot say"]
    named = listed([f"{move.factor} {_small(move)}" for move in open_ones or moves], MOST_NAMED)
    if not open_ones:
        return f"No tested factor moves {label} to {prediction} by {floor} or more: {named} ({_counts(moves[0])})."
    if max(move.fewest for move in open_ones) < LEAST_UNITS:
        units = "clusters" if moves[0].unit == "cluster" else "distinct images"
        return f"What moves {label} to {prediction} cannot be said: it takes {LEAST_UNITS} {units} of both."
    return (
        f"No tested factor is shown to move {label} to {prediction}; {floor} or more cannot be excluded for {named} "
        f"({_counts(moves[0])})."
    )


def _sentence(move: Move, label: str, prediction: str) -> str:
    whose = f"of {label} images" if move.of_label else f"of all images (fewer than {LEAST_UNITS} of {label} are edited)"
    return (
        f"With the {move.factor} of {prediction} images in place of {label} ones, P({prediction}) {whose} rises by "
        f"{points(move.probability.value)} points {interval(move.told)} ({_counts(move)}; "
        f"{p_words(move.p_holm, digits=2)} after Holm)."
    )


def _counts(move: Move) -> str:
    of_donors = "clusters of donors" if move.unit == "cluster" else "donors"
    return f"{counted(move.n_recipients, move.unit)}, {sum(move.probability.n.values())} {of_donors}"


def _small(move: Move) -> str:
    return f"{signed_points(move.probability.value)} {interval(move.told)}"


def _todo(confused: Confused, said: str, label: str, prediction: str) -> str:
    if said == "shown":
        first = confused.moves[0].factor
        return (
            f"It depends on it between these two; that is no shortcut by itself. What would speak against it: {label} "
            f"images that have the {first} of {prediction} by nature, and are called {label} all the same."
        )
    if said == "none":
        return "Name more regions and properties: something that was not tested tells them apart."
    if not confused.moves:
        one = confused.confusion
        return (
            f"Audit the two by themselves: a folder with {label} and {prediction} alone, and a network that gives the "
            f"logits {one.label} and {one.prediction} of this one."
        )
    open_one = next(move for move in confused.moves if move.said == "cannot say")
    if max(move.fewest for move in confused.moves if move.said == "cannot say") < LEAST_UNITS:
        return f"Add {open_one.unit}s of {label} and of {prediction}: {LEAST_UNITS} of each at least."
    return advice(images_needed(open_one.probability), open_one.fewest, f"{open_one.unit}s of the two classes each")
