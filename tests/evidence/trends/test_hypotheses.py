"""What audits beside a run say of a hypothesis, whatever their folders are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from seewhy.evidence.factors.zones import zones_of
from seewhy.evidence.findings.unnamed import REST
from seewhy.evidence.trends.hypotheses import SPREAD, findings_beside, verdict_on
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
NONE_REST = f"NONE LARGER THAN 2 POINTS  {REST}"


def write_run(
    folder: Path, findings: Sequence[dict[str, Any]] | None, images: Sequence[str] = "abcd", **options: Any
) -> Path:
    """A finished run as far as hypotheses read it: an audit with these findings, or explained images."""
    command = "explain" if findings is None else "audit"
    manifest.begin(folder, identity := {"command": command, "classifier": CLASSIFIER, "code": "c", **options})
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


def of(factor: str, kind: dict[str, Any] = NONE) -> dict[str, Any]:
    return {**kind, "factor": factor}


def zones(source: str = "geometric zone", *names: str) -> dict[str, str]:
    return {name: f"the pixels of {name} ({source})" for name in names}


def test_a_zone_without_the_cores_pixels_is_another_hypothesis(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", None)
    cut = zones("geometric zone, outside of object", "centre")
    write_run(tmp_path / "cored", [of("centre")], regions=cut, core=["object"])
    words = "tested outside of the core alone: NONE LARGER THAN 2 POINTS  centre (audit in cored)"
    assert verdict(run, "centre") == words
    write_run(tmp_path / "whole", [of("centre", HELD)], regions=zones("geometric zone", "centre"))
    assert verdict(run, "centre") == "held: STRONG  centre: depends (audit in whole)"
    assert verdict(tmp_path / "cored", "centre") == f"{words}; but held: STRONG  centre: depends (audit in whole)"


def test_a_part_of_a_zone_that_acts_says_that_the_zone_does(tmp_path: Path) -> None:
    cut = zones("geometric zone, outside of object", "centre")
    run = write_run(tmp_path / "cored", [of("centre", HELD)], regions=cut)
    assert verdict(run, "centre") == "held outside of the core alone: STRONG  centre: depends (audit in cored)"


def test_a_zone_that_the_core_does_not_touch_or_that_is_the_core_is_tested(tmp_path: Path) -> None:
    whole = zones("geometric zone", "centre", "border")
    run = write_run(tmp_path / "run", [of("border"), of("centre", HELD)], regions=whole, core=["centre"])
    assert verdict(run, "border") == "did not hold: NONE LARGER THAN 2 POINTS  border (audit in run)"
    assert verdict(run, "centre") == "held: STRONG  centre: depends (audit in run)"


@pytest.mark.parametrize(
    ("factor", "options"),
    [
        ("centre", {"regions": zones("masks in there", "centre")}),
        ("tint", {"regions": zones("masks in there", "tint")}),
        ("tint", {"inserts": {"tint": ["text:A", "0"]}}),
        ("tint", {"factors": {"tint": "its code"}}),
        ("cell-1-1", {"regions": zones("geometric zone", *(f"cell-{n // 8}-{n % 8}" for n in range(64)))}),
        ("cell-1-1", {"regions": zones("geometric zone", *(f"cell-{n // 2}-{n % 2}" for n in range(4)))}),
    ],
    ids=["masks", "region", "mark", "property", "finer grid", "coarser grid"],
)
def test_what_has_but_the_name_is_another_hypothesis(tmp_path: Path, factor: str, options: dict[str, Any]) -> None:
    run = write_run(tmp_path / "run", None)
    write_run(tmp_path / "audit", [of(factor, HELD)], **options)
    assert verdict(run, factor) == "not tested yet"


# Maps that are spread over the picture

CELLS = zones("geometric zone", *zones_of("grid:4x4"))


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        (
            [of("cell-0-1", HELD), of("cell-3-3", HELD)],
            "held by cell-0-1, cell-3-3: STRONG  cell-0-1: depends",
        ),
        (
            [{**of("centre", HELD), "members": ["cell-1-1", "cell-1-2"]}],
            "held by cell-1-1, cell-1-2: STRONG  centre: depends",
        ),
        (
            [of("cell-0-1", HELD)],
            "is open: one place acts and no other is shown to, STRONG  cell-0-1: depends",
        ),
        ([of(REST)], f"did not hold: none of the cells is shown to act; NONE LARGER THAN 2 POINTS  {REST}"),
        ([of(REST, OPEN)], "is open: none of the cells is shown to act, but many together may"),
        ([of("border", HELD)], "is open: none of the cells is shown to act, but many together may"),
    ],
)
def test_spread_maps_are_tested_by_the_grid(tmp_path: Path, findings: list[dict[str, Any]], words: str) -> None:
    run = write_run(tmp_path / "run", None)
    assert verdict(run, SPREAD) == "not tested yet"
    rest = [of(name) for name in CELLS if name not in {row["factor"] for row in findings}]
    write_run(tmp_path / "audit", [*findings, *rest], regions=CELLS)
    assert verdict(run, SPREAD) == f"{words} (audit in audit)"


def test_spread_maps_are_tested_by_the_places_that_a_search_tried(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", None)
    audit = write_run(tmp_path / "audit", [of("frame", HELD), of(REST)])
    for tried, names, words in (
        (0, [], "not tested yet"),
        (3, [], f"did not hold: none of the places that were searched is shown to act; {NONE_REST} (audit in audit)"),
        (50, ["frame"], "is open: one place acts and no other is shown to, STRONG  frame: depends (audit in audit)"),
    ):
        places = [{"name": name} for name in names]
        manifest.write_json(audit / "places.json", {"tried": tried, "places": places})
        assert verdict(run, SPREAD) == words
