"""The options of `seewhy audit`: maps and images as everywhere, and words that were other ones before."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

from seewhy.run import progress
from seewhy.run.progress import in_two_parts
from tests.test_cli import run

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.last(self.first(x).relu()).relu().mean((2, 3)))
"""
AUDIT = ["audit", "photos", "--model", "net.py:Net", "--workers", "1", "--regions", "corners", "--recipients", "4"]
FOLDERS = [*AUDIT, "--no-report", "--out"]
MARK = "word=text:AB"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve photographs of each class in a valid split, and a network of two layers."""
    (tmp_path / "net.py").write_text(NET)
    generator = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "photos" / "valid" / ("cat", "dog")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def manifest(folder: str) -> dict[str, Any]:
    return json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[str], str]:
    """The names of the factors that an audit would test, and what stands on standard error."""
    assert run(*AUDIT, "--plan", "--json", *words) == 0
    said = capsys.readouterr()
    return [factor["factor"] for factor in json.loads(said.out)["factors"]], said.err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["--factors", "tint"], ["--properties", "tint"]),
        (["--factors=none", "--insert", MARK], ["--properties=none", "--mark", MARK]),
        (["--insert", MARK, "--insert", "dot=text:O"], ["--mark", MARK, "--mark", "dot=text:O"]),
    ],
    ids=["properties", "both", "several-marks"],
)
def test_the_old_words_do_the_same_and_say_the_new_ones(
    home: Path, old: list[str], new: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    names, told = planned(capsys, *old)
    again, quiet = planned(capsys, *new)
    assert names == again
    lines = [line for line in told.splitlines() if line not in quiet.splitlines()]
    words = {word.partition("=")[0]: other.partition("=")[0] for word, other in zip(old, new, strict=True)}
    renamed = {word: other for word, other in words.items() if word != other}
    assert len(lines) == len(renamed)
    assert all(any(f"{word} is called {other} now" in line for line in lines) for word, other in renamed.items())


def test_the_old_and_the_new_word_at_once_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*AUDIT, "--plan", "--factors", "tint", "--properties", "jpeg") == 2
    assert "--factors is the old word for --properties" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("properties", "mark"), ("factors", "insert")], ids=["new", "old"])
def test_a_config_file_may_use_either_word(
    home: Path, words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    expected, _ = planned(capsys, "--properties", "tint,jpeg", "--mark", MARK)
    Path("seewhy.toml").write_text(f"[audit]\n{words[0]} = ['tint', 'jpeg']\n{words[1]} = '{MARK}'\n")
    names, told = planned(capsys)
    assert names == expected and "tint" in names
    assert ("is called properties now" in told, "is called mark now" in told) == ((words[0] == "factors"),) * 2


@pytest.mark.parametrize("word", ["factors", "properties"])
def test_either_word_on_the_command_line_outranks_either_in_the_file(
    home: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, _ = planned(capsys, "--properties", "tint")
    for other in ("factors", "properties"):
        Path("seewhy.toml").write_text(f"[audit]\n{other} = 'jpeg'\n")
        assert planned(capsys, f"--{word}", "tint")[0] == expected


def test_both_words_in_one_file_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("seewhy.toml").write_text("[audit]\nfactors = 'tint'\nproperties = 'jpeg'\n")
    assert run(*AUDIT, "--plan") == 2
    assert "sets 'properties' for audit a second time" in capsys.readouterr().err


def test_a_wrong_key_of_the_file_names_the_new_words(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("seewhy.toml").write_text("[audit]\nmarks = 'word=text:AB'\n")
    assert run(*AUDIT, "--plan") == 2
    assert "sets 'marks' for audit, which has no such option.  Nearest: mark" in capsys.readouterr().err


def test_the_command_that_an_audit_keeps_has_the_new_words_and_makes_it_again(home: Path) -> None:
    old = ["--factors", "tint", "--insert", MARK, "--layers", "first", "--method", "hirescam", "--sample", "20"]
    assert run(*FOLDERS, "first", *old) == 0
    kept = manifest("first")["typed"]
    assert "--properties tint" in kept and f"--mark {MARK}" in kept
    assert not re.search(r"--(factors|insert|out|workers)\b", kept)
    assert run(*shlex.split(kept)[1:], "--out", "again", "--no-report") == 0
    assert manifest("first")["identity"] == manifest("again")["identity"]
    assert manifest("again")["typed"] == kept


ARRIVES: dict[str, tuple[list[str], str, Any]] = {
    "layers": (["--layers", "first"], "layers", {"first": "24 x 24"}),
    "method": (["--method", "LayerCAM"], "method", ["layercam"]),
    "limit": (["--limit", "14"], "images.valid.count", 14),
    "sample": (["--sample", "10"], "images.valid.count", 10),
}


@pytest.mark.parametrize("case", ARRIVES)
def test_maps_and_images_are_chosen_as_for_explain(home: Path, case: str) -> None:
    words, where, expected = ARRIVES[case]
    assert run(*FOLDERS, "run", "--properties", "none", *words) == 0
    value: Any = manifest("run")["identity"]
    for part in where.split("."):
        value = value[part]
    assert value == expected


def test_the_count_of_what_follows_from_the_first_trials_begins_anew() -> None:
    counts: dict[str, list[tuple[int, int]]] = {"first": [], "then": []}
    first, then = ((lambda done, total, name=name: counts[name].append((done, total))) for name in counts)
    update = in_two_parts(first, then)
    for done, total in ((3, 8), (8, 8), (9, 12), (12, 12), (13, 14)):
        update(done, total)
    assert counts == {"first": [(3, 8), (8, 8)], "then": [(1, 4), (4, 4), (5, 6)]}


def test_a_bar_says_that_it_is_the_first_of_two(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert run(*AUDIT, "--donors", "4", "--out", "run", "--no-report") == 0
    assert re.search(r"^Trials, part 1 of 2: \d+ of \d+", capfd.readouterr().err, re.MULTILINE)


EXPLAIN = ["explain", "photos", "--model", "net.py:Net", "--workers", "1", "--no-report", "--out"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compare", "one", "two", "--no-report"], "Comparing the runs: 1 of 1"),
        (["trends", "one"], "Grouping the maps: 1 of 1"),
    ],
    ids=["compare", "trends"],
)
def test_slow_work_on_finished_runs_shows_from_the_start(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    for folder in ("one", "two"):
        assert run(*EXPLAIN, folder) == 0
    capfd.readouterr()
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert run(*words) == 0
    assert capfd.readouterr().err.startswith(told)


def test_what_tests_groups_of_maps_are_whole_lines_each_once(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*EXPLAIN, "run") == 0
    groups = [SimpleNamespace(option=f"--regions {name}") for name in ("centre", "border", "centre")]
    proposed = SimpleNamespace(
        partitions=[SimpleNamespace(groups=groups, predicted="cat")], lines=lambda: ["cat: two groups"]
    )
    monkeypatch.setattr("seewhy.evidence.trends.trends.trends", lambda run, seed: proposed)
    capsys.readouterr()
    assert run("trends", "run") == 0
    line = "  seewhy audit photos --model net.py:Net --regions"
    assert f"\nTo test them:\n{line} centre\n{line} border\n\nOpen" in capsys.readouterr().out
