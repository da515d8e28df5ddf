"""What is said of few images, of many classes, and of pictures without colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from torch import Tensor, nn

import seewhy
from seewhy.evidence.trials.budget import smallest_of
from seewhy.evidence.trials.design import design_audit
from seewhy.evidence.trials.request import request
from seewhy.evidence.trials.resolution import shows
from seewhy.evidence.trials.search import MOST_PLACES


class Mean(nn.Module):
    """Scores that grow with how near the mean level is to that of a class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.conv = classes, nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3))[:, None] * self.classes + 0.0 * self.conv(x).mean((1, 2, 3))[:, None]
        return -((level - level.new_tensor(range(self.classes)) - 0.5) ** 2)


def folder_of(home: Path, counts: list[int], *, grey: bool = False) -> Path:
    """Pictures of noise, `counts` of each class, whose mean level is their class's."""
    random = np.random.default_rng(0)
    for label, count in enumerate(counts):
        (home / "valid" / f"c{label:02d}").mkdir(parents=True)
        for number in range(count):
            level = 255 * (label + 0.5) / len(counts)
            pixels = random.normal(level, 20, (32, 32, 1 if grey else 3)).clip(0, 255).astype(np.uint8)
            picture = np.repeat(pixels, 3 if grey else 1, axis=2)
            PIL.Image.fromarray(picture).save(home / "valid" / f"c{label:02d}" / f"{number:02d}.png")
    return home


def said(home: Path, classes: int, **asked: Any) -> str:
    classifier = seewhy.load(Mean(classes), classes=[f"c{label:02d}" for label in range(classes)])
    return smallest_of(design_audit(classifier, home, request(**asked)))


def test_a_search_alone_is_told_by_the_half_that_tests(tmp_path: Path) -> None:
    home = folder_of(tmp_path, [40, 40])
    alone = said(home, 2, regions="search", properties="none")
    assert alone.startswith(shows(20, 2, MOST_PLACES)) and "Half of the images propose places" in alone
    both = said(home, 2, regions="border,search", properties="none")
    n_tests = MOST_PLACES + 1
    assert both.startswith(shows(40, 2, n_tests)) and "with 20 images of a class and 4 tests" in both
    assert said(home, 2, regions="border", properties="none") == shows(40, 2, 1)


def test_all_classes_that_are_too_small_are_named(tmp_path: Path) -> None:
    home = folder_of(tmp_path, [5, 20, 6])
    expected = "c00, c02 have as few as 5 distinct images on valid; below 8 nothing can be said of them."
    assert said(home, 3, regions="border", properties="none") == expected


def test_of_many_classes_the_images_of_all_are_told(tmp_path: Path) -> None:
    home = folder_of(tmp_path, [4] * 12)
    told = said(home, 12, regions="border", properties="none")
    assert told.startswith("With 48 images of all classes and 1 test")
    classifier = seewhy.load(Mean(12), classes=[f"c{label:02d}" for label in range(12)])
    audit = seewhy.audit(classifier, home, regions="top-left", properties="none", progress=False)
    todo = " ".join(finding.todo for finding in audit.findings)
    assert "of each class" not in todo


def test_colours_of_grey_pictures_cannot_be_tested(tmp_path: Path) -> None:
    home = folder_of(tmp_path, [20, 20], grey=True)
    classifier = seewhy.load(Mean(2), classes=["c00", "c01"])
    audit = seewhy.audit(classifier, home, regions="none", properties="tint,saturation,brightness", progress=False)
    for name in ("tint", "saturation"):
        finding = audit[name]
        assert finding is not None and finding.level == "CANNOT SAY" and "the same in every image" in finding.text
    assert "brightness" in audit.facts["tested"] and "tint" not in audit.facts["tested"]


def test_clusters_that_all_of_many_classes_share_count_once(tmp_path: Path) -> None:
    """Three scanners of twelve classes are three, and say nothing, whatever is exchanged or laid over."""
    home = folder_of(tmp_path / "data", [9] * 12)
    rows = [f"{path},{path.parent.name},valid,s{number % 3}" for number, path in enumerate(sorted(home.rglob("*.png")))]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,split,scanner", *rows]))
    classifier = seewhy.load(Mean(12), classes=[f"c{label:02d}" for label in range(12)])
    audit = seewhy.audit(
        classifier, table, regions="top-left", properties="none", marks=["dot=text:HI@bottom-right"],
        cluster_by="scanner", progress=False,
    )  # fmt: skip
    by_name = {finding.factor: finding for finding in audit.findings}
    assert by_name["top-left"].level == "CANNOT SAY" and by_name["top-left"].text.startswith(
        "3 clusters of all classes can be used on valid; 16 are"
    )
    assert by_name["dot"].level == "CANNOT SAY" and "3 clusters can be used" in by_name["dot"].text
    assert smallest_of(audit.design).startswith("With 3 clusters of all classes and 1 test, hardly any effect is shown")
