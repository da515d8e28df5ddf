"""--fail-on and --junit: a pipeline stops where a shortcut, a leak or bad news is found, and nowhere else."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
import yaml

from seewhy.cli.gate import AUDIT_WORDS, CHECK_WORDS, Condition, Gate, Judged, conditions_of, judge_audit, judge_check
from seewhy.cli.junit import write_junit
from seewhy.errors import OptionError
from tests.small_images import Reader, write_images
from tests.test_cli import run

NET = """
from tests.small_images import Reader


def core():
    return Reader(core=40.0)


def tint():
    return Reader(core=10.0, tint=20.0)
"""
FED = ["--size", "32", "--mean", "0", "--std", "1", "--classes", "cat,dog", "--no-report"]
AUDIT = ["audit", "data", "--regions", "centre,border", "--properties", "none", "--workers", "1", *FED]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose surround goes with the class in nine of ten; three of valid are copies of images of train."""
    home = tmp_path_factory.mktemp("gate")
    (home / "net.py").write_text(NET)
    write_images(home / "data", counts={"train": 40, "valid": 40})
    for number in range(3):
        shutil.copy(home / "data" / "train" / "cat" / f"{number:04d}.png", home / "data" / "valid" / "cat")
    return home


@pytest.fixture
def home(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def cases(path: Path) -> dict[str, ElementTree.Element]:
    root = ElementTree.parse(path).getroot()
    assert (root.tag, root[0].tag) == ("testsuites", "testsuite")
    found = {case.attrib["name"]: case for case in root[0]}
    for element in (root, root[0]):
        assert element.attrib["tests"] == str(len(found))
        assert element.attrib["failures"] == str(sum(case.find("failure") is not None for case in found.values()))
    return found


def test_a_shortcut_and_a_leak_stop_the_pipeline_and_each_has_its_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*AUDIT, "--model", "net.py:tint", "--core", "centre", "--out", "shortcut", "--json", "--junit", "a/b.xml"]
    assert run(*words, "--fail-on", "shortcut:moderate,overfit,leak") == 1
    said = capsys.readouterr()
    judged = json.loads(said.out)["gate"]
    failed = {one["condition"]: one["reasons"] for one in judged["conditions"]}
    assert not judged["passed"] and not failed["overfit"]
    assert len(failed["shortcut:moderate"]) == 1 and "border: depends, shortcut" in failed["shortcut:moderate"][0]
    assert len(failed["leak"]) == 1 and "3 of 80 images of valid" in failed["leak"][0]
    lines = [line for line in said.err.splitlines() if line.startswith("FAILED")]
    assert [line.split(": ")[0] for line in lines] == ["FAILED  shortcut:moderate", "FAILED  leak"]
    found = cases(home / "a" / "b.xml")
    assert list(found) == ["shortcut:moderate", "overfit", "leak"]
    assert found["overfit"].find("failure") is None and "valid" in (found["leak"].findtext("failure") or "")


def test_a_finished_run_is_judged_by_other_words_without_being_made_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*AUDIT, "--model", "net.py:core", "--core", "centre", "--out", "core"]
    assert run(*words, "--fail-on", "shortcut,overfit") == 0
    before = (home / "core" / "findings.json").stat().st_mtime_ns
    assert run(*words, "--fail-on", "depends:strong", "--json") == 1
    said = capsys.readouterr().out
    judged = json.loads(said[said.index("{\n") :])["gate"]["conditions"]
    assert [one["condition"] for one in judged] == ["depends:strong"] and "centre" in judged[0]["reasons"][0]
    assert (home / "core" / "findings.json").stat().st_mtime_ns == before


def test_a_gate_that_would_always_be_open_is_refused_before_any_work(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*AUDIT, "--model", "net.py:core", "--out", "none", "--fail-on", "overfit,shortcut") == 2
    assert "--core centre" in capsys.readouterr().err and not (home / "none").exists()
    assert run("check", "data", "--model", "net.py:core", *FED, "--out", "none", "--junit", "here.xml") == 2
    assert "Add one:  --fail-on bad" in capsys.readouterr().err and not (home / "none").exists()
    assert run("check", "data", "--model", "net.py:core", *FED, "--fail-on", "bad", "--junit", "data") == 2
    assert "--junit data/seewhy.xml" in capsys.readouterr().err


def test_check_stops_at_a_leak_and_at_bad_news(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", "data", "--model", "net.py:core", *FED, "--out", "check", "--junit", "check.xml"]
    assert run(*words, "--fail-on", "leak,works:bad,grade:C", "--json") == 1
    judged = {one["condition"]: one for one in json.loads(capsys.readouterr().out)["gate"]["conditions"]}
    assert judged["leak"]["failed"] and "CAUTION" in judged["leak"]["reasons"][0]
    assert not judged["works:bad"]["failed"]
    assert list(cases(home / "check.xml")) == ["leak", "works:bad", "grade:C"]
    assert run(*words, "--fail-on", "works,fed:cannot-say") == 0
    assert run(*words, "--strict") == 1, "maps of grade C are bad news"
    assert list(cases(home / "check.xml")) == ["bad"]


def test_the_workflow_of_the_page_is_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "gate.md").read_text(encoding="utf-8")
    steps = yaml.safe_load(page.partition("```yaml\n")[2].partition("\n```\n")[0])["jobs"]["audit"]["steps"]
    scripts = [line.strip() for step in steps for line in step.get("run", "").splitlines()]
    commands = {words[1]: words[1:] for words in map(shlex.split, scripts) if words[:1] == ["seewhy"]}
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data", counts={"train": 20, "valid": 20}, aligned=0.5)
    (tmp_path / "net.py").write_text(NET.replace("def core", "def Net"))
    torch.save(Reader(core=40.0).state_dict(), tmp_path / "model.pt")
    assert run(*commands["check"], "--dry-run") == 0
    assert run(*commands["audit"], "--properties", "none", "--workers", "1", "--no-report") == 0
    assert list(cases(tmp_path / "runs" / "audit.xml")) == ["shortcut:moderate", "overfit"]
    shutil.copytree(tmp_path / "runs" / "audit", tmp_path / "runs" / "main")
    capsys.readouterr()
    assert commands["compare"] == ["compare", "runs/main", "runs/audit"]
    assert run(*commands["compare"]) == 0
    assert "0 of 80 decisions flipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text", "match"),
    [
        (AUDIT_WORDS, "shortcuts", "knows no 'shortcuts'.  Nearest: shortcut"),
        (AUDIT_WORDS, "shortcut:modrate", r"no level 'modrate' \(levels: strong, moderate, weak\).  Nearest: moderate"),
        (AUDIT_WORDS, "leak:strong", r"it has no levels"),
        (AUDIT_WORDS, "overfit,,leak", "must look like shortcut:moderate,overfit"),
        (CHECK_WORDS, "shortcut", "knows no 'shortcut'"),
        (CHECK_WORDS, "grade:A", r"levels: C, B"),
    ],
    ids=["word", "level", "no-levels", "empty", "other-command", "grade"],
)
def test_unknown_words_are_refused_with_the_nearest(words: Any, text: str, match: str) -> None:
    with pytest.raises(OptionError, match=match):
        conditions_of(text, words)


def test_words_may_be_typed_as_they_are_read() -> None:
    asked = conditions_of("Against the label:STRONG, grade-of", {**AUDIT_WORDS, "grade-of": ()})
    assert asked == (Condition("against-the-label", "strong"), Condition("grade-of"))
    assert conditions_of("leak,leak", AUDIT_WORDS) == (Condition("leak"),)
    assert conditions_of("grade:c", CHECK_WORDS) == (Condition("grade", "C"),)


def finding(level: str, *claims: str) -> dict[str, Any]:
    return {"level": level, "claims": claims, "factor": "border", "alternatives": (), "text": "It does. More."}


@pytest.mark.parametrize(
    ("level", "least", "fails"),
    [
        ("STRONG", "strong", True),
        ("MODERATE", "strong", False),
        ("MODERATE", "moderate", True),
        ("WEAK", "moderate", False),
        ("WEAK", "weak", True),
        ("CANNOT SAY", "weak", False),
        ("CANNOT SAY", "", True),
    ],
)
def test_a_level_counts_from_there_on(level: str, least: str, fails: bool) -> None:
    summary = {"findings": [finding(level, "depends", "overfit")], "tested": ["border"], "splits": {"train", "valid"}}
    (judged,) = judge_audit(summary, [Condition("overfit", least)], lambda: ([], ""))
    assert bool(judged.reasons) is fails


def test_what_cannot_be_told_is_said_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audited = {"findings": [finding("STRONG", "depends")], "tested": ["border"], "splits": {"valid": 9}, "core": []}
    (shortcut,) = judge_audit(audited, [Condition("shortcut")], lambda: ([], ""))
    assert shortcut.cannot_tell == "the core that was named cannot be used, as the notes say" and not shortcut.reasons
    overfit, leak = judge_audit(audited, [Condition("overfit"), Condition("leak")], lambda: ([], "no train"))
    (checked,) = judge_check({"findings": [], "leaks": None, "grades": {}}, [Condition("leak")])
    gate = Gate("audit", (overfit, leak, checked))
    assert not gate.failed and all(judged.cannot_tell for judged in gate.judged)
    gate.say()
    assert capsys.readouterr().err.count("NOT TOLD") == 3
    write_junit(gate, tmp_path / "gate.xml")
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert root.attrib["skipped"] == "3" and root[0][0].find("skipped") is not None


def test_a_name_from_disk_breaks_neither_the_xml_nor_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = Gate("check", (Judged(Condition("leak"), ('<a & "b"]]>\x1b[31m\ud800.png\nnext',)),))
    gate.say()
    assert capsys.readouterr().err.splitlines() == ['FAILED  leak: <a & "b"]]>\\x1b[31m\\xd800.png next']
    write_junit(gate, tmp_path / "gate.xml")
    text = cases(tmp_path / "gate.xml")["leak"].findtext("failure")
    assert text == '<a & "b"]]>\\x1b[31m\\xd800.png\\x0anext'
