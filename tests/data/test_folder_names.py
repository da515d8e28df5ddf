"""What folders people really have: each with the splits, classes and words that are right."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import seewhy
from seewhy.cam.scores.grammar import class_index
from seewhy.data.masks import catalogue_of
from seewhy.data.networks.classifier import load
from seewhy.data.pictures.decode import UnreadableError, read_photograph
from seewhy.data.sources.folder import read_table
from seewhy.data.sources.table_labels import by_class_names
from seewhy.data.tables.folder_names import role_of
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError
from seewhy.records import Image
from tests.models import FourConv, seeded

NFC, NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def places(table: ImageTable) -> dict[tuple[str | None, str | None], int]:
    return dict(Counter((image.split, image.label) for image in table.images))


@pytest.mark.parametrize(
    ("names", "wanted", "said"),
    [
        (["train/1.png", "bus/2.png"], {(None, "train"): 1, (None, "bus"): 1}, ""),
        (["test/1.png", "dev/2.png", "cat/3.png"], {(None, "test"): 1, (None, "dev"): 1, (None, "cat"): 1}, ""),
        (["train/1.png", "test/2.png"], {("train", None): 1, ("test", None): 1}, ""),
        (["train/a/1.png", "train/b/2.png", "test/3.png"],
         {("train", "a"): 1, ("train", "b"): 1, ("test", None): 1}, ""),
        (["training_set/a/1.png", "training_set/b/2.png", "test_set/a/3.png", "test_set/b/4.png"],
         {(s, c): 1 for s in ("training_set", "test_set") for c in "ab"}, r"read as splits.*test_set \(2\), train"),
        (["seg_train/seg_train/a/1.png", "seg_train/seg_train/b/2.png",
          "seg_test/seg_test/a/3.png", "seg_pred/4.png"],
         {("seg_train", "a"): 1, ("seg_train", "b"): 1, ("seg_test", "a"): 1, (None, None): 1},
         r"class: seg_pred \(1\)"),
        (["2020/a/1.png", "2020/b/2.png", "2021/a/3.png", "2021/b/4.png"],
         {(s, c): 1 for s in ("2020", "2021") for c in "ab"}, r"read as splits"),
        (["a/2020/1.png", "a/2021/2.png", "b/2020/3.png", "b/2021/4.png"], {(None, "a"): 2, (None, "b"): 2},
         r"a, b are read as the classes, .* parts: 2020, 2021\.  If these are the classes:  --classes 2020,2021"),
        (["cat/batch_1/1.png", "cat/batch_2/2.png", "dog/batch_1/3.png", "dog/batch_2/4.png"],
         {(None, "cat"): 2, (None, "dog"): 2}, r"like parts: batch_1, batch_2"),
        (["x/left/1.png", "x/right/2.png", "y/left/3.png", "y/right/4.png"],
         {(s, c): 1 for s in "xy" for c in ("left", "right")}, r"read as splits.*classes:  --classes x,y"),
        (["site1/3/1.png", "site1/7/2.png", "site2/3/3.png", "site2/7/4.png"],
         {(s, c): 1 for s in ("site1", "site2") for c in "37"}, r"read as splits"),
        (["cat/old/1.png", "cat/new/2.png", "dog/old/3.png"], {(None, "cat"): 2, (None, "dog"): 1}, ""),
        (["data/train/a/1.png", "data/train/b/2.png"],
         {("train", "a"): 1, ("train", "b"): 1}, r"All images lie in data"),
        (["x/y/a/1.png", "x/y/b/2.png"], {(None, "a"): 1, (None, "b"): 1}, r"All images lie in x/y,"),
        (["a/train/1.png", "a/valid/2.png", "b/train/3.png", "b/valid/4.png"],
         {(s, c): 1 for s in ("train", "valid") for c in "ab"}, ""),
        (["overview.png", "a/1.png", "b/2.png", "b/3.png"], {(None, None): 1, (None, "a"): 1, (None, "b"): 2},
         r"beside the class folders have no class: overview\.png"),
        (["a/deep/1.png"], {(None, "a"): 1}, ""),
        (["train/a/1.png", "valid/a/2.png", "notes/scan.png"],
         {("train", "a"): 1, ("valid", "a"): 1, (None, None): 1}, r"no class: notes \(1\)"),
    ],
)  # fmt: skip
def test_splits_and_classes_are_told_by_what_folders_hold(
    tmp_path: Path, names: list[str], wanted: dict[tuple[str | None, str | None], int], said: str
) -> None:
    table = read_table(touch(tmp_path / "faces", *names))
    assert places(table) == wanted
    assert re.search(said, " ".join(table.notes)) if said else table.notes == ()


def test_a_class_folder_that_is_called_like_a_split_has_its_siblings_beside_it(tmp_path: Path) -> None:
    root = touch(tmp_path / "vehicles", "train/1.png", "bus/2.png")
    table = read_table(root / "train")
    assert places(table) == {(None, "train"): 1} and table.classes == ("bus", "train")


@pytest.mark.parametrize(
    ("name", "role"),
    [("training_set", "train"), ("seg_test", "test"), ("Val", "valid"), ("dev", "valid"), ("2020", "2020"),
     ("bustrain", "bustrain"), ("PublicTest", "test"), (None, "no split")],
)  # fmt: skip
def test_the_role_of_a_split_is_told_by_its_words(name: str | None, role: str) -> None:
    assert role_of(name) == role


def test_files_that_are_not_read_and_classes_without_images_are_said(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "d",
        "a/1.png",
        "c/2.png",
        "a/3.eps",
        "a/4.raw",
        "c/5",
        "c/6.raw",
        "c/labels.txt",
        "run/manifest.json",
    )
    (root / "b").mkdir()
    table = read_table(root)
    assert table.classes == ("a", "c") and table.empty == ("b",)
    assert "Files that are not read as images: 1 without a suffix, 1 .eps, 2 .raw." in table.notes
    assert any("without an image: b" in note for note in table.notes)
    assert [table.class_names(count) for count in (1, 2, 3)] == [None, ("a", "c"), ("a", "b", "c")]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("a.npy", "Arrays are given in Python, as one array of images or as a Dataset"),
        ("a.H5", "Arrays are given in Python, as one array of images or as a Dataset"),
        ("a.svg", "Drawings and pages are exported as PNG first."),
        ("a.CR2", "RAW photographs are developed into TIFF or JPEG first."),
        ("a.mp4", "Videos are cut into pictures first:  ffmpeg"),
        ("IM0001", 'DICOM files are read where their names end in .dcm:  pip install "seewhy[medical]"'),
        ("1.2.840.11", 'DICOM files are read where their names end in .dcm:  pip install "seewhy[medical]"'),
    ],
)
def test_files_that_are_no_pictures_say_what_to_do(tmp_path: Path, name: str, step: str) -> None:
    root = touch(tmp_path / "d", "x/1.png", "y/2.png")
    (root / "x" / name).write_bytes(bytes(128) + (b"DICM" if step.startswith("DICOM") else b"none"))
    notes = read_table(root).notes
    assert any(note.startswith(step) for note in notes)
    kind = "DICOM without .dcm" if step.startswith("DICOM") else Path(name).suffix.lower()
    assert f"Files that are not read as images: 1 {kind}." in notes
    with pytest.raises(DataError) as raised:
        read_table(root / "x" / name)
    assert f"is no picture that seewhy reads.\n  {step}" in str(raised.value)
    for other in ("x/1.png", "y/2.png"):
        (root / other).unlink()
    with pytest.raises(DataError) as raised:
        read_table(root)
    assert "Suffixes read: " in str(raised.value) and f"\n  {step}" in str(raised.value)


def test_a_file_that_has_no_step_is_counted_alone(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "x/1.png", "y/2.png", "x/3.abc", "x/4")
    assert read_table(root).notes == ("Files that are not read as images: 1 without a suffix, 1 .abc.",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_without_a_suffix_is_not_waited_for(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "x/1.png", "y/2.png")
    os.mkfifo(root / "x" / "pipe")
    assert "Files that are not read as images: 1 without a suffix." in read_table(root).notes


@pytest.mark.parametrize("address", ["https://host/faces", "http://host/a.png", "ftp://host/faces", "hdfs://b/*.png"])
def test_an_address_is_no_file(tmp_path: Path, address: str) -> None:
    for source in (address, Path(address)):
        with pytest.raises(
            DataError, match=r"is an address, and images are files here: nothing is downloaded"
        ) as raised:
            read_table(source)
        assert raised.value.slug == "no-such-file"
    (image,) = read_table([address]).images
    with pytest.raises(UnreadableError, match=r"^it is an address, and images are files here: download it first$"):
        read_photograph(image.path or "")


def test_an_empty_class_keeps_its_place_among_the_networks_classes(tmp_path: Path) -> None:
    for name in ("a", "c"):
        (tmp_path / "d" / name).mkdir(parents=True)
        PIL.Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "d" / name / "0.png")
    (tmp_path / "d" / "b").mkdir()
    explanation = seewhy.explain(seeded(FourConv(classes=3)), tmp_path / "d", progress=False)
    assert explanation.plan.classes == ("a", "b", "c")


def test_names_in_both_unicode_forms_are_one_class(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", f"train/{NFC}/1.png", "train/tea/2.png", f"valid/{NFD}/3.png", "valid/tea/4.png")
    table = read_table(root)
    assert table.classes == (NFC, "tea")
    assert places(table) == {(s, c): 1 for s in ("train", "valid") for c in (NFC, "tea")}
    assert {image.id for image in table.images} == {
        f"train/{NFC}/1.png",
        "train/tea/2.png",
        f"valid/{NFD}/3.png",
        "valid/tea/4.png",
    }
    assert all(Path(image.path or "").exists() for image in table.images)
    assert class_index(NFD, table.classes) == 0
    assert load(seeded(FourConv()), classes=[NFD, "tea"]).classes == (NFC, "tea")


def test_paths_in_the_other_unicode_form_are_found(tmp_path: Path) -> None:
    touch(tmp_path, f"{NFD}/1.png", f"{NFC}-b/2.png")
    (tmp_path / "list.csv").write_text(f"path,label\n{NFC}/1.png,{NFD}\n{NFD}-b/2.png,x\n", encoding="utf-8")
    table = read_table(tmp_path / "list.csv")
    assert [image.path for image in table.images] == [
        str(tmp_path / NFD / "1.png"),
        str(tmp_path / f"{NFC}-b" / "2.png"),
    ]
    assert [image.label for image in table.images] == [NFC, "x"]
    assert len(read_table(tmp_path / NFC)) == 1


def test_a_mask_is_its_images_in_either_unicode_form() -> None:
    images = [Image("1", f"d/{NFD}.png"), Image("2", "d/tea.png")]
    catalogue = catalogue_of([f"{NFC}.png", "tea.png"], images, Path("masks"))
    assert [catalogue.name_for(image) for image in images] == [f"{NFC}.png", "tea.png"]


FOUR = ["x/left", "x/right", "y/left", "y/right"]
YEARS = ["x/2020", "x/2021", "y/2020", "y/2021"]


@pytest.mark.parametrize(
    ("names", "classes", "wanted"),
    [
        (FOUR, ("x", "y", "z"), {(None, "x"): 2, (None, "y"): 2}),
        (FOUR, ("left", "right"), {(s, c): 1 for s in "xy" for c in ("left", "right")}),
        (YEARS, ("2020", "2021"), {(s, c): 1 for s in "xy" for c in ("2020", "2021")}),
        ([f"d/{name.upper()}" for name in FOUR], ("x", "y"), {(None, "X"): 2, (None, "Y"): 2}),
        (["x/y", "x/z", "y/y", "y/z"], ("p", "q"), {(s, c): 1 for s in "xy" for c in "yz"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("of", ["folder", "list"])
def test_the_names_of_classes_decide_which_folders_they_are(
    tmp_path: Path,
    names: list[str],
    classes: tuple[str, ...],
    wanted: dict[tuple[str | None, str | None], int],
    of: str,
) -> None:
    root = touch(tmp_path / "pictures", *(f"{name}/{n}.png" for n, name in enumerate(names)))
    table = read_table(root if of == "folder" else sorted(root.rglob("*.png")))
    told = by_class_names(table, classes)
    assert places(told) == wanted
    assert any("read as" in note for note in told.notes) is (classes == ("p", "q"))


def test_an_explanation_goes_by_the_names_of_its_classes(tmp_path: Path) -> None:
    for n, name in enumerate(["x/left", "x/right", "y/left", "y/right"]):
        (tmp_path / "d" / name).mkdir(parents=True)
        PIL.Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "d" / name / f"{n}.png")
    explanation = seewhy.explain(load(seeded(FourConv()), classes=["x", "y"]), tmp_path / "d", progress=False)
    assert [image.label for image in explanation] == ["x", "x", "y", "y"]


def test_folders_of_a_system_are_no_classes(tmp_path: Path) -> None:
    for name in ("blue", "red", "__MACOSX", "@eaDir", ".ipynb_checkpoints", "$RECYCLE.BIN"):
        (tmp_path / name).mkdir()
    for name in ("blue", "red"):
        PIL.Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    table = read_table(tmp_path)
    assert table.classes == ("blue", "red") and table.empty == ()
