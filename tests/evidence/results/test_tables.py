"""What an audit's folder holds beside its trials: maps of every image, donors' effects, pictures one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import torch

import seewhy
from seewhy.errors import ModelError
from seewhy.evidence.audit import run_audit
from seewhy.evidence.results.pictures import picture_folder, picture_name
from seewhy.evidence.results.result import Audit
from seewhy.evidence.trials.design import AuditDesign, design_audit
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.request import request
from seewhy.store import arrays
from seewhy.store.tables import read_outcomes, read_stats
from tests.evidence.trials.test_trial import SeesPlace, write_logo
from tests.small_images import CORE, Reader, Steps, classifier_of, where_corner, write_images, write_masks

HOSTILE = "../<img onerror>\u202e'\".png"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    data = write_images(folder / "data", counts={"train": 30, "valid": 30})
    write_masks(folder / "core", data)
    write_masks(folder / "corner", data, where_corner())
    (data / "valid" / "cat" / "0007b.png").write_bytes(b"no picture")
    return folder


def design_of(
    home: Path, regions: str = "around=not:core", model: torch.nn.Module | None = None, **asked: Any
) -> AuditDesign:
    words = {"core": "core", "properties": "tint", "recipients": 40, **asked}
    own = request([f"core={home / 'core'}", *regions.split(",")], **words)
    return design_audit(classifier_of(model or Reader(core=20.0, tint=20.0)), home / "data", own, batch_size=40)


@pytest.fixture(scope="module")
def design(home: Path) -> AuditDesign:
    return design_of(home)


@pytest.fixture(scope="module")
def found(home: Path, design: AuditDesign) -> Audit:
    return run_audit(design, folder=home / "run")


@pytest.fixture(scope="module")
def told(home: Path, found: Audit) -> dict[str, Any]:
    return json.loads((home / "run" / "findings.json").read_text(encoding="utf-8"))


def drawn(told: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(factor, example) of every trial that is shown."""
    examples = [
        (one["factor"], each) for one in told["findings"] for each in (*one["examples"], *one["counter_examples"])
    ]
    return [(factor, one) for factor, one in examples if "recipient" in one]


def pictures(run: Path, one: dict[str, Any], middle: str = "donor") -> list[np.ndarray]:
    return [picture(run / "pictures" / f"{one['pictures']}-{part}.png") for part in ("before", middle, "after")]


def picture(path: Path) -> np.ndarray:
    with PIL.Image.open(path) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        return np.asarray(image)


# Maps.


def test_the_maps_lie_in_the_order_of_the_records_and_are_explains(home: Path, found: Audit) -> None:
    outcomes = read_outcomes(home / "run" / "records.parquet")
    (key,) = found.design.plan.keys
    maps = arrays.read_maps(home / "run", key)
    assert len(maps) == len(outcomes) == 121
    whole = seewhy.explain(found.design.plan.classifier, home / "data", batch_size=40, progress=False)
    for outcome, own in zip(outcomes, maps, strict=True):
        if outcome.error:
            assert outcome.image.id == "valid/cat/0007b.png" and np.isnan(own).all()
            assert outcome.digest == whole[outcome.image.id].outcome.digest
        else:
            np.testing.assert_allclose(own, whole[outcome.image.id].maps, rtol=1e-5, atol=1e-7)


def test_a_row_of_numbers_for_each_image_with_a_map(home: Path, found: Audit) -> None:
    stats = read_stats(home / "run" / "map_stats.parquet")
    outcomes = read_outcomes(home / "run" / "records.parquet")
    assert [stat.id for stat in stats] == [one.image.id for one in outcomes if not one.error]
    (key,) = found.design.plan.keys
    maps = {one.image.id: row for one, row in zip(outcomes, arrays.read_maps(home / "run", key), strict=True)}
    for stat in stats:
        assert (stat.method, stat.layer, stat.score) == key
        assert (stat.minimum, stat.maximum) == (maps[stat.id].min(), maps[stat.id].max())


def test_the_shares_are_of_every_image(home: Path, found: Audit) -> None:
    table = pq.read_table(home / "run" / "map_shares.parquet").to_pydict()
    assert len(table["id"]) == 120 * 2
    assert {split: table["split"].count(split) for split in ("valid", "train")} == {"valid": 120, "train": 120}


def test_without_maps_an_audit_goes_on(design: AuditDesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ModelError("no gradient")

    monkeypatch.setattr("seewhy.evidence.results.map_shares.explain_shard", refused)
    found = run_audit(design, folder=tmp_path / "run")
    assert any("No maps: no gradient" in note for note in found.facts["notes"])
    assert not (tmp_path / "run" / "maps.zarr").exists()
    assert pq.read_metadata(tmp_path / "run" / "map_stats.parquet").num_rows == 0


# Donors.


def donors_of(run: Path) -> list[dict[str, Any]]:
    return pq.read_table(run / "donor_effects.parquet").to_pylist()


def test_the_donors_effects_average_to_the_contrast(home: Path, found: Audit) -> None:
    rows = donors_of(home / "run")
    sample = found.design.audited
    assert len(np.unique(sample.clusters)) == len(sample)
    for case in found.cases.singles:
        own = [row for row in rows if row["factor"] == case.factor]
        mean = {label: np.mean([row["effect"] for row in own if row["label"] == label]) for label in ("cat", "dog")}
        assert mean["cat"] - mean["dog"] == pytest.approx(case.effect.probability.value, abs=1e-9)
        trials = found.trials[TrialKey(case.factor, EXCHANGE, "valid")]
        assert sum(row["n"] for row in own) == len(trials) == case.effect.n_trials
        assert {row["split"] for row in own} == {"valid"} and {row["contrast"] for row in own} == {"cat"}
        labels = {image.id: image.label for image in sample.images}
        assert all(labels[row["donor"]] == row["label"] for row in own)
        ids = [row["donor"] for row in own]
        assert len(ids) == len(set(ids)) == len(np.unique(trials.donors))
    assert {row["factor"] for row in rows} >= set(found.facts["tested"])


def test_of_three_classes_each_contrast_has_its_own(tmp_path: Path) -> None:
    classes = ("cat", "dog", "owl")
    data = write_images(tmp_path / "data", counts={"valid": 30}, classes=classes)
    write_masks(tmp_path / "core", data)
    asked = request([f"core={tmp_path / 'core'}", "around=not:core"], core="core", properties="none", recipients=45)
    made = design_audit(classifier_of(Steps(3, core=20.0, tint=20.0), classes), data, asked, batch_size=45)
    found = run_audit(made)
    found.save(tmp_path / "run")
    rows = donors_of(tmp_path / "run")
    assert {row["contrast"] for row in rows} == {*classes}
    for case in found.cases.singles:
        own = [row for row in rows if (row["factor"], row["contrast"]) == (case.factor, case.effect.contrast.name)]
        mean = {label: np.mean([row["effect"] for row in own if row["label"] == label]) for label in classes}
        rest = np.mean([value for label, value in mean.items() if label != case.effect.contrast.name])
        assert mean[case.effect.contrast.name] - rest == pytest.approx(case.effect.probability.value, abs=1e-9)
    for one in found.findings:  # whichever contrast is told, the members' numbers are of one contrast
        for member in one.numbers.get("members", {}).values():
            assert member["contrast"] in classes and member["value"] == member["probability"]["value"]


# Numbers of every tested factor.


def test_every_tested_factor_has_all_of_its_numbers_in_one_place(told: dict[str, Any]) -> None:
    findings = {one["factor"]: one for one in told["findings"]}
    assert set(told["found_in"]) == set(told["tested"]) == {"core", "around", "tint"}
    members = {name: leader for name, leader in told["found_in"].items() if name != leader}
    assert members, "this network's tint and surround cannot be told apart"
    for name, leader in told["found_in"].items():
        numbers = findings[leader]["numbers"]
        own = numbers if name == leader else numbers["members"][name]
        assert own["contrast"] == "cat" and own["probability"].keys() >= {"value", "low", "high", "n"}
        assert 0 <= own["p_holm"] <= 1 and own["control"]["limit"] > 0
        assert own["train"]["low"] <= own["train"]["value"] <= own["train"]["high"]
        if name != leader:
            assert name in findings[leader]["members"] and {"value", "low", "high", "n"} <= own.keys()


# Pictures.


def test_every_example_that_is_drawn_names_its_pictures(home: Path, told: dict[str, Any]) -> None:
    shown = drawn(told)
    assert {factor for factor, _ in shown} >= {"core"} and len(shown) % 6 == 0
    for factor in {factor for factor, _ in shown}:
        names = [one["pictures"] for other, one in shown if other == factor]
        assert names == [f"{factor}/{number:02d}" for number in range(6)]
        held = {path.name for path in (home / "run" / "pictures" / factor).iterdir()}
        assert held == {f"{number:02d}-{part}.png" for number in range(6) for part in ("before", "donor", "after")}
    others = [each for one in told["findings"] for each in one["counter_examples"] if "image" in each]
    assert others and not any("pictures" in one for one in others)


def test_the_pictures_are_the_canvases(home: Path, told: dict[str, Any]) -> None:
    inside = np.zeros((32, 32, 1), bool)
    inside[CORE, CORE] = True
    for factor, one in drawn(told):
        before, donor, after = pictures(home / "run", one)
        assert np.array_equal(before, picture(home / "data" / one["recipient"]))
        assert np.array_equal(donor, picture(home / "data" / one["donor"]))
        if factor in ("core", "around"):
            given = inside if factor == "core" else ~inside
            assert np.array_equal(after, np.where(given, donor, before))
    changed = [
        not np.array_equal(before, after)
        for _, one in drawn(told)
        for before, _, after in [pictures(home / "run", one)]
    ]
    assert sum(changed) >= len(changed) / 2  # some donors have the tint that the recipient has


@pytest.mark.parametrize("name", ["logo", HOSTILE])
def test_a_mark_is_shown_beside_its_patch_in_its_own_folder(home: Path, tmp_path: Path, name: str) -> None:
    logo = write_logo(home / "logo.png")
    design = design_of(home, model=SeesPlace(), properties="none", marks=[f"{name}={logo}@centre"])
    run = tmp_path / "below" / "run"
    told = run_audit(design, folder=run).summary()
    assert told == json.loads((run / "findings.json").read_text(encoding="utf-8"))
    shown = [one for factor, one in drawn(told) if factor == name]
    assert [one["pictures"] for one in shown] == [f"{picture_folder(name)}/{number:02d}" for number in range(6)]
    (mark,) = design.marks
    for one in shown:
        before, patch, after = pictures(run, one, "patch")
        canvas = torch.from_numpy(before.copy()).permute(2, 0, 1)[None].float() / 255
        for shown_pixels, edited in ((patch, mark.patched(canvas)), (after, mark.laid(canvas))):
            want = (edited[0].permute(1, 2, 0) * 255).round().byte().numpy()
            assert np.array_equal(shown_pixels, want)
    assert [path.name for path in tmp_path.iterdir()] == ["below"]
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["background", "left-eye", "a_1"])
def test_a_plain_name_is_its_folder(name: str) -> None:
    assert picture_folder(name) == name


NAMES = [
    "..",
    ".",
    "/",
    "a/b",
    "a\\b",
    "a b",
    "A",
    "a",
    "a.png",
    "é",
    "x" * 61,
    "x" * 300,
    "x" * 299 + "y",
    HOSTILE,
    "%2e",
    "\n",
]


def test_hostile_names_have_folders_of_their_own_that_need_no_quoting() -> None:
    folders = [picture_folder(name) for name in NAMES]
    assert all(set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") and 0 < len(one) <= 60 for one in folders)
    assert len({*folders, *map(picture_name, NAMES)}) == 2 * len(NAMES)
    assert all("/" not in name and len(name) <= 130 for name in map(picture_name, NAMES))


# Made with.


def test_the_environment_is_explains(home: Path, found: Audit, tmp_path: Path) -> None:
    classifier = found.design.plan.classifier
    seewhy.explain(classifier, home / "data", limit=2, out=tmp_path / "explained", progress=False)
    own, explains = (
        json.loads((run / "manifest.json").read_text())["summary"]["environment"]
        for run in (home / "run", tmp_path / "explained")
    )
    assert own == explains and {"python", "torch", "numpy", "pillow", "machine", "device"} == own.keys()
