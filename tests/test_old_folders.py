"""Run folders that seewhy 0.1.0 wrote, on faces that it rendered: today's code knows them again and reports them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from benchmarks.kills import tree

from seewhy.cli.app import main

FOLDERS = Path(__file__).parent / "folders" / "of_0_1_0"
NETWORK = ("--model", "seewhy.learn.net:Net", "--weights", "ck", "--model-arg", "size=32")
COMMANDS = {  # as they were typed
    "explain": ("faces/valid", *NETWORK, "--method", "hirescam,grad-cam", "--target", "fake", "--limit", "6"),
    "check": ("faces", *NETWORK, "--limit", "40"),
    "audit": (
        *("faces", *NETWORK, "--regions", "background,top", "--core", "face", "--factors", "tint,brightness"),
        *("--insert", "mark=text:NO@top-left", "--recipients", "32", "--donors", "32", "--budget", "2600"),
    ),
}
SAYS = {
    "explain": ("hirescam", "grad-cam"),
    "check": ("Accuracy",),
    "audit": ("top", "brightness", "It cannot be tested", "donors"),
}


def run(words: list[str]) -> None:
    """The command line in this process, which must leave with 0."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all the folders with their images and checkpoint, to work in."""
    shutil.copytree(FOLDERS, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_audit_of_other_thresholds_and_safeguards_is_not_taken_for_this_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(home / "audit")
    with pytest.raises(SystemExit):
        main(["audit", *COMMANDS["audit"], "--out", "audit", "--no-report", "--json"])
    said = capsys.readouterr().err
    assert "the thresholds" in said and "--out" in said
    assert tree(home / "audit") == before


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "audit"])
def test_the_same_command_finds_its_old_folder_finished(
    command: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(home / command)
    summary = json.loads((home / command / "manifest.json").read_text())["summary"]
    run([command, *COMMANDS[command], "--out", command, "--no-report", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == summary["images"]
    after = tree(home / command)
    assert {name for name in before if before[name] != after.get(name)} <= {"manifest.json"}  # it holds what was typed
    assert set(after) == set(before)


@pytest.mark.parametrize("command", COMMANDS)
def test_pages_of_an_old_folder_are_written(command: str, home: Path) -> None:
    run(["report", command])
    pages = "".join(path.read_text(encoding="utf-8") for path in (home / command / "report").rglob("*.html"))
    assert [words for words in SAYS[command] if words not in pages] == []
    if command == "audit":
        findings = json.loads((home / command / "findings.json").read_text())
        for title in (finding["title"] for finding in findings["told"]):
            assert title.split("  ")[-1].split(":")[0] in pages
