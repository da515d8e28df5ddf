"""Which images are audited: a class of a few images does not silence the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.results.result import Audit
from seewhy.evidence.results.tables import outcomes_of
from tests.small_images import Reader, classifier_of, full_redness, write_images

CLASSES = ("cat", "dog", "owl", "rat")
FEW = 5


class OfFour(Reader):
    """A cat or a dog by the surround, an owl and a rat by nothing."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        return torch.cat([logits, torch.zeros_like(logits)], dim=1)


def audit_of(data: Path, classes: tuple[str, ...] = CLASSES, **asked: object) -> Audit:
    options = {"regions": "centre,top", "properties": "none", "progress": False, **asked}
    classifier = classifier_of(OfFour(core=0.0, tint=8 / full_redness()), classes)
    return seewhy.audit(classifier, data, **options)  # type: ignore[arg-type]


def with_few(data: Path, classes: tuple[str, ...], few: int = FEW) -> Path:
    """The folder with so few images of these classes in valid."""
    for name in classes:
        for path in sorted((data / "valid" / name).glob("*.png"))[few:]:
            path.unlink()
    return data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", counts={"train": 30, "valid": 30}, classes=CLASSES)


def test_a_class_of_few_images_is_left_out_and_the_others_are_told_as_without_it(data: Path) -> None:
    audit = audit_of(with_few(data, ("rat",)))
    note = f"Left out: rat ({FEW} distinct images), since nothing can be said of a class of fewer than 8 distinct"
    assert any(words.startswith(note) for words in audit.design.notes)
    shutil.rmtree(data / "valid" / "rat")
    shutil.rmtree(data / "train" / "rat")
    without = audit_of(data)
    assert audit["top"].text == without["top"].text and "depends" in audit["top"].claims
    for name in ("top", "centre"):
        assert audit[name].numbers["probability"] == without[name].numbers["probability"]
    errors = [row.error for row in outcomes_of(audit) if row.image.label == "rat" and row.image.split == "valid"]
    assert len(errors) == FEW and all("fewer than 8 distinct images of valid" in (error or "") for error in errors)


@pytest.mark.parametrize("few", [("owl", "rat", "dog"), CLASSES])
def test_where_fewer_than_two_classes_are_left_all_stay_and_nothing_is_said(data: Path, few: tuple[str, ...]) -> None:
    audit = audit_of(with_few(data, few))
    assert not any(words.startswith("Left out") for words in audit.design.notes)
    assert not any("depends" in finding.claims for finding in audit.findings)
    assert "CANNOT SAY" in str(audit)


def test_a_class_that_valid_lacks_is_left_out_of_train_and_makes_nothing_overfit(data: Path) -> None:
    shutil.rmtree(data / "valid" / "rat")
    audit = audit_of(data)
    assert "Left out of train: rat, of which valid has no image." in audit.design.notes
    assert {len(np.unique(sample.labels)) for sample in audit.design.samples.values()} == {3}
    assert not any("overfit" in finding.claims for finding in audit.findings)


def test_a_class_that_train_lacks_leaves_nothing_to_compare(data: Path) -> None:
    shutil.rmtree(data / "train" / "rat")
    audit = audit_of(data)
    assert "train has no image of rat, so nothing can be said about overfitting." in audit.design.notes
    assert list(audit.design.samples) == ["valid"]


def test_a_train_split_of_other_classes_leaves_nothing_to_compare(tmp_path: Path) -> None:
    """Of more than ten classes: there each image's own class is asked about."""
    classes = tuple(f"c{number:02d}" for number in range(12))
    data = write_images(tmp_path / "data", counts={"train": 3, "valid": 3}, classes=classes)
    for number, name in enumerate(classes):
        shutil.rmtree(data / ("train" if number % 2 else "valid") / name)
    network = nn.Sequential(nn.Conv2d(3, 12, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    audit = seewhy.audit(
        seewhy.load(network, classes=classes), data, regions="none", properties="none", marks=["word=text:HI"],
        progress=False,
    )  # fmt: skip
    assert list(audit.design.samples) == ["valid"] and audit["word"] is not None
    said = "train has no image of a class that valid has, so nothing can be said about overfitting."
    assert said in audit.design.notes


def test_of_two_classes_that_are_left_each_stands_against_the_other(data: Path) -> None:
    audit = audit_of(with_few(data, ("owl", "rat")))
    assert [(one.name, one.against) for one in audit.design.contrasts] == [("cat", "dog"), ("dog", "cat")]
    assert "in place of dog ones" in audit["top"].text or "in place of cat ones" in audit["top"].text


def test_a_class_of_few_clusters_is_left_out(data: Path) -> None:
    clusters = "name:(?:cat|dog|owl)/[0-9]+|rat/00[0-2]"  # those of a rat are ten each
    audit = audit_of(data, cluster_by=clusters)
    assert any(words.startswith("Left out: rat (3 clusters)") for words in audit.design.notes)


def test_the_rows_of_a_table_in_any_order_give_the_same_audit(data: Path, tmp_path: Path) -> None:
    rows = [f"{path.relative_to(data)},{path.parent.name},valid" for path in sorted((data / "valid").rglob("*.png"))]
    told = []
    for number, lines in enumerate((rows, rows[::-1], np.random.default_rng(0).permutation(rows).tolist())):
        table = data / f"{number}.csv"
        table.write_text("\n".join(["path,label,split", *lines]) + "\n", encoding="utf-8")
        audit = audit_of(table, donors=20)  # some of the 30 are left out
        told.append((audit["top"].numbers, [image.id for image in audit.design.audited.images]))
    assert told[0] == told[1] == told[2]


def test_the_classes_that_are_printed_are_those_that_were_audited(data: Path) -> None:
    audit = audit_of(with_few(data, ("rat",)))
    assert audit.facts["audited_classes"] == ["cat", "dog", "owl"] and audit.facts["classes"] == [*CLASSES]
