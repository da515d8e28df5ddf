"""`seewhy methods --compare`, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_commands import home as home
from tests.test_commands import run

OPTIONS = ("methods", "--compare", "photos", "--model", "net.py:Net", "--methods", "grad-cam,eigen-cam")


def test_it_prints_the_ranking_and_how_it_was_measured(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*OPTIONS, "--core", "centre") == 0
    printed = capsys.readouterr().out
    assert "By ROAD " in printed and "Measured is the probability of" in " ".join(printed.split())
    for word in (
        "grad-cam",
        "eigen-cam",
        "centre blob",
        "random map",
        "less the first's",
        "insertion",
        "energy",
        "area",
    ):
        assert word in printed, word
    assert "without a figure: 1, " in printed.replace("\n", " ")
    assert "talks" not in printed and max(map(len, printed.splitlines())) <= 140


def test_json_is_alone_on_standard_output(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*OPTIONS, "--json", "--sample", "4", "--target", "cat") == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        found["command"] == "methods"
        and found["images"] + sum(found["left_out"].values()) == 4
        and found["primary"] == "road"
    )
    assert {row["method"] for row in found["rows"]} == {"grad-cam", "eigen-cam", "centre blob", "random map"}
    assert [row["rank"] for row in found["rows"]] == [1, 2, 3, 4] and found["rows"][0]["verdict"] == "first"
    assert found["metrics"]["road"]["paper"] == "arXiv:2202.00449"


def test_without_it_methods_are_listed_and_no_network_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("methods") == 0
    assert "grad-cam" in capsys.readouterr().out
    assert run("methods", "--json") == 0
    assert json.loads(capsys.readouterr().out)["methods"][0]["method"] == "grad-cam"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("methods", "--methods", "nonsense"),
            "Without --compare all methods are listed, and --methods would say nothing",
        ),
        (("methods", "--model", "no.py:Net", "--limit", "0", "--json"), "and --model, --limit would say nothing"),
        (("methods", "--compare", "photos"), "seewhy methods --compare photos --model net.py:Net"),
        ((*OPTIONS[:-1], "gradcan"), "There is no method 'gradcan'.  Nearest: grad-cam"),
        ((*OPTIONS, "--layers", "fc"), "fc"),
        ((*OPTIONS, "--core", "masks"), "There is no region 'masks'."),
        ((*OPTIONS, "--target", "bird"), "There is no class 'bird'"),
    ],
    ids=["listed", "listed as json", "no model", "method", "layer", "core", "class"],
)
def test_wrong_input_is_status_two(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(*words) == 2
    assert said in capsys.readouterr().err


def test_options_come_from_a_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "seewhy.toml").write_text('[methods]\nmodel = "net.py:Net"\nmethods = ["grad-cam"]\nsample = 4\n')
    assert run("methods", "--compare", "photos", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 3
    assert run("methods") == 0  # what a file sets was not typed for this
