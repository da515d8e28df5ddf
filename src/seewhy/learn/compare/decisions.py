"""What two classifiers decide for the same images: accuracy compared pair by pair, flips, and who changed most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seewhy.data.tables.folder_names import role_of
from seewhy.estimates import Estimate, Integers
from seewhy.evidence.inference.units import share_change, share_of
from seewhy.learn.compare.outputs import OutputChange, output_change
from seewhy.learn.paired import cluster_count, name_of_test, sign_flip_p
from seewhy.records import Outcome

Pairs = Sequence[tuple[Outcome, Outcome]]


@dataclass(frozen=True)
class ImageChange:
    """One image in both runs: its decisions, and the probability of `about` (its label, else the first decision).

    Of several labels at once `about` is the one that changed most. Probabilities are NaN where a run does not know the
    class. `moved` is how far its map moved, 0 to 1; None where there are no two maps. `id_second` is its id in the
    second run.
    """

    id: str
    label: str | None
    first: str | None
    second: str | None
    about: str | None
    p_first: float
    p_second: float
    moved: float | None = None
    id_second: str = ""

    @property
    def flipped(self) -> bool:
        """Whether the decision is another."""
        return self.first is not None and self.second is not None and self.first != self.second

    @property
    def change(self) -> float:
        """How far the probability moved."""
        return self.p_second - self.p_first


@dataclass(frozen=True)
class Decisions:
    """The decisions of both runs on the same `n` images; `flips` counts by (first, second) those that are others.

    `accuracy` holds both shares, and `difference` the second less the first with `p_value`, over the images whose label
    is the same in both runs, those of train left out where there are others: `gained` became right, `lost` became
    wrong, `split` says of which split they are, `n_clusters` what the units are where several images are one. None
    where no image has a label. `outputs` is what changed where nothing is decided.
    """

    n: int
    flips: dict[tuple[str, str], int]
    accuracy: tuple[Estimate, Estimate] | None = None
    difference: Estimate | None = None
    p_value: float = 1.0
    gained: int = 0
    lost: int = 0
    split: str = ""
    n_clusters: int | None = None
    outputs: OutputChange | None = None

    @property
    def n_flipped(self) -> int:
        """How many decisions are others."""
        return sum(self.flips.values())

    @property
    def test(self) -> str:
        """What the p-value is called."""
        return name_of_test(self.n_clusters)


def decisions_of(pairs: Pairs, clusters: Integers | None = None) -> Decisions:
    """The decisions of pairs of outcomes, those without a prediction left out; None: each image is its own cluster."""
    of = np.arange(len(pairs)) if clusters is None else clusters
    rows = [row for row, pair in enumerate(pairs) if all(each.prediction is not None for each in pair)]
    if not rows:
        return Decisions(0, {}, outputs=output_change(pairs, of))
    said = [(str(first.prediction), str(second.prediction)) for first, second in (pairs[row] for row in rows)]
    counts = dict(Counter((first, second) for first, second in said if first != second).most_common())
    judged = _judged(pairs, rows)
    if not judged:
        return Decisions(len(rows), counts)
    right = np.array([[each.prediction == each.image.label for each in pairs[row]] for row in judged])
    before, after, units = right[:, 0], right[:, 1], of[judged]
    return Decisions(
        n=len(rows),
        flips=counts,
        accuracy=(share_of(before, units), share_of(after, units)),
        difference=share_change(before, after, units),
        p_value=sign_flip_p(after.astype(np.int64) - before, units),
        gained=int((after & ~before).sum()),
        lost=int((before & ~after).sum()),
        split=", ".join(sorted({pairs[row][0].image.split or "" for row in judged} - {""})),
        n_clusters=cluster_count(units),
    )


def _judged(pairs: Pairs, rows: Sequence[int]) -> list[int]:
    """The rows of images with one label in both runs, those of train left out where there are others."""
    labels = {row: tuple(each.image.label for each in pairs[row]) for row in rows}
    labelled = [row for row, (first, second) in labels.items() if first is not None and first == second]
    return [row for row in labelled if role_of(pairs[row][0].image.split) != "train"] or labelled


def image_changes(
    ids: Sequence[str],
    pairs: Pairs,
    classes: tuple[Sequence[str], Sequence[str]],
    moved: Sequence[float | None],
    *,
    has_several_labels: bool = False,
) -> list[ImageChange]:
    """What each image's answers were; `classes` are those of the logits in each run.

    Of networks that give several labels at once, the probability is that of the label that changed most.
    """
    changes = []
    for name, (first, second), distance in zip(ids, pairs, moved, strict=True):
        if has_several_labels:
            about, shares = _most_changed(first, second, classes)
        else:
            about = _label_or_decision(first, second)
            shares = _share(first, about, classes[0]), _share(second, about, classes[1])
        change = ImageChange(
            id=name,
            label=first.image.label,
            first=first.prediction,
            second=second.prediction,
            about=about,
            p_first=shares[0],
            p_second=shares[1],
            moved=distance,
            id_second=second.image.id,
        )
        changes.append(change)
    return changes


def _label_or_decision(first: Outcome, second: Outcome) -> str | None:
    """The label that both runs have of an image, else the first decision."""
    label = first.image.label
    return label if label is not None and label == second.image.label else first.prediction


def _most_changed(
    first: Outcome, second: Outcome, classes: tuple[Sequence[str], Sequence[str]]
) -> tuple[str | None, tuple[float, float]]:
    """The label whose own probability changed most, and both; None and NaN where no logit is known in both runs."""
    there, here = (_own_shares(one, names) for one, names in zip((first, second), classes, strict=True))
    shared = [name for name in there if name in here]
    about = max(shared, key=lambda name: abs(here[name] - there[name]), default=None)
    return about, (math.nan, math.nan) if about is None else (there[about], here[about])


def _own_shares(outcome: Outcome, classes: Sequence[str]) -> dict[str, float]:
    """The probability of each label by itself; none where logits are not one for each."""
    logits = np.array(outcome.logits, dtype=np.float64)
    if len(logits) != len(classes) or not np.isfinite(logits).all():
        return {}
    return dict(zip(classes, np.exp(-np.logaddexp(0.0, -logits)).tolist(), strict=True))


def _share(outcome: Outcome, about: str | None, classes: Sequence[str]) -> float:
    """The probability of a class by the outcome's logits; NaN where they are not one for each class (or one of two)."""
    logits = np.array(outcome.logits, dtype=np.float64)
    if about is None or about not in classes or not np.isfinite(logits).all():
        return math.nan
    if len(logits) == 1 and len(classes) == 2:
        logits = np.array([0.0, logits[0]])
    if len(logits) != len(classes):
        return math.nan
    weights = np.exp(logits - logits.max())
    return float(weights[list(classes).index(about)] / weights.sum())
