"""Which images belong together: columns, patterns over names, values; and what is said where that goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from seewhy.data.pictures.duplicates import joined_groups
from seewhy.data.sources.folder import read_table
from seewhy.data.tables.clusters import cells_of, clustered
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import OptionError

NAMES = ("12_1.png", "12_2.png", "7_1.png", "7_2.png")


@pytest.fixture
def table(tmp_path: Path) -> ImageTable:
    for name in NAMES:
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / name)
    rows = ["path,label,Patient ID,site", "12_1.png,cat,a,x", "12_2.png,dog,a,y", "7_1.png,cat,b,x", "7_2.png,dog,,y"]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    return read_table(tmp_path / "table.csv")


def of(table: ImageTable) -> list[str | None]:
    return [image.cluster for image in table.images]


def test_a_table_keeps_what_its_other_columns_say(table: ImageTable) -> None:
    assert table.columns == ("label", "Patient ID", "site") and table.read_as == ("label",)
    assert cells_of(table, "site") == ["x", "y", "x", "y"]


def test_rows_made_in_python_have_columns_too(table: ImageTable) -> None:
    rows = [{"path": image.path, "label": image.label, "site": number} for number, image in enumerate(table.images)]
    assert of(clustered(read_table(rows), "site")) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("asked", ["Patient ID", "patient_id", " Patient ID "])
def test_a_column_names_the_clusters_and_an_empty_cell_none(table: ImageTable, asked: str) -> None:
    found = clustered(table, asked)
    assert of(found) == ["a", "a", "b", None]
    assert "1 of 4 images have an empty Patient ID, the first 7_2.png" in found.notes[-1]
    assert found.cluster_by == asked.strip()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("name:(\\d+)_", ["12", "12", "7", "7"]),
        ("name:\\d+_", ["12_", "12_", "7_", "7_"]),
        ("name:_(?P<take>\\d)", ["1", "2", "1", "2"]),
        ("name:^(?:x(\\d)|\\d+)", ["12", "12", "7", "7"]),  # the group took no part
    ],
)
def test_a_pattern_takes_its_first_group_or_the_whole_match(
    table: ImageTable, pattern: str, expected: list[str]
) -> None:
    assert of(clustered(table, pattern)) == expected


def test_a_pattern_with_a_slash_looks_at_the_path(tmp_path: Path) -> None:
    for place in ("train/cat/p1/0.png", "train/cat/p2/1.png", "train/dog/p1/0.png", "valid/dog/p2/2.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / place)
    table = read_table(tmp_path)
    assert of(clustered(table, "name:(p\\d)/")) == ["p1", "p2", "p1", "p2"]
    assert of(clustered(table, "name:^(\\d)")) == ["0", "1", "0", "2"]  # the name alone


def test_values_are_taken_image_by_image(table: ImageTable) -> None:
    assert of(clustered(table, np.array([1, 1, 2, 2]))) == ["1", "1", "2", "2"]
    assert of(clustered(read_table(torch.rand(3, 3, 8, 8)), ["a", None, "a"])) == ["a", None, "a"]


def test_a_pattern_that_fits_only_some_says_how_many_and_shows_one(table: ImageTable) -> None:
    found = clustered(table, "name:(12)_")
    assert of(found) == ["12", "12", None, None]
    assert "2 of 4 images do not fit --cluster-by name:(12)_ ('7_1.png')" in found.notes[-1]


def test_every_image_its_own_cluster_is_said(table: ImageTable) -> None:
    assert "changes nothing" in clustered(table, "name:.+").notes[-1]
    assert not any("changes nothing" in note for note in clustered(table, "site").notes)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("patient", r"no column 'patient'.*label, Patient ID, site.*(?s:.)*Patient ID(?s:.)*name:"),
        ("name:(\\d+", r"no regular expression: missing \), unterminated subpattern, at letter 1: >>>\(\\d\+"),
        ("name:a[b", r"at letter 2: a>>>\[b"),
        ("name:x(\\d)", r"fits none of 4 names, like '12_1.png'"),
        ("name:png", r"one cluster of all 4 images \('png'\)"),
        (["a", "b"], r"2 values for 4 images"),
    ],
)
def test_what_makes_no_clusters_is_refused(table: ImageTable, asked: str | list[str], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        clustered(table, asked)


def test_images_without_a_table_or_names_say_what_to_give(tmp_path: Path, table: ImageTable) -> None:
    with pytest.raises(OptionError, match="is no table with columns"):
        clustered(read_table(tmp_path / "*.png"), "patient")
    with pytest.raises(OptionError, match=r"cluster_by=\[\.\.\.\]"):
        clustered(read_table(torch.rand(3, 3, 8, 8)), "name:(.)")


def test_groups_are_joined_by_names_and_keep_their_order_without() -> None:
    groups = np.array([0, 1, 1, 2, 3, 4])
    assert joined_groups(groups, [None] * 6).tolist() == groups.tolist()
    found = joined_groups(groups, ["a", None, "b", "b", None, "a"])  # 0 and 4 by a, 1 and 2 by b
    assert found.tolist() == [0, 1, 1, 1, 2, 0]
    chain = joined_groups(np.array([0, 0, 1, 1]), [None, "x", "x", None])
    assert set(chain.tolist()) == {0}
