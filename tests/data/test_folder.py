"""Whatever names images becomes one ordered table with stable ids, labels and splits; nothing is dropped silently."""

from __future__ import annotations

import csv
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import seewhy
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import load_image
from seewhy.data.sources.folder import read_table
from seewhy.data.sources.table_labels import with_labels
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, OptionError
from seewhy.records import Image, Preprocess
from tests.models import Pooled, images, seeded

TUTORIAL = ["", "id", "path", "label", "label_str"]
KAGGLE = ["", "original_path", "id", "label", "label_str", "path"]


def touch(root: Path, *names: str) -> Path:
    """Empty files below root, made in a shuffled order."""
    shuffled = list(names)
    random.Random(7).shuffle(shuffled)
    for name in shuffled:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def picture(path: Path, size: tuple[int, int] = (6, 5)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, (10, 200, 30)).save(path)
    return path


def rows(table: ImageTable) -> list[tuple[str, str | None, str | None]]:
    return [(image.id, image.label, image.split) for image in table.images]


def ids(table: ImageTable) -> list[str]:
    return [image.id for image in table.images]


def write_csv(path: Path, header: list[str], *lines: list[Any], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *lines])
    return path


# ---- folders ----


def test_a_plain_folder_is_its_images_in_order_without_labels(tmp_path: Path) -> None:
    root = touch(tmp_path / "only" / "pictures", "b.png", "a.JPG", "c.txt", "B.webp")
    assert rows(read_table(root)) == [("B.webp", None, None), ("a.JPG", None, None), ("b.png", None, None)]
    assert read_table(root).classes == ()
    assert read_table(str(root)).images == read_table(root).images


def test_class_folders_give_labels(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "real/1.png", "fake/2.png", "fake/deep/3.png")
    table = read_table(root)
    assert rows(table) == [
        ("fake/2.png", "fake", None),
        ("fake/deep/3.png", "fake", None),
        ("real/1.png", "real", None),
    ]
    assert table.classes == ("fake", "real")
    assert table.root == root


@pytest.mark.parametrize(
    ("train", "valid"), [("train", "valid"), ("Training", "Validation"), ("test", "val")], ids=lambda name: name
)
def test_split_folders_give_splits(tmp_path: Path, train: str, valid: str) -> None:
    root = touch(tmp_path / "d", *(f"{s}/{c}/1.png" for s in (train, valid) for c in ("real", "fake")))
    wanted = [(f"{s}/{c}/1.png", c, s) for s in sorted((train, valid)) for c in ("fake", "real")]
    assert rows(read_table(root)) == wanted
    assert read_table(root).classes == ("fake", "real")


def test_a_split_folder_itself_gives_its_split(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "train/fake/1.png", "train/real/2.png", "valid/fake/3.png")
    assert rows(read_table(root / "train")) == [("fake/1.png", "fake", "train"), ("real/2.png", "real", "train")]


def test_a_split_folder_without_classes_has_only_its_split(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "train/1.png", "test/2.png")
    assert rows(read_table(root / "test")) == [("2.png", None, "test")]
    assert rows(read_table(root)) == [("test/2.png", None, "test"), ("train/1.png", None, "train")]


@pytest.mark.parametrize("where", ["absolute", "relative", "here"])
def test_a_class_folder_takes_label_and_split_from_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    root = touch(tmp_path / "d", "train/fake/2.png", "train/fake/1.png", "train/real/3.png", "train/.cache/4.png")
    monkeypatch.chdir(root / "train" / "fake" if where == "here" else root)
    source = {"absolute": root / "train" / "fake", "relative": "train/fake", "here": "."}[where]
    table = read_table(source)
    assert rows(table) == [("1.png", "fake", "train"), ("2.png", "fake", "train")]
    assert table.classes == ("fake", "real")
    assert any("from the folder's name" in note and "fake, real" in note for note in table.notes)


def test_a_run_folder_beside_the_images_is_no_class(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "photos/1.png")
    before = read_table(root / "photos")
    touch(root, "run/manifest.json", "run/sheet.jpg")
    assert read_table(root / "photos") == before
    touch(root, "others/2.png")
    assert read_table(root / "photos").classes == ("others", "photos")


def test_a_folder_without_sibling_classes_is_no_class(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "photos/1.png", "texts/readme.txt")
    assert rows(read_table(root / "photos")) == [("1.png", None, None)]


def test_a_folder_of_images_and_folders_has_no_labels(tmp_path: Path) -> None:
    root = touch(tmp_path / "d" / "e", "1.png", "more/2.png", "../f/3.png")
    assert rows(read_table(root)) == [("1.png", None, None), ("more/2.png", None, None)]


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "fake/1.png", "fake/._1.png", ".git/2.png", ".thumbs.png", "real/.DS_Store")
    assert ids(read_table(root)) == ["fake/1.png"]


def test_a_folder_that_looks_like_an_image_is_walked_not_listed(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "x.jpg/1.png")
    assert ids(read_table(root)) == ["x.jpg/1.png"]


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    root = touch(tmp_path / "d", "fake/1.png", "real/2.png")
    touch(tmp_path / "elsewhere", "3.png")
    (root / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "fake" / "loop").symlink_to(root, target_is_directory=True)
    (root / "real" / "self").symlink_to(root / "real", target_is_directory=True)
    assert ids(read_table(root)) == ["fake/1.png", "more/3.png", "real/2.png"]


def test_a_linked_file_is_an_image_and_a_broken_link_is_a_row_that_fails(tmp_path: Path) -> None:
    root = tmp_path / "d"
    picture(tmp_path / "far.png")
    root.mkdir()
    (root / "a.png").symlink_to(tmp_path / "far.png")
    (root / "b.png").symlink_to(tmp_path / "gone.png")
    table = read_table(root)
    assert ids(table) == ["a.png", "b.png"]
    assert load_image(table, table.images[0], Preprocess()).size == (5, 6)
    with pytest.raises(UnreadableError, match="No such file"):
        load_image(table, table.images[1], Preprocess())


def test_order_and_ids_do_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    names = [f"{label}/{number}.png" for label in ("b", "a", "c") for number in (10, 9, 1)]
    touch(tmp_path / "one", *names)
    touch(tmp_path / "two", *reversed(sorted(names)))
    assert ids(read_table(tmp_path / "one")) == ids(read_table(tmp_path / "two")) == sorted(names)


@pytest.mark.parametrize(
    "name",
    [
        "line\nbreak.png",
        "quo\"te's.png",
        "größe 图像 🙂.png",
        "per%cent&amp;<b>.png",
        "a,b;c.png",
        "back\\slash.png",
        "n" * 246 + ".png",
        "[1]*?.png",
        "--flag.png",
    ],
    ids=["newline", "quotes", "unicode", "markup", "comma", "backslash", "250-characters", "glob-letters", "dashes"],
)
def test_odd_names_are_ids_and_can_be_read(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "d" / "class é" / name)
    picture(tmp_path / "d" / "other" / "1.png")
    for table in (
        read_table(tmp_path / "d"),
        read_table([tmp_path / "d" / "class é" / name, tmp_path / "d/other/1.png"]),
    ):
        assert rows(table)[0] == (f"class é/{name}", "class é", None)
        assert load_image(table, table.images[0], Preprocess()).size == (5, 6)
    single = read_table(tmp_path / "d" / "class é" / name)
    assert ids(single) == [name]


# ---- tables of paths ----


def test_the_tutorials_csv_gives_labels_in_the_order_of_their_index(tmp_path: Path) -> None:
    lines = [[0, "31335", "train/real/31335.jpg", 1, "real"], [1, "01B", "train/fake/01B.jpg", 0, "fake"]]
    table = read_table(write_csv(tmp_path / "train.csv", TUTORIAL, *lines))
    assert rows(table) == [("train/real/31335.jpg", "real", "train"), ("train/fake/01B.jpg", "fake", "train")]
    assert table.classes == ("fake", "real")
    assert table.images[0].path == str(tmp_path / "train/real/31335.jpg")


def test_classes_follow_the_label_index_and_not_the_alphabet(tmp_path: Path) -> None:
    lines = [[0, "a", "a.jpg", 0, "zebra"], [1, "b", "b.jpg", 1, "ant"], [2, "c", "c.jpg", 2, "cow"]]
    assert read_table(write_csv(tmp_path / "x.csv", TUTORIAL, *lines)).classes == ("zebra", "ant", "cow")


def test_kaggles_csv_is_read_by_its_path_and_has_no_split_of_its_own(tmp_path: Path) -> None:
    lines = [[7, "/kaggle/a/fake/1.jpg", "1", 0, "fake", "valid/fake/1.jpg"]]
    table = read_table(write_csv(tmp_path / "all.csv", KAGGLE, *lines))
    assert rows(table) == [("valid/fake/1.jpg", "fake", None)]


def test_a_split_column_outranks_the_name_of_the_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "train.csv", ["path", "split", "label"], ["a.png", "valid", "x"], ["b.png", "", "y"])
    assert rows(read_table(path)) == [("a.png", "x", "valid"), ("b.png", "y", "train")]


def test_numeric_labels_sort_as_numbers(tmp_path: Path) -> None:
    lines = [[f"{number}.png", number] for number in (10, 2, 0, 1, 11, 3, 4, 5, 6, 7, 8, 9)]
    table = read_table(write_csv(tmp_path / "x.csv", ["file", "label"], *lines))
    assert table.classes == tuple(map(str, range(12)))


@pytest.mark.parametrize(
    ("suffix", "delimiter", "encoding"),
    [("csv", ",", "utf-8-sig"), ("CSV", ",", "utf-8"), ("tsv", "\t", "utf-8"), ("tsv", "\t", "utf-8-sig")],
    ids=["bom", "upper", "tsv", "tsv-bom"],
)
def test_csv_variants(tmp_path: Path, suffix: str, delimiter: str, encoding: str) -> None:
    lines = [["é 1.png", "fake"], ["sub, dir/2.png", "real"]]
    path = write_csv(tmp_path / f"t.{suffix}", [" Path ", "Label"], *lines, delimiter=delimiter, encoding=encoding)
    assert rows(read_table(path)) == [("é 1.png", "fake", None), ("sub, dir/2.png", "real", None)]


def test_names_in_a_csv_may_hold_line_breaks_of_every_kind(tmp_path: Path) -> None:
    names = ["line\nbreak.png", "form\x0cfeed.png", "separator\u2028.png"]
    path = write_csv(tmp_path / "t.csv", ["path", "label"], *([name, "x"] for name in names))
    assert ids(read_table(path)) == names


def test_csv_paths_are_relative_to_the_csv_and_not_to_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "data" / "a.png", (6, 5))
    picture(tmp_path / "here" / "a.png", (3, 3))
    path = write_csv(tmp_path / "data" / "t.csv", ["path"], ["a.png"], [str(tmp_path / "here" / "a.png")])
    monkeypatch.chdir(tmp_path / "here")
    table = read_table(path)
    assert [load_image(table, image, Preprocess()).size for image in table.images] == [(5, 6), (3, 3)]


def test_csv_paths_that_exist_only_from_here_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "data" / "fake" / "a.png")
    path = write_csv(tmp_path / "data" / "t.csv", ["path"], ["data/fake/a.png"])
    monkeypatch.chdir(tmp_path)
    table = read_table(path)
    assert ids(table) == ["fake/a.png"]
    assert load_image(table, table.images[0], Preprocess()).size == (5, 6)


def test_missing_files_stay_rows_that_fail_to_read(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    table = read_table(write_csv(tmp_path / "t.csv", ["path"], ["a.png"], ["gone.png"], [""]))
    assert ids(table) == ["a.png", "gone.png"]
    with pytest.raises(UnreadableError, match="No such file"):
        load_image(table, table.images[1], Preprocess())


def test_files_of_the_same_name_outside_the_csvs_folder_are_all_kept(tmp_path: Path) -> None:
    for name in ("a.png", "sub/a.png", "sub/in/a.png"):
        picture(tmp_path / name)
    path = write_csv(tmp_path / "sub/in/t.csv", ["path"], ["a.png"], ["../a.png"], ["../../a.png"], ["./a.png"])
    table = read_table(path)
    assert [Path(image.path).resolve() for image in table.images] == [
        tmp_path / "sub/in/a.png",
        tmp_path / "sub/a.png",
        tmp_path / "a.png",
    ]
    assert len(set(ids(table))) == 3
    assert not any(".." in Path(name).parts or Path(name).is_absolute() for name in ids(table))
    assert table.notes == ("1 images were listed twice and are taken once.",)


def test_what_is_listed_twice_is_taken_once_and_said(tmp_path: Path) -> None:
    table = read_table(write_csv(tmp_path / "t.csv", ["path"], ["a.png"], ["b.png"], ["a.png"]))
    assert ids(table) == ["a.png", "b.png"]
    assert table.notes == ("1 images were listed twice and are taken once.",)


def test_a_csv_without_a_column_of_paths_lists_its_columns(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ["number", "y"], ["17", "0"])
    with pytest.raises(
        DataError, match=r"no column of paths, but: number, y\.\n  Name it one of: path, file"
    ) as raised:
        read_table(path)
    assert raised.value.slug == "csv"


@pytest.mark.parametrize("content", [b"", b"path\n", b"path,label\n,\n"], ids=["empty", "header", "blank-rows"])
def test_a_csv_without_rows_says_what_is_wrong(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"no column of paths|Found no images in .*t\.csv"):
        read_table(tmp_path / "t.csv")


def test_a_text_list_is_read_line_by_line_relative_to_itself(tmp_path: Path) -> None:
    picture(tmp_path / "d" / "b" / "1.png")
    picture(tmp_path / "d" / "a" / "2.png")
    (tmp_path / "d" / "list.txt").write_text("b/1.png\n\na/2.png\n  b/gone.png\n", encoding="utf-8-sig")
    table = read_table(tmp_path / "d" / "list.txt")
    assert rows(table) == [("b/1.png", "b", None), ("a/2.png", "a", None), ("b/gone.png", "b", None)]
    assert load_image(table, table.images[0], Preprocess()).size == (5, 6)


# ---- globs, files and lists ----


@pytest.mark.parametrize("where", ["absolute", "relative"])
def test_a_glob_takes_the_images_among_its_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    touch(tmp_path / "d", "b.png", "a.png", "c.txt", "e/f.png", ".hidden.png", "folder.png/inside.txt")
    monkeypatch.chdir(tmp_path)
    base = f"{tmp_path}/d" if where == "absolute" else "d"
    assert ids(read_table(f"{base}/*")) == ["a.png", "b.png"]
    assert ids(read_table(f"{base}/?.png")) == ["a.png", "b.png"]
    assert ids(read_table(f"{base}/**/*.png")) == ["a.png", "b.png", "e/f.png"]
    assert ids(read_table(f"{base}/[b]*")) == ["b.png"]


def test_a_glob_above_here_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "d/a.png", "e/nothing.txt")
    monkeypatch.chdir(tmp_path / "e")
    assert ids(read_table("../d/*.png")) == ["a.png"]


@pytest.mark.parametrize("pattern", ["d/*.jpg", "nowhere/*.png", "d/**x"], ids=["no-match", "no-folder", "bad-pattern"])
def test_a_glob_without_images_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    touch(tmp_path, "d/a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"Found no images in the glob ") as raised:
        read_table(pattern)
    assert raised.value.slug == "no-images"


def test_a_single_file_is_a_table_of_one(tmp_path: Path) -> None:
    path = picture(tmp_path / "fake" / "a.png")
    assert rows(read_table(path)) == [("a.png", None, None)]


def test_a_list_of_paths_keeps_its_order_and_reads_labels_like_a_folder(tmp_path: Path) -> None:
    names = ["valid/real/2.png", "train/fake/1.png", "train/real/0.png"]
    table = read_table([touch(tmp_path, *names) / name for name in names])
    assert rows(table) == [(name, name.split("/")[1], name.split("/")[0]) for name in names]
    assert table.classes == ("fake", "real")
    mixed = read_table([str(tmp_path / names[1]), tmp_path / names[2]])
    assert rows(mixed) == [("fake/1.png", "fake", "train"), ("real/0.png", "real", "train")]


def test_paths_in_a_list_that_do_not_exist_are_rows(tmp_path: Path) -> None:
    table = read_table([tmp_path / "gone.png"])
    with pytest.raises(UnreadableError, match="No such file"):
        load_image(table, table.images[0], Preprocess())


# ---- tensors and datasets ----


class Items:
    """A Dataset by duck typing; what it raises for some images is no concern of others."""

    def __init__(self, items: list[Any], **attributes: Any) -> None:
        self.items = items
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        item = self.items[index]
        if isinstance(item, Exception):
            raise item
        return item


def test_a_float_tensor_is_the_networks_own_input() -> None:
    batch = torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    table = read_table(batch)
    assert ids(table) == ["00000", "00001", "00002"]
    loaded = load_image(table, table.images[1], Preprocess(mean=(0.9,)))
    assert torch.equal(loaded.inputs, batch[1])
    assert loaded.size == (4, 5)
    assert len(read_table(batch[0])) == 1


def test_a_byte_tensor_holds_photographs() -> None:
    batch = torch.randint(0, 256, (2, 3, 6, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    table = read_table(batch)
    loaded = load_image(table, table.images[1], Preprocess())
    np.testing.assert_array_equal(loaded.canvas, batch[1].permute(1, 2, 0).numpy())
    grey = read_table(batch[:, :1])
    np.testing.assert_array_equal(
        load_image(grey, grey.images[0], Preprocess()).canvas, batch[0, :1].expand(3, -1, -1).permute(1, 2, 0).numpy()
    )


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        pytest.param(torch.zeros(4, 4), r"shape \(4, 4\), but images are floats \(N, C, H, W\)", id="two-dimensions"),
        pytest.param(torch.zeros(2, 4, 4, 3), r"channels are last:  images\.permute\(0, 3, 1, 2\)", id="channels-last"),
        pytest.param(torch.zeros(2, 4, 9, 9, dtype=torch.uint8), r"or bytes \(N, 3, H, W\)", id="four-bytes"),
        pytest.param(
            torch.zeros(1, 3, 2, 2, dtype=torch.int64), r"torch\.int64, but must be floats .* bytes", id="int64"
        ),
        pytest.param(torch.zeros(0, 3, 2, 2), r"Found no images in the tensor", id="none"),
    ],
)
def test_tensors_that_are_no_images_say_what_is_needed(batch: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(batch)


def test_a_dataset_with_classes_and_targets_is_labelled() -> None:
    images = [PIL.Image.new("RGB", (4, 3), (n, n, n)) for n in range(3)]
    data = Items(list(zip(images, [0, 1, -1], strict=True)), classes=["cat", "dog"], targets=torch.tensor([0, 1, -1]))
    table = read_table(data)
    assert table.classes == ("cat", "dog")
    assert [image.label for image in table.images] == ["cat", "dog", "-1"]
    assert [image.label for image in with_labels(table, ("cat", "dog")).images] == ["cat", "dog", None]
    assert load_image(table, table.images[1], Preprocess()).size == (3, 4)


def test_a_dataset_whose_targets_are_words_is_labelled_by_them() -> None:
    table = read_table(Items([np.zeros((3, 3, 3), np.uint8)] * 2, targets=["dog", "cat"]))
    assert [image.label for image in table.images] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("label", "classes", "wanted"),
    [
        pytest.param(1, ("cat", "dog"), "dog", id="index"),
        pytest.param(torch.tensor(0), ("cat", "dog"), "cat", id="tensor"),
        pytest.param("dog", ("cat", "dog"), "dog", id="word"),
        pytest.param(1, (), "1", id="no-names"),
        pytest.param(None, ("cat", "dog"), None, id="none"),
    ],
)
def test_a_label_that_comes_with_the_item(label: Any, classes: tuple[str, ...], wanted: str | None) -> None:
    table = read_table(Items([(np.zeros((3, 3, 3), np.uint8), label)], **({"classes": classes} if classes else {})))
    assert load_image(table, table.images[0], Preprocess()).label == wanted


def test_an_items_number_is_an_index_into_the_networks_classes() -> None:
    table = with_labels(read_table(Items([(torch.zeros(3, 4, 4), 1)])), ("fake", "real"))
    assert load_image(table, table.images[0], Preprocess()).label == "real"


def test_labels_that_come_with_items_are_judged_only_if_they_are_classes() -> None:
    batch = images(4, size=16)
    labels = ["b", "cow", 2, 17]
    classes = ("a", "b", "c")
    found = seewhy.explain(
        seewhy.load(seeded(Pooled()), classes=classes), Items(list(zip(batch, labels, strict=True))), progress=False
    )
    assert [one.label for one in found] == ["b", None, "c", None]
    assert [one.outcome.correct is None for one in found] == [False, True, False, True]
    assert found.summary()["labelled"] == 2
    for one in found[0], found[2]:
        assert one.outcome.correct is (one.prediction == one.label)


def test_a_dataset_without_labels_and_with_items_that_fail() -> None:
    data = Items([torch.zeros(3, 4, 4), OSError("disk"), "no image", KeyError("x"), {"image": 1}])
    table = read_table(data)
    assert load_image(table, table.images[0], Preprocess()).size == (4, 4)
    for row, reason in [(1, r"OSError: disk"), (2, r"str is no image"), (3, r"KeyError"), (4, r"int is no image")]:
        with pytest.raises(UnreadableError, match=reason):
            load_image(table, table.images[row], Preprocess())


def test_a_list_of_pil_images_is_a_dataset() -> None:
    table = read_table([PIL.Image.new("L", (4, 3)), PIL.Image.new("RGBA", (4, 3))])
    assert [load_image(table, image, Preprocess()).canvas.shape for image in table.images] == [(3, 4, 3)] * 2


# ---- limit, sample, labels ----


def many(root: Path) -> Path:
    names = [f"train/{c}/{n:03d}.png" for c, count in (("fake", 60), ("real", 20)) for n in range(count)]
    return touch(root / "d", *names, *(f"valid/fake/{n:03d}.png" for n in range(20)))


def test_the_limit_takes_the_first_images(tmp_path: Path) -> None:
    everything = ids(read_table(many(tmp_path)))
    assert ids(read_table(tmp_path / "d", limit=7)) == everything[:7]
    assert ids(read_table(tmp_path / "d", limit=10**6)) == everything
    assert read_table(tmp_path / "d", limit=1).classes == ("fake", "real")


def test_a_sample_is_seeded_in_order_and_keeps_every_share(tmp_path: Path) -> None:
    root = many(tmp_path)
    everything = ids(read_table(root))
    table = read_table(root, sample=10, seed=3)
    assert ids(table) == ids(read_table(root, sample=10, seed=3))
    assert ids(table) == sorted(ids(table))
    assert ids(table) != ids(read_table(root, sample=10, seed=4))
    assert Counter((image.split, image.label) for image in table.images) == {
        ("train", "fake"): 6,
        ("train", "real"): 2,
        ("valid", "fake"): 2,
    }
    assert ids(read_table(root, sample=10**6)) == everything


@pytest.mark.parametrize("count", [1, 2, 3, 7, 33, 99, 100])
def test_a_sample_has_as_many_images_as_asked(tmp_path: Path, count: int) -> None:
    table = read_table(many(tmp_path), sample=count)
    assert len(table) == len(set(ids(table))) == count
    shares = Counter((image.split, image.label) for image in table.images)
    for key, total in {("train", "fake"): 60, ("train", "real"): 20, ("valid", "fake"): 20}.items():
        assert abs(shares[key] - count * total / 100) < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"limit": 1, "sample": 1}, "--limit and --sample cannot be given together", id="both"),
        pytest.param({"limit": 0}, r"--limit is 0, but must be at least 1", id="limit-0"),
        pytest.param(
            {"seed": -1}, r"--seed is -1, but must be 0 to 4294967295\.\n  In Python: seed=", id="seed-negative"
        ),
        pytest.param({"seed": 2**32}, r"--seed is 4294967296, but must be", id="seed-large"),
        pytest.param({"seed": 1.5}, r"--seed is 1.5, but must be", id="seed-no-integer"),
        pytest.param({"sample": -3}, r"--sample is -3, but must be at least 1", id="sample-negative"),
    ],
)
def test_limits_that_make_no_sense(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_table(touch(tmp_path, "a.png"), **options)


def test_labels_become_the_networks_classes_and_others_are_left_out_and_said() -> None:
    labels = ["real", "1", "0", None, "2", "cow", "cow", "²"]
    table = ImageTable(tuple(Image(str(n), label=label) for n, label in enumerate(labels)))
    settled = with_labels(table, ("fake", "real"))
    assert [image.label for image in settled.images] == ["real", "real", "fake", None, None, None, None, None]
    assert settled.notes == ("Labels that are no class of this network were left out: 'cow' (2), '2' (1), '²' (1).",)


def test_numeric_labels_that_are_class_names_stay_names() -> None:
    table = ImageTable((Image("a", label="0"), Image("b", label="1")))
    assert [image.label for image in with_labels(table, ("1", "0")).images] == ["0", "1"]


# ---- what is not there ----


def test_no_such_file_names_the_nearest(tmp_path: Path) -> None:
    touch(tmp_path, "rvf10k/a.png", "models/b.png")
    with pytest.raises(DataError, match=r"There is no file or folder .*rvf10\.  Nearest: .*rvf10k\.") as raised:
        read_table(tmp_path / "rvf10")
    assert raised.value.slug == "no-such-file"
    with pytest.raises(DataError, match=r"There is no file or folder .*here/there\.  Nor is there a folder .*here\.$"):
        read_table(tmp_path / "nowhere" / "here" / "there")


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path / "d", "a.txt", "b.npy")
    with pytest.raises(DataError, match=r"Found no images in .*d, which holds: a\.txt, b\.npy\.\n  Suffixes read: "):
        read_table(tmp_path / "d")
    (tmp_path / "e").mkdir()
    with pytest.raises(DataError, match=r"which holds: nothing\."):
        read_table(tmp_path / "e")


def test_an_archive_says_how_to_unpack_it(tmp_path: Path) -> None:
    touch(tmp_path, "data.zip")
    with pytest.raises(DataError, match=r"is an archive\.  Unpack it first:  seewhy data .*data\.zip DEST"):
        read_table(tmp_path / "data.zip")


@pytest.mark.parametrize("source", [3, None, object()], ids=["number", "none", "object"])
def test_what_is_no_source_of_images_says_what_is(source: Any) -> None:
    with pytest.raises(DataError, match=r"but must be a folder, a CSV, a list of paths"):
        read_table(source)


@pytest.mark.parametrize("source", [[], ""], ids=["empty-list", "empty-name"])
def test_naming_nothing_is_not_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any
) -> None:
    monkeypatch.chdir(touch(tmp_path, "a.png"))
    with pytest.raises(DataError, match=r"Found no images in the list|No images were named"):
        read_table(source)


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes only outside Windows")
def test_a_name_that_is_not_utf8_is_an_id_that_can_be_stored(tmp_path: Path) -> None:
    picture(tmp_path / "d" / "a.png")
    (tmp_path / "d" / "a.png").rename(os.fsdecode(os.fsencode(tmp_path / "d") + b"/caf\xe9.png"))
    table = read_table(tmp_path / "d")
    assert load_image(table, table.images[0], Preprocess()).size == (5, 6)
    assert ids(table) == ["caf\\udce9.png"]
