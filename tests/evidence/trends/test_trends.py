"""Trends of whole runs, on drawn pictures whose maps are known."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("sklearn", reason="scikit-learn groups the maps, which is not there")

import seewhy
from seewhy.cli.app import main
from seewhy.errors import MissingExtraError, OptionError, StoreError
from seewhy.evidence.trends import grouping
from seewhy.evidence.trends.groups import LOOKS, MAPS, SPRAY
from seewhy.store import checksums, manifest
from seewhy.store.tables import read_columns
from tests.evidence.trends.drawn import CORNERS, SIDE, SPOT, Spots, draw, explained

TWO_PLACES = [CORNERS[number % 2] for number in range(60)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty red spots in two corners, five blue ones, one file that is no picture, and one picture without a map."""
    home = tmp_path_factory.mktemp("drawn")
    draw(home / "data", TWO_PLACES)
    draw(home / "data", TWO_PLACES[:5], "blue")
    (home / "data" / "train" / "red" / "broken.png").write_text("no picture")
    PIL.Image.new("RGB", (SIDE, SIDE), (90, 90, 90)).save(home / "data" / "train" / "red" / "grey.png")
    return explained(home / "data", home / "runs" / "explain")


@pytest.fixture(scope="module")
def found(run: Path) -> seewhy.Trends:
    return seewhy.trends(run)


def partition(trends: seewhy.Trends, predicted: str, proposer: str) -> Any:
    return next(part for part in trends.partitions if (part.predicted, part.proposer) == (predicted, proposer))


@pytest.mark.parametrize("proposer", [MAPS, SPRAY])
def test_two_planted_places_are_two_groups(found: seewhy.Trends, proposer: str) -> None:
    part = partition(found, "red", proposer)
    assert len(part.groups) == 2 and part.strength == 1.0
    assert {(group.place.zone, len(group.rows)) for group in part.groups} == {("cell-0-0", 30), ("cell-3-3", 30)}
    for group in part.groups:
        assert group.option == "--regions grid:4x4" and len(group.examples) == 8
        assert group.accuracy["train"].n == 20 and group.accuracy["valid"].value == 1.0
        assert group.train_share is not None and group.train_share.value == pytest.approx(2 / 3)


def test_what_lies_under_is_the_same_everywhere_and_makes_no_groups(found: seewhy.Trends) -> None:
    assert partition(found, "red", LOOKS).said == "no stable groups"


def test_images_without_a_map_are_left_out_and_counted(found: seewhy.Trends) -> None:
    assert found.summary()["left_out"] == {"without a result": 1, "with an empty map": 1}
    assert len(found.images) == 65


def test_few_images_are_too_few_and_their_number_is_told(found: seewhy.Trends) -> None:
    part = partition(found, "blue", MAPS)
    assert part.said == f"too few images to group: 5 of {grouping.LEAST}" and not part.groups


def test_shares_in_zones_are_those_of_the_drawing(found: seewhy.Trends) -> None:
    shares = {(zone.zone, zone.label, zone.split, zone.answer): zone for zone in found.zones}
    left = shares["left", "red", "all", "all"]
    assert left.share.value == pytest.approx(0.5) and left.area == pytest.approx(0.5) and left.share.n == 60
    assert left.share.low < 0.5 < left.share.high
    assert shares["centre", "all", "all", "all"].share.value == pytest.approx(0.0, abs=1e-6)


def test_the_same_seed_gives_the_same_folder_and_the_run_stays_whole(run: Path, found: seewhy.Trends) -> None:
    before = {path.name: path.read_bytes() for path in found.folder.iterdir()}
    (found.folder / "trends.json").unlink()
    (run / "trends.partial").mkdir()  # of one that was killed
    seewhy.trends(run)
    assert {path.name: path.read_bytes() for path in found.folder.iterdir()} == before
    assert not (run / "trends.partial").exists()
    assert checksums.damages(run, manifest.read_manifest(run)) == []
    groups = read_columns(run / "trends" / "groups.parquet")
    assert sum(proposer == MAPS for proposer in groups["proposer"]) == 60


def test_maps_at_any_place_and_the_same_map_everywhere_are_no_groups(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    draw(tmp_path / "anywhere", [tuple(map(int, random.integers(0, SIDE - SPOT, 2))) for _ in range(60)])
    draw(tmp_path / "same", [CORNERS[0]] * 45)
    anywhere = seewhy.trends(explained(tmp_path / "anywhere", tmp_path / "runs" / "anywhere"))
    together = partition(anywhere, "red", MAPS)
    assert together.said == "no stable groups" and [len(group.rows) for group in together.groups] == [60]
    same = seewhy.trends(explained(tmp_path / "same", tmp_path / "runs" / "same"))
    alike = partition(same, "red", MAPS)
    assert alike.said == "no stable groups: all maps are the same"
    assert [(len(group.rows), group.place.zone) for group in alike.groups] == [(45, "cell-0-0")]


def test_empty_maps_alone_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "data" / "red").mkdir(parents=True)
    PIL.Image.new("RGB", (SIDE, SIDE), (90, 90, 90)).save(tmp_path / "data" / "red" / "grey.png")
    trends = seewhy.trends(explained(tmp_path / "data", tmp_path / "run"))
    assert len(trends) == 0 and trends.summary()["left_out"] == {"with an empty map": 1}
    assert (seewhy.write_report(tmp_path / "run") / "trends.html").is_file()


def test_classes_of_few_images_are_grouped_together(tmp_path: Path) -> None:
    draw(tmp_path / "data", TWO_PLACES[:38])
    draw(tmp_path / "data", TWO_PLACES[:38], "blue")
    trends = seewhy.trends(explained(tmp_path / "data", tmp_path / "run"))
    part = partition(trends, "2 classes of few images together", MAPS)
    assert sorted(len(group.rows) for group in part.groups) == [38, 38]


def test_an_audit_of_the_same_classifier_says_whether_a_hypothesis_held(run: Path, tmp_path: Path) -> None:
    home = tmp_path / "runs"
    shutil.copytree(run, home / "explain")
    write_audit(home / "audit", run)
    text = "\n".join(seewhy.trends(home / "explain").lines())
    assert "held: STRONG  cell-0-0: depends, shortcut (audit in audit)" in text and "not tested yet" in text


def test_an_audit_that_was_made_later_is_on_the_page(run: Path, tmp_path: Path) -> None:
    home = tmp_path / "runs"
    shutil.copytree(run, home / "explain")
    seewhy.trends(home / "explain")
    page = seewhy.write_report(home / "explain") / "trends.html"
    assert "not tested yet" in page.read_text() and "held: STRONG" not in page.read_text()
    write_audit(home / "audit", run)
    seewhy.write_report(home / "explain")
    assert "held: STRONG  cell-0-0: depends, shortcut (audit in audit)" in page.read_text()


def write_audit(folder: Path, run: Path) -> None:
    """An audit of the classifier and images of a run, as far as trends read it."""
    identity = {**manifest.read_manifest(run)["identity"], "command": "audit"}
    manifest.begin(folder, identity)
    finding = {"factor": "cell-0-0", "level": "STRONG", "claims": ["depends", "shortcut"]}
    manifest.write_json(folder / "findings.json", {"findings": [finding]})
    shutil.copy(run / "records.parquet", folder)
    manifest.finish(folder, identity, {})


def test_the_command_prints_groups_and_names_the_page(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["trends", str(run)])
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        not stopped.value.code
        and "in row 1, column 1 of a 4 x 4 grid" in printed
        and "Test by an audit with --regions" in printed
    )
    assert "SpRAy: 2 groups, as the eigengap says (n = 60, prediction strength 1.00)" in printed
    assert (run / "report" / "trends.html").is_file() and "report/trends.html" in printed


def test_what_cannot_be_grouped_says_why(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="nothing"):
        seewhy.trends(tmp_path / "nothing")
    data = run.parents[1] / "data"
    check = seewhy.check(seewhy.load(Spots(), classes=["red", "blue"]), data, out=tmp_path / "check", progress=False)
    with pytest.raises(StoreError, match="of 'check', which keeps no maps"):
        seewhy.trends(check)
    in_memory = seewhy.explain(seewhy.load(Spots()), data, progress=False, limit=2)
    with pytest.raises(OptionError, match=r"seewhy\.trends\(explanation\.save"):
        seewhy.trends(in_memory)
    monkeypatch.setitem(__import__("sys").modules, "sklearn.cluster", None)
    with pytest.raises(MissingExtraError, match=r"seewhy\[trends\]"):
        seewhy.trends(run)


def test_a_copy_of_the_trends_lies_elsewhere(found: seewhy.Trends, tmp_path: Path) -> None:
    copy = found.save(tmp_path / "copy")
    assert {path.name for path in copy.iterdir()} == {path.name for path in found.folder.iterdir()}
    with pytest.raises(StoreError, match="exists already"):
        found.save(copy)
