"""Leaks between the splits: the same pictures, nearly the same, other labels, clusters, and what they do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageChops
import pyarrow.parquet as parquet
import pytest

import seewhy
from seewhy.data.pictures import copies as copies_module
from seewhy.data.pictures.copies import Copies, find_copies
from seewhy.data.pictures.duplicates import near_duplicates, near_pairs
from seewhy.data.pictures.thumbnails import grey_thumbnail
from seewhy.data.sources.folder import read_table
from seewhy.estimates import wilson
from seewhy.evidence import check as check_module
from seewhy.evidence.check import Check
from seewhy.evidence.checks.leaks import Leaks, leak_findings
from tests.small_images import Reader, classifier_of


def picture(seed: int, side: int = 64) -> PIL.Image.Image:
    """A picture of coarse patches, unlike any of another seed."""
    rng = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    return coarse.resize((side, side), PIL.Image.Resampling.BICUBIC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Thirty pictures of each class in train, twelve in valid, none of them another one."""
    for place, (split, count) in enumerate((("train", 30), ("valid", 12))):
        for label, name in enumerate(("cat", "dog")):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture(1000 * place + 100 * label + number).save(folder / f"{number:02d}.png")
    return tmp_path / "data"


def checked(home: Path, **options: object) -> Check:
    return seewhy.check(classifier_of(Reader()), home, progress=False, **options)


def copies_in(home: Path) -> Copies:
    images = read_table(home).images
    valid, train = ([image for image in images if image.split == split] for split in ("valid", "train"))
    return find_copies(valid, train)


def said(found: Check) -> list[str]:
    return [finding.text for finding in found.findings if finding.part == "leaks"]


def saved(home: Path, change: Callable[[PIL.Image.Image], PIL.Image.Image], name: str = "9.jpg", **how: object) -> None:
    """A changed copy of a picture of train in valid."""
    change(PIL.Image.open(home / "train/dog/07.png")).save(home / "valid/dog" / name, **how)


def test_splits_that_share_nothing_are_told_so(home: Path) -> None:
    found = checked(home)
    assert said(found) == ["None of 24 images of valid is the same as one of 60 of train, nor nearly so."]
    assert found.leaks is not None and not found.leaks.copies.copies


def test_the_same_bytes_under_another_name_leak(home: Path) -> None:
    shutil.copy(home / "train/cat/03.png", home / "valid/cat/new.png")
    found = checked(home)
    assert "1 are byte by byte one of 60 of train (valid/cat/new.png is train/cat/03.png)" in said(found)[0]
    assert found.leaks is not None and found.leaks.copies.copies[0].is_same
    assert next(finding for finding in found.findings if finding.part == "leaks").level == "caution"


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.resize((50, 50), PIL.Image.Resampling.BILINEAR),
        lambda image: PIL.ImageChops.offset(image, 1, -1),
        lambda image: PIL.Image.eval(image, lambda level: min(255, int(level * 0.9 + 10))),
    ],
    ids=["encoded anew", "smaller", "moved by a pixel", "other brightness"],
)
def test_nearly_the_same_pictures_are_copies(home: Path, change: Callable[[PIL.Image.Image], PIL.Image.Image]) -> None:
    saved(home, change, quality=80)
    found = copies_in(home)
    assert [(copy.image.id, copy.other.id, copy.is_same) for copy in found.copies] == [
        ("valid/dog/9.jpg", "train/dog/07.png", False)
    ]


def test_a_turned_picture_is_none(home: Path) -> None:
    saved(home, lambda image: image.transpose(PIL.Image.Transpose.ROTATE_180), "9.png")
    assert copies_in(home).copies == ()


def test_what_leaks_do_to_the_accuracy_is_that_of_the_rows(home: Path) -> None:
    for number in range(8):
        shutil.copy(home / f"train/cat/{number:02d}.png", home / f"valid/cat/copy{number}.png")
    found = checked(home)
    assert found.leaks is not None
    rows = [row for row in found.passes.outcomes() if row.image.split == "valid"]
    parts = found.leaks.accuracies["pictures"]
    for estimate, kept in ((parts.whole, None), (parts.without, False), (parts.leaked, True)):
        hits = [bool(row.correct) for row in rows if kept is None or ("copy" in row.image.id) == kept]
        assert estimate == wilson(sum(hits), len(hits))
    assert found.behaviour.accuracy == parts.whole
    assert f"without them {parts.without} of 24, on them {parts.leaked} of 8." in said(found)[0]


def test_the_same_picture_of_another_label_is_told_as_such(home: Path) -> None:
    shutil.copy(home / "train/cat/03.png", home / "valid/dog/new.png")
    found = checked(home)
    assert "1 pictures of valid (1 of them byte by byte) have another label in train" in said(found)[1]
    assert "valid/dog/new.png is dog, train/cat/03.png is cat" in said(found)[1]


def test_all_pairs_are_in_the_run_folder_and_a_finished_run_tells_them_again(home: Path, tmp_path: Path) -> None:
    for number in range(5):
        shutil.copy(home / f"train/cat/{number:02d}.png", home / f"valid/cat/copy{number}.png")
    saved(home, lambda image: image, quality=90)
    checked(home, out=tmp_path / "run")
    rows = parquet.read_table(tmp_path / "run/leaks.parquet").to_pylist()
    assert len(rows) == 6 and sum(row["same"] for row in rows) == 5
    assert {row["train_label"] for row in rows} == {"cat", "dog"}
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["summary"]["leaks"]["n_same"] == 5 and manifest["summary"]["leaks"]["n_near"] == 1
    assert "leaks.parquet" in json.loads((tmp_path / "run/files.json").read_text())
    checked(home, out=tmp_path / "run")  # the very run


def test_a_sample_of_the_images_is_compared_with_all_of_train(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "MOST_IMAGES", 40)
    for path in sorted((home / "valid").rglob("*.png")):
        shutil.copy(home / "train" / path.relative_to(home / "valid"), path)  # all of valid leaked
    found = checked(home)
    assert found.leaks is not None and found.leaks.copies.n_others == 60
    assert len(found.leaks.copies.copies) == found.leaks.copies.n_images < 24
    assert "cannot be said: none, or all" in said(found)[0]


def test_of_many_pictures_a_sample_is_looked_at_and_all_are_compared_by_their_bytes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies_module, "MOST_OTHERS", 10)
    monkeypatch.setattr(copies_module, "MOST_IMAGES", 20)
    shutil.copy(home / "train/cat/03.png", home / "valid/cat/new.png")
    found = copies_in(home)
    assert (found.n_images, found.n_others, found.n_images_seen, found.n_others_seen) == (25, 60, 20, 10)
    assert [copy.image.id for copy in found.copies] == ["valid/cat/new.png"]
    assert copies_in(home) == found
    leaks = Leaks("valid", found, None, 0, 0)
    assert "one of 60 of train (by their looks a sample was compared, 20 with 10)" in leak_findings(leaks)[0].text


def test_of_files_of_one_size_only_so_many_bytes_are_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in home.rglob("*.png"):
        PIL.Image.open(path).save(path.with_suffix(".bmp"))  # all of one size
        path.unlink()
    assert copies_in(home).is_whole
    monkeypatch.setattr(copies_module, "MOST_HASHED", 100_000)
    assert not copies_in(home).is_whole


def test_pictures_that_are_alike_by_nature_are_said_to_be(home: Path) -> None:
    for path in home.rglob("*.png"):
        quality = int(path.stem) + (80 if "valid" in path.parts else 50)
        picture(3).save(path.with_suffix(".jpg"), quality=quality)
        path.unlink()
    assert "pictures are alike here" in said(checked(home))[0]


def test_clusters_that_stand_in_both_splits_are_counted(home: Path) -> None:
    found = checked(home, cluster_by="name:^(\\d)")  # 0, 1 in valid; 0, 1, 2 in train
    assert "2 of 2 clusters of valid stand in train, too (0, 1): 24 of 24 images" in said(found)[0]
    apart = checked(home, cluster_by="name:^(train|valid)/")
    assert said(apart)[1] == "None of 1 cluster of valid stands in train."


@pytest.mark.parametrize("left", ["train", "valid"])
def test_without_both_splits_nothing_is_said(home: Path, left: str) -> None:
    shutil.rmtree(home / left)
    found = checked(home)
    assert said(found) == [] and found.leaks is None and found.summary()["leaks"] is None


def test_near_pairs_are_those_that_the_groups_link(home: Path) -> None:
    saved(home, lambda image: PIL.ImageChops.offset(image, 0, 1), "9.png")
    grey = np.stack([grey_thumbnail(path) for path in sorted(home.rglob("*.png"))]).astype(np.float64)
    groups = near_duplicates(grey)
    pairs = {(first, second) for first, second in near_pairs(grey, grey).tolist() if first != second}
    linked = {(first, second) for first in range(len(grey)) for second in np.flatnonzero(groups == groups[first])}
    assert pairs == {(first, second) for first, second in linked if first != second} and len(pairs) == 2


@pytest.mark.parametrize("first", ["valid", "train"])
def test_a_file_that_a_table_lists_under_both_splits_is_a_leak(home: Path, first: str) -> None:
    counts = (("train", 30), ("valid", 12))
    each = [(split, name, number) for split, count in counts for name in ("cat", "dog") for number in range(count)]
    rows = [(f"{split}/{name}/{number:02d}.png", name, split) for split, name, number in each]
    both = [(path, name, "valid" if split == "train" else "train") for path, name, split in rows if "/0" in path]
    both = [row for row in both if row[0].startswith(first)]
    lines = [",".join(row) for row in (*rows, *both)]
    (home / "both.csv").write_text("\n".join(["path,label,split", *lines]))
    found = checked(home / "both.csv")
    (finding,) = (one for one in found.findings if one.part == "leaks")
    assert finding.level != "good" and found.leaks is not None
    if first == "valid":
        assert len(found.leaks.copies.copies) == 20 and all(copy.is_same for copy in found.leaks.copies.copies)
        assert "20 are byte by byte one of 80 of train" in finding.text
        assert found.leaks.accuracies["pictures"].leaked.n == 20
    else:
        assert found.leaks.n_listed == 20 and "20 images of train are listed under valid, too" in finding.text


@pytest.mark.parametrize("others", [("valid",), ("valid", "test")], ids=["valid", "valid and test"])
def test_all_of_train_listed_again_is_a_leak(home: Path, others: tuple[str, ...]) -> None:
    names = [f"train/{name}/{number:02d}.png,{name}" for name in ("cat", "dog") for number in range(12)]
    lines = [f"{name},{split}" for split in ("train", *others) for name in names]
    (home / "all.csv").write_text("\n".join(["path,label,split", *lines]))
    found = checked(home / "all.csv")
    (finding,) = (one for one in found.findings if one.part == "leaks")
    assert finding.level == "caution" and "24 images of train are listed under valid, too" in finding.text


def test_a_test_split_of_its_own_is_compared_where_valid_is_train(home: Path) -> None:
    train = [f"train/{name}/{number:02d}.png,{name}" for name in ("cat", "dog") for number in range(12)]
    test = [f"valid/{name}/{number:02d}.png,{name}" for name in ("cat", "dog") for number in range(12)]
    lines = [
        *(f"{name},train" for name in train),
        *(f"{name},valid" for name in train),
        *(f"{name},test" for name in test),
    ]
    (home / "three.csv").write_text("\n".join(["path,label,split", *lines]))
    found = checked(home / "three.csv")
    assert found.leaks is not None and found.leaks.split == "test" and not found.leaks.copies.copies
