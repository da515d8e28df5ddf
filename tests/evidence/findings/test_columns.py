"""Columns through a whole audit: what is planted is told with its size, as an association; what is not stays silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import seewhy
from seewhy.errors import OptionError, StoreError
from seewhy.evidence.findings.column_tests import _less_class_means, _share_between
from seewhy.evidence.findings.columns import TITLE, _named
from tests.small_images import Reader, classifier_of, write_images, write_masks
from tests.test_cli import run

EACH = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`site` goes with the tint of the surround, so with the label; `coin` with nothing; `age` with the label."""
    folder = tmp_path_factory.mktemp("columns")
    data = write_images(folder / "data", counts={"valid": EACH}, aligned=0.8)
    write_masks(folder / "core", data)
    rng = np.random.default_rng(3)
    rows = []
    for path in sorted(data.rglob("*.png")):
        pixels = np.asarray(PIL.Image.open(path), dtype=float)
        is_red = pixels[:4, :, 0].mean() > pixels[:4, :, 1].mean()
        label = path.parent.name
        age = 50 + 10 * (label == "cat") + rng.normal(0, 5)
        name = f"data/{path.relative_to(data)}"
        rows.append(f"{name},{label},valid,{'north' if is_red else 'south'},{rng.integers(2)},{age:.1f},id-{len(rows)}")
    (folder / "table.csv").write_text("\n".join(["path,label,split,site,coin,age,scan", *rows]))
    return folder


def audited(home: Path, **options: object) -> seewhy.Audit:
    asked = {
        "regions": f"core={home / 'core'},around=not:core",
        "core": "core",
        "properties": "none",
        "recipients": 60,
        "progress": False,
        **options,
    }
    return seewhy.audit(classifier_of(Reader(tint=12.0)), home / "table.csv", **asked)


@pytest.fixture(scope="module")
def found(home: Path) -> seewhy.Audit:
    return audited(home)


def column(audit: seewhy.Audit, name: str) -> dict:
    return next(record for record in audit.columns if record["column"] == name)


def test_what_goes_with_label_and_answer_is_told_with_its_size(found: seewhy.Audit) -> None:
    site = column(found, "site")
    sample = found.design.audited
    south = np.array([image.cells[2] == "south" for image in sample.images])
    dog = sample.labels == 1
    assert site["label"]["difference"]["value"] == pytest.approx(dog[south].mean() - dog[~south].mean())
    assert site["label"]["difference"]["value"] == pytest.approx(0.6, abs=1e-9)  # .8 against .2
    assert site["label"]["cramers_v"] == pytest.approx(0.6) and site["label"]["p_holm"] < 0.05
    answers = found.before["valid"].scores.predictions == 1
    within = [answers[south & (dog == side)].mean() - answers[~south & (dog == side)].mean() for side in (True, False)]
    assert site["prediction"]["difference"]["value"] == pytest.approx(np.mean(within))  # both classes alike
    assert site["prediction"]["p_holm"] < 0.05 and site["is_shown"]


def test_it_names_the_factor_that_carries_it_and_claims_nothing(found: seewhy.Audit) -> None:
    site = column(found, "site")
    assert [each["factor"] for each in site["goes_with"]] == ["around"] and site["goes_with"][0]["share"] > 0.5
    assert "never a dependence" in site["todo"] and "shortcut" in site["goes_with"][0]["finding"]
    assert not {"site", "age", "coin"} & {finding.factor for finding in found.findings}
    assert not any(word in site["text"] for word in ("depends", "shortcut"))


def test_a_coin_is_not_shown_and_numbers_are_compared_by_their_median(found: seewhy.Audit) -> None:
    coin, age = column(found, "coin"), column(found, "age")
    assert not coin["is_shown"] and coin["todo"] == ""
    assert age["label"]["p_holm"] < 0.05 and age["kind"] == "number" and age["label"]["group"].startswith("above ")
    assert age["prediction"]["p_holm"] > 0.05 and age["goes_with"] == []
    assert "Within classes no tested region or property goes with it" in age["todo"]
    assert list(found.facts["columns"]["left_out"]) == ["scan"]


def test_without_a_table_there_are_none(home: Path) -> None:
    asked = {"regions": f"core={home / 'core'},around=not:core", "properties": "none", "progress": False}
    plain = seewhy.audit(classifier_of(Reader()), home / "data", core="core", recipients=20, **asked)
    assert plain.columns == [] and plain.facts["columns"]["left_out"] == {}


def test_columns_are_chosen_and_a_folder_knows_them(home: Path, tmp_path: Path) -> None:
    chosen = audited(home, columns="site", out=tmp_path / "run")
    assert [record["column"] for record in chosen.columns] == ["site"]
    stored = json.loads((tmp_path / "run/findings.json").read_text())
    assert stored["columns"]["tested"][0]["text"] == chosen.columns[0]["text"]
    for other in ("none", "site,age"):
        with pytest.raises(StoreError, match="--columns"):
            audited(home, columns=other, out=tmp_path / "run")
    with pytest.raises(OptionError, match=r"no column 'sites'.*Nearest: site"):
        audited(home, columns="sites")


def test_what_goes_with_it_over_all_images_is_not_denied(found: seewhy.Audit) -> None:
    """The core goes with the label, as age does, and with nothing else."""
    age = column(found, "age")
    assert [each["factor"] for each in age["goes_with_over_all"]] == ["core"]
    assert "Over all images, where the label may be what both go with, these do: core (" in age["todo"]
    assert "STRONG, depends, intended" in age["todo"]


def test_a_colour_goes_with_a_column_whatever_the_light() -> None:
    rng = np.random.default_rng(0)
    bins, light = rng.integers(0, 2, 200), rng.normal(0, 1, 200)
    red, rest = light + 0.2 * bins + rng.normal(0, 0.05, 200), light + rng.normal(0, 0.05, 200)
    groups = indicators(bins)
    assert _share_between(np.stack([red, rest], axis=1), groups) > 0.5
    assert _share_between(red[:, None], groups) < 0.05
    assert max(_share_between(rng.normal(size=(200, 8)), indicators(rng.integers(0, 5, 200))) for _ in range(50)) < 0.2


def indicators(groups: Any) -> np.ndarray:
    return (groups[:, None] == np.unique(groups)).astype(np.float64)


def test_what_is_the_column_is_it_within_classes_however_it_goes_with_the_label() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 150)
    column = np.where(rng.random(300) < 0.93, labels, 1 - labels)
    values = column[:, None] + rng.normal(0, 0.02, (300, 3))
    within = _share_between(_less_class_means(values, labels), _less_class_means(indicators(column), labels))
    assert within > 0.98
    noise = rng.normal(size=(300, 3)) + 3 * labels[:, None]  # goes with the label alone
    assert _share_between(_less_class_means(noise, labels), _less_class_means(indicators(column), labels)) < 0.1


@pytest.fixture(scope="module")
def patients(home: Path) -> seewhy.Audit:
    """Patients of 1 to 5 images; `name` is another word for each, `ward` one of three, but for two of 5 images."""
    rows = (home / "table.csv").read_text().splitlines()
    place = np.repeat(np.arange(len(rows)), np.arange(len(rows)) % 5 + 1)[: len(rows) - 1]
    dealt = np.random.default_rng(5).permutation(place)
    wards = {patient: ("east", "west", "south")[patient % 3] for patient in set(dealt)} | {4: "attic", 9: "cellar"}
    more = [f"{row},p{at},name {at},{wards[at]}" for row, at in zip(rows[1:], dealt.tolist(), strict=True)]
    (home / "patients.csv").write_text("\n".join([f"{rows[0]},patient,name,ward", *more]))
    asked = {"regions": f"core={home / 'core'}", "core": "core", "properties": "none", "recipients": 20}
    return seewhy.audit(
        classifier_of(Reader()), home / "patients.csv", cluster_by="patient", columns="patient,name,ward,coin",
        progress=False, **asked,
    )  # fmt: skip


def test_the_clusters_themselves_are_not_compared_and_why_is_said(patients: seewhy.Audit) -> None:
    assert {record["column"] for record in patients.columns} == {"ward", "coin"}
    why = patients.facts["columns"]["left_out"]
    assert all("which cluster an image is of (--cluster-by patient)" in why[name] for name in ("patient", "name"))


def test_rare_values_are_one_group_by_clusters_and_not_by_images(patients: seewhy.Audit) -> None:
    ward = column(patients, "ward")
    assert ward["groups"] == ["(other)", "east", "south", "west"] and ward["label"]["unit"] == "cluster"


def test_a_column_of_which_each_value_is_one_clusters_alone_is_not_compared(home: Path) -> None:
    halves = audited(home, cluster_by="site", columns="coin,site")
    assert column(halves, "coin")["label"]["unit"] == "image within its cluster"
    assert [record["column"] for record in halves.columns] == ["coin"] and "site" in halves.facts["columns"]["left_out"]


NET = "from tests.small_images import Reader\n\n\ndef net():\n    return Reader(tint=12.0)\n"


def test_the_command_prints_them_apart_and_the_report_has_a_section(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    words = ["audit", str(home / "table.csv"), "--model", "net.py:net", "--classes", "cat,dog", "--size", "32"]
    words += ["--regions", "corners", "--properties", "none", "--recipients", "20", "--workers", "1"]
    assert run(*words, "--columns", "path=path,label=label,site,scan", "--out", "a") == 0
    printed = capsys.readouterr().out
    assert f"{TITLE} (valid)" in printed and printed.index(TITLE) < printed.index("Tested: ")
    assert "Left out: scan:" in printed and "\n  age\n" not in printed
    page = Path("a/report/index.html").read_text()
    assert '<h2 id="columns">' in page and "no dependence" in page
    assert run(*words, "--columns", "none", "--no-report", "--out", "b") == 0
    assert TITLE not in capsys.readouterr().out


def test_what_is_shown_to_matter_is_named_first_and_the_others_are_counted() -> None:
    carriers = [{"factor": f"p{number}", "share": 0.9 - number / 100, "finding": "NONE"} for number in range(4)]
    carriers.append({"factor": "corner", "share": 0.81, "finding": "STRONG, depends, +26.0"})
    said = _named(carriers)
    assert said.startswith("corner (0.81): STRONG, depends, +26.0, p0 (0.90): NONE") and said.endswith("(2 more)")
