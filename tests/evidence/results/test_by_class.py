"""Factor by class and confusions of a whole audit, against a network that answers by the surround alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import OptionError
from seewhy.evidence.results.class_table import STEPS, ClassEffect, ClassTable, class_table, step_of
from seewhy.evidence.results.result import Audit
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.report.classes import confusion_cards, grid_of
from seewhy.report.write import write_report
from tests.small_images import as_it_is, classifier_of, full_redness, parts_of, write_images, write_masks

CLASSES = ("ant", "bee", "cow")
BEE, COW = 1, 2


class BySurround(nn.Module):
    """Three logits by the ring's redness: high for ants, low for cows; between the two bees are called cows."""

    def __init__(self) -> None:
        super().__init__()
        self.look = as_it_is()

    def forward(self, x: Tensor) -> Tensor:
        _, around = parts_of(self.look(x))
        level = 6 * around / full_redness()
        return torch.stack([level, torch.full_like(level, 0.1), 0.4 - level], dim=1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, Path]:
    home = tmp_path_factory.mktemp("by_class")
    images = write_images(home / "data", counts={"valid": 36}, classes=CLASSES, aligned=0.8)
    masks = write_masks(home / "core", images)
    audit = seewhy.audit(
        classifier_of(BySurround(), CLASSES), images, regions=f"core={masks},around=not:core", properties="none",
        recipients=45, budget=3000, progress=False,
    )  # fmt: skip
    return audit, audit.save(home / "run")


def given(audit: Audit, recipients: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """P (M, 3) and labels (M,) of the images that gave their surround, or gave it to images of one class."""
    trials = audit.trials[TrialKey("around", EXCHANGE, "valid")]
    rows = np.isin(trials.recipient_labels, range(3) if recipients is None else [recipients])
    donors = np.unique(trials.donors[rows])
    return audit.before["valid"].scores.probabilities[donors].astype(np.float64), trials.labels[donors]


@pytest.mark.parametrize("label", range(3))
def test_the_effect_on_each_class_is_what_its_surround_says(found: tuple[Audit, Path], label: int) -> None:
    """The network sees the ring alone: with an image's surround any image has that image's probabilities."""
    audit, (of_donors, labels) = found[0], given(found[0])
    means = [of_donors[labels == index, label].mean() for index in range(3)]
    expected = means[label] - np.mean(means[:label] + means[label + 1 :])
    effect = audit.by_class["around", CLASSES[label]]
    assert effect.effect == pytest.approx(expected, abs=0.02)
    assert effect.low < expected < effect.high
    assert audit.by_class["core", CLASSES[label]].said == "none"


def test_the_confusion_is_moved_by_the_surround_and_by_nothing_else(found: tuple[Audit, Path]) -> None:
    audit, (of_donors, labels) = found[0], given(found[0], BEE)
    (confusion,) = [one for one in audit.confusions if one.label == "bee"]
    scores = audit.before["valid"].scores
    called = int((scores.predictions[audit.design.audited.labels == BEE] == COW).sum())
    assert (confusion.prediction, confusion.count, confusion.of) == ("cow", called, 36) and called > 20
    around, core = confusion.moves
    expected = of_donors[labels == COW, COW].mean() - of_donors[labels == BEE, COW].mean()
    assert around["factor"] == "around" and around["said"] == "shown" and core["said"] == "none"
    assert around["effect"] == pytest.approx(expected, abs=0.02) and around["low"] < expected < around["high"]
    assert confusion.text in repr(audit) and confusion.title.split("  ")[1] in audit._repr_html_()


def test_the_folder_holds_the_same_numbers(found: tuple[Audit, Path]) -> None:
    audit, folder = found
    stored = json.loads((folder / "findings.json").read_text())
    assert class_table(stored["by_class"]) == audit.by_class
    assert pq.read_table(folder / "class_effects.parquet").to_pylist() == stored["by_class"]
    rows = pq.read_table(folder / "confusion_effects.parquet").to_pylist()
    moves = [
        {"label": one["label"], "prediction": one["prediction"], **move}
        for one in stored["confusions"]
        for move in one["moves"]
    ]
    assert rows == moves and rows
    assert {one["title"] for one in stored["confusions"]} <= {one["title"] for one in stored["told"]}


def test_the_pages_show_the_table_and_why(found: tuple[Audit, Path]) -> None:
    page = (write_report(found[1]) / "index.html").read_text()
    effect = found[0].by_class["around", "ant"]
    assert (
        "Factor by class" in page
        and f"{100 * effect.effect:+.1f}" in page
        and f'class="number up-{step_of(effect)}"' in page
    )
    assert "bee called cow: around" in page and "label=bee&amp;prediction=cow&amp;split=valid" in page
    assert "style=" not in page.partition("Factor by class")[2].partition("</table>")[0], "the policy forbids it"


# The table by itself.


def effect(factor: str, label: str, value: float, said: str = "shown") -> ClassEffect:
    return ClassEffect(factor, label, value, value - 0.01, value + 0.01, 0.001, said, 80, 90)  # type: ignore[arg-type]


TABLE = ClassTable(
    (
        effect("tint", "ant", 0.03), effect("tint", "bee", -0.5), effect("noise", "ant", 0.9, "cannot say"),
        effect("noise", "bee", 0.0, "none"), effect("core", "ant", 0.1), effect("core", "bee", math.nan, "cannot say"),
    )
)  # fmt: skip


def test_the_table_orders_factors_by_what_is_shown_and_finds_each_effect() -> None:
    assert TABLE.factors == ("tint", "core", "noise") and TABLE.labels == ("ant", "bee") and TABLE.is_by_class
    assert TABLE["tint", "bee"].effect == -0.5 and len(TABLE) == len(list(TABLE)) == len(TABLE.records) == 6
    with pytest.raises(OptionError, match="no effect of 'hue' on 'ant'; its factors are tint, core, noise"):
        TABLE["hue", "ant"]


def test_lines_hold_what_is_shown_and_fit() -> None:
    lines = TABLE.lines(60)
    assert [line.split() for line in lines[:3]] == [
        ["ant", "bee"],
        ["tint", "+3.0*", "-50.0*"],
        ["core", "+10.0*", "?"],
    ]
    assert lines[-1].startswith("1 more factor") and "noise" not in " ".join(lines[1:3])
    wide = ClassTable(tuple(effect("low-frequency", f"a class with a long name {index}", 0.1) for index in range(10)))
    assert max(map(len, wide.lines(110)[:2])) <= 110
    assert ClassTable((effect("tint", "ant", 0.1, "none"),)).lines() == [] == ClassTable(()).lines()


@pytest.mark.parametrize(
    ("value", "step"), [(0.019, 0), (0.021, 1), (-0.021, -1), (0.3, 4), (-0.99, -5), (STEPS[-1], len(STEPS))]
)
def test_deeper_colours_are_larger_effects_and_only_of_what_is_shown(value: float, step: int) -> None:
    one = effect("tint", "ant", value)
    assert step_of(one) == step and step_of(replace(one, said="none")) == step_of(replace(one, said="cannot say")) == 0


def test_a_notebook_shows_names_as_text() -> None:
    html = ClassTable((effect("<b>", "a&b", 0.1), effect("<b>", "c", 0.2)))._repr_html_()
    assert "&lt;b&gt;" in html and "a&amp;b" in html and "<b>" not in html


def test_two_classes_or_very_many_need_no_table() -> None:
    assert grid_of({"by_class": [vars(effect("tint", "ant", 0.1))]}, {}) is None
    assert grid_of({"by_class": [vars(effect("tint", "own class", 0.1))]}, {}) is None
    assert grid_of({}, {}) is None and confusion_cards({}, "valid", 0.02) == []
