"""Labels as words, numbers and sets: what a text means to a network of one label, and of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seewhy.data.sources.folder import read_table
from seewhy.data.sources.table_labels import with_labels
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.item_labels import label_of
from seewhy.data.tables.labels import label_set, parts_of
from seewhy.records import Image, Task

CLASSES = ("edema", "mass", "left lung")


def table_of(*labels: str | None, **more: Any) -> ImageTable:
    return ImageTable(tuple(Image(str(n), label=label) for n, label in enumerate(labels)), **more)


def read(labels: list[str | None], classes: tuple[str, ...] = CLASSES, task: Task = "multi-label") -> list[str | None]:
    return [image.label for image in with_labels(table_of(*labels), classes, task).images]


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (["edema|mass", "mass"], ["edema|mass", "mass"]),
        (["mass | edema", "left lung"], ["edema|mass", "left lung"]),
        (["mass;left lung", "edema"], ["mass|left lung", "edema"]),
        (["mass, edema", None], ["edema|mass", None]),
        (["mass edema", "edema"], ["edema|mass", "edema"]),
        (["['mass', 'left lung']", "[]"], ["mass|left lung", "no label"]),
        (["No Finding", "", "none", "edema"], ["no label", "no label", "no label", "edema"]),
        (["0|2", "1"], ["edema|left lung", "mass"]),
        (["2 0", "1"], ["edema|left lung", "mass"]),
        (["edema|hernia", "hernia"], ["edema", "no label"]),
        (["edema|mass|edema"], ["edema|mass"]),
    ],
)  # fmt: skip
def test_a_text_is_a_set_of_labels(labels: list[str | None], wanted: list[str | None]) -> None:
    assert read(labels) == wanted


def test_what_is_no_class_is_said_part_by_part() -> None:
    table = with_labels(table_of("edema|hernia", "hernia", "mass"), CLASSES, "multi-label")
    assert table.notes == ("Labels that are no class of this network were left out: 'hernia' (2).",)


def test_another_case_is_the_same_class_unless_there_are_two(tmp_path: Path) -> None:
    table = with_labels(table_of("Edema", "MASS", "mass"), CLASSES)
    assert [image.label for image in table.images] == ["edema", "mass", "mass"]
    assert table.notes == (
        "Labels that differ from a class in case alone are that class: Edema is edema, MASS is mass.",
    )
    assert read(["A", "a", "b"], ("A", "a", "B"), "classification") == ["A", "a", "B"]
    assert read(["AA"], ("Aa", "aA"), "classification") == [None]


def test_a_word_for_none_that_is_a_class_is_that_class() -> None:
    assert read(["No Finding", "mass|No Finding"], ("No Finding", "mass")) == ["No Finding", "No Finding|mass"]


def test_a_network_of_one_label_keeps_none_of_a_set_and_says_how_to() -> None:
    table = with_labels(table_of("edema|mass", "mass", ""), CLASSES)
    assert [image.label for image in table.images] == [None, "mass", None]
    assert any("--task multi-label" in note for note in table.notes)


@pytest.mark.parametrize(
    ("labels", "count", "names"),
    [
        (["mass|edema", "edema", "lung"], 3, ("edema", "lung", "mass")),
        (["mass,edema", "lung"], 3, ("edema", "lung", "mass")),
        (["chair, swivel", "tench, fish"], 2, ("chair, swivel", "tench, fish")),
        (["hot dog", "dog"], 2, ("dog", "hot dog")),
        (["10 2", "1"], 3, ("1", "2", "10")),
    ],
)
def test_sets_name_as_many_classes_as_there_are_outputs(labels: list[str], count: int, names: tuple[str, ...]) -> None:
    table = table_of(*labels, classes=tuple(sorted(set(labels))))
    assert table.class_names(count) == names


@pytest.mark.parametrize(
    ("labels", "classes", "is_so"),
    [
        (["mass|edema", "mass"], CLASSES, True),
        (["mass|edema", "mass"], None, True),
        (["mass", "edema"], CLASSES, False),
        (["chair, swivel", "tench"], ("chair, swivel", "tench"), False),
        (["left lung", "mass"], CLASSES, False),
        (["mass|edema", *["mass"] * 50], CLASSES, False),  # a slip of the pen
        (["mass|hernia", "mass"], CLASSES, False),  # one of them is no class
    ],
)
def test_sets_of_classes_make_a_network_multi_label(
    labels: list[str], classes: tuple[str, ...] | None, is_so: bool
) -> None:
    assert table_of(*labels).is_multi_label(classes, 3 if classes else 2) is is_so


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["1,0", "1,1", "0,0"], ["mass", "mass|edema", "no label"]),
        (["1.0,0.0", "1.0,1.0", "0.0,0.0"], ["mass", "mass|edema", "no label"]),
        (["1,-1", "1,1", "-1,-1"], ["mass", "mass|edema", "no label"]),  # as CelebA writes them
        (["1,", "1,1", "0,-1"], ["mass", "mass|edema", None]),  # as CheXpert does
        (["True,False", "True,True", "False,False"], ["mass", "mass|edema", "no label"]),
        (["1,0", "1,1", ","], ["mass", "mass|edema", None]),  # nobody looked
    ],
)
def test_columns_of_zeros_and_ones_are_labels(tmp_path: Path, cells: list[str], wanted: list[str | None]) -> None:
    rows = "".join(f"{n},{n}.png,{30 + n},{line}\n" for n, line in enumerate(cells))
    table = read_table(written(tmp_path / "t.csv", f",Image Index,age,mass,edema\n{rows}"))
    assert table.classes == ("mass", "edema")
    assert [image.label for image in with_labels(table, table.classes, "multi-label").images] == wanted
    assert table.is_multi_label(None, 2) and table.class_names(2) == ("mass", "edema")


def test_the_first_images_are_read_as_all_are(tmp_path: Path) -> None:
    cells = ["mass", "mass", "edema|mass", "lung"]
    path = written(tmp_path / "t.csv", "path,label\n" + "".join(f"{n}.png,{cell}\n" for n, cell in enumerate(cells)))
    table = read_table(path, limit=2)
    assert table.is_multi_label(None, 3) and table.class_names(3) == ("edema", "lung", "mass")
    numbers = written(tmp_path / "n.csv", "path,label\na.png,2\nb.png,2\nc.png,0\n")
    with_labels(read_table(numbers, limit=2), ("x", "y"))  # there is a 0, so 2 is a slip


def test_columns_that_exclude_each_other_are_plain_labels(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", "path,cat,dog\na.png,1,0\nb.png,0,1\n"))
    assert [image.label for image in table.images] == ["cat", "dog"] and not table.is_multi_label(None, 2)


def test_a_column_of_labels_outranks_columns_of_zeros_and_ones(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", "path,label,male,young\na.png,cat,1,0\nb.png,dog,1,1\n"))
    assert [image.label for image in table.images] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (torch.tensor([0, 1, 0]), "mass"),
        (torch.tensor([1.0, 0.0, 1.0]), "edema|left lung"),
        (np.array([0, 0, 0]), "no label"),
        ([True, True, False], "edema|mass"),
        ([1, 2], "mass|left lung"),
        (["mass", "edema"], "mass|edema"),
        (np.float32(1.0), "mass"),
        (np.bool_(True), "mass"),
        (torch.tensor([[2]]), "left lung"),
        (torch.tensor([1.0], dtype=torch.bfloat16), "mass"),
        (torch.tensor([0.2, 0.3, 0.5]), "left lung"),
        (torch.tensor([0.5, 0.0, 0.5]), None),  # half of each
        (torch.tensor([0.9, 0.1, 0.8]), None),
        (0.5, None),
        ({"boxes": 1}, None),
    ],
)
def test_labels_of_items(value: Any, wanted: str | None) -> None:
    assert label_of(value, CLASSES) == wanted


def test_the_set_of_a_label() -> None:
    assert label_set("edema|mass", CLASSES) == {"edema", "mass"} and label_set("no label", CLASSES) == frozenset()
    assert label_set("a|b", ("a|b", "c")) == {"a|b"}
    assert parts_of("a|b\nc|a", "|") == ["a", "b", "c", "a"]


def test_two_labels_in_one_cell_are_no_class_of_their_own(tmp_path: Path) -> None:
    cells = ["red", "green", "red|green", "red", "green", "red|green"]
    rows = [f"{number}.png,{cell}" for number, cell in enumerate(cells)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    table = read_table(tmp_path / "t.csv")
    assert table.class_names(2) == ("green", "red") and table.class_names(3) is None
