"""What is said of a multi-label network: how labels are told, which are never given, whose probabilities are off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seewhy.errors import counted, listed
from seewhy.estimates import Estimate
from seewhy.evidence.checks.behaviour import Behaviour
from seewhy.evidence.checks.class_order import line_to_type
from seewhy.evidence.checks.findings import CheckFinding, Level, behaviour_findings, count_words
from seewhy.evidence.checks.label_scores import LabelScore
from seewhy.evidence.thresholds import CHECK_THRESHOLDS

_GUESSING = 0.5  # the area under the ROC curve of a guess


def label_findings(behaviour: Behaviour) -> list[CheckFinding]:
    """What the logits say about each label."""
    scores = behaviour.by_label
    if behaviour.is_constant or scores is None or behaviour.accuracy is None:
        return [finding for finding in behaviour_findings(behaviour) if "class" not in finding.numbers]
    judged = [(score, score.auc) for score in scores if score.auc is not None]
    if not judged:
        text = "Every label is had by all of these images or by none, so nothing can be said about how it is told."
        return [CheckFinding("cannot say", "works", text, "Check images with and without them.", stops_audit=True)]
    least = 1 - CHECK_THRESHOLDS["useful_auc"]
    turned = [f"{score.name} {auc}" for score, auc in judged if auc.high < _GUESSING and auc.value <= least]
    findings = _other_order(behaviour)
    if turned and not findings:
        text = f"Images with the label get less of it than images without: AUC of {listed(turned, 4)}."
        todo = "Are the labels in the order of the outputs?  --classes"
        findings.append(CheckFinding("bad", "works", text, todo, {"turned": len(turned)}))
    return [
        *findings,
        _told(scores, judged, behaviour.accuracy, behaviour.n_clusters),
        *_never(scores),
        *_off(scores, behaviour.n_clusters),
    ]


def _other_order(behaviour: Behaviour) -> list[CheckFinding]:
    """That the outputs seem to mean the labels in another order."""
    order, gain = behaviour.permutation, behaviour.permutation_gain
    if order is None or gain is None or behaviour.accuracy is None:
        return []
    n = count_words(behaviour.accuracy.n, behaviour.n_clusters)
    moved = [f"{now!r} means {then!r}" for now, then in zip(behaviour.classes, order, strict=True) if now != then]
    text = (
        f"The labels seem to be in another order ({listed(moved, 3)}): mean AUC {gain.value:+.3f} "
        f"[{gain.low:+.3f}, {gain.high:+.3f}] so (n = {n}, the order found on one half and judged on the other)."
    )
    numbers = {"permutation": list(order), "gain": vars(gain)}
    return [CheckFinding("bad", "works", text, line_to_type(order), numbers, stops_audit=True)]


def _told(
    scores: Sequence[LabelScore],
    judged: Sequence[tuple[LabelScore, Estimate]],
    accuracy: Estimate,
    n_clusters: int | None,
) -> CheckFinding:
    """The areas, the decisions and the share of images whose very set is right."""
    areas = sorted(judged, key=lambda pair: pair[1].value)
    f1 = [score.f1 for score in scores if score.f1 is not None]
    mean = float(np.mean([auc.value for _, auc in judged]))
    lowest = [f"{score.name} {auc} ({score.count:,} images)" for score, auc in areas[:3]]
    of_clusters = "" if n_clusters is None else f" of {counted(n_clusters, 'cluster')}"
    of = "1 label" if len(judged) == 1 else f"{len(judged)} labels, lowest {'; '.join(lowest)}"
    text = (
        f"AUC {mean:.3f} over {of}; F1 {float(np.mean(f1)):.3f} at one half; every label of an image right: {accuracy} "
        f"of {accuracy.n:,} labelled images{of_clusters}"
    )
    open_ = [score.name for score, auc in areas if auc.low <= _GUESSING]
    if left := len(scores) - len(judged):
        text += f"; {left} labels are had by all or none"
    numbers = {"labels": {score.name: vars(score) for score in scores}, "auc": mean, "accuracy": vars(accuracy)}
    if not open_:
        return CheckFinding("good", "works", f"{text}.", "", numbers)
    all_of = len(open_) == len(judged)
    level: Level = "bad" if all_of else "caution"
    todo = "Look at weights, preprocessing and the order of the labels first." if all_of else ""
    text += f"; not shown to be told better than by guessing: {'all' if all_of else listed(open_, 4)}."
    return CheckFinding(level, "works", text, todo, numbers, stops_audit=all_of)


def _never(scores: Sequence[LabelScore]) -> list[CheckFinding]:
    """Labels that images have and that no image is given."""
    missed = sorted((score for score in scores if score.count and not score.decided), key=lambda score: -score.count)
    if not missed:
        return []
    names = listed([f"{score.name} ({score.count:,} images)" for score in missed], 4)
    text = f"Never given, since no image gets a probability of one half: {names}."
    todo = f"A threshold of its own would tell it; its maps are drawn all the same:  --target {missed[0].name}"
    return [CheckFinding("caution", "works", text, todo, {"never": [score.name for score in missed]})]


def _off(scores: Sequence[LabelScore], n_clusters: int | None) -> list[CheckFinding]:
    """Labels whose mean probability is not the share of images that have them."""
    least = {score.name: float(np.clip(0.0, score.bias.low, score.bias.high)) for score in scores if score.n > 1}
    off = [score for score in scores if abs(least.get(score.name, 0.0)) > CHECK_THRESHOLDS["overconfidence"]]
    if not off:
        return []
    off.sort(key=lambda score: -abs(least[score.name]))
    said = [
        f"{score.name} {score.bias.value + score.count / score.n:.3f} on average for {score.count / score.n:.3f}"
        for score in off
    ]
    n = count_words(off[0].n, n_clusters)
    text = f"Probabilities are not the shares of images that have the label: {listed(said, 3)} (n = {n})."
    todo = "Read them as an order, not as chances."
    return [CheckFinding("caution", "works", text, todo, {"bias": {score.name: vars(score.bias) for score in off}})]
