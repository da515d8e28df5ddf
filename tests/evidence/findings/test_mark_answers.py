"""What a mark does to the answers, from trials that are written down by hand, and from an audit beside a recount."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.estimates import wilson
from seewhy.evidence.findings.mark_answers import mark_answers
from seewhy.evidence.inference.units import share_change, share_of
from seewhy.evidence.trials.edit import MARKED, PATCHED, Edit, TrialKey
from seewhy.evidence.trials.trial import NO_DONOR, Scores, Trials
from tests.small_images import Steps, classifier_of, write_images

CLASSES = ("a", "b", "c")
LABELS = np.array([0, 0, 1, 1, 2, 2, 2, 2])
BEFORE = np.array([0, 0, 1, 1, 2, 2, 2, 0])  # 7 of 8 right
PATCH = np.array([0, 0, 1, 0, 2, 2, 1, 0])  # 5: one turns to a, one to b
MARK = np.array([1, 1, 1, -1, 1, 2, 2, 1])  # 3: four turn to b, one is broken


def trials(edit: Edit, after: np.ndarray, clusters: np.ndarray | None = None) -> Trials:
    def scores(predictions: np.ndarray) -> Scores:
        return Scores(np.zeros((8, 3), np.float32), np.zeros((8, 3), np.float32), predictions)

    places = np.arange(8)
    key = TrialKey("logo", edit, "valid")
    return Trials(
        key,
        places,
        np.full(8, NO_DONOR),
        scores(BEFORE),
        scores(after),
        LABELS,
        places if clusters is None else clusters,
    )


def test_accuracies_and_gains_are_those_counted_by_hand() -> None:
    found = mark_answers(trials(MARKED, MARK), trials(PATCHED, PATCH), CLASSES)
    assert (found.before, found.patch, found.mark) == (wilson(7, 8), wilson(5, 8), wilson(3, 8))
    assert found.change.value == pytest.approx(-2 / 8) and found.change.n == 8
    assert dict(found.gains) == {"b": (4, 1)}, "a gains more with the patch, and nothing is said of what is broken"


def test_clusters_are_the_units_of_the_accuracies() -> None:
    pairs = np.arange(8) // 2
    found = mark_answers(trials(MARKED, MARK, pairs), trials(PATCHED, PATCH, pairs), CLASSES)
    assert found.before == share_of(BEFORE == LABELS, pairs) and found.mark == share_of(MARK == LABELS, pairs)
    assert found.change == share_change(PATCH == LABELS, MARK == LABELS, pairs)
    assert found.change.value == pytest.approx(found.mark.value - found.patch.value)
    alone = mark_answers(trials(MARKED, MARK), trials(PATCHED, PATCH), CLASSES)
    assert found.mark.high - found.mark.low > alone.mark.high - alone.mark.low


def test_a_mark_that_changes_no_answer_is_told_with_an_interval() -> None:
    found = mark_answers(trials(MARKED, PATCH), trials(PATCHED, PATCH), CLASSES)
    assert "+0.0 points [-19.6, +19.6] beside it (n = 8)" in found.words("the patch")


def test_the_sentence_has_every_accuracy_with_its_interval_and_count() -> None:
    found = mark_answers(trials(MARKED, MARK), trials(PATCHED, PATCH), CLASSES)
    words = found.words("the patch")
    for share in (found.before, found.patch, found.mark):
        assert f"{share}" in words
    assert "n = 8" in words and "b (4 images, 1 with the patch)" in words and "-25.0 points" in words
    assert "latin.png" in found.words("latin.png")


class Carton(Steps):
    """Six classes by the core, and class f wherever the top left corner is white."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        white = (x[:, :, :6, :6].mean((1, 2, 3)) > 0.9)[:, None]
        return logits + 1e6 * white * nn.functional.one_hot(torch.tensor(5), 6)


def test_an_audit_names_the_class_that_a_mark_over_the_canvas_turns_answers_to(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 30}, classes=tuple("abcdef"), noise=0.01)
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:6, :6] = 255
    pixels[26:, 26:, 3], pixels[26:, 26:, :3] = 100, 30
    PIL.Image.fromarray(pixels).save(tmp_path / "wm.png")
    plain = np.zeros_like(pixels)
    plain[26:, 26:, 3] = 100
    PIL.Image.fromarray(plain).save(tmp_path / "plain.png")
    found = seewhy.audit(
        classifier_of(Carton(6, core=4000.0), tuple("abcdef")),
        data,
        regions="none",
        properties="none",
        marks=[f"wm={tmp_path / 'wm.png'}@full:{tmp_path / 'plain.png'}"],
        progress=False,
    )
    finding = found["wm"]
    answers = finding.numbers["answers"]
    assert answers["mark"]["value"] == pytest.approx(1 / 6) and answers["patch"] == answers["before"]
    assert set(answers["gains"]) == {"f"} and answers["gains"]["f"][1] == 0
    assert "Answers that change turn to f" in finding.text and "plain.png" in finding.text
    assert finding.numbers["against"].endswith("plain.png") and not finding.is_plain
