"""What an explain run's pages lead with where the answers are bad, what they name next, and which answers they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seewhy.cli.app import main
from seewhy.estimates import wilson
from seewhy.records import Image, Outcome
from seewhy.report.accuracy import sureness, worst_errors
from tests.report.pages import Page
from tests.small_images import write_images

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.tensor([-1.0, 1.0]))

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of two splits and two classes, and a network that calls everything a dog."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "my pets", counts={"train": 12, "valid": 12})
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def page_of(*words: str) -> Page:
    with pytest.raises(SystemExit, match="0"):
        main(["explain", *words, "--model", "net.py:Net", "--layers", "conv", "--out", "run", "--workers", "1"])
    return Page(Path("run/report/index.html"))


@pytest.mark.parametrize(
    ("images", "classes", "data"),
    [
        ("my pets/valid/cat", ("--classes", "cat,dog"), "'my pets'"),
        ("my pets/valid", (), "'my pets/valid'"),
        ("my pets", (), "'my pets'"),
    ],
)
def test_answers_that_are_all_the_same_are_told_first_and_then_what_to_type(
    home: Path, images: str, classes: tuple[str, ...], data: str
) -> None:
    page = page_of(images, *classes)
    (heading,) = re.findall(r"<h1>(.*?)</h1>", page.path.read_text(encoding="utf-8"), re.DOTALL)
    assert heading.startswith("It is right on ") and "every image is predicted as" in heading and "dog" in heading
    if images.endswith("cat"):
        assert heading.startswith("It is right on none of 12 labelled images, where guessing is right on 50%")
    assert f"seewhy check {data} --model net.py:Net" in page.text
    assert f"seewhy audit {data} --model net.py:Net" in page.text


def test_the_surest_mistakes_and_how_sure_it_is_stand_on_the_page(home: Path) -> None:
    page = page_of("my pets")
    assert "Its surest mistakes" in page.text and "Is it right as often as it says?" in page.text
    assert "says 80% to 90%" in page.text  # its probability is 1 / (1 + exp(-2)) = 0.88 for each
    links = [url for tag, url in page.links() if "right=wrong" in url]
    assert links == ["images.html#right=wrong&sort=-probability"]


def outcome(name: str, probability: float | None, correct: bool | None, split: str | None = None) -> Outcome:
    return Outcome(Image(name, None, "a", split), prediction="a", probability=probability, correct=correct)


def test_answers_are_gathered_by_how_sure_they_are() -> None:
    rows = [
        outcome("1", 0.55, True),
        outcome("2", 0.59, False),
        outcome("3", 0.95, True),
        outcome("4", 1.0, True),
        outcome("5", 0.6, False),
        outcome("6", 0.99, None),
        outcome("7", None, True),
    ]
    found = [(row.name, row.said, row.share) for row in sureness(rows)]
    assert found == [
        ("says 50% to 60%", pytest.approx(0.57), wilson(1, 2)),
        ("says 60% to 70%", pytest.approx(0.6), wilson(0, 1)),
        ("says 90% to 100%", pytest.approx(0.975), wilson(2, 2)),
    ]


def test_images_that_it_was_trained_on_do_not_count_beside_others() -> None:
    rows = [outcome("1", 0.9, True, "train"), outcome("2", 0.7, False, "valid")]
    assert [row.share.n for row in sureness(rows)] == [1] and sureness(rows)[0].said == 0.7
    assert [row.share.n for row in sureness(rows[:1])] == [1]


def test_the_worst_errors_are_the_wrong_answers_that_it_is_surest_of() -> None:
    rows = [outcome("1", 0.6, False), outcome("2", 0.99, True), outcome("3", 0.9, False), outcome("4", None, None)]
    assert worst_errors(rows, 8) == [2, 0] and worst_errors(rows, 1) == [2]
