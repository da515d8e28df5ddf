"""Some of the images: which are selected, what is shown of them, and results as tables."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import DataError, MissingExtraError, OptionError, counted, predictions_of
from seewhy.explanation.notices import trouble_of
from seewhy.explanation.result import Explanation
from seewhy.records import Image, Outcome
from seewhy.render.sheet import NOTEBOOK_BYTES
from tests.small_images import write_images

SPLITS = {"train": 6, "valid": 4}
AMONG = "labelled images, where guessing is right on"


class Bright(nn.Module):
    """The first class where the middle is bright; `always` adds to the second."""

    def __init__(self, always: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        nn.init.constant_(self.conv.weight, 1 / 27)
        nn.init.zeros_(self.conv.bias)
        self.always = always

    def forward(self, x: Tensor) -> Tensor:
        level = self.conv(x).relu()[:, 0, 8:24, 8:24].mean(dim=(1, 2))
        return torch.stack([level - 0.5, 0.5 - level + self.always], dim=1)


def explained(folder: Path, always: float = 0.0, **options: Any) -> Explanation:
    classifier = seewhy.load(Bright(always), classes=["cat", "dog"], size=32)
    return seewhy.explain(classifier, folder, layers="conv", method="grad-cam", progress=False, **options)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    folder = write_images(tmp_path_factory.mktemp("photos"), counts=SPLITS)
    (folder / "valid" / "cat" / "broken.png").write_bytes(b"no picture")
    return explained(folder, always=0.1)


def test_where_selects_by_answer_class_and_split(found: Explanation) -> None:
    rows = [one.outcome for one in found]
    wrong = [outcome.image.id for outcome in rows if outcome.correct is False]
    assert 0 < len(wrong) < len(found)
    assert [one.outcome.image.id for one in found.where(wrong=True)] == wrong
    assert len(found.where(wrong=False)) == sum(outcome.correct is True for outcome in rows)
    assert len(found.where(label="cat")) == len(found.where(label=0)) == 11
    assert len(found.where(split="valid")) == 9
    assert {one.prediction for one in found.where(predicted="dog")} == {"dog"}
    both = found.where(label="cat", predicted="dog", split="train")
    assert all((one.label, one.prediction, one.outcome.image.split) == ("cat", "dog", "train") for one in both)
    assert len(found.where()) == len(found)
    assert repr(both) == f"<{counted(len(both), 'image')} of 21: label cat, predicted dog, split train>"


def test_a_selection_is_shown_and_gone_through_by_number(found: Explanation) -> None:
    wrong = found.where(wrong=True)
    assert wrong[0].outcome.image.id == next(iter(wrong)).outcome.image.id
    assert isinstance(wrong.show(most=2), PIL.Image.Image) and "<img" in wrong._repr_html_()
    assert [row["correct"] for row in wrong.records] == [False] * len(wrong)
    with pytest.raises(DataError, match="no image is wrong, label dog"):
        found.where(wrong=True, label="dog").show()


def test_overlays_are_drawn_from_another_working_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture that was explained, and not one of the same name that lies there."""
    for home, level in ((tmp_path / "here", 40), (tmp_path / "there", 200)):
        (home / "data" / "cat").mkdir(parents=True)
        PIL.Image.new("RGB", (32, 32), (level,) * 3).save(home / "data" / "cat" / "a.png")
    monkeypatch.chdir(tmp_path / "here")
    explained = seewhy.explain(Bright(), "data", layers="conv", progress=False)
    overlay = np.asarray(explained[0].overlay)
    monkeypatch.chdir(tmp_path / "there")
    assert np.array_equal(np.asarray(explained[0].overlay), overlay)
    monkeypatch.setattr(os, "chdir", None)  # which another thread would see
    explained.save("run")  # which lies in the folder of today
    assert Path.cwd() == tmp_path / "there" and explained.folder == Path("run")
    (written,) = (tmp_path / "there" / "run" / "overlays").rglob("a*.*")
    drawn = np.asarray(PIL.Image.open(written).convert("RGB")).astype(int)
    assert np.abs(drawn - overlay).mean() < 10  # of the dark picture, as a JPEG


def test_pixels_are_explained_where_the_working_folder_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    explained = seewhy.explain(Bright(), torch.rand(3, 3, 32, 32), layers="conv", progress=False)
    assert len(explained) == 3 and explained[0].overlay.size == (32, 32)


@pytest.mark.parametrize(
    ("part", "words"),
    [(slice(5), "[:5]"), (slice(-3, None), "[-3:]"), (slice(None, None, 4), "[::4]"), (slice(40, 50), "[40:50]")],
)
def test_a_slice_takes_the_images_that_it_takes_of_a_list(found: Explanation, part: slice, words: str) -> None:
    some, ids = found[part], [outcome.image.id for outcome in found.outcomes]
    assert [one.outcome.image.id for one in some] == ids[part]
    assert repr(some) == f"<{counted(len(some), 'image')} of 21: in the slice {words}>"
    assert [one.outcome.image.id for one in some[1:]] == ids[part][1:]
    wrong = found.where(wrong=True)
    assert [row["id"] for row in wrong[:1].records] == [wrong.records[0]["id"]]
    assert repr(wrong[:1]) == "<1 image of 21: in the slice [:1] of those wrong>"
    if not ids[part]:
        with pytest.raises(DataError, match=r"nothing to show: no image is in the slice \[40:50\]"):
            some.show()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"label": "cta"}, "No image has the class 'cta'.  Nearest: cat"),
        ({"predicted": "bird"}, "No image has the class 'bird'."),
        ({"label": 2}, "There is no class 2; there are 2, 0 to 1."),
        ({"split": "vald"}, "No image has the split 'vald'.  Nearest: valid"),
    ],
)
def test_a_name_that_no_image_has_is_told_with_the_nearest(
    found: Explanation, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        found.where(**asked)


def test_wrong_needs_labels() -> None:
    classifier = seewhy.load(Bright(), classes=["cat", "dog"], size=32)
    unlabelled = seewhy.explain(classifier, torch.rand(3, 3, 32, 32), layers="conv", progress=False)
    with pytest.raises(DataError, match="none has a label"):
        unlabelled.where(wrong=True)
    assert len(unlabelled.where(predicted="cat")) + len(unlabelled.where(predicted="dog")) == 3


def test_records_are_a_row_for_each_image_and_a_table_where_there_is_pandas(
    found: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = next(row for row in found.records if row["error"])
    assert broken["id"] == "valid/cat/broken.png" and broken["prediction"] is None
    assert list(broken) == ["id", "path", "label", "split", "prediction", "probability", "correct", "error"]
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("table", rows)))
    assert found.to_pandas() == ("table", found.records)
    assert found.where(wrong=True).to_pandas() == ("table", found.where(wrong=True).records)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pip install pandas") as raised:
        found.to_pandas()
    assert ".records" in str(raised.value)


def test_a_notebook_takes_a_sheet_of_a_hundred_images_as_a_small_jpeg(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(100):
        pixels = np.random.default_rng(number).integers(0, 256, (180, 180, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:03}.jpg", quality=95)
    sheet = explained(tmp_path / "photos").show()
    data = sheet._repr_jpeg_()
    assert sheet._repr_png_() is None and len(data) <= NOTEBOOK_BYTES
    shown = PIL.Image.open(io.BytesIO(data))
    assert shown.format == "JPEG" and shown.width >= 700
    assert abs(shown.width / shown.height - sheet.width / sheet.height) < 0.01
    sheet.save(tmp_path / "sheet.png")
    with PIL.Image.open(tmp_path / "sheet.png") as kept:
        assert kept.size == sheet.size


def test_large_photographs_do_not_swell_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    assert len(explained(tmp_path / "photos")._repr_html_()) < 2_000_000


def outcomes_of(*answers: tuple[str | None, str, int]) -> list[Outcome]:
    return [
        Outcome(
            Image(f"{number}-{place}.png", None, label),
            prediction=said,
            correct=None if label is None else label == said,
        )
        for place, (label, said, count) in enumerate(answers)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([("fake", "real", 100)], f"none of 100 {AMONG} 50%: every image is predicted as 'real'"),
        ([("fake", "real", 40), ("real", "fake", 40)], f"none of 80 {AMONG} 50%"),
        ([(a, b, 25) for a in ("fake", "real") for b in ("fake", "real")], f"50 of 100 (50%) {AMONG} 50%"),
        ([("a", "a", 90), ("b", "a", 10)], f"90 of 100 (90%) {AMONG} 90%: every image is predicted as 'a'"),
        ([(None, "real", 30)], "Every image is predicted as 'real'"),
        ([("fake", "fake", 100)], ""),
        ([("fake", "fake", 95), ("fake", "real", 5)], ""),
        ([("fake", "fake", 40), ("real", "real", 40)], ""),
        ([("fake", "real", 9)], ""),
    ],
)
def test_answers_no_better_than_guesses_are_told_first(answers: list[tuple[str | None, str, int]], words: str) -> None:
    assert trouble_of(outcomes_of(*answers), 2).removeprefix("It is right on ") == words


def test_counts_are_told_with_the_right_plural() -> None:
    assert predictions_of({"1": 1}) == "predicted as class 1: 1 image"
    assert predictions_of({"cat": 1, "dog": 1_200}) == "predicted as dog: 1,200 images, cat: 1 image"
    assert predictions_of({}) == ""


def test_a_single_image_is_one_image(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "photos", counts={"valid": 1}, classes=("cat",))
    alone = explained(folder)
    assert repr(alone).startswith("<Explanation of 1 image; ") and "1 images" not in alone._repr_html_()
