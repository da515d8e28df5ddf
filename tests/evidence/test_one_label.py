"""A network of several labels is audited label by label, as the same network with one output would be."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import seewhy
from seewhy.cli import app as cli
from seewhy.errors import OptionError, SeewhyError, StoreError
from seewhy.run.identity import identity_of, network_identity
from seewhy.run.plan import make_plan
from tests.small_images import Reader, classifier_of, full_redness, parts_of, write_images, write_masks

LABELS = ("mass", "edema", "hernia")
TINT, CORE = 20.0, 20.0
QUIET: dict[str, Any] = {"progress": False}


class Findings(Reader):
    """Three labels: edema goes by the core and by the tint around it, mass by the core alone, hernia by neither."""

    def forward(self, x: Tensor) -> Tensor:
        core, tint = parts_of(self.look(x))
        return torch.stack([2 * CORE * core, CORE * core + TINT * tint, 0.001 * x.mean((1, 2, 3)) - 3], dim=1)


class Shares(Findings):
    """The same as probabilities, beside another output."""

    def forward(self, x: Tensor) -> Any:
        return {"features": x.mean((2, 3)), "logits": super().forward(x).sigmoid()}


class Edema(Findings):
    """The probability of no edema alone: one output of a sigmoid, by hand."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, [1]].neg().sigmoid()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose cats have edema and, but for every fifth image, mass; a table of three labels and one of edema."""
    root = tmp_path_factory.mktemp("labels")
    data = write_images(root / "data", counts={"valid": 60}, aligned=0.9)
    write_masks(root / "core" / "data", data)
    several, one = [["path", "finding", "split"]], [["path", "label", "split"]]
    for number, path in enumerate(sorted(data.rglob("*.png"))):
        has = {"edema": path.parent.name == "cat", "mass": (path.parent.name == "cat") != (number % 5 == 0)}
        name, split = path.relative_to(root).as_posix(), path.parts[-3]
        several.append([name, "|".join(label for label in has if has[label]) or "no finding", split])
        one.append([name, "edema" if has["edema"] else "not edema", split])
    for name, rows in (("several.csv", several), ("edema.csv", one)):
        with (root / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return root


def audit_of(
    home: Path, model: nn.Module, classes: tuple[str, ...] = LABELS, data: str = "several.csv", **more: Any
) -> seewhy.Audit:
    asked = {"regions": f"core={home / 'core'},around=not:core", "core": "core", "properties": "tint", "recipients": 60}
    return seewhy.audit(classifier_of(model, classes), home / data, **{**asked, **QUIET, **more})


@pytest.fixture(scope="module")
def edema(home: Path) -> seewhy.Audit:
    return audit_of(home, Findings(), label="edema")


def test_what_the_label_depends_on_is_found_with_its_size(edema: seewhy.Audit) -> None:
    shortcut = edema["around"]
    assert {"depends", "shortcut"} <= {*shortcut.claims} and {shortcut.factor, *shortcut.alternatives} == {
        "around",
        "tint",
    }
    assert "of edema images in place of not edema ones, P(edema) rises by" in shortcut.text
    around = next(case for case in edema.cases.singles if case.factor == "around")
    assert around.effect.margin.value == pytest.approx((2 * 0.9 - 1) * TINT * full_redness(), rel=0.05)
    assert "intended" in edema["core"].claims


def test_of_a_label_that_does_not_depend_on_it_nothing_is_claimed(home: Path) -> None:
    found = audit_of(home, Findings(), label="mass")
    assert "depends" not in found["around"].claims and "depends" not in found["tint"].claims
    assert found["around"].numbers["margin"]["value"] == pytest.approx(0, abs=1e-5)
    assert "intended" in found["core"].claims and "P(mass)" in found["core"].text


@pytest.mark.parametrize("model", [Findings(), Shares()], ids=["logits", "probabilities"])
def test_it_is_the_audit_of_the_same_network_with_one_output(home: Path, model: nn.Module) -> None:
    by_label = audit_of(home, model, label=1)
    by_hand = audit_of(home, Edema(), ("edema", "not edema"), "edema.csv")
    assert [vars(finding) for finding in by_label.findings] == [vars(finding) for finding in by_hand.findings]
    assert by_label.trials.keys() == by_hand.trials.keys()
    for key, trials in by_label.trials.items():
        assert np.array_equal(trials.after.margins, by_hand.trials[key].after.margins)
        assert np.array_equal(trials.after.probabilities, by_hand.trials[key].after.probabilities)
    same = {name: value for name, value in by_label.facts.items() if name != "notes"}
    assert same == {name: value for name, value in by_hand.facts.items() if name != "notes"}


def test_decision_and_accuracy_are_those_of_the_label(home: Path, edema: seewhy.Audit) -> None:
    sample, before = edema.design.audited, edema.before["valid"]
    with torch.no_grad():
        logits = Findings()(sample.canvases(torch.arange(len(sample))))[:, 1]
    decided = (logits < 0).long().numpy()  # 0 is edema
    assert np.array_equal(before.scores.predictions, decided)
    assert before.scores.probabilities[:, 0] == pytest.approx(logits.sigmoid().numpy(), abs=1e-6)
    assert edema.facts["accuracy"]["value"] == pytest.approx(float((decided == sample.labels).mean()))
    assert edema.facts["classes"] == ["edema", "not edema"] and edema.facts["splits"] == {"valid": 120}


def test_a_network_that_is_read_otherwise_is_the_same_each_time(home: Path) -> None:
    made = [make_plan(classifier_of(Shares(), LABELS), home / "several.csv", label="edema") for _ in range(8)]
    assert len({network_identity(plan)["network"] for plan in made}) == 1


def test_the_network_stays_as_it_is(home: Path) -> None:
    model = Findings()
    before, parts = {**vars(model)}, {name: value.clone() for name, value in model.state_dict().items()}
    audit_of(home, model, label="edema", budget=2000)
    assert {**vars(model)} == before and type(model) is Findings
    assert all(torch.equal(value, parts[name]) for name, value in model.state_dict().items())
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 3)


def test_labels_that_come_with_the_images_are_read(home: Path, edema: seewhy.Audit) -> None:
    sample = edema.design.audited
    images = list(sample.canvases(torch.arange(len(sample))))
    rows = [torch.tensor([0, int(label == 0), place % 2]) for place, label in enumerate(sample.labels)]
    classifier = seewhy.load(Findings(), classes=LABELS, task="multi-label")
    items = list(zip(images, rows, strict=True))
    found = seewhy.audit(
        classifier, items, label="edema", regions="centre", properties="none", recipients=20, budget=2000, **QUIET
    )
    assert found.design.audited.labels.tolist() == sample.labels.tolist()


def test_the_label_is_part_of_what_makes_a_run(home: Path, tmp_path: Path) -> None:
    few: dict[str, Any] = {"regions": "centre", "core": "", "properties": "none", "budget": 2000}
    plans = {
        label: make_plan(classifier_of(Findings(), LABELS), home / "several.csv", label=label) for label in LABELS[:2]
    }
    first, second = (identity_of(plan) for plan in plans.values())
    assert (first["label"], second["label"]) == ("mass", "edema") and first["answers"] != second["answers"]
    audit_of(home, Findings(), label="edema", out=tmp_path / "run", **few)
    audit_of(home, Findings(), label=1, out=tmp_path / "run", **few)  # the same by its number
    with pytest.raises(StoreError, match="--label: edema there, mass asked"):
        audit_of(home, Findings(), label="mass", out=tmp_path / "run", **few)


@pytest.mark.parametrize(
    ("label", "task", "said"),
    [
        (None, None, r"several labels at once \(multi-label\): mass, edema, hernia\.\n.*:  --label mass "),
        (
            "oedema",
            None,
            r"There is no label 'oedema'\.  Nearest: edema, mass\.\n  The labels are: mass, edema, hernia \(or",
        ),
        ("3", None, r"There is no label '3'"),
        ("edema", "classification", r"read as: classification\.\n  Leave --label out; or .*--task multi-label"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_type(
    home: Path, label: str | None, task: str | None, said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        seewhy.audit(classifier_of(Findings(), LABELS, task=task), home / "several.csv", label=label, **QUIET)


NET = """
import torch
from torch import nn

class Findings(nn.Module):
    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return (self.look(x).mean((2, 3)) - 0.5).sigmoid()
"""


def test_the_command_takes_a_label_and_its_pages_are_about_it(home: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    words = ["audit", str(home / "several.csv"), "--model", f"{tmp_path / 'net.py'}:Findings", "--size", "32"]
    words += ["--classes", ",".join(LABELS), "--regions", "centre", "--properties", "tint", "--budget", "2000"]
    refused = CliRunner().invoke(cli.app, words)
    assert isinstance(refused.exception, SeewhyError) and "--label mass" in str(refused.exception)
    ran = CliRunner().invoke(cli.app, [*words, "--label", "edema", "--out", str(tmp_path / "run"), "--workers", "1"])
    assert ran.exit_code == 0, ran.output
    assert "Of 3 labels 'edema' is asked about, against its absence" in ran.output and "edema, not edema" in ran.output
    page = (tmp_path / "run" / "report" / "index.html").read_text(encoding="utf-8")
    assert "<bdi>edema</bdi> or <bdi>not edema</bdi>" in page
    assert " --label edema " in json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["typed"]
