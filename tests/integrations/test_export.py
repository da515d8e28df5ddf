"""What a tracker or a format holds after an export is what the run holds."""

from __future__ import annotations

import csv
import errno
import html
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seewhy.cli.app import main
from seewhy.errors import DataError, MissingExtraError, OptionError, StoreError, WorkError
from seewhy.integrations import fiftyone
from seewhy.integrations.coco import peak_region, run_lengths
from seewhy.integrations.content import EffectRow
from seewhy.integrations.export import export
from seewhy.integrations.finished import _is_of_a_mark, _mark_row, contents_of
from seewhy.report.stored import read_run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_for_each_image_with_its_raw_peak_and_overlay(explained: Path, tmp_path: Path) -> None:
    export(explained, "csv", str(tmp_path / "out"))
    run, rows = read_run(explained), rows_of(tmp_path / "out" / "images.csv")
    assert len(rows) == len(run.outcomes) == 21
    stats = run.stats[run.keys[0]]
    for place, (row, outcome) in enumerate(zip(rows, run.outcomes, strict=True)):
        if outcome.error:
            assert row["error"] and row["overlay"] == "" and row["id"] == "red/=broken.png"
            continue
        assert (row["label"], row["prediction"]) == (outcome.image.label, outcome.prediction)
        assert float(row["raw peak"]) == stats[place].maximum
        with PIL.Image.open(tmp_path / "out" / row["overlay"]) as picture:
            assert picture.size == (32, 32)


def test_an_audits_effects_are_exported_with_their_intervals(audited: Path, tmp_path: Path) -> None:
    export(audited, "csv", str(tmp_path / "out"))
    effects = {(row["factor"], row["class"]): row for row in rows_of(tmp_path / "out" / "effects.csv")}
    table = read_run(audited).table("class_effects")
    assert len(effects) == len(table["factor"]) > 0
    for place, key in enumerate(zip(table["factor"], table["label"], strict=True)):
        for name in ("effect", "low", "high"):
            assert float(effects[key][name]) == pytest.approx(float(table[name][place]), nan_ok=True)
    assert any("necessity of top-left" in row for row in rows_of(tmp_path / "out" / "images.csv"))


def test_a_marks_effect_is_exported_beside_those_of_factors() -> None:
    probability = {"value": -0.165, "low": -0.209, "high": -0.12}
    numbers = {"kind": "insert", "contrast": "ellipse", "probability": probability}
    finding = {"factor": "logo", "level": "STRONG", "claims": ["depends"], "numbers": numbers}
    assert _is_of_a_mark(finding) and not _is_of_a_mark({"factor": "classifier", "numbers": {}})
    assert _mark_row(finding) == EffectRow("logo", "ellipse", -0.165, -0.209, -0.12, "shown")


def test_the_run_is_not_changed_and_a_full_folder_is_refused(
    explained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["export", str(explained), "--to", "csv", "--out", str(tmp_path / "out")])
    assert left.value.code in (0, None) and "Written:" in capsys.readouterr().out
    with pytest.raises(StoreError, match=r"holds something.  Name a new folder"):
        export(explained, "csv", str(tmp_path / "out"))
    read_run(explained)  # its checksums still fit
    with pytest.raises(SystemExit):
        main(["verify", str(explained)])
    assert "Every file is as it was written" in capsys.readouterr().out


def test_an_unknown_end_a_missing_run_and_a_missing_package_say_what_to_type(
    explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match=r"'mlfow'.*Nearest: mlflow"):
        export(explained, "mlfow")
    with pytest.raises(StoreError, match="There is no run folder"):
        export(tmp_path / "nothing", "csv")
    for name in ("mlflow", "wandb", "tensorboard", "fiftyone"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtraError, match=rf"seewhy\[{name}\][\s\S]*is complete[\s\S]*--to {name}"):
            export(explained, name, str(tmp_path / name))


def test_run_lengths_and_regions_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((5, 7)) > 0.5
        lengths, value, flat = run_lengths(mask), False, []
        for length in lengths:
            flat += [value] * length
            value = not value
        assert np.array_equal(np.array(flat).reshape(7, 5).T, mask)
    values = np.zeros((6, 6), np.float32)
    values[1, 1], values[1, 2], values[4, 4], values[3, 1] = 4.0, 2.0, 3.9, 1.9
    assert np.argwhere(peak_region(values)).tolist() == [[1, 1], [1, 2]]  # the other peak is another region


def test_coco_has_boxes_of_map_regions_and_no_class_is_claimed(explained: Path, tmp_path: Path) -> None:
    path = Path(export(explained, "coco", str(tmp_path / "maps.json")))
    content = json.loads(path.read_text(encoding="utf-8"))
    run = read_run(explained)
    stats = run.stats[run.keys[0]]
    images = {image["id"]: image for image in content["images"]}
    assert len(images) == 20  # the unreadable one has no size
    drawn = [row for row, stat in stats.items() if not stat.empty]
    assert [item["image_id"] - 1 for item in content["annotations"]] == drawn and drawn
    assert [category["name"].split(" for ")[0] for category in content["categories"]] == [
        f"peak region of {run.keys[0].method} at conv"
    ]
    for item in content["annotations"]:
        left, top, width, height = item["bbox"]
        assert 0 <= left < left + width <= 32 and 0 <= top < top + height <= 32
        counts = item["segmentation"]["counts"]
        assert sum(counts) == 32 * 32 and sum(counts[1::2]) == item["area"] <= width * height
        assert item["attributes"]["raw_peak"] == stats[item["image_id"] - 1].maximum
        assert images[item["image_id"]]["attributes"]["prediction"] in ("blue", "red")
        assert "score" not in item


def test_tensorboard_holds_the_same_numbers_and_pictures(explained: Path, audited: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export(explained, "tensorboard", str(tmp_path), most=5)
    events = EventAccumulator(str(tmp_path / "explained")).Reload()
    assert len(events.Tags()["images"]) <= 5 and events.Tags()["images"]
    assert events.Scalars("seewhy/images")[0].value == 21
    export(audited, "tensorboard", str(tmp_path))
    events = EventAccumulator(str(tmp_path / "audited")).Reload()
    for row in contents_of(audited)[0].effects:
        if row.effect == row.effect:
            assert events.Scalars(f"seewhy/{row.name}/effect")[0].value == pytest.approx(row.effect, abs=1e-6)
            assert events.Scalars(f"seewhy/{row.name}/low")[0].value == pytest.approx(row.low, abs=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of sqlalchemy, in mlflow's own use of it
def test_mlflow_holds_the_same_numbers_pictures_and_files(
    audited: Path, explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the package mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="the package sqlalchemy is not installed")
    monkeypatch.chdir(tmp_path)  # artifacts lie in the working folder
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    export(explained, "mlflow", address, "photos", most=5)
    export(audited, "mlflow", address, "photos")
    client = mlflow.MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name("photos")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"explained", "audited"}
    assert runs["explained"].data.metrics["seewhy/images"] == 21
    assert runs["explained"].data.params["method"]
    folder = Path(client.download_artifacts(runs["explained"].info.run_id, "", str(tmp_path)))
    assert rows_of(folder / "seewhy" / "images.csv")[0]["id"]
    assert len(list((folder / "images").glob("*.png"))) == 5 - (
        "red/=broken.png" in [image.id for image in contents_of(explained)[0].shown(5)]
    )
    said = contents_of(audited)[0].said
    assert len(said) == len(read_run(audited).found["findings"]) > 0
    assert all(html.escape(text) in runs["audited"].data.tags["mlflow.note.content"] for text in said)
    told = {row.name: row.effect for row in contents_of(audited)[0].effects if row.effect == row.effect}
    assert told and all(
        runs["audited"].data.metrics[f"seewhy/{name}/effect"] == pytest.approx(value) for name, value in told.items()
    )


def test_wandb_offline_holds_tables_with_pictures(
    explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    place = Path(export(explained, "wandb", str(tmp_path), most=4))
    assert place.is_dir() and place.name.startswith("offline-run-")
    (table,) = (place / "files" / "media" / "table" / "seewhy").glob("images_*.table.json")
    content = json.loads(table.read_text(encoding="utf-8"))
    assert content["columns"][:2] == ["overlay", "id"] and len(content["data"]) == 4
    assert len(list((place / "files" / "media" / "images").rglob("*.png"))) == 3
    staged = [path.read_bytes()[:4] for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert staged.count(b"\x89PNG") >= 3  # the table's own, which wandb sync sends


class _Fake:
    """What FiftyOne is asked for, where its database cannot be started: fields and their values."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields


def test_fiftyone_fields_lie_on_the_photograph(audited: Path) -> None:
    run = read_run(audited)

    class Package:
        Sample = Classification = Heatmap = _Fake

    rows = contents_of(audited)[0].images
    sample = fiftyone._sample(Package, run, 0, rows[0])
    assert sample.fields["ground_truth"].fields["label"] == rows[0].label
    assert {name: sample.fields[f"necessity_{fiftyone.field_name(name)}"] for name in rows[0].effects} == rows[
        0
    ].effects
    maps = [value for name, value in sample.fields.items() if name.startswith("map_")]
    assert all(heat.fields["map"].shape == (32, 32) and heat.fields["map"].min() >= 0 for heat in maps)


def test_groups_of_trends_are_columns_and_fields(explained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(explained, run)
    (run / "trends").mkdir()
    ids = [outcome.image.id for outcome in read_run(explained).outcomes[:2]]
    table = {"proposer": ["maps", "maps"], "predicted": ["red", "red"], "group": [1, 2], "id": ids}
    pq.write_table(pa.table(table), run / "trends" / "groups.parquet")
    export(run, "csv", str(tmp_path / "out"))
    assert [row["group by maps"] for row in rows_of(tmp_path / "out" / "images.csv")][:3] == [
        "red, group 1", "red, group 2", ""
    ]  # fmt: skip

    class Package:
        Sample = Classification = Heatmap = _Fake

    sample = fiftyone._sample(Package, read_run(run), 1, contents_of(run)[0].images[1])
    assert sample.fields["group_by_maps"].fields["label"] == "red, group 2"


def test_fiftyone_whose_database_does_not_start_says_which_to_name(
    explained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FiftyOneConfigError(Exception):  # as the real one: of no base that others have
        pass

    def refused() -> list[str]:
        raise FiftyOneConfigError("MongoDB could not be installed on your system.")

    monkeypatch.setitem(sys.modules, "fiftyone", SimpleNamespace(list_datasets=refused))
    with pytest.raises(WorkError, match=r"MongoDB could not be[\s\S]*FIFTYONE_DATABASE_URI=[\s\S]*is complete") as told:
        export(explained, "fiftyone")
    assert told.value.slug == "tracker"


def test_fiftyone_without_files_says_so(explained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Package:
        @staticmethod
        def dataset_exists(name: str) -> bool:
            return True

    monkeypatch.setattr(fiftyone, "_started", lambda: Package)
    with pytest.raises(DataError, match="already"):
        export(explained, "fiftyone")


def test_a_check_exports_its_rows(corners: Path, tmp_path: Path) -> None:
    import seewhy
    from tests.learn.test_watch import Corner

    classifier = seewhy.load(Corner(), classes=["blue", "red"], size=(32, 32))
    seewhy.check(classifier, corners).save(tmp_path / "checked")
    export(tmp_path / "checked", "csv", str(tmp_path / "out"))
    assert len(rows_of(tmp_path / "out" / "images.csv")) > 20
    with pytest.raises(StoreError, match="has no maps"):
        export(tmp_path / "checked", "coco", str(tmp_path / "maps.json"))


def test_a_full_disk_and_a_tracker_that_is_away_say_how_to_export_later(
    explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*names: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(names[0]), None, str(names[1]))

    monkeypatch.setattr("seewhy.integrations.files.shutil.copyfile", full)
    later = rf"is complete in {explained}; then:  seewhy export {explained} --to"
    with pytest.raises(WorkError, match=rf"No space left on device \(.*out/overlays[\s\S]*{later} csv") as told:
        export(explained, "csv", str(tmp_path / "out"))
    assert told.value.slug == "cannot-write"
    wandb = pytest.importorskip("wandb", reason="the package wandb is not installed")

    def refused(**options: Any) -> None:  # as wandb does where nobody is logged in
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", refused)
    with pytest.raises(
        WorkError, match=rf"Weights & Biases did not take the run[\s\S]*wandb login[\s\S]*{later} wandb"
    ):
        export(explained, "wandb", str(tmp_path))
