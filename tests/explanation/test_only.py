"""`only`: all images are answered, and those that are answered wrongly (or rightly) alone are explained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from typer.testing import CliRunner

import seewhy
from seewhy.cli import app as cli
from seewhy.errors import DataError, OptionError, SeewhyError, StoreError
from tests.explanation.test_sets_of_labels import NET, Colours

NAMES = ("red", "green", "blue")
WRONG = (3, 8, 20)  # rows whose label is another than their colour


class OneOfThree(Colours):
    """The brightest channel decides."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of one bright channel in a table: three of a wrong label, one without any, and one that is none."""
    root, rng = tmp_path_factory.mktemp("only"), np.random.default_rng(0)
    rows = ["path,label"]
    for number in range(24):
        pixels = rng.integers(0, 60, (16, 16, 3))
        pixels[..., number % 3] += 150
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number:02d}.png")
        label = "" if number == 5 else NAMES[(number + (number in WRONG)) % 3]
        rows.append(f"{number:02d}.png,{label}")
    (root / "11.png").write_text("no image")
    (root / "table.csv").write_text("\n".join(rows))
    (root / "net.py").write_text(NET)
    return root


def explained(home: Path, only: str | None = None, **more: object) -> seewhy.Explanation:
    classifier = seewhy.load(OneOfThree(), classes=NAMES)
    return seewhy.explain(classifier, more.pop("images", home / "table.csv"), only=only, progress=False, **more)


@pytest.mark.parametrize("only", ["wrong", "right"])
def test_those_alone_are_explained_as_they_are_among_all(home: Path, only: str) -> None:
    every, few = explained(home), explained(home, only)
    rows = every.where(wrong=only == "wrong").rows
    assert len(rows) == {"wrong": 3, "right": 19}[only] and (only == "right" or rows == WRONG)
    assert few.records == [every.records[row] for row in rows]
    np.testing.assert_allclose(few.maps, every.maps[list(rows)], rtol=1e-5, atol=1e-7)


def test_it_is_said_of_how_many_and_nothing_is_said_of_the_accuracy(home: Path) -> None:
    found = explained(home, "wrong")
    said = "3 of 24 images, which were answered wrongly (19 right, 3 wrong, 2 without a label or an answer)"
    assert f"Explained: {said}." in found.notes and said in found._repr_html_()
    summary = found.summary()
    assert summary["only"] == {"answered": "wrong", "images": 24, "right": 19, "wrong": 3}
    assert (summary["images"], summary["labelled"], summary["accuracy"]) == (3, 0, None)
    assert "only" not in explained(home).summary()


def test_many_wrong_answers_are_no_network_that_guesses(home: Path, tmp_path: Path) -> None:
    lines = ["path,label", *(f"{home / f'{number:02d}.png'},blue" for number in range(24) if number % 3 == 0)] * 2
    lines += [f"{home / '01.png'},green"]
    (tmp_path / "table.csv").write_text("\n".join(dict.fromkeys(lines)))
    for copy in range(9):
        PIL.Image.open(home / "00.png").save(tmp_path / f"{copy}.png")
        with (tmp_path / "table.csv").open("a") as file:
            file.write(f"\n{copy}.png,blue")
    found = explained(home, "wrong", images=tmp_path / "table.csv", out=tmp_path / "run")
    assert len(found) > 10 and not any("Every one" in note or "guessing" in note for note in found.notes)
    page = (seewhy.write_report(found) / "index.html").read_text(encoding="utf-8")
    assert f"Maps of {len(found)} images that are answered wrongly" in page and "Every image is predicted" not in page
    assert f"those answered wrongly of {len(found) + 1}" in page and "How often it is right" not in page


def test_a_run_of_those_goes_on_and_is_another_than_that_of_all(home: Path, tmp_path: Path) -> None:
    first = explained(home, "wrong", out=tmp_path / "run")
    assert explained(home, "wrong", out=tmp_path / "run").summary() == first.summary()
    assert explained(home, "wrong").save(tmp_path / "saved") == tmp_path / "saved"
    both = [(tmp_path / name / "records.parquet").read_bytes() for name in ("run", "saved")]
    assert both[0] == both[1]
    with pytest.raises(StoreError, match="--only: wrong there, right asked"):
        explained(home, "right", out=tmp_path / "run")
    identity = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["identity"]
    assert identity["only"] == "wrong" and identity["images"]["count"] == 3


def test_labels_that_come_with_a_dataset_count(home: Path) -> None:
    pixels = torch.full((6, 3, 16, 16), 0.2)
    pixels[torch.arange(6), torch.arange(6) % 3] = 0.8
    items = [(picture, (number + (number == 4)) % 3) for number, picture in enumerate(pixels)]
    found = explained(home, "wrong", images=items)
    assert [(image.label, image.prediction) for image in found] == [("blue", "green")]


def test_all_are_fed_alike_whatever_the_few_would_suggest(home: Path, tmp_path: Path) -> None:
    deep = np.full((16, 16), 200, np.uint16)
    for number, top in enumerate((250, 4000, 250)):
        deep[0, 0] = top
        PIL.Image.fromarray(deep).save(tmp_path / f"{number}.png")
    (tmp_path / "table.csv").write_text("path,label\n0.png,red\n1.png,red\n2.png,green\n")
    every = explained(home, images=tmp_path / "table.csv")
    few = explained(home, "wrong", images=tmp_path / "table.csv")
    assert few.plan.classifier.preprocess == every.plan.classifier.preprocess


@pytest.mark.parametrize(
    ("only", "more", "kind", "said"),
    [
        ("wrng", {}, OptionError, r"--only is 'wrng', but must be one of: wrong, right\. Nearest: wrong"),
        ("wrong", {"images": "unlabelled"}, DataError, r"answered wrongly is not known: none has a label"),
        ("wrong", {"images": "right"}, DataError, r"none of 2 labelled images is answered wrongly\.\n.*Leave --only"),
        ("wrong", {"target": ["red"] * 24}, OptionError, r"one target for all images(.|\n)*where\(wrong=True\)"),
    ],
    ids=["a typo", "no labels", "none of them", "a list of targets"],
)
def test_what_does_not_fit_is_refused(
    home: Path, only: str, more: dict[str, object], kind: type[SeewhyError], said: str
) -> None:
    images = {
        "unlabelled": home / "0*.png",
        "right": [(torch.eye(3)[k].view(3, 1, 1).expand(3, 9, 9), k) for k in (0, 1)],
    }
    if "images" in more:
        more = {**more, "images": images[str(more["images"])]}
    with pytest.raises(kind, match=said):
        explained(home, only, **more)


def test_a_network_that_decides_for_nothing_is_refused(home: Path) -> None:
    classifier = seewhy.load(OneOfThree(), task="regression")
    with pytest.raises(OptionError, match="read as: regression"):
        seewhy.explain(classifier, home / "table.csv", target="output:0", only="wrong", progress=False)


def test_the_command_says_what_it_explained(home: Path, tmp_path: Path) -> None:
    words = ["explain", str(home / "table.csv"), "--model", f"{home / 'net.py'}:Colours", "--classes", ",".join(NAMES)]
    ran = CliRunner().invoke(
        cli.app, [*words, "--only", "wrong", "--out", str(tmp_path / "run"), "--workers", "1", "--no-report"]
    )
    assert ran.exit_code == 0, ran.output
    assert "3 images explained" in ran.output and "Explained: 3 of 24 images, which were answered wrongly" in ran.output
    assert "accuracy" not in ran.output
    assert sorted(path.stem for path in (tmp_path / "run" / "overlays").rglob("*.jpg")) == [
        "03.png",
        "08.png",
        "20.png",
    ]
