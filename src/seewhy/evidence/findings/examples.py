"""Trials chosen by rule, to be shown beside a finding: at fixed quantiles of the effect, for it and against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seewhy.estimates import Floats
from seewhy.evidence.findings.case import Case
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.sample import Ints, Sample
from seewhy.evidence.trials.trial import UNDECIDED, Scores, Trials

QUANTILES = (0.99, 0.95, 0.75)  # of the trials' effects, for examples; their complements for counter-examples
MOST_COUNTER_IMAGES = 6
Example = dict[str, Any]


def with_exchanges(
    finding: Finding, case: Case, trials: Trials, before: Scores, sample: Sample, classes: Sequence[str]
) -> Finding:
    """The finding with trials for and against it, and images judged right against their own content.

    `before` are the scores of all images of the sample (M) as they are.
    """
    contrast = case.effect.contrast
    change = trials.probability_changes(contrast) * towards(trials, contrast) * np.sign(case.value)
    order = np.argsort(-change, kind="stable")

    def example(quantile: float) -> Example:
        row = _row_at(order, quantile)
        donor = sample.images[int(trials.donors[row])]
        given = {"donor": donor.id, "donor_label": donor.label}
        return {**_trial(trials, row, contrast, sample, classes), **given, "quantile": quantile}

    examples, against = _at_quantiles(example)
    return replace(
        finding,
        examples=examples,
        counter_examples=(*against, *_counter_images(before, sample, case)),
    )


def with_marked(
    finding: Finding, case: Case, marked: Trials, patched: Trials, sample: Sample, classes: Sequence[str]
) -> Finding:
    """The finding of a mark with images for and against it: as they are, with the patch, and with the mark."""
    contrast = case.effect.contrast
    with_patch, with_mark = (trials.after.probabilities[:, contrast.column] for trials in (patched, marked))
    order = np.argsort(-(with_mark - with_patch) * np.sign(case.value), kind="stable")

    def example(quantile: float) -> Example:
        row = _row_at(order, quantile)
        patch = {"patch": float(with_patch[row])}
        return {**_trial(marked, row, contrast, sample, classes), **patch, "quantile": quantile}

    examples, against = _at_quantiles(example)
    return replace(finding, examples=examples, counter_examples=against)


def towards(trials: Trials, contrast: Contrast) -> Floats:
    """+1 for trials (T,) whose donor is of the contrast's class (of the recipient's own class), else -1."""
    target = trials.recipient_labels if contrast.is_own_class else contrast.column
    return np.where(trials.donor_labels == target, 1.0, -1.0)


def _at_quantiles(example: Callable[[float], Example]) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    return tuple(map(example, QUANTILES)), tuple(example(1 - quantile) for quantile in reversed(QUANTILES))


def _row_at(order: Ints, quantile: float) -> int:
    return int(order[round((1 - quantile) * (len(order) - 1))])


def _trial(trials: Trials, row: int, contrast: Contrast, sample: Sample, classes: Sequence[str]) -> Example:
    """One trial as plain values: the image, what is asked about, and what was said before and after."""
    image, column = sample.images[int(trials.recipients[row])], contrast.column
    return {
        "recipient": image.id,
        "label": image.label,
        "contrast": contrast.name,
        "before": float(trials.before.probabilities[row, column]),
        "after": float(trials.after.probabilities[row, column]),
        "prediction_before": _named(classes, trials.before.predictions[row]),
        "prediction": _named(classes, trials.after.predictions[row]),
    }


def _named(classes: Sequence[str], index: int) -> str | None:
    return None if index == UNDECIDED else classes[index]


def _counter_images(before: Scores, sample: Sample, case: Case) -> list[Example]:
    """Images whose own content speaks most for another class, and that are judged right all the same."""
    contrast = case.effect.contrast
    if contrast.is_own_class:
        return []
    sign = np.where(sample.labels == contrast.column, -1.0, 1.0) * np.sign(case.value)  # for the other side
    misleading = np.where(np.isfinite(case.effect.donors), case.effect.donors * sign, -np.inf)
    right = before.predictions == sample.labels
    order = [int(place) for place in np.argsort(-misleading, kind="stable") if right[place] and misleading[place] > 0]
    return [
        {
            "image": sample.images[place].id,
            "label": sample.images[place].label,
            "contrast": contrast.name,
            "probability": float(before.probabilities[place, contrast.column]),
            "its_content_moves_others": float(case.effect.donors[place]),
        }
        for place in order[:MOST_COUNTER_IMAGES]
    ]
