"""What a reader must know before looking at maps: how often the answers are right, whether they differ, empty maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seewhy.errors import counted, listed
from seewhy.estimates import Estimate, wilson
from seewhy.maps import ALL_ZERO
from seewhy.records import MapStat, Outcome

LEAST = 10  # images with a result before anything is said about all of them


@dataclass(frozen=True)
class Guessing:
    """The accuracy on labelled images, which is not shown to be better than that of guessing."""

    accuracy: Estimate
    n_right: int
    chance: float


def at_chance(outcomes: Iterable[Outcome], n_classes: int) -> Guessing | None:
    """How often the answers are right where that is not shown to be more often than guessing; else None."""
    judged = Counter((outcome.image.label, outcome.correct) for outcome in outcomes if outcome.correct is not None)
    n = judged.total()
    if n < LEAST:
        return None
    labels = Counter[str | None]()
    for (label, _), count in judged.items():
        labels[label] += count
    n_right = sum(count for (_, is_right), count in judged.items() if is_right)
    accuracy = wilson(n_right, n)
    chance = max(labels.values()) / n if len(labels) > 1 else 1 / max(n_classes, 1)
    return Guessing(accuracy, n_right, chance) if accuracy.low <= chance else None


def only_answer(outcomes: Sequence[Outcome]) -> str | None:
    """The class that every image is predicted as, though not every label says so; None where there are several."""
    answers = Counter((outcome.prediction, bool(outcome.correct)) for outcome in outcomes if outcome.error is None)
    decided = {prediction for prediction, _ in answers}
    if answers.total() < LEAST or len(decided) != 1 or all(is_right for _, is_right in answers):
        return None
    return next(iter(decided))


def trouble_of(outcomes: Sequence[Outcome], n_classes: int) -> str:
    """The sentence that comes before any map where the answers are no better than guesses or all the same; else ""."""
    guessing, only = at_chance(outcomes, n_classes), only_answer(outcomes)
    same = "" if only is None else f"Every image is predicted as {only!r}"
    if guessing is None:
        return same
    n, chance = guessing.accuracy.n, f"{guessing.chance:.0%}"
    right = f"{guessing.n_right:,} of {n:,} ({guessing.accuracy.value:.0%})" if guessing.n_right else f"none of {n:,}"
    said = f"It is right on {right} labelled images, where guessing is right on {chance}"
    return f"{said}: {same[0].lower()}{same[1:]}" if same else said


def noticed(
    outcomes: Sequence[Outcome],
    classes: Sequence[str],
    scores: Sequence[str],
    stats: Mapping[str, Mapping[int, MapStat]],
    *,
    picked: bool = False,
) -> list[str]:
    """What must be known before the pictures are looked at, in sentences; `stats` by the maps' names and rows.

    Of images that were `picked` by their answers these say nothing of the network.
    """
    sentences = []
    n_results = sum(outcome.error is None for outcome in outcomes)
    if not picked and (only := only_answer(outcomes)) is not None:
        sentences.append(f"Every one of the {n_results:,} images is predicted as {only!r}.")
        others = [score for score in scores if score in classes and score != only]
        if others:
            sentences[-1] += f"  The maps explain {listed(map(repr, others))}, which is never predicted here."
    for name, by_row in stats.items():
        empty = Counter(stat.reason for row, stat in by_row.items() if stat.empty and outcomes[row].error is None)
        if empty.total() > 0.05 * max(1, n_results):
            why = ", ".join(f"{count} {reason}" for reason, count in empty.most_common())
            sentences.append(f"{empty.total()} of {counted(n_results, 'map')} of {name} are empty ({why}).")
            if empty[ALL_ZERO] == n_results:
                sentences[-1] += (
                    "  The score does not depend on its places; for a layer on which it does:  --layers auto"
                    '  (layers="auto" in Python)'
                )
    if (
        not picked
        and (guessing := at_chance((outcome for outcome in outcomes if outcome.error is None), len(classes)))
        is not None
    ):
        among = f"{counted(guessing.accuracy.n, 'labelled image')}, where guessing gives {guessing.chance:.3f}"
        sentences.append(f"Accuracy {guessing.accuracy} on {among}.")
    advice = "Before reading the maps, check the classifier on a folder of all classes:  seewhy check"
    return [*sentences, f"{advice}  (seewhy.check in Python)"] if sentences else []
