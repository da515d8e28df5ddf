"""`--cluster-by` through a whole audit and check: units, donors, splits, folders, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import seewhy
from seewhy.errors import OptionError, StoreError
from tests.small_images import Reader, classifier_of, write_images, write_masks
from tests.test_cli import run

EACH = 40
BY_TEN = "name:(\\w+/\\w+/\\d{3})"  # ten images of a split and class


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clusters")
    data = write_images(folder / "data", counts={"train": EACH, "valid": EACH})
    write_masks(folder / "core", data)
    rows = [
        f"data/{path.relative_to(data)},{path.parent.name},{path.parents[1].name},p{int(path.stem) // 10}"
        for path in sorted(data.rglob("*.png"))
    ]
    (folder / "table.csv").write_text("\n".join(["path,label,split,patient", *rows]))
    return folder


def audited(home: Path, data: str = "data", **options: object) -> seewhy.Audit:
    asked = {
        "regions": f"core={home / 'core'},around=not:core",
        "core": "core",
        "properties": "none",
        "recipients": 40,
        "progress": False,
        **options,
    }
    return seewhy.audit(classifier_of(Reader(tint=12.0)), home / data, **asked)


@pytest.fixture(scope="module")
def by_image(home: Path) -> seewhy.Audit:
    return audited(home)


@pytest.fixture(scope="module")
def by_ten(home: Path) -> seewhy.Audit:
    return audited(home, cluster_by=BY_TEN)


def test_no_donor_is_of_the_recipients_cluster(by_ten: seewhy.Audit) -> None:
    for key, trials in by_ten.trials.items():
        names = [image.cluster for image in by_ten.design.samples[key.split].images]
        pairs = zip(trials.recipients.tolist(), trials.donors.tolist(), strict=True)
        assert all(donor < 0 or names[donor] != names[recipient] for recipient, donor in pairs)


def test_the_fewest_are_clusters_and_so_few_of_them_say_nothing(by_ten: seewhy.Audit, by_image: seewhy.Audit) -> None:
    case = next(case for case in by_ten.cases.singles if case.factor == "around")
    assert case.effect.probability.n == {0: 4, 1: 4} and case.fewest == 4
    assert by_ten["around"].level == "CANNOT SAY" and "4 clusters of a class" in by_ten["around"].text
    assert "depends" in by_image["around"].claims  # by images it would be shown
    assert any("80 images of valid are 8 clusters, of 10 images at most" in note for note in by_ten.notes)
    assert by_ten.facts["cluster_by"] == BY_TEN and by_ten.facts["distinct"]["valid"] == 8


def test_the_accuracy_has_the_interval_of_its_clusters(by_ten: seewhy.Audit, by_image: seewhy.Audit) -> None:
    plain = by_image.facts["accuracy"]
    found = by_ten.facts["accuracy"]
    assert found["value"] == plain["value"] and found["n"] == plain["n"]
    assert found["high"] - found["low"] > plain["high"] - plain["low"]


def test_clusters_in_both_splits_are_said_and_left_out_of_their_comparison(home: Path) -> None:
    found = audited(home, "table.csv", cluster_by="patient")
    assert any("4 of 4 clusters of valid stand in train, too (p0, p1, p2" in note for note in found.notes)
    assert any("none is left: nothing can be said about overfitting" in note for note in found.notes)
    assert all(case.overfit is None for case in found.cases.singles)


def test_clusters_of_single_images_change_no_number(home: Path, by_image: seewhy.Audit) -> None:
    plain, found = by_image, audited(home, cluster_by="name:.+/.+/.+")
    for case, other in zip(found.cases.singles, plain.cases.singles, strict=True):
        assert case.effect.probability == other.effect.probability and case.effect.flips == other.effect.flips
    assert any("changes nothing" in note for note in found.notes)


def test_a_folder_is_that_of_its_clusters(home: Path, tmp_path: Path) -> None:
    audited(home, cluster_by=BY_TEN, out=tmp_path / "run")
    again = audited(home, cluster_by=BY_TEN, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "findings.json").read_text())["cluster_by"] == BY_TEN
    assert again.folder == tmp_path / "run"
    for other in (None, "name:(\\w+/\\w+/\\d{2})"):
        with pytest.raises(StoreError, match="--cluster-by"):
            audited(home, cluster_by=other, out=tmp_path / "run")


def test_a_check_counts_clusters_and_its_folder_knows_them(home: Path, tmp_path: Path) -> None:
    classifier = classifier_of(Reader(core=4.0, tint=12.0))
    plain = seewhy.check(classifier, home / "data", progress=False)
    found = seewhy.check(classifier, home / "data", cluster_by=BY_TEN, out=tmp_path / "run", progress=False)
    assert plain.behaviour.accuracy is not None and found.behaviour.accuracy is not None
    assert found.behaviour.accuracy.value == plain.behaviour.accuracy.value
    assert found.behaviour.accuracy.low < plain.behaviour.accuracy.low
    with pytest.raises(StoreError, match="--cluster-by"):
        seewhy.check(classifier, home / "data", out=tmp_path / "run", progress=False)


def test_unknown_columns_are_refused_before_any_trial(home: Path) -> None:
    with pytest.raises(OptionError, match=r"(?s)no column 'pateint'.*Nearest: patient"):
        audited(home, "table.csv", cluster_by="pateint")


NET = "from tests.small_images import Reader\n\n\ndef net():\n    return Reader(tint=12.0)\n"


@pytest.mark.parametrize("source", ["typed", "file"])
def test_the_command_takes_it_typed_or_from_a_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    words = ["--cluster-by", "patient"] if source == "typed" else []
    if source == "file":
        Path("seewhy.toml").write_text('[audit]\ncluster-by = "patient"\n[check]\ncluster-by = "patient"\n')
    shared = [str(home / "table.csv"), "--model", "net.py:net", "--classes", "cat,dog", "--size", "32", "--json"]
    arguments = ["--regions", "corners", "--properties", "none", "--recipients", "4", "--workers", "1", "--no-report"]
    assert run("audit", *shared, *arguments, *words, "--out", "a") == 0
    assert json.loads(capsys.readouterr().out)["cluster_by"] == "patient"
    assert run("check", *shared, "--no-report", *words, "--out", "c") == 0
    assert json.loads(Path("c/manifest.json").read_text())["identity"]["cluster_by"] == "patient"
    assert np.isfinite(json.loads(capsys.readouterr().out)["behaviour"]["accuracy"]["low"])
