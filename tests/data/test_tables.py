"""Tables as people have them: separators, encodings, names of columns, places of files, and numbers of classes."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import load_image
from seewhy.data.sources.folder import read_table
from seewhy.data.sources.table_labels import with_labels
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, OptionError
from seewhy.records import Preprocess


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
        pytest.param("# created by a tool, 2020\n# v2\npath,label\na.png,cat\nb.png,dog\n", id="comments"),
        pytest.param("# path,label\na.png,cat\nb.png,dog\n", id="header-as-comment"),
        pytest.param("My data set\n\npath,label\na.png,cat\nb.png,dog\n", id="title"),
        pytest.param('"Data, 2020"\n% from x\npath,label\na.png,cat\nb.png,dog\n', id="title-with-a-comma"),
        pytest.param("My data set;;\npath;label;age\na.png;cat;3\nb.png;dog;4\n", id="title-of-a-spreadsheet"),
        pytest.param("path,label,label\na.png,cat,cat\nb.png,dog,dog\n", id="the-same-column-twice"),
        pytest.param("path,label\na.png,cat\npath,label\nb.png,dog\n", id="two-tables-in-one"),
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
    assert table.images[0].split == "train" and any("under several splits" in note for note in table.notes)


def test_partitions_by_number_are_splits(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", "image_id,partition\na.png,0\nb.png,1\nc.png,2\n"))
    assert [image.split for image in table.images] == ["train", "valid", "test"]
    folds = read_table(written(tmp_path / "u.csv", "image_id,split\na.png,0\nb.png,1\n"))
    assert [image.split for image in folds.images] == ["0", "1"]
    assert any(note.startswith("split holds 0, 1, which do not say what trains") for note in folds.notes)


def test_labels_and_names_that_hold_words_of_splits_are_no_splits(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}.png" for n in range(8)))
    lines = "".join(f"{n}.png,{('train', 'test')[n % 2]}_{n},{('train', 'test')[n % 2]}\n" for n in range(8))
    table = read_table(written(tmp_path / "t.csv", f"path,original,label\n{lines}"))
    assert {image.split for image in table.images} == {None} and table.classes == ("test", "train")


def test_a_class_that_is_called_train_is_a_class(tmp_path: Path) -> None:
    text = "path,bus,train\na.png,1,1\nb.png,0,1\n"
    table = read_table(written(touch(tmp_path, "a.png", "b.png") / "t.csv", text))
    assert rows(table) == [("a.png", "bus|train"), ("b.png", "train")] and table.classes == ("bus", "train")
    files = read_table(written(tmp_path / "u.csv", "path,label,valid\na.png,x,1\nb.png,y,0\n"))
    assert {image.split for image in files.images} == {None}
    assert any("no labels: valid (columns of 0 and 1)" in note for note in files.notes)


@pytest.mark.parametrize(
    ("header", "values", "wanted", "said"),
    [
        pytest.param("set", ["TRAIN", "TEST", "Val"], ["TRAIN", "TEST", "Val"], "split = set", id="set"),
        pytest.param("fold", ["train", "valid", "test"], ["train", "valid", "test"], "split = fold", id="words"),
        pytest.param("purpose", ["training", "dev", ""], ["training", "dev", None], "split = purpose", id="any-name"),
        pytest.param("Usage", ["Training", "PublicTest", ""], ["Training", "PublicTest", None], "Usage", id="fer"),
        pytest.param("phase", ["train", "val", "val"], ["train", "val", "val"], "split = phase", id="phase"),
        pytest.param("fold", ["0", "1", "2"], [None] * 3, r"fold holds folds \(0, 1, 2\)", id="fold"),
        pytest.param("cv_fold", ["1.0", "2.0", "9.0"], [None] * 3, "Column cv_fold holds folds", id="cv-fold"),
        pytest.param("partition", ["2", "1", "0"], ["test", "valid", "train"], "0, 1 and 2 are read", id="celeba"),
        pytest.param("partition", ["2", "", "0"], ["2", None, "0"], "partition holds 0, 2, which do not", id="open"),
        pytest.param("is_train", ["1", "0", ""], ["train", "valid", None], "rows without are valid", id="is-train"),
        pytest.param("is_valid", ["True", "False", "0"], ["valid", "train", "train"], "are train", id="is-valid"),
        pytest.param("in_test_set", ["1.0", "0.0", "0.0"], ["test", "train", "train"], "are train", id="is-test"),
        pytest.param("train,valid", ["1,0", "0,1", "0,0"], ["train", "valid", "test"], "without are test", id="two"),
        pytest.param("train,val,test", ["1,0,0", "0,1,0", "1,0,1"], ["train", "valid", None], "1 rows", id="all"),
        pytest.param("split,is_train", ["test,1", "train,0", "dev,0"], ["test", "train", "dev"], "Left out", id="both"),
        pytest.param("split,fold", ["test,1", "train,0", "dev,0"], ["test", "train", "dev"], "folds", id="two-kinds"),
        pytest.param("kind", ["train", "bus", "train"], [None] * 3, "label = kind", id="vehicles"),
    ],
)
def test_splits_are_what_their_values_say(
    tmp_path: Path, header: str, values: list[str], wanted: list[str | None], said: str
) -> None:
    lines = "".join(f"{name}.png,{value}\n" for name, value in zip("abc", values, strict=True))
    table = read_table(written(touch(tmp_path, "a.png", "b.png", "c.png") / "t.csv", f"path,{header}\n{lines}"))
    assert [image.split for image in table.images] == wanted
    assert re.search(said, " ".join(table.notes))
    assert any(image.label for image in table.images) is (header == "kind")


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


# ---- columns beside the label ----


@pytest.mark.parametrize("name", ["label", "true_label", "ImageClass", "gt_target", "final diagnosis", "class_label"])
def test_a_column_of_labels_is_the_label_and_zeros_and_ones_beside_it_are_left_out(tmp_path: Path, name: str) -> None:
    text = f"path,is_b,{name},male\na.png,1,0,1\nb.png,0,1,1\nc.png,1,1,0\n"
    table = read_table(written(touch(tmp_path, "a.png", "b.png", "c.png") / "t.csv", text))
    assert [image.label for image in table.images] == ["0", "1", "1"] and not table.is_multi_label(None, 2)
    assert any(f"label = {name}; no labels: is_b, male (columns of 0 and 1)" in note for note in table.notes)


def test_columns_of_zeros_and_ones_that_are_no_class_are_left_out(tmp_path: Path) -> None:
    text = "path,male,cat,dog\na.png,1,1,0\nb.png,1,0,1\nc.png,0,0,1\n"
    table = read_table(written(touch(tmp_path, "a.png", "b.png", "c.png") / "t.csv", text))
    assert "If one of them is the label:  --columns label=male" in table.notes[0]
    assert not table.is_multi_label(("cat", "dog"), 2)
    told = with_labels(table, ("cat", "dog"))
    assert rows(told) == [("a.png", "cat"), ("b.png", "dog"), ("c.png", "dog")]
    assert "Columns of 0 and 1 that are no class were left out: male." in told.notes
    both = with_labels(
        read_table(written(tmp_path / "u.csv", text.replace("1,1,0", "1,1,1"))), ("cat", "dog"), "multi-label"
    )
    assert rows(both) == [("a.png", "cat|dog"), ("b.png", "dog"), ("c.png", "dog")]


@pytest.mark.parametrize(
    ("header", "lines", "classes", "said"),
    [
        pytest.param("class_id,class_name", ["2,ant", "0,bee", "1,cow"], "bee cow ant", "of class_id", id="ids"),
        pytest.param("breed,number", ["ant,1", "bee,0", "ant,1"], "bee ant", "order of number, which", id="any-name"),
        pytest.param("species,code", ["ant,2.0", "bee,1.0", "bee,1.0"], "bee ant", "order of code", id="from-one"),
        pytest.param("row,species", ["1,ant", "0,bee", "2,cow"], "ant bee cow", "", id="numbers-of-rows"),
        pytest.param("label_str,label", ["ant,2", "bee,0", "cow,1"], "bee cow ant", "", id="usual"),
        pytest.param("species,age", ["ant,30", "bee,41", "cow,7"], "ant bee cow", "", id="an-age"),
        pytest.param("species,male", ["ant,0", "bee,1", "cow,0"], "ant bee cow", "no labels: male", id="a-flag"),
        pytest.param("class_name,class_id", ["ant,0", "bee,0", "cow,1"], "ant bee cow",
                     r"contradict each other \(0 is ant, bee\): .*--columns label=class_id", id="two-names"),
        pytest.param("class_name,class_id", ["ant,0", "ant,1", "bee,2"], "ant bee", r"\(ant has 0, 1\)", id="numbers"),
        pytest.param("class_name,class_id,code", ["ant,1,0", "bee,0,1", "bee,0,1"], "bee ant",
                     "code would give another order", id="two-orders"),
    ],
)  # fmt: skip
def test_numbers_beside_names_are_the_order_of_the_classes(
    tmp_path: Path, header: str, lines: list[str], classes: str, said: str
) -> None:
    touch(tmp_path, "a.png", "b.png", "c.png")
    text = "".join(f"{name}.png,{line}\n" for name, line in zip("abc", lines, strict=True))
    table = read_table(written(tmp_path / "t.csv", f"path,{header}\n{text}"))
    assert " ".join(table.classes) == classes
    assert re.search(said, " ".join(table.notes))
    assert bool(said) or not any("order" in note for note in table.notes)


# ---- what stands in tables ----


def test_lines_before_the_header_are_said(tmp_path: Path) -> None:
    table = read_table(written(touch(tmp_path, "a.png") / "t.csv", "# made by x\nSet B\npath,label\na.png,cat\n"))
    assert table.notes == ("Left out before the header of t.csv: # made by x, Set B",)
    listed = read_table(written(tmp_path / "list.txt", "# made by x\na.png 1\n"))
    assert rows(listed) == [("a.png", "1")]
    alone = read_table(written(touch(tmp_path, "b, c.png") / "u.csv", 'path\n"b, c.png"\n"b, c.png"\n'))
    assert [image.id for image in alone.images] == ["b, c.png"]
    twice = read_table(written(tmp_path / "v.csv", "path,label\na.png,cat\npath,label\n"))
    assert twice.notes == ("The header of v.csv stands in it 2 times.",) and twice.classes == ("cat",)
    gone = read_table(written(tmp_path / "w.csv", "path,label\na.png,cat\n,dog\n"))
    assert any("1 rows of" in note and "have no path" in note for note in gone.notes)


@pytest.mark.parametrize("header", ["path,label,label", "path,label,Label", "path,label,label.1"])
def test_two_columns_of_one_name_that_differ_are_asked_about(tmp_path: Path, header: str) -> None:
    path = written(touch(tmp_path, "a.png", "b.png") / "t.csv", f"{header}\na.png,cat,cat\nb.png,dog,cow\n")
    with pytest.raises(DataError, match=r"two columns label, which differ \(row 2: dog, cow\)") as raised:
        read_table(path)
    second = raised.value.message.rpartition("label=")[2]
    assert rows(read_table(path, columns={"label": second})) == [("a.png", "cat"), ("b.png", "cow")]
    assert rows(read_table(path, columns={"label": "label"})) == [("a.png", "cat"), ("b.png", "dog")]


def test_classes_that_differ_in_case_alone_are_one_where_the_network_has_so_many(tmp_path: Path) -> None:
    text = "path,label\na.png,cat\nb.png,Cat\nc.png,cat\nd.png,Dog\n"
    table = read_table(written(tmp_path / "t.csv", text))
    assert table.class_names(2) == ("cat", "Dog") and table.class_names(3) == ("Cat", "Dog", "cat")
    two = with_labels(table, ("cat", "Dog"))
    assert [image.label for image in two.images] == ["cat", "cat", "cat", "Dog"]
    assert two.notes == ("Labels that differ from a class in case alone are that class: Cat is cat.",)
    three = with_labels(table, table.class_names(3) or ())
    assert three.notes == ("Classes that differ in case alone: Cat (1), cat (2).  If they are one, write them alike.",)
    letters = with_labels(read_table(written(tmp_path / "u.csv", "path,label\na.png,a\nb.png,A\n")), ("A", "a"))
    assert letters.notes == ()


def test_addresses_on_the_web_are_rows_that_say_so(tmp_path: Path) -> None:
    text = f"path,label\nhttps://x.org/a.png,cat\nb.png,dog\nfile://{tmp_path}/c%20d.png,dog\n"
    table = read_table(written(touch(tmp_path, "b.png", "c d.png") / "t.csv", text))
    said = "https://x.org/a.png is an address, and images are files: download it, and write its path on this machine"
    assert [image.error for image in table.images] == [said, None, None]
    assert table.images[2].path == str(tmp_path / "c d.png")
    with pytest.raises(UnreadableError, match="is an address"):
        load_image(table, table.images[0], Preprocess())
    assert read_table(["https://x.org/a.png", str(tmp_path / "b.png")]).images[0].error == said
    with pytest.raises(DataError, match=r"ftp://x/all is an address"):
        read_table("ftp://x/all")


@pytest.mark.parametrize(
    ("text", "wanted", "said"),
    [
        pytest.param("label\n1.0\nnan\n0.0\n", ["1", "", "0"], r"'nan' \(1\) in label is read as no label", id="nan"),
        pytest.param("label\nNA\nnone\nx\n", ["NA", "none", "x"], "", id="words-that-may-be-classes"),
        pytest.param("label,species\n0,x\n0,y\n1,y\n", ["0", "0", "1"], "species is called like a label", id="numbers"),
        pytest.param("label,target\n0,1\n1,0\n1,0\n", ["0", "1", "1"], "target is called like a label too", id="other"),
        pytest.param("label,class\na,x\nb,x\nb,y\n", ["a", "b", "b"], "Else:  --columns label=class", id="words"),
        pytest.param("label,class\na,x\nb,y\nb,y\n", ["a", "b", "b"], "", id="the-same-in-other-words"),
        pytest.param(
            "label,label_str\n0,x\n5,y\n2,z\n", ["x", "y", "z"], "label goes up to 5 and there are 3", id="gaps"
        ),
    ],
)
def test_what_else_is_called_like_a_label_is_said(tmp_path: Path, text: str, wanted: list[str], said: str) -> None:
    header, *lines = text.split()
    rows_of = "".join(f"{name}.png,{line}\n" for name, line in zip("abc", lines, strict=True))
    table = read_table(written(touch(tmp_path, "a.png", "b.png", "c.png") / "t.csv", f"path,{header}\n{rows_of}"))
    assert [image.label for image in table.images] == wanted
    assert re.search(said, " ".join(table.notes)) if said else table.notes == ()
