"""Images with several labels from the table to records, check and pages: every image is judged, by the set it has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import seewhy
from seewhy.cli import app as cli
from seewhy.errors import OptionError
from seewhy.report.accuracy import accuracies, confusions

NAMES = ("red", "green", "blue")
NET = """
import torch
from torch import nn

class Colours(nn.Module):
    '''Says of each channel whether it is bright.'''

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.features.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            self.features.bias.zero_()

    def forward(self, x):
        return (self.features(x).mean((2, 3)) - 0.5) * 20
"""


class Colours(nn.Module):
    """Says of each channel whether it is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.features.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            self.features.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return (self.features(x).mean((2, 3)) - 0.5) * 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pictures of bright channels, six of them labelled wrongly, in a table of cells and one of columns."""
    root, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    (root / "images").mkdir()
    cells, columns = ["Image Index,Finding Labels"], ["id,red,green,blue"]
    for number in range(48):
        truth = [bool(number >> k & 1) for k in range(3)]
        pixels = rng.integers(0, 60, (16, 16, 3)) + np.array(truth) * 180
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"{number:02d}.png")
        if number % 8 == 5:  # which is red and blue
            truth[1] = True
        names = [name for name, has in zip(NAMES, truth, strict=True) if has]
        cells.append(f"{number:02d}.png,{'|'.join(reversed(names)) or 'No Finding'}")
        columns.append(f"{number:02d},{','.join(str(int(has)) for has in truth)}")
    (root / "cells.csv").write_text("\n".join(cells))
    (root / "columns.csv").write_text("\n".join(columns))
    (root / "net.py").write_text(NET)
    return root


@pytest.mark.parametrize("table", ["cells.csv", "columns.csv"])
def test_every_image_is_judged_by_its_set(home: Path, table: str) -> None:
    classifier = seewhy.load(Colours(), classes=NAMES)
    explanation = seewhy.explain(classifier, home / table, progress=False)
    assert explanation.plan.task == "multi-label"
    summary = explanation.summary()
    assert (summary["labelled"], summary["accuracy"]) == (48, 42 / 48)
    labels = [image.label for image in explanation]
    assert labels[:6] == ["no label", "red", "green", "red|green", "blue", "red|green|blue"]
    assert [image.prediction for image in explanation][:6] == [*labels[:5], "red|blue"]
    with torch.no_grad():
        strongest = torch.tensor([image.outcome.logits for image in explanation]).sigmoid().amax(1)
    assert [image.probability for image in explanation] == pytest.approx(strongest.tolist())


def test_the_records_and_the_tables_of_the_pages(home: Path, tmp_path: Path) -> None:
    explanation = seewhy.explain(
        seewhy.load(Colours(), classes=NAMES), home / "cells.csv", out=tmp_path / "run", progress=False
    )
    records = pyarrow.parquet.read_table(tmp_path / "run" / "records.parquet").to_pydict()
    assert records["label"][5:8] == ["red|green|blue", "green|blue", "red|green|blue"]
    assert records["prediction"][5:8] == ["red|blue", "green|blue", "red|green|blue"]
    assert records["correct"][5:8] == [False, True, True]
    shares = {row.label: (row.share.value, row.share.n) for row in accuracies(explanation.outcomes, NAMES)}
    assert shares == {None: (42 / 48, 48), "red": (1, 24), "green": (24 / 30, 30), "blue": (1, 24)}
    assert confusions(explanation.outcomes, NAMES) == []
    page = seewhy.write_report(explanation) / "index.html"
    assert "--label red</code>" in page.read_text(encoding="utf-8"), "an audit of one label comes next"


def test_check_scores_each_label(home: Path) -> None:
    found = seewhy.check(seewhy.load(Colours(), classes=NAMES), home / "columns.csv", progress=False)
    assert found.behaviour.accuracy is not None and found.behaviour.accuracy.value == 42 / 48
    red, green, blue = found.behaviour.by_label or ()
    assert (red.f1, blue.f1, green.f1) == (1, 1, pytest.approx(2 * 24 / (24 + 30)))
    assert red.auc is not None and red.auc.value == 1 and green.auc is not None and green.auc.value < 1
    stored = json.loads(json.dumps(found.summary(), allow_nan=False))
    assert [label["name"] for label in stored["behaviour"]["by_label"]] == list(NAMES)
    assert found.feeding is not None and found.feeding.n_images == 48
    assert found.feeding.auc == pytest.approx((2 + green.auc.value) / 3)


def test_the_target_label_is_that_of_images_with_one(home: Path) -> None:
    explanation = seewhy.explain(
        seewhy.load(Colours(), classes=NAMES), home / "cells.csv", target="label", progress=False
    )
    empty = np.isnan(explanation.maps).all(axis=(1, 2))
    assert empty.tolist() == [image.label not in NAMES for image in explanation]
    assert any(f"{empty.sum()} have none or several, and no map" in note for note in explanation.notes)


def test_an_audit_of_several_labels_says_how_to_ask_about_one(home: Path) -> None:
    with pytest.raises(
        OptionError, match=r"labels at once \(multi-label\): red, green, blue\.\n.*--label red "
    ) as raised:
        seewhy.audit(seewhy.load(Colours(), classes=NAMES), home / "cells.csv", progress=False)
    assert raised.value.slug == "audit-task"


def test_one_column_of_a_table_is_one_label(home: Path) -> None:
    class Red(Colours):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, [0]]

    table = seewhy.read_table(home / "columns.csv", columns={"label": "red"})
    explanation = seewhy.explain(seewhy.load(Red(), classes=["no red", "red"]), table, progress=False)
    assert explanation.summary()["accuracy"] == 1 and {image.label for image in explanation} == {"no red", "red"}


def test_the_command_line_says_which_columns_and_numbers(home: Path, tmp_path: Path) -> None:
    lines = [f"images/{number:02d}.png,{1 + number % 2},{number}" for number in range(8)]
    (home / "counted.csv").write_text("\n".join(["scan,grade,age", *lines]))
    words = [
        "explain",
        str(home / "counted.csv"),
        "--model",
        f"{home / 'net.py'}:Colours",
        "--out",
        str(tmp_path / "r"),
    ]
    options = ["--columns", "path=scan,label=grade", "--classes", "none,red,blue", "--no-report", "--workers", "1"]
    ran = CliRunner().invoke(cli.app, [*words, *options, "--first-label", "1"])
    assert ran.exit_code == 0, ran.output
    labels = pyarrow.parquet.read_table(tmp_path / "r" / "records.parquet")["label"].to_pylist()
    assert labels == ["none", "red"] * 4
    ran = CliRunner().invoke(cli.app, [*words, "--columns", "scan"])
    assert ran.exit_code != 0 and "must look like path=scan,label=grade" in str(ran.exception or ran.output)
