"""Which columns of a table can be compared, and why others are left out."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.data.folder import read_table
from seewhy.data.image_table import ImageTable
from seewhy.data.table_columns import check_columns, usable_columns
from seewhy.errors import OptionError

ROWS = [
    {
        "path": f"{number:03d}.png",
        "label": ("cat", "dog")[number % 2],
        "class_id": number % 2,
        "split": ("train", "valid")[number > 30],
        "site": ("north", "south", "")[number % 3],
        "age": 20 + number * 0.5,
        "grade": number % 4,
        "patient": f"P-{number * 7919 % 1000}",
        "number": number,
        "always": "yes",
        "rare": "x" if number else "y",
        "weight": "" if number % 2 else f"{number},5",
        "nothing": "",
    }
    for number in range(60)
]


@pytest.fixture(scope="module")
def table() -> ImageTable:
    return read_table(ROWS)


def test_columns_that_say_something_are_kept_as_groups_or_numbers(table: ImageTable) -> None:
    columns, left = usable_columns(table, table.images)
    found = {column.name: column for column in columns}
    assert set(found) == {"site", "age", "grade", "weight"}
    assert found["site"].names == ("(empty)", "north", "south") and found["site"].kept.all()
    assert found["grade"].names == ("0", "1", "2", "3") and found["grade"].values is None
    assert found["age"].values is not None and found["age"].values[3] == 21.5
    assert found["weight"].kept.sum() == 30 and found["weight"].values is not None
    assert found["weight"].values[2] == 2.5 and np.isnan(found["weight"].values[1])
    assert set(left) == {"class_id", "patient", "number", "always", "rare", "nothing"}
    assert "what the label says" in left["class_id"] and "like an id" in left["patient"]
    assert "--columns number" in left["number"] and "the same for 60 of 60" in left["always"]
    assert "the same for 59 of 60" in left["rare"] and "empty for all" in left["nothing"]


def test_rare_values_are_one_group() -> None:
    cameras = ["a" if n < 20 else "b" if n < 40 else f"c{n % 9}" for n in range(60)]
    rows = [{"path": f"{n}.png", "label": "x", "camera": camera} for n, camera in enumerate(cameras)]
    table = read_table(rows)
    columns, _ = usable_columns(table, table.images)
    assert columns[0].names == ("(other)", "a", "b")


def test_columns_can_be_named_and_left_out_altogether(table: ImageTable) -> None:
    columns, left = usable_columns(table, table.images, ("Site", "number", "label", "patient"))
    assert [column.name for column in columns] == ["site", "number"]
    assert "labels or splits" in left["label"] and "like an id" in left["patient"]
    assert usable_columns(table, table.images, ("none",)) == ([], {})


def test_unknown_columns_say_which_there_are(table: ImageTable) -> None:
    check_columns(table, ("all", "SITE"))
    with pytest.raises(OptionError, match=r"no column 'sight'.*label, class_id.*Nearest: .*site"):
        check_columns(table, ("sight",))
    with pytest.raises(OptionError, match="is no table"):
        check_columns(ImageTable(table.images), ("site",))
