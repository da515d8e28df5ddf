"""Does the classifier work? What its logits say about labelled images, before any map is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seewhy.data.tables.folder_names import role_of
from seewhy.data.tables.labels import joined
from seewhy.estimates import Estimate, Floats, Integers, mean_of, share_difference
from seewhy.evidence.checks.class_order import other_order
from seewhy.evidence.checks.label_scores import LabelScore, label_order, label_scores, truth_of
from seewhy.evidence.inference.units import count_units, share_of, unit_means, units_of

COLLAPSED = 0.95  # of the images, where the labels are spread further
CONSTANT = 1e-4  # of the logits' size


@dataclass(frozen=True)
class Behaviour:
    """What the classifier does with the images; all that needs labels is None without them.

    It is judged by the images that it was not trained on, where there are splits: `judged_on` names theirs, "" where
    there are none, and `gap` is the accuracy on the training images minus that. `n_clusters` are the units of these
    images where several are one, None where each counts by itself.
    `confusion[i, j]` counts images of class i predicted as j. `overconfidence` is the mean predicted probability minus
    the accuracy. `label_share` is the most frequent
    label's. `spread` is the logits' largest range over the images, as a share of their size. `permutation[j]` is
    the class that prediction j seems to mean, with the accuracy that this reading has on images it was not found on;
    `is_order_clear`, `first_label` and `order_was_found` are as ClassOrder has them.
    Of a multi-label network predictions and labels are sets, and `by_label` says how each label is told.
    """

    classes: tuple[str, ...]
    n_images: int
    predictions: dict[str, int]
    spread: float
    accuracy: Estimate | None = None
    label_share: float | None = None
    confusion: NDArray[np.int64] | None = None
    recall: dict[str, Estimate] | None = None
    confidence: float | None = None
    overconfidence: Estimate | None = None
    by_split: dict[str, Estimate] | None = None
    permutation: tuple[str, ...] | None = None
    permuted_accuracy: Estimate | None = None
    is_order_clear: bool = False
    first_label: int | None = None
    order_was_found: bool = False
    judged_on: str = ""
    n_clusters: int | None = None
    gap: Estimate | None = None
    by_label: tuple[LabelScore, ...] | None = None
    permutation_gain: Estimate | None = None  # in mean AUC over the labels

    @property
    def collapsed_to(self) -> str | None:
        """The class that (nearly) every image is predicted as, though the labels are spread further."""
        name, count = max(self.predictions.items(), key=lambda item: item[1], default=("", 0))
        may_differ = self.label_share is None or self.label_share < COLLAPSED
        return name if self.n_images >= 10 and count >= COLLAPSED * self.n_images and may_differ else None

    @property
    def chance(self) -> float:
        """The accuracy of always guessing the most frequent label, or of any guess where all labels are one class."""
        share = self.label_share or 1.0
        return share if share < 1 else 1 / len(self.classes)

    @property
    def is_constant(self) -> bool:
        """Whether the logits hardly depend on the image."""
        return self.n_images > 1 and self.spread < CONSTANT


def behaviour_of(
    logits: Floats,
    probabilities: Floats,
    labels: Sequence[str | None],
    classes: Sequence[str],
    splits: Sequence[str | None] = (),
    clusters: Sequence[str | None] = (),
    others: tuple[Integers, Integers] | None = None,
) -> Behaviour:
    """The behaviour from logits (N, K), class probabilities (N, classes), and names of classes and splits (or None).

    Where images belong to `clusters` these are the units of its shares. `others` are class indices and predictions of
    images of other splits, which another order of the classes has to fit as well; where `splits` are named, those that
    it is not judged by are such.
    """
    decided = probabilities.argmax(axis=1)
    predictions = Counter(classes[index] for index in decided)
    if not len(logits):
        return Behaviour(tuple(classes), 0, {}, 0.0)
    size = float(np.abs(logits).mean()) or 1.0
    spread = float((logits.max(axis=0) - logits.min(axis=0)).max() / size)
    known = np.array([label in classes for label in labels], dtype=bool)
    if not known.any():
        return Behaviour(tuple(classes), len(labels), dict(predictions), spread)
    parts = np.array([split or "" for split in splits] or [""] * len(labels))
    of_all = np.array([known[i] and classes.index(label or "") == decided[i] for i, label in enumerate(labels)])
    units = units_of(clusters, len(labels))
    by_split = {
        str(part): share_of(of_all[at], units[at])
        for part in np.unique(parts[known])
        if (at := known & (parts == part)).any()
    }
    judged, held_out = held_out_of(splits, known)
    trained = known & ~judged
    truth = _indices(labels, judged, classes)
    if trained.any():
        others = _indices(labels, trained, classes), decided[trained]
    decided, probabilities = decided[judged], probabilities[judged]
    hits = decided == truth
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (truth, decided), 1)
    top = probabilities.max(axis=1)
    order = other_order(truth, decided, classes, others, units[judged])
    accuracy = share_of(hits, units[judged])
    return Behaviour(
        classes=tuple(classes),
        n_images=len(labels),
        predictions=dict(predictions),
        spread=spread,
        accuracy=accuracy,
        label_share=float(np.bincount(truth).max() / len(truth)),
        confusion=confusion,
        recall={classes[c]: share_of(hits[truth == c], units[judged][truth == c]) for c in np.unique(truth)},
        confidence=float(top.mean()),
        overconfidence=mean_of(unit_means(top - hits, units[judged])),
        by_split=by_split if len(by_split) > 1 else None,
        permutation=tuple(classes[index] for index in order.order) if order else None,
        permuted_accuracy=order.accuracy if order else None,
        is_order_clear=order is not None and order.is_clear,
        first_label=order.first_label if order else None,
        order_was_found=order is not None and order.was_found,
        judged_on=held_out,
        n_clusters=_n_clusters(units[judged]),
        gap=share_difference(share_of(of_all[trained], units[trained]), accuracy) if held_out else None,
    )


def _n_clusters(units: Integers) -> int | None:
    count = count_units(units)
    return count if count < len(units) else None


def _indices(labels: Sequence[str | None], taken: NDArray[np.bool_], classes: Sequence[str]) -> Integers:
    """The class indices of the labels that are taken (N,)."""
    known = [classes.index(label or "") for label, kept in zip(labels, taken, strict=True) if kept]
    return np.array(known, dtype=np.int64)


def held_out_of(splits: Sequence[str | None], known: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], str]:
    """Which of the labelled images (N,) a classifier is judged by, and the name of their split.

    Those of valid, else of test, where there are such beside those of train; else all, and "".
    """
    roles = np.array([role_of(split) for split in splits] or [""] * len(known))
    if (known & (roles == "train")).any():
        for role in ("valid", "test"):
            if (held_out := known & (roles == role)).any():
                return held_out, role
    return known, ""


def behaviour_of_labels(
    logits: Floats,
    labels: Sequence[str | None],
    classes: Sequence[str],
    splits: Sequence[str | None] = (),
    clusters: Sequence[str | None] = (),
) -> Behaviour:
    """The behaviour of a multi-label network from logits (N, K), sets of labels as text (or None) and splits.

    Where images belong to `clusters` these are the units of the shares of images.
    """
    decided = logits >= 0
    sets = [joined(np.array(classes)[row], classes) for row in decided]
    if not sets:
        return Behaviour(tuple(classes), 0, {}, 0.0)
    size = float(np.abs(logits).mean()) or 1.0
    spread = float((logits.max(axis=0) - logits.min(axis=0)).max() / size)
    behaviour = Behaviour(tuple(classes), len(sets), dict(Counter(sets)), spread)
    known = np.array([label is not None for label in labels], dtype=bool)
    if not known.any():
        return behaviour
    parts = np.array([split or "" for split in splits] or [""] * len(labels))
    of_all = np.zeros(len(labels), dtype=bool)
    of_all[known] = (truth_of([label for label in labels if label is not None], classes) == decided[known]).all(axis=1)
    judged, held_out = held_out_of(splits, known)
    rows: list[int] = np.flatnonzero(judged).tolist()
    units = units_of(clusters, len(labels))
    truth = truth_of([labels[row] for row in rows], classes)
    order = label_order(logits[rows], truth, units[rows])
    by_split = {
        str(part): share_of(of_all[at], units[at])
        for part in np.unique(parts[known])
        if (at := known & (parts == part)).any()
    }
    return replace(
        behaviour,
        accuracy=share_of(of_all[rows], units[rows]),
        judged_on=held_out,
        label_share=Counter(labels[row] for row in rows).most_common(1)[0][1] / len(rows),
        by_split=dict(sorted(by_split.items())) if len(by_split) > 1 else None,
        by_label=label_scores(logits[rows], truth, classes, units[rows]),
        n_clusters=_n_clusters(units[rows]),
        permutation=tuple(classes[index] for index in order.order) if order else None,
        permutation_gain=order.gain if order else None,
        is_order_clear=order is not None and order.is_clear,
    )
