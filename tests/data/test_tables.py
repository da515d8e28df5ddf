"""Tables as people have them: separators, encodings, names of columns, places of files, and numbers of classes."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from seewhy.data.folder import ImageTable, read_table, with_labels
from seewhy.errors import DataError, OptionError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def rows(table: ImageTable) -> list[tuple[str, str | None]]:
    return [(image.id, image.label) for image in table.images]


BOTH = [("a.png", "cat"), ("b.png", "dog")]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("image_id;label\na.png;cat\nb.png;dog\n", id="semicolons"),
        pytest.param("image\tclass\na.png\tcat\nb.png\tdog\n", id="tabs"),
        pytest.param("file name|Finding Labels\na.png|cat\nb.png|dog\n", id="bars"),
        pytest.param("sep=;\nimg_path;target\na.png;cat\nb.png;dog\n", id="spreadsheet"),
        pytest.param(",Image Index,Patient Age,dx\n0,a.png,58,cat\n1,b.png,61,dog\n", id="index-and-more"),
        pytest.param('"filename","label"\r\n"a.png","cat"\r\n"b.png","dog"\r\n', id="quoted-crlf"),
        pytest.param("a.png,cat\nb.png,dog\n", id="no-header"),
        pytest.param("cat,a.png\ndog,b.png\n", id="no-header-label-first"),
        pytest.param("where,what\na.png,cat\nb.png,dog\n", id="told-by-what-is-in-them"),
        pytest.param("id,file_name,category\n7,a.png,cat\n9,b.png,dog\n", id="names-before-ids"),
        pytest.param("id,diagnosis\na,cat\nb,dog\n", id="ids-without-suffix"),
        pytest.param("path;label\n.\\a.png;cat\n.\\b.png;dog\n", id="backslashes"),
    ],
)
def test_a_table_of_any_shape_is_the_same_two_images(tmp_path: Path, text: str) -> None:
    table = read_table(written(touch(tmp_path, "a.png", "b.png") / "t.csv", text))
    assert rows(table) == BOTH and table.classes == ("cat", "dog")
    assert [image.path for image in table.images] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_a_table_in_any_usual_encoding_has_the_same_names(tmp_path: Path, encoding: str) -> None:
    text = "path,label\ngröße.png,Käse\nb.png,tea\n"
    table = read_table(written(touch(tmp_path, "größe.png") / "t.csv", text, encoding))
    assert rows(table) == [("größe.png", "Käse"), ("b.png", "tea")]
    assert bool(table.notes) == (encoding in ("latin-1", "cp1252"))
    assert [(tmp_path / "größe.png").exists(), table.images[0].path] == [True, str(tmp_path / "größe.png")]


def test_what_is_read_as_what_is_said_where_names_are_unusual(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    table = read_table(written(tmp_path / "t.csv", "Image Index,Finding Labels,Age\na.png,Mass,3\n"))
    assert table.notes == (f"Read from {tmp_path / 't.csv'}: path = Image Index, label = Finding Labels.",)
    usual = read_table(written(tmp_path / "u.csv", "path,label,split\na.png,Mass,train\n"))
    assert usual.notes == () and usual.images[0].split == "train"


def test_columns_are_named_by_the_user_and_a_wrong_name_lists_them(tmp_path: Path) -> None:
    path = written(touch(tmp_path, "a.png", "b.png") / "t.csv", "x,grade,side,part\na.png,3,L,dev\nb.png,1,R,dev\n")
    table = read_table(path, columns={"path": "x", "label": "Side", "split": "part"})
    assert rows(table) == [("a.png", "L"), ("b.png", "R")] and table.images[0].split == "dev"
    with pytest.raises(OptionError, match=r"no column 'grad', but: x, grade, side, part\.  Nearest: grade"):
        read_table(path, columns={"label": "grad"})
    with pytest.raises(OptionError, match=r"--columns says weight=x, but names one of: path, label, split"):
        read_table(path, columns={"weight": "x"})
    with pytest.raises(OptionError, match=r"--columns names columns of a table, but .* is none"):
        read_table(tmp_path, columns={"label": "grade"})


def test_where_no_column_is_the_label_it_is_said_which_there_are(tmp_path: Path) -> None:
    path = written(touch(tmp_path, "a.png", "b.png") / "t.csv", "path,age,sex\na.png,31,f\nb.png,40,m\n")
    table = read_table(path)
    assert rows(table) == [("a.png", None), ("b.png", None)]
    assert any("No column is read as the label" in note and "--columns label=age" in note for note in table.notes)


def test_a_text_with_a_path_and_a_label_a_line(tmp_path: Path) -> None:
    path = written(touch(tmp_path, "a b.png", "c.png") / "val.txt", "a b.png 3\nc.png\t0\n")
    assert rows(read_table(path)) == [("a b.png", "3"), ("c.png", "0")]
    table = read_table(written(tmp_path / "list.txt", "path,label\na b.png,cat\nc.png,dog\n"))
    assert rows(table) == [("a b.png", "cat"), ("c.png", "dog")]


def test_rows_made_in_python_are_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, "a.png", "b.png"))
    made = [{"image_id": "a", "label": 1.0}, {"image_id": "b", "label": float("nan")}]
    assert rows(with_labels(read_table(made), ("cat", "dog"))) == [("a.png", "dog"), ("b.png", None)]


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet", "t.json"])
def test_a_table_of_another_kind_says_what_to_save(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"is a table that seewhy does not read\.  Save it as CSV"):
        read_table(touch(tmp_path, name) / name)


# ---- where the files lie ----


@pytest.mark.parametrize(
    ("files", "names"),
    [
        pytest.param(("images/a.png", "images/b.png"), ("a.png", "b.png"), id="a-folder-down"),
        pytest.param(("part_1/a.png", "part_2/b.png"), ("a", "b"), id="two-folders-and-no-suffix"),
        pytest.param(("x/images/a.png", "x/images/b.png"), ("images/a.png", "images/b.png"), id="deeper"),
        pytest.param(("train/a.png", "train/b.png"), (r"D:\data\train\a.png", r"D:\data\train\b.png"), id="windows"),
        pytest.param(("train/a.png", "b.png"), ("/home/x/set/train/a.png", "/home/x/set/b.png"), id="another-machine"),
        pytest.param(("a.png", "b.png"), ("s3://bucket/all/a.png", "s3://bucket/all/b.png"), id="a-bucket"),
        pytest.param(("png/a.png", "png/b.png"), ("a.dcm", "b.dcm"), id="converted"),
        pytest.param(("A.JPG", "b.PNG"), ("a.jpg", "b.png"), id="case"),
        pytest.param(("train/a.png", "b.png"), ("set/train/a.png", "set/b.png"), id="the-folders-own-name"),
    ],
)
def test_files_that_lie_elsewhere_are_where_their_names_end(
    tmp_path: Path, files: tuple[str, ...], names: tuple[str, ...]
) -> None:
    root = touch(tmp_path / "set", *files)
    table = read_table(written(root / "t.csv", "path,label\n" + "".join(f"{name},x\n" for name in names)))
    assert [image.path for image in table.images] == [str(root / name) for name in files]
    assert any(note.startswith("2 files lie elsewhere than") and files[0] in note for note in table.notes)


def test_a_file_of_another_folder_is_not_taken_for_one_that_is_missing(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "train/a.png", "old/b.png")
    table = read_table(written(root / "t.csv", "path,label\ntrain/a.png,x\nb.png,x\n"))
    assert [image.path for image in table.images] == [str(root / "train/a.png"), str(root / "b.png")]
    wrong = read_table(written(root / "u.csv", "path,label\nvalid/a.png,x\n"))
    assert wrong.images[0].path == str(root / "valid/a.png"), "train/a.png is another one"
    two = read_table(written(root / "old/v.csv", "path,label\n/x/train/b.png,x\n/x/valid/b.png,y\n"))
    assert [image.path for image in two.images] == ["/x/train/b.png", "/x/valid/b.png"], "two names are two files"


def test_a_name_that_fits_two_files_is_asked_about(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "images/a.png", "masks/a.png")
    with pytest.raises(DataError, match=r"name a\.png in .* fits 2 files: images/a\.png and masks/a\.png\."):
        read_table(written(root / "t.csv", "path,label\na.png,x\n"))


def test_names_of_another_unicode_form_one_folder_down(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "café.png")
    root = touch(tmp_path / "set", f"images/{name}")
    table = read_table(written(root / "t.csv", f"path,label\n{unicodedata.normalize('NFC', name)},x\n"))
    assert table.images[0].path == str(root / "images" / name)


# ---- listed twice ----


def test_a_file_with_two_labels_has_none_or_both(tmp_path: Path) -> None:
    text = "path,label\na.png,cat\na.png,dog\nb.png,dog\nb.png,dog\n"
    table = read_table(written(touch(tmp_path, "a.png", "b.png") / "t.csv", text))
    assert table.classes == ("cat", "dog")
    assert any("1 image is listed with different labels (a.png: cat, dog)" in note for note in table.notes)
    single = with_labels(table, ("cat", "dog"))
    assert rows(single) == [("a.png", None), ("b.png", "dog")] and single.notes == table.notes
    assert rows(with_labels(table, ("cat", "dog"), "multi-label")) == [("a.png", "cat|dog"), ("b.png", "dog")]
    assert not table.is_multi_label(None, 2), "a slip of the pen does not change what the network is for"


def test_a_file_in_two_splits_is_said(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,train\na.png,cat,valid\n"
    table = read_table(written(touch(tmp_path, "a.png") / "t.csv", text))
    assert table.images[0].split == "train" and any("another split" in note for note in table.notes)


def test_partitions_by_number_are_splits(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", "image_id,partition\na.png,0\nb.png,1\nc.png,2\n"))
    assert [image.split for image in table.images] == ["train", "valid", "test"]
    folds = read_table(written(tmp_path / "u.csv", "image_id,split\na.png,0\nb.png,1\n"))
    assert [image.split for image in folds.images] == ["0", "1"]


# ---- numbers ----


@pytest.mark.parametrize(
    ("labels", "options", "wanted"),
    [
        pytest.param(["0.0", "1.0", "2.0"], {}, ["a", "b", "c"], id="pandas"),
        pytest.param(["0", "2", ""], {}, ["a", "c", None], id="integers"),
        pytest.param(["1", "2", "3"], {"first_label": 1}, ["a", "b", "c"], id="from-one"),
        pytest.param(["1.0", "3.0", ""], {"first_label": 1}, ["a", "c", None], id="from-one-with-zeros"),
        pytest.param(["1", "2", "3"], {"first_label": 0}, ["b", "c", None], id="surely-from-zero"),
    ],
)
def test_numbers_are_classes(tmp_path: Path, labels: list[str], options: dict[str, Any], wanted: list[Any]) -> None:
    text = "path,label\n" + "".join(f"{n}.png,{label}\n" for n, label in enumerate(labels))
    table = with_labels(read_table(written(tmp_path / "t.csv", text), **options), ("a", "b", "c"))
    assert [image.label for image in table.images] == wanted


@pytest.mark.parametrize("labels", [["1", "2"], ["2", "1", "2"], ["1.0", "2.0"], ["2"]])
def test_numbers_from_one_are_asked_about(tmp_path: Path, labels: list[str]) -> None:
    text = "path,label\n" + "".join(f"{n}.png,{label}\n" for n, label in enumerate(labels))
    with pytest.raises(DataError, match=r"from 1, 1 is a and 2 is b:  --first-label 1\n  Counted from 0, 2") as raised:
        with_labels(read_table(written(tmp_path / "t.csv", text)), ("a", "b"))
    assert raised.value.slug == "label-numbers"


def test_numbers_that_could_be_either_are_said(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", "path,label\na.png,1\nb.png,2\n"))
    assert any("counted from 0" in note for note in with_labels(table, ("a", "b", "c")).notes)
    named = with_labels(table, ("1", "2"))
    assert rows(named) == [("a.png", "1"), ("b.png", "2")] and named.notes == ()


def test_true_and_false_are_the_two_classes(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", "path,label\na.png,True\nb.png,False\n"))
    assert rows(with_labels(table, ("no", "yes"))) == [("a.png", "yes"), ("b.png", "no")]
    assert table.classes == ("False", "True")


def test_whole_numbers_with_zeros_sort_as_numbers(tmp_path: Path) -> None:
    text = "path,label\n" + "".join(f"{n}.png,{n}.0\n" for n in (10, 9, 2, 0, 1, 3, 4, 5, 6, 7, 8))
    assert read_table(written(tmp_path / "t.csv", text)).classes == tuple(map(str, range(11)))


def test_a_first_label_is_zero_or_one(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--first-label is 2, but must be 0 or 1"):
        read_table(touch(tmp_path, "a.png"), first_label=2)
