"""What audits beside a run say of a hypothesis, whatever their folders are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from seewhy.evidence.trends.hypotheses import findings_beside, verdict_on
from seewhy.records import Image, Outcome
from seewhy.store import manifest
from seewhy.store.schema import RECORDS
from seewhy.store.tables import record_row, write_rows

CLASSIFIER = {"weights": "a", "network": "Net", "preprocess": {}}
HELD = {"factor": "tint", "level": "STRONG", "claims": ["depends"]}
MEMBER = {**HELD, "members": ["centre", "noise"]}
NONE = {"factor": "tint", "level": "NONE LARGER THAN", "claims": []}
OPEN = {"factor": "tint", "level": "CANNOT SAY", "claims": []}
HELD_WORDS = "held: STRONG  tint: depends"
NONE_WORDS = "did not hold: NONE LARGER THAN 2 POINTS  tint"
OPEN_WORDS = "is open: CANNOT SAY  tint"


def write_run(folder: Path, findings: Sequence[dict[str, Any]] | None, images: Sequence[str] = "abcd") -> Path:
    """A finished run as far as hypotheses read it: an audit with these findings, or explained images."""
    command = "explain" if findings is None else "audit"
    manifest.begin(folder, identity := {"command": command, "classifier": CLASSIFIER, "code": "c"})
    rows = [record_row(Outcome(Image(f"{place}.png"), digest=name)) for place, name in enumerate(images)]
    write_rows(folder / "records.parquet", rows, RECORDS)
    if findings is not None:
        manifest.write_json(folder / "findings.json", {"findings": list(findings)})
    manifest.finish(folder, identity, {})
    return folder


def verdict(run: Path, factor: str = "tint") -> str:
    return verdict_on(factor, findings_beside(run, manifest.read_manifest(run)))


def test_a_member_of_another_finding_is_tested_and_an_alternative_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", None)
    write_run(tmp_path / "audit", [{**MEMBER, "alternatives": ["noise"]}])
    words = "STRONG  tint or noise: depends (audit in audit)"
    assert verdict(run) == f"held: {words}"
    assert verdict(run, "centre") == verdict(run, "noise") == f"tested, one with tint: {words}"
    assert verdict(run, "sharpness") == "not tested yet"


def test_a_finding_of_its_own_comes_before_membership(tmp_path: Path) -> None:
    audit = write_run(tmp_path / "audit", [{**MEMBER, "factor": "centre", "members": ["tint"]}, NONE])
    assert verdict(audit) == f"{NONE_WORDS} (audit in audit)"


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize(("settled", "words"), [(HELD, HELD_WORDS), (NONE, NONE_WORDS)])
def test_what_is_settled_comes_before_what_is_open(
    tmp_path: Path, names: tuple[str, str], settled: dict[str, Any], words: str
) -> None:
    run = write_run(tmp_path / "run", None)
    write_run(tmp_path / names[0], [OPEN], images="abcdefgh")
    write_run(tmp_path / names[1], [settled])
    assert verdict(run) == f"{words} (audit in {names[1]})"


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_the_audit_of_more_images_comes_first_and_one_that_contradicts_is_told(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    run = write_run(tmp_path / "run", None)
    write_run(tmp_path / names[0], [NONE], images="ab")
    write_run(tmp_path / names[1], [HELD])
    assert verdict(run) == f"{HELD_WORDS} (audit in {names[1]}); but {NONE_WORDS} (audit in {names[0]})"


def test_the_run_itself_comes_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "z", [OPEN], images="ab")
    write_run(tmp_path / "a", [HELD])
    assert verdict(run) == f"{OPEN_WORDS} (audit in z); but {HELD_WORDS} (audit in a)"


def test_hidden_folders_and_other_classifiers_say_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", None)
    write_run(tmp_path / ".trash", [HELD])
    other = write_run(tmp_path / "other", [HELD])
    manifest.finish(other, {"command": "audit", "classifier": {**CLASSIFIER, "weights": "b"}, "code": "c"}, {})
    assert verdict(run) == "not tested yet"


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("abcdefgh", ""),  # the run is a sample of it
        ("ab", ""),  # it is a sample of the run
        ("wxyz", ", on other images"),
        ("abyz", ", 2 of whose 4 images are among these"),
    ],
)
def test_an_audit_of_other_images_is_told_as_such(tmp_path: Path, images: str, words: str) -> None:
    run = write_run(tmp_path / "run", None)
    write_run(tmp_path / "audit", [HELD], images=images)
    assert verdict(run) == f"{HELD_WORDS} (audit in audit{words})"
