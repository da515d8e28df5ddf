"""The command line end to end, in this process, and its documentation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import typer

import seewhy
from seewhy.cli.app import app, main

ROOT = Path(__file__).parents[1]
NET = """
from torch import nn

print("a network that talks")


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.fc = nn.Linear(width, 2)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    random = np.random.default_rng(0)
    for number in range(6):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "photos" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return int(stopped.value.code or 0)


def test_explain_says_what_it_did_and_where(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "photos", "--model", "net.py:Net", "--workers", "1", "--target", "cat") == 0
    printed = capsys.readouterr().out
    folder = next((home / "runs").iterdir())
    assert "6 images explained: grad-cam of conv for cat" in printed
    assert "without a result: 1" in printed and "Classes from the data: 0 = cat, 1 = dog." in printed
    assert f"runs/{folder.name}/sheet.jpg" in printed and "talks" not in printed
    assert run("explain", "photos", "--model", "net.py:Net", "--workers", "1", "--target", "cat") == 0
    assert len(list((home / "runs").iterdir())) == 1


def test_json_is_alone_on_standard_output(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "photos", "--model", "net.py", "--json", "--out", "out", "--workers", "1") == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        found["images"] == 7 and found["without_result"] == 1 and found["run"] == "out" and found["layers"] == ["conv"]
    )


def test_options_come_from_a_file_and_the_command_line_outranks_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "seewhy.toml").write_text(
        '[explain]\nmodel = "net.py:Net"\nmodel-arg = ["width=5"]\ntarget = "dog"\nlimit = 3\n'
    )
    assert run("explain", "photos", "--json", "--out", "a", "--workers", "1", "--target", "margin") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 3 and found["score"] == "margin"


def test_layers_marks_the_automatic_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("layers", "--model", "net.py:Net", "--model-arg", "width=7", "--size", "20x30") == 0
    printed = capsys.readouterr().out
    assert "7 channels, 20 x 30" in printed and "*  conv" in printed and "auto: conv is the last layer" in printed


def test_train_then_explain(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "photos" / "cat" / "broken.jpg").unlink()
    assert run("train", "photos", "--model", "net.py:Net", "--epochs", "2") == 0
    printed = capsys.readouterr().out
    assert "seewhy explain photos --model net.py:Net --weights checkpoints --epoch" in printed
    words = printed.split("seewhy explain")[1].split("\n")[0].split()
    assert run("explain", *words, "--workers", "1") == 0


def test_data_planted_then_explain_its_csv(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "planted", "faces", "--size", "32", "--train", "3", "--valid", "2") == 0
    assert "10 images in faces" in capsys.readouterr().out
    assert (
        run("explain", "faces/train.csv", "--model", "net.py:Net", "--json", "--workers", "1", "--target", "label") == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["labelled"] == 6 and found["without_result"] == 0


def test_the_version_is_told_beside_that_of_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"seewhy {seewhy.__version__}, torch {torch.__version__}\n"


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        assert f"## seewhy {name}\n" in page and command.help
        section = page.partition(f"## seewhy {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name} has no help"
            is_hidden = getattr(parameter, "hidden", False)
            assert all((f"`{word}`" in section) is not is_hidden for word in parameter.opts if word.startswith("--"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"seewhy {name}" in readme or f"make {name}" in readme for name in group.commands)


def test_the_page_of_commands_has_not_drifted() -> None:
    found = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
