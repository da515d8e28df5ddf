"""Which columns of a table can be compared, and why others are left out."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.data.sources.folder import read_table
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.table_columns import check_columns, usable_columns
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


def values_of(cells: list[str]) -> np.ndarray | str:
    """The values of a column of such cells, or why it is left out."""
    table = read_table([{"path": f"{n}.png", "label": "x", "size": cell} for n, cell in enumerate(cells * 3)])
    columns, left = usable_columns(table, table.images)
    if not columns:
        return left["size"]
    assert columns[0].values is not None
    return columns[0].values[: len(cells)]


def test_commas_are_read_as_those_of_thousands_or_of_decimals_where_that_is_clear() -> None:
    numbers = np.array([*range(900, 2100, 100), 12_500, -1_020])
    with_commas = [f"{number:,}" for number in numbers]
    assert (values_of(with_commas) == numbers).all(), "900 and 1,000"
    assert (values_of([*with_commas, "1,000,000"])[:-1] == numbers).all()
    large = np.arange(12) * 1000 + 1_000_000
    assert (values_of([f"{number:,}" for number in large]) == large).all()
    assert (values_of([f"{number:,.2f}" for number in large / 3]) == (large / 3).round(2)).all()
    shares = np.arange(12) / 8 + 0.125
    assert (values_of([f"{share:.3f}".replace(".", ",") for share in shares]) == shares).all(), "0,125 and 1,125"
    assert (values_of([f"{share:g}".replace(".", ",") for share in shares]) == shares).all(), "0,125 and 1,5"
    assert (values_of([f"{share}" for share in shares]) == shares).all()
    assert (values_of([f"{share} " for share in range(12)]) == np.arange(12)).all()


@pytest.mark.parametrize("others", [[], ["1500", "20"]])
def test_commas_that_may_be_either_are_left_out_and_said(others: list[str]) -> None:
    said = values_of([f"1,{n:03d}" for n in range(12)] + others)
    assert isinstance(said, str) and "thousands or of decimals (1,000): write 1000 or 1.000" in said


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
